//! A run that uses all that a login may be needed for.

use std::time::{Duration, Instant};

use rstest::rstest;
use rstest_kafka::rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rstest_kafka::{Kafka, TopicSpec};

use crate::common::child::say;
use crate::common::lease;

#[rstest]
fn uses_everything() {
    let began = Instant::now();
    let first = rstest_kafka::Harness::builder().timeout(Duration::from_secs(10)).build();
    let leased = first.try_lease();
    say("first lease took", began.elapsed().as_secs_f64());
    round_trip(leased.unwrap_or_else(|error| panic!("{error}")));
    lease_of_the_default_harness();
}

fn lease_of_the_default_harness() {
    let default = rstest_kafka::Harness::builder().build();
    lease(&default, |kafka| drop(kafka.topic(TopicSpec::new("exclusive").exclusive())));
}

fn round_trip(kafka: Kafka) {
    let events = kafka.topic(TopicSpec::new("events").partitions(3));
    let group = kafka.group("service", [&events]);
    let consumer = kafka.consumer(&events);
    kafka.send(&events, "k", "over TLS");
    say("received", consumer.recv().text());
    consumer.assert_empty();
    let mut config = kafka.client_config();
    config.set("group.id", &*group).set("auto.offset.reset", "earliest").set("enable.auto.commit", "false");
    let service: BaseConsumer = config.create().unwrap();
    service.subscribe(&[&events]).unwrap();
    let began = Instant::now();
    while service.poll(Duration::from_millis(100)).is_none() {
        assert!(began.elapsed() < Duration::from_secs(30));
    }
    service.commit_consumer_state(CommitMode::Sync).unwrap();
    group.wait_until_consumed();
}
