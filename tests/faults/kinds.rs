//! What each kind of fault does to a plain client, and to the calls of the test.

use std::time::{Duration, Instant};

use rstest::rstest;
use rstest_kafka::rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rstest_kafka::rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rstest_kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rstest_kafka::rdkafka::{Offset, TopicPartitionList};
use rstest_kafka::{Error, ErrorCode, Fault, Request};

use super::{answers, builder, plain, round_trip};
use crate::common::{beside_others, comes_true, lease};

const PATIENCE: Duration = Duration::from_secs(10);

#[rstest]
fn a_broker_that_is_down_is_down_for_a_plain_client_until_it_is_up() {
    let _beside = beside_others();
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
    let _beside = beside_others();
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
            let error = faults.checked().broker_down(unknown).unwrap_err().to_string();
            assert!(error.contains(&format!("stop broker {unknown}")) && error.contains("1 to 3"), "{error}");
        }
        assert_eq!(brokers(), [1, 2, 3], "and none of them took all down");
    });
}

#[rstest]
fn latency_is_added_to_each_answer() {
    let _beside = beside_others();
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
    let _beside = beside_others();
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
    let _beside = beside_others();
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
    let _beside = beside_others();
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
    let _beside = beside_others();
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
        assert!(kafka.checked().send(&events, "k", "refused").is_err());
        consumer.assert_empty();
    });
}

#[rstest]
fn a_topic_that_metadata_refuse_is_there_again_when_that_ends() {
    let _beside = beside_others();
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
    let _beside = beside_others();
    let harness = builder().build();
    lease(&harness, |kafka| {
        let faults = kafka.faults();
        let error = faults.checked().fail_next(Request::Produce, 1, ErrorCode::Unknown(-195)).unwrap_err();
        assert!(matches!(error, Error::Misuse { .. }), "{error}");
        assert!(error.to_string().contains("-195"), "{error}");
        assert!(faults.checked().topic_error("events", Some(ErrorCode::Unknown(-195))).is_err());
        round_trip(&kafka, "untouched");
    });
}
