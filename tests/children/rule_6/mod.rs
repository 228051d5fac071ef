//! Runs that end in all kinds of ways.

mod broker_lost;
mod unwinds;

use std::thread;
use std::time::Duration;

use rstest::rstest;
use rstest_kafka::rdkafka::consumer::Consumer;
use rstest_kafka::{Kafka, PooledConsumer, kafka};

use crate::common::child::say;

/// Leaves a topic, a message and a consumer in the pool.
fn leave_something(kafka: &Kafka) {
    kafka.send("events", "k", "v");
    assert_eq!(kafka.consumer("events").recv().text(), "v");
}

mod passes {
    use super::*;

    #[rstest]
    fn one(kafka: Kafka, #[values("a", "b")] _case: &str) {
        leave_something(&kafka);
        say("test", "passes");
    }

    #[rstest]
    #[tokio::test]
    async fn two(kafka: Kafka) {
        leave_something(&kafka);
        say("test", "passes");
    }
}

mod fails {
    use super::*;

    #[rstest]
    fn a_passes(kafka: Kafka) {
        leave_something(&kafka);
    }

    #[rstest]
    fn b_panics(kafka: Kafka) {
        leave_something(&kafka);
        panic!("as it must");
    }

    #[rstest]
    fn c_passes(kafka: Kafka) {
        leave_something(&kafka);
    }
}

mod hangs {
    use super::*;

    #[rstest]
    #[timeout(Duration::from_secs(1))]
    fn with_its_consumer(kafka: Kafka) {
        leave_something(&kafka);
        let _consumer = kafka.consumer("events");
        say("hangs", "parked");
        loop {
            thread::park();
        }
    }

    #[rstest]
    #[timeout(Duration::from_secs(1))]
    fn in_receive(kafka: Kafka) {
        leave_something(&kafka);
        let consumer = kafka.consumer("events");
        say("hangs", "receiving");
        let _ = consumer.within(Duration::from_secs(600)).recv();
    }

    #[rstest]
    #[timeout(Duration::from_secs(1))]
    fn using_its_fixtures_over_and_over(kafka: Kafka) {
        leave_something(&kafka);
        say("hangs", "busy");
        loop {
            // The exit takes its consumers and brokers away: errors, not panics, and nothing that aborts.
            let _ = kafka.checked().send("events", "k", "v");
            let _ = kafka.checked().consumer("events").and_then(|consumer| consumer.checked().drain());
        }
    }

    #[rstest]
    #[timeout(Duration::from_secs(1))]
    fn as_a_member_of_a_group(kafka: Kafka) {
        leave_something(&kafka);
        let consumer = kafka.consumer("events");
        let events = consumer.topic().name();
        consumer.client().unassign().unwrap();
        consumer.client().subscribe(&[events]).unwrap();
        say("hangs", "subscribed");
        loop {
            let _ = consumer.within(Duration::from_secs(600)).recv();
        }
    }
}

mod exits {
    use super::*;

    #[rstest]
    fn itself(kafka: Kafka) {
        leave_something(&kafka);
        let _consumer = kafka.consumer("events");
        say("exits", "with its fixtures in its hands");
        std::process::exit(7);
    }
}

mod has_32_idle_consumers {
    use super::*;

    #[rstest]
    fn at_the_end(kafka: Kafka) {
        kafka.send("events", "k", "v");
        let consumers: Vec<PooledConsumer> = (0..32).map(|_| kafka.consumer("events")).collect();
        // Each is connected, as one is that has served a test.
        kafka.send("events", "k", "v");
        consumers.iter().for_each(|consumer| drop(consumer.recv()));
        drop(consumers);
        say("idle", kafka.stats().consumers_idle);
    }
}
