//! Another deadline than the configured one, for all that waits.

mod common;

use std::thread;
use std::time::Duration;

use common::cluster::wait;
use common::{alone, lease};
use rstest::rstest;
use rstest_kafka::rdkafka::ClientConfig;
use rstest_kafka::rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rstest_kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rstest_kafka::rdkafka::{Offset, TopicPartitionList};
use rstest_kafka::{Error, Harness, Result};

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(30);

/// How long an error says that it has waited.
fn waited<T: std::fmt::Debug>(outcome: Result<T>) -> Duration {
    match outcome.unwrap_err() {
        Error::Timeout(timeout) => timeout.waited,
        Error::Lag(lag) => lag.waited,
        // A busy machine has not even answered by then.
        Error::Unreachable { waited, .. } => waited,
        error => panic!("{error}"),
    }
}

#[rstest]
fn a_shorter_deadline_ends_each_wait() {
    let _alone = alone();
    let harness = Harness::builder().topic_prefix("within-short").timeout(LONG).build();
    lease(&harness, |kafka| {
        let orders = kafka.topic("orders");
        let group = kafka.group("billing", [&orders]);
        let consumer = kafka.consumer(&orders);
        let soon = consumer.within(SHORT);
        assert_eq!(waited(soon.recv()), SHORT);
        assert_eq!(waited(soon.recv_n(2)), SHORT);
        assert_eq!(waited(soon.recv_matching(|_| true)), SHORT);
        assert_eq!(waited(wait(soon.nonblocking().recv())), SHORT);
        assert_eq!(waited(wait(soon.nonblocking().recv_n(2))), SHORT);
        assert_eq!(waited(wait(soon.nonblocking().recv_matching(|_| true))), SHORT);

        let sent = kafka.send(&orders, "k", "v");
        let soon = group.within(SHORT);
        assert_eq!(waited(soon.wait_until_consumed()), SHORT);
        assert_eq!(waited(soon.wait_until_consumed_past(&orders, 0, sent.offset)), SHORT);
        assert_eq!(waited(wait(soon.nonblocking().wait_until_consumed())), SHORT);
        assert_eq!(waited(wait(soon.nonblocking().wait_until_consumed_past(&orders, 0, sent.offset))), SHORT);

        // A paused consumer does not get to the end.
        consumer.client().pause(&consumer.client().assignment().unwrap()).unwrap();
        let soon = consumer.within(SHORT);
        assert_eq!(waited(soon.drain()), SHORT);
        assert_eq!(waited(soon.assert_empty()), SHORT);
        assert_eq!(waited(soon.assert_no_more_within(SHORT)), SHORT);
        assert_eq!(waited(wait(soon.nonblocking().drain())), SHORT);
        assert_eq!(waited(wait(soon.nonblocking().assert_empty())), SHORT);
        assert_eq!(waited(wait(soon.nonblocking().assert_no_more_within(SHORT))), SHORT);
    });
}

/// Writes a message, and commits it for the group.
fn work(config: &ClientConfig, topic: &str, group: &str) {
    let producer: BaseProducer = config.create().unwrap();
    producer.send(BaseRecord::<str, str>::to(topic).partition(0).payload("late")).unwrap();
    producer.flush(LONG).unwrap();
    let consumer: BaseConsumer = config.clone().set("group.id", group).create().unwrap();
    let mut worked_off = TopicPartitionList::new();
    worked_off.add_partition_offset(topic, 0, Offset::Offset(1)).unwrap();
    consumer.commit(&worked_off, CommitMode::Sync).unwrap();
}

/// The service takes longer than the configured timeout: what it does is waited for all the same.
#[rstest]
fn a_longer_deadline_waits_longer() {
    let _alone = alone();
    let configured = Duration::from_secs(2);
    let harness = Harness::builder().topic_prefix("within-long").timeout(configured).build();
    lease(&harness, |kafka| {
        let orders = kafka.topic("orders");
        let group = kafka.group("billing", [&orders]);
        let consumer = kafka.consumer(&orders);
        let config = kafka.client_config();
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(configured + configured / 4);
                work(&config, &orders, &group);
            });
            let consumed = scope.spawn(|| group.within(LONG).wait_until_consumed_past(&orders, 0, 0));
            assert_eq!(consumer.within(LONG).recv().unwrap().text(), "late");
            consumed.join().unwrap().unwrap();
        });
    });
}
