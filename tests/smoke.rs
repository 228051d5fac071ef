//! The first thing a newcomer writes.

use rstest::rstest;
use rstest_kafka::{Consumers, Kafka, TopicNames, consumers, kafka, topic_names};

#[rstest]
#[case::json("json", br#"{"id":1}"#)]
#[case::text("text", b"one")]
fn ingest_forwards(kafka: Kafka, #[case] kind: &str, #[case] payload: &[u8]) {
    let events = kafka.topic("events");
    let consumer = kafka.consumer(&events);
    kafka.send(&events, kind, payload);
    let message = consumer.recv();
    assert_eq!(message.payload(), Some(payload));
    consumer.assert_empty();
}

#[rstest]
fn names_and_consumers(topic_names: TopicNames, consumers: Consumers, kafka: Kafka) {
    let events = kafka.topic("events");
    assert_eq!(topic_names.name("events"), events);
    let consumer = consumers.consumer("events");
    kafka.send("events", "k", "v");
    assert_eq!(consumer.recv().text(), "v");
}

#[rstest]
#[tokio::test]
async fn async_case(kafka: Kafka) {
    let consumer = kafka.consumer("events");
    kafka.nonblocking().send("events", "k", "v").await.unwrap();
    assert_eq!(consumer.nonblocking().recv().await.unwrap().text(), "v");
    assert!(consumer.drain().is_empty());
}
