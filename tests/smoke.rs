//! All three fixtures in one test, with blocking and async calls: the least that `scripts/check-leaks` runs under
//! LeakSanitizer. The examples of the README are in `newcomer.rs`.

use rstest::rstest;
use rstest_kafka::{Consumers, Kafka, TopicNames, consumers, kafka, topic_names};

#[rstest]
#[tokio::test]
async fn names_and_consumers(topic_names: TopicNames, consumers: Consumers, kafka: Kafka) {
    let events = kafka.topic("events");
    assert_eq!(topic_names.name("events"), events);
    let consumer = consumers.consumer("events");
    kafka.send("events", "k", "v");
    assert_eq!(consumer.recv().text(), "v");
    kafka.nonblocking().send("events", "k", "w").await.unwrap();
    assert_eq!(consumer.nonblocking().recv().await.unwrap().text(), "w");
    assert!(consumer.drain().is_empty());
}
