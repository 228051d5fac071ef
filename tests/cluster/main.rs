//! On a real cluster: topics in their shape, what is refused, what others do to it, and an exit that leaves nothing of ours.

#[path = "../common/mod.rs"]
mod common;

mod on_a_cluster {
    mod exits;
    mod logins;
    mod topics;
}

use std::net::TcpListener;
use std::time::{Duration, Instant};

use common::child::Child;
use common::embedded::Embedded;
use common::{alone, cluster, lease};
use rstest_kafka::{Error, Harness, HarnessBuilder, Kafka, Request};

/// A prefix that nobody else has.
fn unique(name: &str) -> String {
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let n = NEXT.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    format!("{name}-{}-{n}", std::process::id())
}

fn harness(prefix: &str) -> HarnessBuilder {
    Harness::builder().bootstrap_servers(cluster::servers()).topic_prefix(prefix).group_prefix(prefix)
}

fn child(names: &[&str], prefix: &str) -> Child {
    Child::tests(names, 1)
        .env("RSTEST_KAFKA_BOOTSTRAP_SERVERS", cluster::servers())
        .env("RSTEST_KAFKA_TOPIC_PREFIX", prefix)
        .env("RSTEST_KAFKA_GROUP_PREFIX", prefix)
}

/// The whole of what a failing test would show.
fn shown(error: &Error) -> String {
    let mut shown = format!("{error}\n{error:?}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        shown.push_str(&format!("\n{error}"));
        cause = error.source();
    }
    shown
}

fn round_trip(kafka: &Kafka) {
    let consumer = kafka.consumer("events");
    kafka.send("events", "k", "v");
    assert_eq!(consumer.recv().text(), "v");
    consumer.assert_empty();
}

#[test]
fn embedded_topics_that_are_asked_for_together_are_made_in_one_request() {
    let _alone = alone();
    let harness = Harness::builder().topic_prefix("together").embedded_brokers(1).build();
    lease(&harness, |kafka| {
        let broker = Embedded::of(&kafka);
        kafka.topics(["one", "two", "three"]);
        assert_eq!(broker.count_of(Request::CreateTopics), 1);
    });
}

/// Needs no cluster: a port on which nobody listens, and one on which nobody answers. To the second the clients may yet connect.
#[test]
fn a_broker_that_does_not_answer_fails_each_test_and_one_that_is_not_there_the_second_at_once() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for address in [silent.local_addr().unwrap(), closed] {
        let child = Child::tests(&["cluster::has_no_broker_1", "cluster::has_no_broker_2"], 1)
            .env("RSTEST_KAFKA_BOOTSTRAP_SERVERS", address.to_string())
            .env("RSTEST_KAFKA_TIMEOUT_MS", "5000");
        let clock = Instant::now();
        let outcome = child.run();
        let took = clock.elapsed();
        outcome.exits_with(101);
        outcome.test_was("cluster::has_no_broker_1", "FAILED").test_was("cluster::has_no_broker_2", "FAILED");
        let says = format!("broker {address} did not respond within 5s");
        assert_eq!(outcome.stderr.matches(&says).count(), 2, "{outcome}");
        assert!(address != closed || took < Duration::from_secs(9), "the second test waited too: {took:?}");
    }
}
