//! Faults, as a service with librdkafka sees them.

mod common;

use std::time::Duration;

use common::*;
use embedded_kafka::{ApiKey, EmbeddedKafka, ErrorCode, Fault};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

const WAIT: Duration = Duration::from_secs(60);

fn producer(kafka: &EmbeddedKafka, settings: &[(&str, &str)]) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka.bootstrap_servers());
    // Clients that have lost a connection wait before they connect again.
    config.set("reconnect.backoff.ms", "1").set("reconnect.backoff.max.ms", "10").set("retry.backoff.ms", "1");
    settings.iter().for_each(|(name, value)| _ = config.set(*name, *value));
    config.create().unwrap()
}

fn send(producer: &BaseProducer, value: &str) {
    producer.send(BaseRecord::<(), str>::to("t").payload(value)).unwrap();
    producer.flush(WAIT).unwrap();
}

fn in_log(kafka: &EmbeddedKafka) -> Vec<String> {
    let records = kafka.log("t", 0).unwrap().records;
    records.into_iter().map(|record| String::from_utf8(record.value.unwrap()).unwrap()).collect()
}

#[test]
fn an_answer_that_is_lost_makes_a_duplicate_unless_the_producer_is_idempotent() {
    for (idempotent, expected) in [("false", &["a", "a", "b"][..]), ("true", &["a", "b"])] {
        let kafka = EmbeddedKafka::start().unwrap();
        let producer = producer(&kafka, &[("enable.idempotence", idempotent)]);
        kafka.fault(Fault::on(ApiKey::Produce).topic("t").after_applied().drop_connection().times(1)).unwrap();
        send(&producer, "a");
        send(&producer, "b");
        assert_eq!(in_log(&kafka), expected, "enable.idempotence={idempotent}");
        assert_eq!(kafka.requests(ApiKey::Produce), 3);
    }
}

#[test]
fn errors_that_pass_are_survived() {
    let kafka = EmbeddedKafka::start().unwrap();
    let producer = producer(&kafka, &[]);
    kafka.fail(ApiKey::Produce, 3, ErrorCode::NotEnoughReplicas).unwrap();
    kafka.fail(ApiKey::Metadata, 2, ErrorCode::LeaderNotAvailable).unwrap();
    send(&producer, "a");
    assert_eq!(in_log(&kafka), ["a"]);
    assert_eq!(kafka.requests(ApiKey::Produce), 4);
}

#[test]
fn a_leader_that_goes_down_is_replaced_and_nothing_is_lost() {
    let kafka = EmbeddedKafka::builder().brokers(3).config("default.replication.factor", "3").start().unwrap();
    let producer =
        producer(&kafka, &[("enable.idempotence", "true"), ("topic.metadata.refresh.fast.interval.ms", "10")]);
    send(&producer, "before");
    let leader = kafka.topics()[0].partitions[0].leader.unwrap();
    kafka.broker_down(leader).unwrap();
    send(&producer, "meanwhile");
    kafka.broker_up(leader).unwrap();
    send(&producer, "after");
    assert_eq!(in_log(&kafka), ["before", "meanwhile", "after"]);
    assert_ne!(kafka.topics()[0].partitions[0].leader, Some(leader));
}

#[test]
fn a_consumer_reads_on_over_lost_connections_and_refused_fetches() {
    let kafka = EmbeddedKafka::start().unwrap();
    let producer = producer(&kafka, &[]);
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", kafka.bootstrap_servers())
        .set("group.id", "g")
        .set("auto.offset.reset", "earliest");
    config.set("reconnect.backoff.ms", "1").set("reconnect.backoff.max.ms", "10").set("fetch.error.backoff.ms", "1");
    send(&producer, "a");
    kafka.fault(Fault::on(ApiKey::Fetch).drop_connection().times(2)).unwrap();
    kafka.fail(ApiKey::Fetch, 2, ErrorCode::NotLeaderOrFollower).unwrap();
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.subscribe(&["t"]).unwrap();
    let message = eventually(|| consumer.poll(Duration::from_millis(50)).and_then(Result::ok));
    assert_eq!(message.payload(), Some(&b"a"[..]));
    assert!(kafka.requests(ApiKey::Fetch) >= 5);
}
