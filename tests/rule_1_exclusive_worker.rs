//! Rule 1: two running tests never share a worker; one that hangs, or leaks its fixtures, keeps its own.

mod common;

use std::collections::BTreeSet;
use std::thread;

use common::child::Child;
use common::{lease, thread_of_a_test};
use rstest::rstest;
use rstest_kafka::{Consumers, Harness, Kafka, TopicNames, consumers, kafka, topic_names};

#[rstest]
#[case::one(1)]
#[case::two(2)]
#[case::sixteen(16)]
fn as_many_lanes_as_tests_that_run_at_once(#[case] threads: usize) {
    let outcome = Child::module("rule_1::fills_all_lanes::", threads).env("AT_ONCE", threads.to_string()).run();
    outcome.exits_with(0);
    let workers: Vec<String> = outcome.said_by("worker");
    assert_eq!(workers.len(), 32, "{outcome}");
    let distinct: BTreeSet<&str> = workers.iter().map(String::as_str).collect();
    // The lowest free lanes: the worker's plain id, and with `-1` to `-{n - 1}` at its end.
    let plain = distinct.iter().min_by_key(|worker| worker.len()).unwrap();
    let expected: BTreeSet<String> =
        (0..threads).map(|lane| if lane == 0 { (*plain).to_owned() } else { format!("{plain}-{lane}") }).collect();
    assert_eq!(distinct, expected.iter().map(String::as_str).collect(), "{outcome}");
    assert_eq!(outcome.said_by("lanes").iter().map(|lanes| lanes.parse().unwrap()).max(), Some(threads), "{outcome}");
}

#[rstest]
fn a_test_that_hangs_past_its_timeout_keeps_its_lane() {
    let outcome = Child::module("rule_1::hangs::", 1).run();
    outcome.exits_with(101).test_was("rule_1::hangs::a_hangs", "FAILED").test_was("rule_1::hangs::c_later", "ok");
    let hung = outcome.once_by("hangs");
    let (next, later) = (outcome.once_by("next"), outcome.once_by("later"));
    assert_ne!(next, hung, "{outcome}");
    assert_eq!(later, next, "the lane of a test that ended is the lowest free one\n{outcome}");
}

#[rstest]
#[case::kafka("kafka")]
#[case::topic_names("topic_names")]
#[case::consumers("consumers")]
#[case::a_consumer_of_the_pool("pooled")]
fn a_test_that_leaks_a_fixture_keeps_its_lane(#[case] leaked: &str) {
    let outcome = Child::module("rule_1::leaks::", 1).env("LEAKED", leaked).run();
    outcome.exits_with(0);
    assert_ne!(outcome.once_by("leaks"), outcome.once_by("next"), "{outcome}");
}

#[rstest]
fn all_fixtures_of_one_test_are_one_lease(
    kafka: Kafka,
    topic_names: TopicNames,
    consumers: Consumers,
    #[from(kafka)] again: Kafka,
) {
    // Topics are equal only where they are of the same lease.
    let events = kafka.topic("events");
    assert_eq!(topic_names.name("events"), events);
    assert_eq!(consumers.consumer("events").topic(), &events);
    assert_eq!(again.topic("events"), events);
    assert_eq!((again.worker_id(), again.generation()), (kafka.worker_id(), kafka.generation()));
    // And it lasts until the last of them is dropped, whichever that is.
    drop((kafka, again, topic_names));
    assert_eq!(consumers.consumer("events").topic(), &events);
}

#[rstest]
fn a_lease_is_counted_once_and_ends_with_its_last_fixture() {
    let harness = Harness::builder().topic_prefix("counted").build();
    let kafka = harness.lease();
    let (names, consumers, again) = (kafka.topic_names(), kafka.consumers(), harness.lease());
    assert_eq!(harness.stats().leases, 1);
    let events = kafka.topic("events");
    let worker = kafka.worker_id().clone();
    drop((kafka, names, again));
    assert_eq!(harness.lease().topic("events"), events, "its consumers still hold it");
    drop(consumers);
    let kafka = harness.lease();
    assert_eq!(harness.stats().leases, 2);
    assert_ne!(kafka.topic("events"), events, "a lease of its own, with a fence of its own");
    assert_eq!(kafka.worker_id(), &worker, "the test still runs, and its worker is its own");
}

#[rstest]
fn two_harnesses_in_one_test_share_its_worker(kafka: Kafka) {
    let relay = Harness::builder().topic_prefix("relay").build();
    let of_relay = relay.lease();
    assert_eq!(of_relay.worker_id(), kafka.worker_id());
    assert_ne!(of_relay.topic("events").name(), kafka.topic("events").name());
    // Nobody else gets the worker while one of the two is held, also by what is no test's thread.
    let worker = kafka.worker_id().clone();
    drop(kafka);
    let other = thread_of_a_test(|| relay.lease().worker_id().clone()).unwrap();
    assert_ne!(other, worker);
    drop(of_relay);
    let other = thread_of_a_test(|| relay.lease().worker_id().clone()).unwrap();
    assert_ne!(other, worker, "the test still runs, and may fail");
}

#[rstest]
fn a_lease_on_another_thread_is_another_worker(kafka: Kafka) {
    let harness = Harness::from_environment();
    let other = lease(harness, |other| {
        assert_ne!(other.worker_id(), kafka.worker_id());
        assert_ne!(other.topic("events").name(), kafka.topic("events").name());
        other.worker_id().clone()
    });
    assert_ne!(&other, kafka.worker_id());
}

#[rstest]
fn a_fixture_that_was_moved_to_another_thread_keeps_its_lane(kafka: Kafka) {
    let harness = Harness::builder().topic_prefix("moved").build();
    let worker = kafka.worker_id().clone();
    let (hold, held) = std::sync::mpsc::channel::<()>();
    // The thread of this "test" ends; its fixture lives on elsewhere.
    let (theirs, elsewhere) = thread_of_a_test(|| {
        let theirs = harness.lease();
        let worker = theirs.worker_id().clone();
        let elsewhere = thread::spawn(move || {
            let _ = held.recv();
            drop(theirs);
        });
        (worker, elsewhere)
    })
    .unwrap();
    assert_ne!(theirs, worker);
    for _ in 0..3 {
        let next = lease(&harness, |kafka| kafka.worker_id().clone());
        assert!(next != theirs && next != worker, "{next}");
    }
    drop(hold);
    elsewhere.join().unwrap();
}
