//! A run as it may be: 44 tests of all kinds, a few of which fail. For the report.

use std::time::Duration;

use rstest::rstest;
use rstest_kafka::rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rstest_kafka::{Kafka, TopicNames, TopicSpec, kafka, topic_names};

#[rstest]
fn a_message_is_forwarded(kafka: Kafka, #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)] n: u64) {
    let [orders, invoices] = kafka.topics(["orders", "invoices"]);
    let consumer = kafka.consumer(&invoices);
    kafka.send(&orders, "key", "value");
    kafka.send(&invoices, "key", "value");
    consumer.recv();
    consumer.assert_no_more_within(Duration::from_millis(3 * (n % 7)));
    assert_ne!(n % 11, 10, "as it must");
}

#[rstest]
fn a_service_works_off(kafka: Kafka, #[values(0, 1, 2, 3, 4, 5, 6, 7)] n: u64) {
    let orders = kafka.topic("orders");
    let group = kafka.group("billing", [&orders]);
    kafka.send(&orders, "key", "value");
    let mut config = kafka.client_config();
    config.set("group.id", &*group).set("auto.offset.reset", "earliest");
    let service: BaseConsumer = config.create().unwrap();
    service.subscribe(&[&orders]).unwrap();
    while service.poll(Duration::from_secs(5)).is_none() {}
    service.commit_consumer_state(CommitMode::Sync).unwrap();
    group.wait_until_consumed();
    assert_ne!(n, 5, "as it must");
}

#[rstest]
fn nothing_comes(kafka: Kafka, #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)] n: u64) {
    let consumer = kafka.consumer("audit");
    let waited = consumer.within(Duration::from_millis(4 * n + 5)).recv();
    assert!(waited.is_err() && n != 8, "as it must");
}

#[rstest]
fn it_has_a_topic_to_itself(kafka: Kafka, #[values(0, 1, 2, 3, 4, 5)] n: u64) {
    let scratch = kafka.topic(TopicSpec::new("scratch").exclusive());
    (0..20 * n).for_each(|_| {
        kafka.send(&scratch, "key", "left behind");
    });
    kafka.consumer(&scratch).recv_n(20 * n as usize);
}

#[rstest]
fn the_service_makes_it(kafka: Kafka, topic_names: TopicNames, #[values(0, 1, 2, 3)] n: u64) {
    let audit = topic_names.name("audit-log");
    kafka.send(&audit, "key", "value");
    kafka.consumer(&audit).recv();
    assert!(n < 9);
}
