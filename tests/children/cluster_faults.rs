//! Runs on a cluster that is there, and on one that goes away.

use rstest_kafka::{Harness, Kafka};

use crate::common::child::say;
use crate::common::cluster;

fn round_trip(kafka: &Kafka, text: &str) {
    let consumer = kafka.consumer("events");
    kafka.send("events", "k", text);
    assert_eq!(consumer.recv().text(), text);
    consumer.assert_empty();
}

#[test]
fn broker_stops_for_good() {
    let kafka = Harness::from_environment().lease();
    round_trip(&kafka, "v");
    say("topic", kafka.topic("events"));
    cluster::Stoppable::all().iter().for_each(cluster::Stoppable::crash);
}

#[test]
fn does_little() {
    round_trip(&Harness::from_environment().lease(), "v");
}
