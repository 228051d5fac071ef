//! What a test reads when something fails: the whole reason, which limit it was and whose, and what to change.

mod common;

use std::error::Error as _;
use std::time::{Duration, SystemTime};

use rstest::{fixture, rstest};
use rstest_kafka::rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rstest_kafka::rdkafka::client::DefaultClientContext;
use rstest_kafka::{Error, Harness, HarnessBuilder, Kafka, ProducerRecord, TestError, TopicSpec};

fn builder() -> HarnessBuilder {
    Harness::builder().topic_prefix("errors")
}

#[fixture]
fn kafka() -> Kafka {
    builder().build().lease()
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[track_caller]
fn assert_says(error: &Error, words: &[&str]) {
    let message = error.to_string();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
}

#[rstest]
fn debug_is_the_message_with_its_causes(kafka: Kafka) {
    let refused = TopicSpec::new("orders").replication_factor(30_000);
    let error = kafka.checked().topic(refused).unwrap_err();
    let source = error.source().expect("what the broker answered");
    assert!(!error.to_string().contains(&source.to_string()), "{error}");
    let shown = format!("{error}\n  caused by: {source}");
    assert_eq!(format!("{error:?}"), shown);
    assert_eq!(format!("{error:#?}"), shown);
    assert_eq!(format!("{:?}", TestError::from(error.clone())), shown);
    assert_eq!(TestError::from(error.clone()).to_string(), error.to_string());
}

#[rstest]
fn a_record_larger_than_the_client_sends(kafka: Kafka) {
    let error = kafka.checked().send("events", "k", "x".repeat(1_500_000)).unwrap_err();
    assert_says(
        &error,
        &["1500001 bytes", "message.max.bytes of the client is 1000000", "property(\"message.max.bytes\""],
    );
}

#[rstest]
fn a_record_larger_than_the_topic_takes() {
    let harness = builder().property("message.max.bytes", "5000000").build();
    let kafka = harness.lease();
    let error = kafka.checked().send("events", "k", "x".repeat(1_500_000)).unwrap_err();
    assert_says(&error, &["1500001 bytes", "topic's max.message.bytes", "TopicSpec::config(\"max.message.bytes\""]);
    let large = kafka.topic(TopicSpec::new("large").config("max.message.bytes", "3000000"));
    let consumer = kafka.consumer(&large);
    kafka.send(&large, "k", "x".repeat(1_500_000));
    assert_eq!(consumer.recv().payload().unwrap().len(), 1_500_000);

    let error = builder().property("message.max.bytes", "2000").build().lease().checked().send(
        "events",
        "k",
        "x".repeat(3_000),
    );
    assert_says(&error.unwrap_err(), &["3001 bytes", "message.max.bytes of the client is 2000"]);
}

#[rstest]
fn a_timestamp_that_the_broker_refuses(kafka: Kafka) {
    let late = SystemTime::now() + Duration::from_secs(7_200);
    let error = kafka.checked().send_record("events", ProducerRecord::value("v").timestamp(late)).unwrap_err();
    assert_says(&error, &["an hour ahead", "message.timestamp.after.max.ms", "TopicSpec::config"]);
}

#[rstest]
fn a_record_without_a_key_on_a_compacted_topic(kafka: Kafka) {
    let compacted = kafka.topic(TopicSpec::new("customers").config("cleanup.policy", "compact"));
    let error = kafka.checked().send_record(&compacted, ProducerRecord::value("v")).unwrap_err();
    assert_says(&error, &["on a compacted topic, every message needs a key"]);
}

#[rstest]
fn two_names_that_differ_in_a_dot_alone(kafka: Kafka) {
    let first = kafka.topic("user.created");
    for error in [
        kafka.checked().topic("user_created").unwrap_err(),
        kafka.checked().topic_names().name("user_created").unwrap_err(),
        kafka.checked().topics_of(["orders", "user_created"]).unwrap_err(),
    ] {
        assert!(matches!(error, Error::Name { .. }), "{error}");
        assert_says(&error, &["user_created", first.name(), "'.' and '_'", "exclusive"]);
    }
    kafka.topic("order.placed");
    kafka.topic(TopicSpec::new("order_placed").exclusive());
    assert_eq!(kafka.topic("user.created"), first);
}

/// The other one is not the crate's, so that only the broker knows of it.
#[rstest]
fn a_name_that_the_broker_refuses_for_its_dot(kafka: Kafka) {
    let admin: AdminClient<DefaultClientContext> = kafka.client_config().create().unwrap();
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
    let twin = kafka.topic_names().text("payment.due").unwrap().replace('.', "_");
    let new = [NewTopic::new(&twin, 1, TopicReplication::Fixed(1))];
    block_on(admin.create_topics(&new, &options)).unwrap().remove(0).unwrap();
    let error = kafka.checked().topic("payment.due").unwrap_err();
    block_on(admin.delete_topics(&[&twin], &options)).unwrap().remove(0).unwrap();
    assert_says(&error, &["payment.due", "'.' and '_'"]);
}

#[cfg(not(feature = "zstd"))]
mod without_zstd {
    use super::*;
    use crate::common::foreign::send_zstd;

    #[rstest]
    fn records_that_are_compressed_with_it(kafka: Kafka) {
        let events = kafka.topic("events");
        let consumer = kafka.consumer(&events);
        send_zstd(&kafka, &events);
        assert_says(&consumer.checked().recv().unwrap_err(), &["zstd", "cargo feature `zstd` of rstest-kafka"]);
    }

    #[rstest]
    fn a_client_that_is_to_compress_with_it() {
        let error = builder().property("compression.type", "zstd").build().try_lease().unwrap_err();
        assert_says(&error, &["compression.type", "has no zstd", "cargo feature `zstd` of rstest-kafka"]);
    }
}
