//! Faults on demand: felt by the clients of one lease's own broker, undone with it, and by nobody beside or after it.

mod common;

use std::time::{Duration, Instant};

use common::child::{Child, only_in_a_child, say};
use common::{alone, comes_true, lease, thread_of_a_test};
use rstest::rstest;
use rstest_kafka::rdkafka::ClientConfig;
use rstest_kafka::rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rstest_kafka::rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rstest_kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rstest_kafka::rdkafka::{Offset, TopicPartitionList};
use rstest_kafka::{Error, ErrorCode, Fault, Harness, HarnessBuilder, Kafka, Request};

const PATIENCE: Duration = Duration::from_secs(10);

/// Faults are the embedded broker's: these tests are about it, whatever the environment names.
fn builder() -> HarnessBuilder {
    Harness::builder().embedded_brokers(1).topic_prefix("faults")
}

/// The client of a service that knows nothing of this crate.
fn plain(kafka: &Kafka) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka.bootstrap_servers()).set("reconnect.backoff.max.ms", "100");
    config
}

fn answers(client: &BaseConsumer) -> bool {
    client.fetch_metadata(None, Duration::from_secs(1)).is_ok_and(|metadata| !metadata.brokers().is_empty())
}

fn round_trip(kafka: &Kafka, text: &str) {
    let consumer = kafka.consumer("events");
    kafka.send("events", "k", text);
    consumer.recv_matching(|record| record.text() == text);
    consumer.drain();
    consumer.assert_empty();
}

#[rstest]
fn a_broker_that_is_down_is_down_for_a_plain_client_until_it_is_up() {
    let harness = builder().build();
    lease(&harness, |kafka| {
        let faults = kafka.faults();
        round_trip(&kafka, "before");
        let client: BaseConsumer = plain(&kafka).create().unwrap();
        assert!(answers(&client));
        for _ in 0..3 {
            faults.broker_down(1);
            assert!(!answers(&client), "nobody answers");
            faults.broker_up(1);
            assert!(comes_true(|| answers(&client)), "it is found again");
        }
        round_trip(&kafka, "after");
    });
}

#[rstest]
fn one_broker_of_three_is_down_and_the_others_answer() {
    let harness = builder().embedded_brokers(3).build();
    lease(&harness, |kafka| {
        let faults = kafka.faults();
        faults.broker_down(2);
        let client: BaseConsumer = plain(&kafka).create().unwrap();
        let brokers = || {
            let metadata = client.fetch_metadata(None, PATIENCE).unwrap();
            let mut ids: Vec<i32> = metadata.brokers().iter().map(|broker| broker.id()).collect();
            ids.sort_unstable();
            ids
        };
        assert_eq!(brokers(), [1, 3]);
        faults.clear();
        assert_eq!(brokers(), [1, 2, 3]);
        for unknown in [-1, 0, 4] {
            let error = faults.try_broker_down(unknown).unwrap_err().to_string();
            assert!(error.contains(&format!("stop broker {unknown}")) && error.contains("1 to 3"), "{error}");
        }
        assert_eq!(brokers(), [1, 2, 3], "and none of them took all down");
    });
}

#[rstest]
fn latency_is_added_to_each_answer() {
    let harness = builder().build();
    lease(&harness, |kafka| {
        let faults = kafka.faults();
        kafka.topic("events");
        let client: BaseConsumer = plain(&kafka).create().unwrap();
        let ask = || {
            let one = || {
                let clock = Instant::now();
                assert!(answers(&client));
                clock.elapsed()
            };
            (0..5).map(|_| one()).min().unwrap()
        };
        let quick = ask();
        faults.latency(Duration::from_millis(200));
        let slow = ask();
        faults.latency(Duration::ZERO);
        let again = ask();
        assert!(slow > 3 * quick && slow > 3 * again, "{quick:?}, {slow:?}, {again:?}");
    });
}

/// Sends one message that is not tried again; what the broker answered.
fn produce_once(producer: &BaseProducer, topic: &str) -> Result<(), KafkaError> {
    let before = producer.in_flight_count();
    assert_eq!(before, 0);
    producer.send(BaseRecord::<str, str>::to(topic).payload("x")).map_err(|(error, _)| error)?;
    producer.flush(PATIENCE)
}

#[rstest]
fn exactly_n_produce_requests_fail() {
    let harness = builder().build();
    lease(&harness, |kafka| {
        let faults = kafka.faults();
        let events = kafka.topic("events");
        let consumer = kafka.consumer(&events);
        let mut config = plain(&kafka);
        config.set("retries", "0").set("linger.ms", "0");
        let producer: BaseProducer = config.create().unwrap();
        faults.fail_next(Request::Produce, 3, ErrorCode::NotEnoughReplicas);
        for _ in 0..5 {
            produce_once(&producer, &events).unwrap();
        }
        assert_eq!(faults.requests(Request::Produce), 5);
        assert_eq!(consumer.recv_n(2).len(), 2);
        consumer.assert_empty();
        // What is cleared is not answered any more.
        faults.fail_next(Request::Produce, 100, ErrorCode::NotEnoughReplicas);
        faults.clear();
        produce_once(&producer, &events).unwrap();
        assert_eq!(consumer.drain().len(), 1);
    });
}

#[rstest]
#[case::fetch(Request::Fetch)]
#[case::list_offsets(Request::ListOffsets)]
#[case::offset_commit(Request::OffsetCommit)]
#[case::offset_fetch(Request::OffsetFetch)]
#[case::find_coordinator(Request::FindCoordinator)]
#[case::join_group(Request::JoinGroup)]
#[case::sync_group(Request::SyncGroup)]
#[case::init_producer_id(Request::InitProducerId)]
#[case::api_versions(Request::ApiVersions)]
#[case::add_partitions(Request::AddPartitionsToTxn)]
#[case::end_transaction(Request::EndTxn)]
#[case::heartbeat_848(Request::ConsumerGroupHeartbeat)]
fn a_refused_request_is_asked_again_and_the_work_goes_on(#[case] request: Request) {
    let harness = builder().timeout(Duration::from_secs(20)).build();
    lease(&harness, |kafka| {
        let faults = kafka.faults();
        let events = kafka.topic("events");
        kafka.send(&events, "k", "one");
        let before = faults.requests(request);
        faults.fault(Fault::on(request).times(2).drop_connection());
        match request {
            Request::InitProducerId | Request::AddPartitionsToTxn | Request::EndTxn | Request::ApiVersions => {
                let producer: BaseProducer = plain(&kafka).set("transactional.id", "t").create().unwrap();
                producer.init_transactions(PATIENCE).unwrap();
                producer.begin_transaction().unwrap();
                producer.send(BaseRecord::<str, str>::to(&events).payload("two")).map_err(|(e, _)| e).unwrap();
                producer.commit_transaction(PATIENCE).unwrap();
            }
            _ => {
                let protocol = if request == Request::ConsumerGroupHeartbeat { "consumer" } else { "classic" };
                let mut config = plain(&kafka);
                config.set("group.id", "g").set("auto.offset.reset", "earliest").set("group.protocol", protocol);
                let service: BaseConsumer = config.create().unwrap();
                service.subscribe(&[&events]).unwrap();
                let clock = Instant::now();
                let message = loop {
                    assert!(clock.elapsed() < 2 * PATIENCE, "no message");
                    if let Some(Ok(message)) = service.poll(Duration::from_millis(50)) {
                        break message;
                    }
                };
                while service.commit_message(&message, CommitMode::Sync).is_err() {
                    assert!(clock.elapsed() < 2 * PATIENCE, "no commit");
                }
            }
        }
        assert!(faults.requests(request) - before >= 3, "two were refused and one taken: {request:?}");
    });
}

#[rstest]
fn a_commit_is_refused_with_the_chosen_error_exactly_n_times() {
    let harness = builder().build();
    lease(&harness, |kafka| {
        let faults = kafka.faults();
        let events = kafka.topic("events");
        let mut config = plain(&kafka);
        let service: BaseConsumer = config.set("group.id", "g").set("enable.auto.commit", "false").create().unwrap();
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(&events, 0, Offset::Offset(0)).unwrap();
        faults.fail_next(Request::OffsetCommit, 2, ErrorCode::TopicAuthorizationFailed);
        let codes: Vec<_> = (0..4)
            .map(|_| service.commit(&offsets, CommitMode::Sync).err().and_then(|error| error.rdkafka_error_code()))
            .collect();
        let refused = Some(RDKafkaErrorCode::TopicAuthorizationFailed);
        assert_eq!(codes, [refused, refused, None, None]);
        assert_eq!(faults.requests(Request::OffsetCommit), 4);
    });
}

/// What the table of `Faults` says of the test's own calls.
#[rstest]
fn the_tests_own_calls_meet_the_faults_and_get_over_passing_ones() {
    let harness = builder().timeout(Duration::from_secs(20)).build();
    lease(&harness, |kafka| {
        let faults = kafka.faults();
        let two = |fault: Fault, request| {
            let before = faults.requests(request);
            faults.fault(fault.times(2));
            move |faults: &rstest_kafka::Faults| {
                let asked = faults.requests(request) - before;
                assert!(asked >= 3, "two refused, one answered: {request:?} came {asked} times");
            }
        };
        let passed = two(Fault::on(Request::ListOffsets).answer(ErrorCode::NotLeaderOrFollower), Request::ListOffsets);
        let events = kafka.topic("events");
        passed(&faults);
        let passed = two(Fault::on(Request::Produce).answer(ErrorCode::NotEnoughReplicas), Request::Produce);
        kafka.send(&events, "k", "one");
        passed(&faults);
        let passed = two(Fault::on(Request::Fetch).answer(ErrorCode::NotLeaderOrFollower), Request::Fetch);
        let consumer = kafka.consumer(&events);
        assert_eq!(consumer.recv().text(), "one");
        consumer.assert_empty();
        passed(&faults);
        let passed = two(Fault::on(Request::ListOffsets).drop_connection(), Request::ListOffsets);
        consumer.assert_empty();
        passed(&faults);
        let passed =
            two(Fault::on(Request::OffsetCommit).answer(ErrorCode::CoordinatorLoadInProgress), Request::OffsetCommit);
        let group = kafka.group("billing", [&events]);
        passed(&faults);
        let passed =
            two(Fault::on(Request::OffsetFetch).answer(ErrorCode::CoordinatorLoadInProgress), Request::OffsetFetch);
        assert_eq!(group.lag(), 1);
        passed(&faults);
        faults.fail_next(Request::Produce, 1, ErrorCode::TopicAuthorizationFailed);
        assert!(kafka.try_send(&events, "k", "refused").is_err());
        consumer.assert_empty();
    });
}

#[rstest]
fn a_topic_that_metadata_refuse_is_there_again_when_that_ends() {
    let harness = builder().build();
    lease(&harness, |kafka| {
        let faults = kafka.faults();
        let events = kafka.topic("events");
        let client: BaseConsumer = plain(&kafka).create().unwrap();
        let error = || {
            let metadata = client.fetch_metadata(Some(&events), PATIENCE).unwrap();
            metadata.topics()[0].error().map(RDKafkaErrorCode::from)
        };
        assert_eq!(error(), None);
        faults.topic_error(&events, Some(ErrorCode::TopicAuthorizationFailed));
        assert_eq!(error(), Some(RDKafkaErrorCode::TopicAuthorizationFailed));
        faults.topic_error(&events, None);
        assert_eq!(error(), None);
        faults.topic_error(&events, Some(ErrorCode::LeaderNotAvailable));
        faults.clear();
        assert_eq!(error(), None);
    });
}

#[rstest]
fn an_error_that_no_broker_answers_with_is_refused() {
    let harness = builder().build();
    lease(&harness, |kafka| {
        let faults = kafka.faults();
        let error = faults.try_fail_next(Request::Produce, 1, ErrorCode::Unknown(-195)).unwrap_err();
        assert!(matches!(error, Error::Misuse { .. }), "{error}");
        assert!(error.to_string().contains("-195"), "{error}");
        assert!(faults.try_topic_error("events", Some(ErrorCode::Unknown(-195))).is_err());
        round_trip(&kafka, "untouched");
    });
}

/// With one broker for all, every one of these would be felt.
#[rstest]
fn a_neighbour_on_another_lane_feels_nothing() {
    let _alone = alone();
    let harness = builder().timeout(Duration::from_secs(2)).build();
    lease(&harness, |beside| {
        round_trip(&beside, "warm");
        let neighbour: BaseConsumer = plain(&beside).create().unwrap();
        assert!(answers(&neighbour));
        lease(&harness, |kafka| {
            assert_ne!(kafka.worker_id(), beside.worker_id());
            let faults = kafka.faults();
            assert_ne!(kafka.bootstrap_servers(), beside.bootstrap_servers());
            kafka.topic("events");
            faults.fail_next(Request::Produce, 100, ErrorCode::TopicAuthorizationFailed);
            faults.fail_next(Request::Fetch, 100, ErrorCode::TopicAuthorizationFailed);
            faults.fail_next(Request::ListOffsets, 100, ErrorCode::TopicAuthorizationFailed);
            (0..5).for_each(|n| round_trip(&beside, &format!("while requests fail {n}")));
            faults.latency(Duration::from_secs(5));
            (0..5).for_each(|n| round_trip(&beside, &format!("while it is slow {n}")));
            faults.broker_down(1);
            (0..5).for_each(|n| round_trip(&beside, &format!("while it is down {n}")));
            assert!(answers(&neighbour));
            // A lease that begins now, too.
            lease(&harness, |third| round_trip(&third, "new"));
            assert!(kafka.try_send("events", "k", "v").is_err(), "here it is down");
        });
    });
}

#[rstest]
fn the_next_lease_of_the_worker_is_clean() {
    let _alone = alone();
    let harness = builder().build();
    let worker = |kafka: &Kafka| (kafka.worker_id().to_string(), kafka.generation());
    let (before, address) = lease(&harness, |kafka| {
        round_trip(&kafka, "first");
        (worker(&kafka), kafka.bootstrap_servers().to_owned())
    });
    let own = lease(&harness, |kafka| {
        assert_eq!(worker(&kafka), before);
        let faults = kafka.faults();
        round_trip(&kafka, "on a broker of its own");
        faults.fail_next(Request::Produce, 100, ErrorCode::TopicAuthorizationFailed);
        faults.broker_down(1);
        kafka.bootstrap_servers().to_owned()
    });
    assert_ne!(own, address);
    lease(&harness, |kafka| {
        assert_eq!((worker(&kafka), kafka.bootstrap_servers()), (before.clone(), &*address));
        round_trip(&kafka, "next");
        assert_eq!(kafka.topic("events").fence(0), 1, "the topic of the first lease, with what that left");
    });
    // And the next one that asks for faults gets none of the last one's.
    lease(&harness, |kafka| {
        let faults = kafka.faults();
        assert_eq!(faults.requests(Request::Produce), 0);
        assert_eq!(kafka.topic("events").fence(0), 0);
        round_trip(&kafka, "new");
    });
    let stats = harness.stats();
    assert_eq!(
        (stats.leases, stats.failed_leases, stats.messages_sent),
        (4, 0, 4),
        "all of the harness's leases count"
    );
}

#[rstest]
fn a_failed_test_moves_its_generation_as_ever() {
    let _alone = alone();
    let harness = builder().build();
    let before = lease(&harness, |kafka| kafka.generation());
    let failed = thread_of_a_test(|| {
        let kafka = harness.lease();
        let faults = kafka.faults();
        let consumer = kafka.consumer("events");
        faults.broker_down(1);
        assert_eq!(consumer.topic().logical_name(), "other", "on purpose");
    });
    assert!(failed.is_err());
    lease(&harness, |kafka| {
        assert_eq!(kafka.generation(), before + 1);
        round_trip(&kafka, "fresh");
    });
}

#[rstest]
#[case::topic("a topic", |kafka: &Kafka| drop(kafka.topic("events")))]
#[case::topics("a topic", |kafka: &Kafka| drop(kafka.topics(["one", "two"])))]
#[case::name("a topic's name", |kafka: &Kafka| drop(kafka.topic_names().name("events")))]
#[case::consumer("a topic", |kafka: &Kafka| drop(kafka.consumer("events")))]
#[case::address("bootstrap_servers()", |kafka: &Kafka| drop(kafka.bootstrap_servers().to_owned()))]
#[case::config("client_config()", |kafka: &Kafka| drop(kafka.client_config()))]
#[case::consumer_config("consumer_config()", |kafka: &Kafka| drop(kafka.consumer_config("billing")))]
#[case::producer_config("producer_config()", |kafka: &Kafka| drop(kafka.producer_config()))]
#[case::record("a topic", |kafka: &Kafka| drop(kafka.try_send("x", "k", "v")))]
fn who_asks_too_late_is_told_what_came_before(#[case] what: &str, #[case] first: fn(&Kafka)) {
    let harness = builder().build();
    lease(&harness, |kafka| {
        first(&kafka);
        let error = kafka.try_faults().unwrap_err();
        assert!(matches!(error, Error::Misuse { .. }), "{error}");
        assert!(error.to_string().starts_with(&format!("faults() came after {what},")), "{error}");
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(kafka.faults()))).unwrap_err();
        assert!(panic.downcast_ref::<String>().unwrap().contains("ask for faults first"));
        round_trip(&kafka, "goes on where it was");
    });
    lease(&harness, |kafka| {
        // What tells nothing of a broker settles nothing.
        let _ = (kafka.worker_id(), kafka.capabilities(), kafka.stats(), format!("{kafka:?}"));
        let (one, other) = (kafka.faults(), kafka.faults());
        one.fail_next(Request::Produce, 1, ErrorCode::TopicAuthorizationFailed);
        first(&kafka);
        assert_eq!(format!("{other:?}"), format!("{:?}", kafka.faults()), "once asked for it stays the same");
    });
}

/// Two threads of one test that ask at once get one broker.
#[rstest]
fn asked_for_by_two_threads_at_once_it_is_one_broker() {
    let harness = builder().build();
    for _ in 0..20 {
        lease(&harness, |kafka| {
            let barrier = std::sync::Barrier::new(2);
            let ask = || {
                barrier.wait();
                format!("{:?}", kafka.faults())
            };
            let (one, other) = std::thread::scope(|scope| {
                let other = scope.spawn(ask);
                (ask(), other.join().unwrap())
            });
            assert_eq!(one, other);
        });
    }
}

/// What this process has, as the operating system counts it; only Linux tells.
fn resources() -> Option<(usize, usize)> {
    let count = |folder| std::fs::read_dir(folder).ok().map(Iterator::count);
    Some((count("/proc/self/task")?, count("/proc/self/fd")?))
}

#[rstest]
fn brokers_of_ended_leases_go_away() {
    let child = Child::of_tests(&["child_that_has_many_brokers"], 1).run();
    child.exits_with(0);
    println!("{}", child.once_by("brokers"));
}

/// In a process of its own: what other tests have open is not to be counted.
#[test]
#[ignore = "run by brokers_of_ended_leases_go_away"]
fn child_that_has_many_brokers() {
    only_in_a_child();
    let harness = builder().timeout(Duration::from_secs(20)).build();
    let case = |n: usize| {
        lease(&harness, |kafka| {
            let faults = kafka.faults();
            round_trip(&kafka, "x");
            match n % 5 {
                0 => faults.broker_down(1),
                1 => faults.latency(Duration::from_secs(60)),
                2 => faults.fault(Fault::on(Request::Fetch).drop_connection()),
                // A member of a group would wait for its broker when it is closed.
                3 => {
                    let consumer = kafka.consumer("events");
                    consumer.unassign().unwrap();
                    consumer.subscribe(&[&kafka.topic("other")]).unwrap();
                    kafka.send("other", "k", "to a member");
                    let member = || {
                        let _ = consumer.within(Duration::from_millis(10)).recv();
                        !consumer.assignment().unwrap().elements().is_empty()
                    };
                    assert!(comes_true(member));
                    faults.broker_down(1);
                }
                _ => {}
            }
        });
    };
    lease(&harness, |kafka| round_trip(&kafka, "shared"));
    (0..8).for_each(case);
    let mut flat = resources();
    // What is closed in the background is waited for: until nothing changes for a while.
    let mut since = Instant::now();
    assert!(comes_true(|| {
        let now = resources();
        if now != flat {
            (flat, since) = (now, Instant::now());
        }
        since.elapsed() > Duration::from_secs(1)
    }));
    let clock = Instant::now();
    let mut most = 0;
    for n in 0..100 {
        case(n);
        most = most.max(resources().unwrap_or_default().0);
    }
    let took = clock.elapsed();
    assert!(comes_true(|| resources() == flat), "{:?} after 100 leases, {flat:?} before", resources());
    let (flat, all) = (flat.unwrap_or_default(), clock.elapsed());
    say(
        "brokers",
        format!("100 leases took {took:?}, at most {most} threads; {flat:?} threads and files after {all:?}"),
    );
}

#[rstest]
#[case::ended("child_that_ends_with_a_broker_down")]
#[case::leaked("child_that_leaks_a_broker_that_is_down")]
fn exit_stays_within_its_deadline_with_a_broker_down(#[case] name: &str) {
    let child = Child::of_tests(&[name], 1).env("RSTEST_KAFKA_EXIT_DEADLINE_MS", "2000").run();
    child.exits_with(0).stdout_is_libtests().exits_within(Duration::from_millis(2500));
}

#[test]
#[ignore = "run by exit_stays_within_its_deadline_with_a_broker_down"]
fn child_that_ends_with_a_broker_down() {
    only_in_a_child();
    let kafka = builder().build().lease();
    let faults = kafka.faults();
    round_trip(&kafka, "x");
    faults.broker_down(1);
    say("broker", kafka.bootstrap_servers());
}

#[test]
#[ignore = "run by exit_stays_within_its_deadline_with_a_broker_down"]
fn child_that_leaks_a_broker_that_is_down() {
    only_in_a_child();
    let harness = Harness::builder().embedded_brokers(1).build();
    let kafka = harness.lease();
    let faults = kafka.faults();
    let consumer = kafka.consumer("events");
    consumer.unassign().unwrap();
    consumer.subscribe(&["events"]).unwrap();
    faults.broker_down(1);
    std::mem::forget((kafka, consumer, faults, harness));
}

mod on_a_cluster {
    use super::*;

    #[test]
    #[ignore = "needs a real cluster: scripts/with-kafka"]
    fn there_are_no_faults_and_it_says_so() {
        let harness = Harness::builder().bootstrap_servers(common::cluster::servers()).topic_prefix("faults").build();
        lease(&harness, |kafka| {
            assert!(!kafka.capabilities().faults);
            let error = kafka.try_faults().unwrap_err();
            assert!(matches!(error, Error::Unsupported { .. }), "{error}");
            assert!(error.to_string().contains("cannot have faults on demand"), "{error}");
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(kafka.faults()))).unwrap_err();
            assert!(panic.downcast_ref::<String>().unwrap().contains("embedded_brokers(1)"));
            round_trip(&kafka, "goes on");
        });
    }
}
