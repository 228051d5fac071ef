//! `assert_empty` against all that could make it pass where it must not: it passes only when it is true.
//!
//! A racing producer, a paused and an unassigned consumer are in `rule_2_fence`, a cluster that crashes in `cluster_faults`.

mod common;

use std::time::Duration;

use common::transactions::{LONG, transactional, write};
use common::{lease, put};
use rstest::rstest;
use rstest_kafka::rdkafka::producer::{BaseProducer, Producer};
use rstest_kafka::{Error, ErrorCode, Harness, HarnessBuilder, PooledConsumer, Request, TopicSpec};

fn builder() -> HarnessBuilder {
    Harness::builder().topic_prefix("empty").timeout(Duration::from_secs(2))
}

/// Both ways to ask must fail, and for the same reason.
#[track_caller]
fn fails(consumer: &PooledConsumer) -> Error {
    let error = consumer.checked().assert_empty().expect_err("it passed where it must not");
    if matches!(error, Error::NotEmpty { .. }) {
        // It has received what was there.
        return error;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let other = runtime.block_on(consumer.nonblocking().assert_empty()).expect_err("it passed where it must not");
    assert_eq!(std::mem::discriminant(&error), std::mem::discriminant(&other), "{error}\n{other}");
    error
}

/// What is in an open transaction is nobody's yet; what was acknowledged behind it is there, though no reader gets to it.
/// Nobody can tell the one from the other.
#[rstest]
#[case::committed(true)]
#[case::aborted(false)]
fn nothing_is_told_while_a_transaction_is_open(#[case] commits: bool) {
    let harness = builder().build();
    lease(&harness, |kafka| {
        let events = kafka.topic("events");
        let consumer = kafka.consumer(&events);
        let service = transactional(&kafka);
        service.begin_transaction().unwrap();
        write(&service, &events, "open");
        for behind in ["open", "acknowledged"] {
            for _ in 0..2 {
                let error = fails(&consumer);
                assert!(error.to_string().contains("a transaction is open (at offset"), "{error}");
            }
            if behind == "open" {
                put(&kafka, &events, 0, "acknowledged");
            }
        }
        if commits { service.commit_transaction(LONG) } else { service.abort_transaction(LONG) }.unwrap();
    });
}

/// Where a broker that is down cannot be asked, nothing is known to be empty.
#[rstest]
#[case::down(|faults: &rstest_kafka::Faults| faults.broker_down(1))]
#[case::slow(|faults: &rstest_kafka::Faults| faults.latency(Duration::from_secs(60)))]
fn a_broker_that_does_not_answer_is_no_empty_topic(#[case] fault: fn(&rstest_kafka::Faults)) {
    let harness = builder().embedded_brokers(1).build();
    lease(&harness, |kafka| {
        let faults = kafka.faults();
        let consumer = kafka.consumer("events");
        kafka.send("events", "k", "v");
        consumer.recv();
        consumer.assert_empty();
        fault(&faults);
        let error = fails(&consumer);
        assert!(matches!(error, Error::Unreachable { .. }), "{error}");
        faults.clear();
        common::comes_true(|| consumer.checked().assert_empty().is_ok());
        consumer.assert_empty();
    });
}

/// The end offsets are known, and what stands before them cannot be fetched.
#[rstest]
fn what_cannot_be_fetched_is_not_taken_for_absent() {
    let harness = builder().embedded_brokers(1).timeout(Duration::from_millis(700)).build();
    lease(&harness, |kafka| {
        let faults = kafka.faults();
        let consumer = kafka.consumer("events");
        consumer.assert_empty();
        faults.fail_next(Request::Fetch, 1_000_000, ErrorCode::NotLeaderOrFollower);
        // A fetch that has waited since before would be answered with the message. The consumer has one on its way at a time:
        // when another comes, that one is answered.
        let before = faults.requests(Request::Fetch);
        assert!(common::comes_true(|| faults.requests(Request::Fetch) > before));
        let sent = kafka.send("events", "k", "v");
        assert_eq!(sent.offset, 0);
        let error = fails(&consumer);
        assert!(matches!(error, Error::Timeout(_)), "{error}");
        faults.clear();
        let found = || matches!(consumer.checked().assert_empty(), Err(Error::NotEmpty { .. }));
        assert!(common::comes_true(found));
    });
}

mod on_a_cluster {
    use super::*;
    use common::cluster;
    use rstest_kafka::rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};

    fn harness() -> Harness {
        builder().bootstrap_servers(cluster::servers()).build()
    }

    fn delete(topic: &str) {
        for deleted in cluster::wait(cluster::admin().delete_topics(&[topic], &AdminOptions::new())).unwrap() {
            deleted.unwrap();
        }
    }

    #[test]
    #[ignore = "needs a real cluster: scripts/with-kafka"]
    fn a_topic_that_is_gone_is_not_empty() {
        lease(&harness(), |kafka| {
            let events = kafka.topic(TopicSpec::new("gone").exclusive());
            let consumer = kafka.consumer(&events);
            consumer.assert_empty();
            delete(&events);
            // The broker that leads it hears of the deletion a moment after it was confirmed.
            assert!(common::comes_true(|| consumer.checked().assert_empty().is_err()));
            let error = fails(&consumer);
            assert!(matches!(error, Error::Broker { .. }), "{error}");
            assert!(error.to_string().contains(events.name()), "{error}");
        });
    }

    /// What it has now was never looked at.
    #[test]
    #[ignore = "needs a real cluster: scripts/with-kafka"]
    fn a_topic_that_was_made_anew_is_not_empty() {
        lease(&harness(), |kafka| {
            let events = kafka.topic(TopicSpec::new("anew").exclusive());
            let consumer = kafka.consumer(&events);
            kafka.send_all(&events, (0..5).map(|n| ("k", n.to_string())));
            assert_eq!(consumer.drain().len(), 5);
            delete(&events);
            assert!(common::comes_true(|| {
                let topic = NewTopic::new(&events, 1, TopicReplication::Fixed(1));
                let made = cluster::wait(cluster::admin().create_topics([&topic], &AdminOptions::new())).unwrap();
                made[0].is_ok()
            }));
            let service: BaseProducer = cluster::config().create().unwrap();
            write(&service, &events, "of the new topic");
            let error = fails(&consumer);
            println!("{error}");
            assert!(error.to_string().contains("was deleted and created again"), "{error}");
        });
    }
}
