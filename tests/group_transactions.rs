//! A service with `read_committed` on a topic that an earlier test's transactions have marked: 0 stale, 0 missed.

mod common;

use std::time::{Duration, Instant};

use common::transactions::{LONG, transactional, write};
use common::{put, thread_of_a_test};
use rstest::rstest;
use rstest_kafka::rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rstest_kafka::rdkafka::message::Message;
use rstest_kafka::rdkafka::producer::Producer;
use rstest_kafka::{Error, Group, Harness, Kafka, Topic};

/// Reads until it has seen the last message of the test, and a while longer on what else comes with it.
fn service_sees(kafka: &Kafka, group: &Group, topic: &Topic, protocol: &str) -> Vec<String> {
    let mut config = kafka.client_config();
    config
        .set("group.id", group.id())
        .set("group.protocol", protocol)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed");
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.subscribe(&[topic]).unwrap();
    let (mut seen, began) = (Vec::new(), Instant::now());
    while seen.last().is_none_or(|text| text != "last") {
        assert!(began.elapsed() < LONG, "no more than {seen:?}");
        // It also returns with nothing when its group is rebalanced.
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message.unwrap();
        seen.push(String::from_utf8(message.payload().unwrap().to_vec()).unwrap());
        consumer.commit_message(&message, CommitMode::Sync).unwrap();
    }
    seen
}

/// What an earlier test has left: a transaction that it has aborted, or left open.
#[rstest]
fn a_read_committed_service_sees_exactly_the_tests_messages(
    #[values("aborted", "committed", "open, then aborted", "open, then committed")] left: &str,
    #[values("classic", "consumer")] protocol: &str,
) {
    let prefix = format!("txn-{}-{protocol}", left.replace(", ", "-").replace(' ', "-"));
    let harness = Harness::builder().topic_prefix(prefix).timeout(LONG).build();
    let tests = || {
        let service = {
            let kafka = harness.lease();
            let orders = kafka.topic("orders");
            put(&kafka, &orders, 0, "stale");
            let service = transactional(&kafka);
            service.begin_transaction().unwrap();
            write(&service, &orders, "stale of a transaction");
            match left {
                "aborted" => service.abort_transaction(LONG).unwrap(),
                "committed" => service.commit_transaction(LONG).unwrap(),
                _ => {}
            }
            service
        };
        let kafka = harness.lease();
        let orders = kafka.topic("orders");
        assert!(orders.fence(0) >= 2);
        let group = kafka.group("billing", [&orders]);
        let consumer = kafka.consumer(&orders);
        put(&kafka, &orders, 0, "first");
        match left {
            "open, then aborted" => service.abort_transaction(LONG).unwrap(),
            "open, then committed" => service.commit_transaction(LONG).unwrap(),
            _ => {}
        }
        let own = transactional(&kafka);
        own.begin_transaction().unwrap();
        write(&own, &orders, "own");
        own.commit_transaction(LONG).unwrap();
        own.begin_transaction().unwrap();
        write(&own, &orders, "own, aborted");
        own.abort_transaction(LONG).unwrap();
        put(&kafka, &orders, 0, "last");

        let expected = ["first", "own", "last"];
        assert_eq!(service_sees(&kafka, &group, &orders, protocol), expected);
        group.wait_until_consumed();
        assert_eq!(common::in_order(&consumer.drain()), expected);
        consumer.assert_empty();
    };
    if let Err(panic) = thread_of_a_test(tests) {
        std::panic::resume_unwind(panic);
    }
}

mod on_a_cluster {
    use super::*;

    /// Nobody ends it: what the next test writes stands behind it, and no reader of committed messages gets there. That test
    /// fails and says why, nothing passes for empty, and the one after it has a topic of its own.
    #[test]
    #[ignore = "needs a real cluster: scripts/with-kafka"]
    fn a_transaction_that_stays_open_fails_the_next_test_with_the_reason() {
        let servers = common::cluster::servers();
        let patience = Duration::from_secs(2);
        let harness =
            Harness::builder().bootstrap_servers(servers).topic_prefix("stays-open").timeout(patience).build();
        let tests = || {
            let _left_open = {
                let kafka = harness.lease();
                let orders = kafka.topic("orders");
                let service = transactional(&kafka);
                service.begin_transaction().unwrap();
                write(&service, &orders, "stale");
                service
            };
            {
                let kafka = harness.lease();
                let orders = kafka.topic("orders");
                let consumer = kafka.consumer(&orders);
                consumer.assert_empty();
                put(&kafka, &orders, 0, "hidden");
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                for error in [
                    consumer.checked().recv().unwrap_err(),
                    consumer.checked().assert_empty().unwrap_err(),
                    runtime.block_on(consumer.nonblocking().recv()).unwrap_err(),
                ] {
                    let message = error.to_string();
                    assert!(message.contains("an earlier test has left a transaction open (at offset 0)"), "{message}");
                    let Error::Timeout(timeout) = error else { panic!("{message}") };
                    assert_eq!(timeout.partitions[0].open_transaction, Some(0));
                }
                kafka.mark_failed();
            }
            let kafka = harness.lease();
            let orders = kafka.topic("orders");
            let group = kafka.group("billing", [&orders]);
            let consumer = kafka.consumer(&orders);
            put(&kafka, &orders, 0, "last");
            assert_eq!(consumer.recv().text(), "last");
            consumer.assert_empty();
            assert_eq!(service_sees(&kafka, &group, &orders, "consumer"), ["last"]);
        };
        if let Err(panic) = thread_of_a_test(tests) {
            std::panic::resume_unwind(panic);
        }
    }
}
