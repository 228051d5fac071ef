//! Runs that make something on a cluster, and are to leave nothing or what they say.

use std::time::Duration;

use rstest_kafka::rdkafka::consumer::{CommitMode, Consumer};
use rstest_kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rstest_kafka::{Harness, Kafka, TopicSpec};

use crate::common::child::say;
use crate::common::{cluster, comes_true, lease};

fn round_trip(kafka: &Kafka) {
    let consumer = kafka.consumer("events");
    kafka.send("events", "k", "v");
    assert_eq!(consumer.recv().text(), "v");
    consumer.assert_empty();
}

/// Topics of all kinds, groups and consumers, also of a test that has failed.
fn make_everything(harness: &Harness) {
    for failed in [false, true, false] {
        lease(harness, |kafka| {
            round_trip(&kafka);
            let [audit, own] = kafka.topics([TopicSpec::new("audit").partitions(3), TopicSpec::new("own").exclusive()]);
            let _service = kafka.group("service", [&audit, &own]);
            // A pooled consumer's group, which exists only where it commits.
            let consumer = kafka.consumer("events");
            kafka.send("events", "k", "v");
            consumer.recv();
            if !failed && kafka.generation() == 0 {
                consumer.client().commit(&consumer.client().position().unwrap(), CommitMode::Sync).unwrap();
            }
            // KEEP_TOPICS would keep what the others are to find deleted.
            if failed && std::env::var_os("RSTEST_KAFKA_KEEP_TOPICS").is_none() {
                kafka.mark_failed();
            }
        });
    }
}

#[test]
fn makes_everything() {
    let harness = Harness::from_environment();
    make_everything(harness);
    // The groups of leases that are over may be gone by now, but not this one.
    let kafka = harness.lease();
    let group = kafka.group("service", ["events"]);
    if std::env::var("RSTEST_KAFKA_PROPERTIES").is_err() {
        say("group is there", cluster::named(&group).contains(&*group));
    }
}

#[test]
fn leaves_a_writer() {
    let own = lease(Harness::from_environment(), |kafka| {
        let own = kafka.topic(TopicSpec::new("own").exclusive());
        kafka.send(&own, "k", "v");
        own.name().to_owned()
    });
    let is_there = || cluster::named(&own).contains(&own);
    assert!(comes_true(|| !is_there()), "it is deleted when its lease is over");
    let writer: BaseProducer = cluster::config().create().unwrap();
    assert!(comes_true(|| {
        writer.send(BaseRecord::to(&own).key("k").payload("late")).unwrap();
        writer.flush(Duration::from_secs(1)).is_ok() && is_there()
    }));
    say("again", own);
}

#[test]
fn one_fails() {
    let kafka = Harness::from_environment().lease();
    let lost = kafka.topic("lost");
    say("failed", &lost);
    panic!("as it must");
}

#[test]
fn has_a_hundred() {
    let kafka = Harness::from_environment().lease();
    let topics = kafka.checked().topics_of((0..100).map(|n| format!("topic-{n}"))).unwrap();
    let consumers: Vec<_> = topics.iter().map(|topic| kafka.consumer(topic)).collect();
    drop(consumers);
    assert_eq!(kafka.stats().consumers_idle, 100);
}

#[test]
fn has_no_broker_1() {
    drop(Harness::from_environment().lease());
}

#[test]
fn has_no_broker_2() {
    drop(Harness::from_environment().lease());
}
