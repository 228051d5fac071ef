//! Transactions by librdkafka.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use crate::common::*;

/// How long librdkafka may take for one thing.
pub const LONG: Duration = DEADLINE;

pub fn producer(kafka: &Kafka, transactional_id: &str) -> BaseProducer {
    producer_with(kafka, transactional_id, "60000")
}

pub fn producer_with(kafka: &Kafka, transactional_id: &str, timeout: &str) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &kafka.bootstrap_servers)
        .set("transactional.id", transactional_id)
        .set("transaction.timeout.ms", timeout)
        .create()
        .unwrap();
    producer.init_transactions(LONG).unwrap();
    producer
}

pub fn send(producer: &BaseProducer, topic: &str, value: &str) {
    producer.send(BaseRecord::<(), _>::to(topic).payload(value)).unwrap();
}

pub fn consumer(kafka: &Kafka, group: &str, isolation: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", &kafka.bootstrap_servers)
        .set("group.id", group)
        .set("isolation.level", isolation)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "10")
        .create()
        .unwrap()
}

/// All that a reader sees of the first partition of a topic, up to its end.
pub fn read(kafka: &Kafka, topic: &str, isolation: &str) -> Vec<String> {
    let consumer = consumer(kafka, &unique("reader"), isolation);
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&assignment).unwrap();
    let mut values = Vec::new();
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < DEADLINE, "no end after {values:?}");
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => values.push(String::from_utf8_lossy(message.payload().unwrap()).into_owned()),
            Some(Err(KafkaError::PartitionEOF(_))) => return values,
            Some(Err(error)) => panic!("{error}"),
            None => {}
        }
    }
}

fn committed(consumer: &BaseConsumer, topic: &str) -> Offset {
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition(topic, 0);
    consumer.committed_offsets(partitions, LONG).unwrap().elements()[0].offset()
}

#[test]
fn aborted_messages_are_hidden_from_readers_of_committed_ones() {
    let kafka = Kafka::start();
    let topic = kafka.topic("hidden", 1).name;
    let producer = producer(&kafka, &unique("tx"));
    for (value, commit) in [("a", true), ("b", false), ("c", true), ("d", false)] {
        producer.begin_transaction().unwrap();
        send(&producer, &topic, value);
        producer.flush(LONG).unwrap();
        if commit { producer.commit_transaction(LONG) } else { producer.abort_transaction(LONG) }.unwrap();
    }
    assert_eq!(read(&kafka, &topic, "read_committed"), ["a", "c"]);
    assert_eq!(read(&kafka, &topic, "read_uncommitted"), ["a", "b", "c", "d"]);
}

#[test]
fn messages_are_seen_once_their_transaction_is_committed() {
    let kafka = Kafka::start();
    let topic = kafka.topic("seen", 1).name;
    let producer = producer(&kafka, &unique("tx"));
    producer.begin_transaction().unwrap();
    for value in ["a", "b"] {
        send(&producer, &topic, value);
    }
    producer.flush(LONG).unwrap();
    assert_eq!(read(&kafka, &topic, "read_committed"), [""; 0]);
    assert_eq!(read(&kafka, &topic, "read_uncommitted"), ["a", "b"]);
    producer.commit_transaction(LONG).unwrap();
    assert_eq!(read(&kafka, &topic, "read_committed"), ["a", "b"]);
}

#[test]
fn the_second_producer_of_a_transactional_id_fences_the_first() {
    let kafka = Kafka::start();
    let topic = kafka.topic("fenced", 1).name;
    let id = unique("tx");
    let first = producer(&kafka, &id);
    first.begin_transaction().unwrap();
    send(&first, &topic, "first");
    first.flush(LONG).unwrap();

    let second = producer(&kafka, &id);
    let error = first.commit_transaction(LONG).unwrap_err();
    let KafkaError::Transaction(error) = error else { panic!("{error}") };
    assert!(error.is_fatal(), "{error}");
    assert_eq!(error.code(), RDKafkaErrorCode::Fenced);

    second.begin_transaction().unwrap();
    send(&second, &topic, "second");
    second.commit_transaction(LONG).unwrap();
    assert_eq!(read(&kafka, &topic, "read_committed"), ["second"]);
    assert_eq!(read(&kafka, &topic, "read_uncommitted"), ["first", "second"]);
}

#[test]
fn offsets_that_are_sent_to_a_transaction_are_committed_with_it() {
    let kafka = Kafka::start();
    let topic = kafka.topic("offsets", 1).name;
    let consumer = consumer(&kafka, &unique("group"), "read_committed");
    let producer = producer(&kafka, &unique("tx"));
    let group = consumer.group_metadata().unwrap();
    for (offset, commit, then) in
        [(2, true, Offset::Offset(2)), (5, false, Offset::Offset(2)), (7, true, Offset::Offset(7))]
    {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(&topic, 0, Offset::Offset(offset)).unwrap();
        producer.begin_transaction().unwrap();
        producer.send_offsets_to_transaction(&offsets, &group, LONG).unwrap();
        if commit { producer.commit_transaction(LONG) } else { producer.abort_transaction(LONG) }.unwrap();
        assert_eq!(committed(&consumer, &topic), then);
    }
}
