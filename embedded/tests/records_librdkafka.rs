//! Records with librdkafka, as a service sends and receives them.

mod common;

use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::*;
use embedded_kafka::{ApiKey, Fault};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Message, Timestamp};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};

const HOUR: i64 = 60 * 60 * 1000;

type Delivered = Result<(i32, i64, Timestamp), KafkaError>;

/// Keeps what becomes of each record.
#[derive(Default)]
struct Reports(Mutex<Vec<Delivered>>);

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let report = match result {
            Ok(message) => Ok((message.partition(), message.offset(), message.timestamp())),
            Err((error, _)) => Err(error.clone()),
        };
        self.0.lock().unwrap().push(report);
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

fn config(kafka: &Kafka) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &kafka.bootstrap_servers).set("linger.ms", "0");
    config
}

fn producer(config: &ClientConfig) -> BaseProducer<Reports> {
    config.create_with_context(Reports::default()).unwrap()
}

/// Sends one record and waits for its report.
fn send(producer: &BaseProducer<Reports>, record: BaseRecord<'_, str, [u8]>) -> Delivered {
    producer.send(record).map_err(|(error, _)| error)?;
    producer.flush(DEADLINE).unwrap();
    producer.context().0.lock().unwrap().pop().expect("a flushed record has its report")
}

/// A consumer of all partitions from their beginning.
fn reader(kafka: &Kafka, topic: &str, partitions: i32, more: &[(&str, &str)]) -> BaseConsumer {
    let mut config = config(kafka);
    config.set("group.id", unique("reader")).set("enable.auto.commit", "false");
    for (key, value) in more {
        config.set(*key, *value);
    }
    let consumer: BaseConsumer = config.create().unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    consumer
}

/// The next `count` values.
fn read(consumer: &BaseConsumer, count: usize) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    eventually(|| {
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) {
            values.push(message.payload().unwrap_or_default().to_vec());
        }
        (values.len() >= count).then_some(())
    });
    values
}

#[test]
fn large_records_are_all_there_for_a_service_that_starts_late() {
    let kafka = Kafka::start();
    let topic = kafka.topic("large", 1);
    let producer = producer(&config(&kafka));
    for n in 0..8_u8 {
        let (_, offset, _) = send(&producer, BaseRecord::to(&topic.name).payload(&[n; 900_000][..])).unwrap();
        assert_eq!(offset, i64::from(n));
    }
    let values = read(&reader(&kafka, &topic.name, 1, &[]), 8);
    assert!(values.iter().enumerate().all(|(n, value)| value.len() == 900_000 && value[0] == n as u8));
}

#[test]
fn a_record_of_two_megabytes_is_taken_where_topic_and_client_allow_it() {
    let kafka = Kafka::start();
    let value = vec![7; 2_000_000];
    let mut config = config(&kafka);
    config.set("message.max.bytes", "3000000");
    let producer = producer(&config);
    let small = kafka.topic("small", 1);
    let refused = send(&producer, BaseRecord::to(&small.name).payload(&value[..])).unwrap_err();
    assert_eq!(refused.rdkafka_error_code(), Some(RDKafkaErrorCode::MessageSizeTooLarge));
    let wide = kafka.topic_with("wide", 1, &[("max.message.bytes", "3000000")]);
    send(&producer, BaseRecord::to(&wide.name).payload(&value[..])).unwrap();
    assert_eq!(read(&reader(&kafka, &wide.name, 1, &[]), 1), [value]);
}

#[test]
fn a_report_has_the_records_own_time_and_a_time_far_ahead_is_refused() {
    let kafka = Kafka::start();
    let topic = kafka.topic("times", 1);
    let producer = producer(&config(&kafka));
    let time = now() - 1_234;
    let (_, _, reported) = send(&producer, BaseRecord::to(&topic.name).payload(&b"v"[..]).timestamp(time)).unwrap();
    assert_eq!(reported, Timestamp::CreateTime(time));
    let ahead = BaseRecord::to(&topic.name).payload(&b"v"[..]).timestamp(now() + 2 * HOUR);
    let refused = send(&producer, ahead).unwrap_err();
    assert_eq!(refused.rdkafka_error_code(), Some(RDKafkaErrorCode::InvalidTimestamp));
}

#[test]
fn offsets_are_found_by_time() {
    let kafka = Kafka::start();
    let topic = kafka.topic("by-time", 1);
    let producer = producer(&config(&kafka));
    let began = now() - 10 * HOUR;
    for n in 0..5 {
        let record = BaseRecord::to(&topic.name).payload(&b"v"[..]).timestamp(began + n * HOUR);
        send(&producer, record).unwrap();
    }
    let consumer = reader(&kafka, &topic.name, 1, &[]);
    let found = |time: i64| {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&topic.name, 0, Offset::Offset(time)).unwrap();
        consumer.offsets_for_times(list, DEADLINE).unwrap().elements()[0].offset()
    };
    assert_eq!(found(began - HOUR), Offset::Offset(0));
    assert_eq!(found(began + 2 * HOUR), Offset::Offset(2));
    assert_eq!(found(began + 2 * HOUR + 1), Offset::Offset(3));
    assert_eq!(found(now()), Offset::End);
}

#[test]
fn a_topic_that_the_first_record_makes_has_one_partition_and_keeps_the_order() {
    let kafka = Kafka::start();
    let topic = unique("made-by-the-first");
    let producer = producer(&config(&kafka));
    for value in ["one", "two", "three"] {
        let (partition, ..) = send(&producer, BaseRecord::to(&topic).key(value).payload(value.as_bytes())).unwrap();
        assert_eq!(partition, 0);
    }
    assert_eq!(read(&reader(&kafka, &topic, 1, &[]), 3), [&b"one"[..], b"two", b"three"]);
}

/// Who loses the acknowledgement sends again. An idempotent producer's record is there once.
#[test]
fn a_record_whose_acknowledgement_is_lost_is_there_once() {
    let kafka = Kafka::embedded(|builder| builder);
    let embedded = kafka.embedded.as_ref().unwrap();
    let topic = kafka.topic("once", 1);
    let mut config = config(&kafka);
    config.set("enable.idempotence", "true").set("retry.backoff.ms", "10").set("reconnect.backoff.ms", "10");
    let producer = producer(&config);
    send(&producer, BaseRecord::to(&topic.name).payload(&b"first"[..])).unwrap();
    for n in 1..=5 {
        let lost = Fault::on(ApiKey::Produce).topic(&topic.name).after_applied().drop_connection().times(1);
        embedded.fault(lost).unwrap();
        let (_, offset, _) = send(&producer, BaseRecord::to(&topic.name).payload(&b"again"[..])).unwrap();
        assert_eq!(offset, n);
    }
    assert_eq!(embedded.log(&topic.name, 0).unwrap().end, 6);
    assert_eq!(embedded.requests(ApiKey::Produce), 11);
}
