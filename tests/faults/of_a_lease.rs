//! A lease that asks for faults has a broker to itself, which nobody beside it or after it has.

use std::time::Duration;

use rstest::rstest;
use rstest_kafka::rdkafka::consumer::BaseConsumer;
use rstest_kafka::{Error, ErrorCode, Kafka, Request};

use super::{answers, builder, plain, round_trip};
use crate::common::child::Child;
use crate::common::{alone, beside_others, lease, thread_of_a_test};

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
            assert!(kafka.checked().send("events", "k", "v").is_err(), "here it is down");
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
#[case::record("a topic", |kafka: &Kafka| drop(kafka.checked().send("x", "k", "v")))]
fn who_asks_too_late_is_told_what_came_before(#[case] what: &str, #[case] first: fn(&Kafka)) {
    let _beside = beside_others();
    let harness = builder().build();
    lease(&harness, |kafka| {
        first(&kafka);
        let error = kafka.checked().faults().unwrap_err();
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
    let _beside = beside_others();
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

#[rstest]
fn brokers_of_ended_leases_go_away() {
    let child = Child::tests(&["faults::many_brokers"], 1).run();
    child.exits_with(0);
    println!("{}", child.once_by("brokers"));
}

#[rstest]
#[case::ended("faults::ends_with_a_broker_down")]
#[case::leaked("faults::leaks_a_broker_that_is_down")]
fn exit_stays_within_its_deadline_with_a_broker_down(#[case] name: &str) {
    let child = Child::tests(&[name], 1).env("RSTEST_KAFKA_EXIT_DEADLINE_MS", "2000").run();
    child.exits_with(0).stdout_is_libtests().exits_within(Duration::from_millis(2500));
}
