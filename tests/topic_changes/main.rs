//! Topics that change during a test: partitions are added, beginnings deleted, the whole is deleted and created again. Whatever
//! passes then has looked at everything that there was.

#[path = "../common/mod.rs"]
mod common;

mod assigned_beside;
mod created_again;
mod deletions;
mod growth;

use std::time::Duration;

use rstest_kafka::rdkafka::ClientConfig;
use rstest_kafka::rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rstest_kafka::rdkafka::client::DefaultClientContext;
use rstest_kafka::rdkafka::consumer::{BaseConsumer, Consumer};
use rstest_kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rstest_kafka::rdkafka::{Offset, TopicPartitionList};
use rstest_kafka::{Harness, HarnessBuilder, Kafka, Topic, TopicSpec};

const LONG: Duration = Duration::from_secs(20);

fn builder() -> HarnessBuilder {
    Harness::builder().topic_prefix("changes").group_prefix("changes").timeout(LONG)
}

fn admin(kafka: &Kafka) -> AdminClient<DefaultClientContext> {
    kafka.client_config().create().unwrap()
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn grow(kafka: &Kafka, topic: &str, partitions: usize) {
    let grown = wait(admin(kafka).create_partitions(&[NewPartitions::new(topic, partitions)], &AdminOptions::new()));
    grown.unwrap().into_iter().next().unwrap().unwrap();
    eventually(|| partitions_of(kafka, topic) == partitions);
}

fn partitions_of(kafka: &Kafka, topic: &str) -> usize {
    let client: BaseConsumer = kafka.client_config().create().unwrap();
    client.fetch_metadata(Some(topic), LONG).unwrap().topics()[0].partitions().len()
}

#[track_caller]
fn eventually(condition: impl FnMut() -> bool) {
    assert!(common::comes_true(condition));
}

fn delete(kafka: &Kafka, topic: &str) {
    wait(admin(kafka).delete_topics(&[topic], &AdminOptions::new())).unwrap().into_iter().next().unwrap().unwrap();
}

/// Deletes the topic and creates it again, with these records in its first partition, written by a client that never knew the
/// one before.
fn create_again(kafka: &Kafka, topic: &str, partitions: i32, records: usize) {
    delete(kafka, topic);
    eventually(|| {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        wait(admin(kafka).create_topics(&[new], &AdminOptions::new())).unwrap().into_iter().next().unwrap().is_ok()
    });
    eventually(|| partitions_of(kafka, topic) == partitions as usize);
    write(kafka, topic, 0, records);
}

/// Writes by a client of the test's own.
fn write(kafka: &Kafka, topic: &str, partition: i32, records: usize) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", kafka.bootstrap_servers())
        .set("allow.auto.create.topics", "false")
        .create()
        .unwrap();
    for n in 0..records {
        let text = format!("new {n}");
        producer.send(BaseRecord::<str, str>::to(topic).partition(partition).payload(&text)).unwrap();
    }
    producer.flush(LONG).unwrap();
}

fn delete_records(kafka: &Kafka, topic: &str, before: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(before)).unwrap();
    let deleted = wait(admin(kafka).delete_records(&list, &AdminOptions::new())).unwrap();
    deleted.elements()[0].error().unwrap();
}

fn exclusive(kafka: &Kafka, partitions: i32) -> Topic {
    kafka.topic(TopicSpec::new("events").partitions(partitions).exclusive())
}
