//! What the benchmarks share: plain rdkafka to compare with, the process seen from outside, and the report.
//!
//! They have loops of their own and not criterion's or divan's. Most figures are ratios, to a raw round trip or to a reused
//! case, and hold only where both sides ran in turn in one run: those two measure one function after the other. The rest are
//! counts (requests, allocations, threads), or whole processes.
#![allow(dead_code, reason = "each benchmark uses its own part of it")]

pub mod allocations;
#[path = "../../tests/common/embedded.rs"]
pub mod embedded;
pub mod fresh;
pub mod process;
pub mod raw;
pub mod report;
pub mod served;

use std::time::{Duration, Instant};

use rstest_kafka::{Harness, Kafka};

/// For whatever must not hang a benchmark.
pub const SOON: Duration = Duration::from_secs(30);

/// What a reused case is: a lease of its own, its topic, its consumer, one message there and back.
pub fn reused(harness: &Harness) {
    reused_in_parts(harness);
}

/// The same: how long its fence took, its message there and back, and all the rest.
pub fn reused_in_parts(harness: &Harness) -> [Duration; 3] {
    let began = Instant::now();
    let kafka = harness.lease();
    let fencing = Instant::now();
    let events = kafka.topic("reused");
    let fence = fencing.elapsed();
    let consumer = kafka.consumer(&events);
    let sending = Instant::now();
    kafka.send(&events, "k", "v");
    let record = consumer.recv();
    let message = sending.elapsed();
    assert_eq!(record.payload(), Some(&b"v"[..]));
    drop((record, consumer, events, kafka));
    [fence, message, began.elapsed() - fence - message]
}

pub fn is_embedded(kafka: &Kafka) -> bool {
    kafka.embedded().is_some()
}

/// How long each of several runs of the same thing took.
#[derive(Default)]
pub struct Times(Vec<Duration>);

impl Times {
    pub fn add(&mut self, case: impl FnOnce()) {
        let started = Instant::now();
        case();
        self.push(started.elapsed());
    }

    pub fn push(&mut self, took: Duration) {
        self.0.push(took);
    }

    pub fn append(&mut self, mut others: Self) {
        self.0.append(&mut others.0);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// In milliseconds.
    pub fn quantile(&self, quantile: f64) -> f64 {
        let mut times = self.0.clone();
        times.sort_unstable();
        times
            .get((times.len().saturating_sub(1) as f64 * quantile) as usize)
            .map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    }

    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }
}

pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    if values.is_empty() { f64::NAN } else { values[(values.len() - 1) / 2] }
}
