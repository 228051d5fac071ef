//! Runs with brokers that are down: many of them, and one at the end.

use std::time::{Duration, Instant};

use rstest_kafka::rdkafka::consumer::Consumer;
use rstest_kafka::{Fault, Harness, HarnessBuilder, Kafka, Request};

use crate::common::child::say;
use crate::common::{comes_true, lease};

fn builder() -> HarnessBuilder {
    Harness::builder().embedded_brokers(1).topic_prefix("faults")
}

fn round_trip(kafka: &Kafka, text: &str) {
    let consumer = kafka.consumer("events");
    kafka.send("events", "k", text);
    consumer.recv_matching(|record| record.text() == text);
    consumer.drain();
    consumer.assert_empty();
}

/// What this process has, as the operating system counts it; only Linux tells.
fn resources() -> Option<(usize, usize)> {
    let count = |folder| std::fs::read_dir(folder).ok().map(Iterator::count);
    Some((count("/proc/self/task")?, count("/proc/self/fd")?))
}

/// In a process of its own: what other tests have open is not to be counted.
#[test]
fn many_brokers() {
    let harness = builder().timeout(Duration::from_secs(20)).build();
    let case = |n: usize| {
        lease(&harness, |kafka| {
            let faults = kafka.faults();
            round_trip(&kafka, "x");
            match n % 5 {
                0 => faults.broker_down(1),
                1 => faults.latency(Duration::from_secs(60)),
                2 => faults.fault(Fault::on(Request::Fetch).drop_connection()),
                // A member of a group would wait for its broker when it is closed.
                3 => {
                    let consumer = kafka.consumer("events");
                    consumer.client().unassign().unwrap();
                    consumer.client().subscribe(&[&kafka.topic("other")]).unwrap();
                    kafka.send("other", "k", "to a member");
                    let member = || {
                        let _ = consumer.within(Duration::from_millis(10)).recv();
                        !consumer.client().assignment().unwrap().elements().is_empty()
                    };
                    assert!(comes_true(member));
                    faults.broker_down(1);
                }
                _ => {}
            }
        });
    };
    lease(&harness, |kafka| round_trip(&kafka, "shared"));
    (0..8).for_each(case);
    let mut flat = resources();
    // What is closed in the background is waited for: until nothing changes for a while.
    let mut since = Instant::now();
    assert!(comes_true(|| {
        let now = resources();
        if now != flat {
            (flat, since) = (now, Instant::now());
        }
        since.elapsed() > Duration::from_secs(1)
    }));
    let clock = Instant::now();
    let mut most = 0;
    for n in 0..100 {
        case(n);
        most = most.max(resources().unwrap_or_default().0);
    }
    let took = clock.elapsed();
    assert!(comes_true(|| resources() == flat), "{:?} after 100 leases, {flat:?} before", resources());
    let (flat, all) = (flat.unwrap_or_default(), clock.elapsed());
    say(
        "brokers",
        format!("100 leases took {took:?}, at most {most} threads; {flat:?} threads and files after {all:?}"),
    );
}

#[test]
fn ends_with_a_broker_down() {
    let kafka = builder().build().lease();
    let faults = kafka.faults();
    round_trip(&kafka, "x");
    faults.broker_down(1);
    say("broker", kafka.bootstrap_servers());
}

#[test]
fn leaks_a_broker_that_is_down() {
    let harness = Harness::builder().embedded_brokers(1).build();
    let kafka = harness.lease();
    let faults = kafka.faults();
    let consumer = kafka.consumer("events");
    consumer.client().unassign().unwrap();
    consumer.client().subscribe(&["events"]).unwrap();
    faults.broker_down(1);
    std::mem::forget((kafka, consumer, faults, harness));
}
