//! Topics and configurations with librdkafka's AdminClient, and topics that a first write creates.

mod common;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use common::*;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigSource, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// Waits for a future, which librdkafka's own thread wakes.
fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

fn config(kafka: &Kafka) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &kafka.bootstrap_servers);
    config
}

fn admin(kafka: &Kafka) -> AdminClient<DefaultClientContext> {
    config(kafka).create().unwrap()
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(DEADLINE)).operation_timeout(Some(DEADLINE))
}

#[test]
fn a_topic_is_made_grown_described_changed_and_deleted() {
    let kafka = Kafka::start();
    let admin = admin(&kafka);
    let name = unique("admin");
    let topic = NewTopic::new(&name, 2, TopicReplication::Fixed(1)).set("retention.ms", "60000");
    assert_eq!(wait(admin.create_topics([&topic], &options())).unwrap(), [Ok(name.clone())]);
    let again = wait(admin.create_topics([&topic], &options())).unwrap();
    assert_eq!(again, [Err((name.clone(), RDKafkaErrorCode::TopicAlreadyExists))]);

    let grown = wait(admin.create_partitions([&NewPartitions::new(&name, 3)], &options())).unwrap();
    assert_eq!(grown, [Ok(name.clone())]);
    eventually(|| {
        let metadata = admin.inner().fetch_metadata(Some(&name), DEADLINE).unwrap();
        (metadata.topics()[0].partitions().len() == 3).then_some(())
    });

    let resource = ResourceSpecifier::Topic(&name);
    let described = wait(admin.describe_configs([&resource], &options())).unwrap().remove(0).unwrap();
    let retention = described.get("retention.ms").unwrap();
    assert_eq!((retention.value.as_deref(), &retention.source), (Some("60000"), &ConfigSource::DynamicTopic));
    assert!(described.get("cleanup.policy").unwrap().is_default);
    let change = AlterConfig::new(resource).set("max.message.bytes", "2000000");
    wait(admin.alter_configs([&change], &options())).unwrap().remove(0).unwrap();
    eventually(|| {
        let described = wait(admin.describe_configs([&resource], &options())).unwrap().remove(0).unwrap();
        let largest = described.get("max.message.bytes").unwrap();
        (largest.value.as_deref() == Some("2000000")).then_some(())
    });

    assert_eq!(wait(admin.delete_topics(&[&name], &options())).unwrap(), [Ok(name.clone())]);
    let gone = wait(admin.delete_topics(&[&name], &options())).unwrap();
    assert_eq!(gone, [Err((name, RDKafkaErrorCode::UnknownTopicOrPartition))]);
}

#[test]
fn names_that_collide_are_refused() {
    let kafka = Kafka::start();
    let admin = admin(&kafka);
    let name = unique("user.created");
    let other = name.replace('.', "_");
    for (name, expected) in [(&name, Ok(name.clone())), (&other, Err((other.clone(), RDKafkaErrorCode::InvalidTopic)))]
    {
        let topic = NewTopic::new(name, 1, TopicReplication::Fixed(1));
        assert_eq!(wait(admin.create_topics([&topic], &options())).unwrap(), [expected]);
    }
}

#[test]
fn a_group_that_is_not_there_cannot_be_deleted() {
    let kafka = Kafka::start();
    let admin = admin(&kafka);
    let group = unique("nobody");
    let deleted = wait(admin.delete_groups(&[&group], &options())).unwrap();
    assert_eq!(deleted, [Err((group, RDKafkaErrorCode::GroupIdNotFound))]);
}

#[test]
fn a_topic_that_the_first_write_makes_keeps_the_order() {
    let kafka = Kafka::start();
    let name = unique("first-write");
    let producer: BaseProducer = config(&kafka).create().unwrap();
    for value in ["one", "two", "three"] {
        producer.send(BaseRecord::<str, str>::to(&name).payload(value)).unwrap();
    }
    producer.flush(DEADLINE).unwrap();
    let mut reads = config(&kafka);
    reads.set("group.id", unique("first-write")).set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = reads.create().unwrap();
    consumer.subscribe(&[&name]).unwrap();
    let read: Vec<String> = (0..3)
        .map(|_| {
            let message = eventually(|| consumer.poll(Duration::from_millis(100))).unwrap();
            assert_eq!(message.partition(), 0);
            String::from_utf8_lossy(message.payload().unwrap()).into_owned()
        })
        .collect();
    assert_eq!(read, ["one", "two", "three"]);
}
