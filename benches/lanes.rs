//! How many tests a second run where several run at once, each on a lane of its own, and how many raw round trips where as
//! many are made at once. `cargo bench --bench lanes`.
#![allow(missing_docs, reason = "a benchmark has no callers")]

mod common;

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::raw::Raw;
use common::report::{Bench, Target};
use common::{SOON, median, reused};
use rstest_kafka::Harness;

const LANES: [usize; 4] = [1, 2, 8, 64];

/// What all threads do now.
struct Turn {
    begin: Barrier,
    end: Barrier,
    is_over: AtomicBool,
    done: AtomicUsize,
}

impl Turn {
    /// As many as can be done before somebody says that it is over.
    fn take(&self, mut one: impl FnMut()) {
        self.begin.wait();
        while !self.is_over.load(Ordering::Relaxed) {
            one();
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        self.end.wait();
    }

    /// How many a second were done in all.
    fn time(&self, length: Duration) -> f64 {
        self.is_over.store(false, Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
        self.begin.wait();
        let started = Instant::now();
        std::thread::sleep(length);
        let rate = self.done.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
        self.is_over.store(true, Ordering::Relaxed);
        self.end.wait();
        rate
    }
}

fn main() {
    let Some(mut bench) = Bench::begin("lanes") else { return };
    let harness = bench.harness("bench-lanes");
    for lanes in bench.pick(&LANES[..], &LANES[..3]) {
        let (rounds, length) = bench.pick((5, Duration::from_millis(400)), (1, Duration::from_millis(50)));
        let (ours, raw) = rates(&harness, *lanes, rounds, length);
        let ratio = median(ours.iter().zip(&raw).map(|(ours, raw)| ours / raw));
        let label = format!("{lanes} at once");
        let values = [("ours_per_s", median(ours)), ("raw_per_s", median(raw)), ("ours_over_raw", ratio)];
        bench.row(&format!("{lanes}"), &label, &values);
        if *lanes == 64 {
            bench.figure("64_over_raw", "64 lanes: throughput / raw at 64", ratio, Target::AtLeast(0.8));
        }
    }
    bench.end();
}

/// Cases and raw round trips a second, in turn, so many times.
fn rates(harness: &Harness, lanes: usize, rounds: usize, length: Duration) -> (Vec<f64>, Vec<f64>) {
    let turn = || Turn {
        begin: Barrier::new(lanes + 1),
        end: Barrier::new(lanes + 1),
        is_over: AtomicBool::new(false),
        done: AtomicUsize::new(0),
    };
    let (ours, raw) = (turn(), turn());
    let ready = Barrier::new(lanes + 1);
    std::thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| {
                let clients = Raw::new(&harness.lease(), "raw");
                clients.round_trip();
                clients.pause(true);
                reused(harness);
                ready.wait();
                for _ in 0..rounds {
                    ours.take(|| reused(harness));
                    clients.pause(false);
                    raw.take(|| clients.round_trip());
                    clients.pause(true);
                }
            });
        }
        let started = Instant::now();
        ready.wait();
        assert!(started.elapsed() < SOON, "{lanes} lanes are not ready within {SOON:?}");
        (0..rounds).map(|_| (ours.time(length), raw.time(length))).unzip()
    })
}
