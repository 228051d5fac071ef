//! How many tests a second run where several run at once, each on a lane of its own, beside as many raw round trips at once,
//! and as many cases by hand: the same three requests one after another, each lane with clients of its own.
//! `cargo bench --bench lanes`.
#![allow(missing_docs, reason = "a benchmark has no callers")]

mod common;

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::process::{brokers_cpu_time, process_cpu_time};
use common::raw::{OffsetRoundTrip, Raw};
use common::report::{Bench, Target};
use common::{median, reused};
use rstest_kafka::Harness;

const LANES: [usize; 4] = [1, 2, 8, 64];

/// Whose time it is of which each case takes some.
const CPU_OF: [&str; 2] = ["processor time of this process", "of the brokers, where they are others"];

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

    /// What was done in all.
    fn time(&self, length: Duration) -> Done {
        self.is_over.store(false, Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
        self.begin.wait();
        let (started, cpu) = (Instant::now(), CpuTimes::now());
        std::thread::sleep(length);
        let done = self.done.load(Ordering::Relaxed) as f64;
        let done =
            Done { per_s: done / started.elapsed().as_secs_f64(), cpu_us: cpu.since().map(|time| time / done * 1e6) };
        self.is_over.store(true, Ordering::Relaxed);
        self.end.wait();
        done
    }
}

/// How many of one kind were done.
#[derive(Clone, Copy)]
struct Done {
    per_s: f64,
    /// What each took of a processor's time, in this process and in the brokers' of their own.
    cpu_us: [f64; 2],
}

struct CpuTimes([Option<Duration>; 2]);

impl CpuTimes {
    fn now() -> Self {
        Self([process_cpu_time(), brokers_cpu_time()])
    }

    /// In seconds.
    fn since(&self) -> [f64; 2] {
        let now = Self::now();
        [0, 1].map(|of| now.0[of].zip(self.0[of]).map_or(f64::NAN, |(now, then)| (now - then).as_secs_f64()))
    }
}

fn main() {
    let Some(mut bench) = Bench::begin("lanes") else { return };
    // One that panics would be waited for by all the others.
    let show = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        show(panic);
        std::process::exit(1);
    }));
    let harness = bench.harness("bench-lanes");
    let mut cpu_times = Vec::new();
    for lanes in bench.pick(&LANES[..], &LANES[..3]) {
        if !bench.wants(&lanes.to_string()) {
            continue;
        }
        let (rounds, length) = bench.pick((5, Duration::from_secs(1)), (1, Duration::from_millis(50)));
        let rates = rates(&harness, *lanes, rounds, length);
        let over = |other: usize| median(rates.iter().map(|round| round[0].per_s / round[other].per_s));
        let label = format!("{lanes} at once");
        let [ours, raw, by_hand] = [0, 1, 2].map(|kind| median(rates.iter().map(|round| round[kind].per_s)));
        let values = [
            ("ours_per_s", ours),
            ("raw_per_s", raw),
            ("by_hand_per_s", by_hand),
            ("ours_over_raw", over(1)),
            ("over_by_hand", over(2)),
        ];
        bench.row(&format!("{lanes}"), &label, &values);
        let cpu = |kind: usize, of: usize| median(rates.iter().map(|round| round[kind].cpu_us[of]));
        for of in [0, 1] {
            let values = [("ours_us", cpu(0, of)), ("raw_us", cpu(1, of)), ("by_hand_us", cpu(2, of))];
            if values.iter().all(|(_, time)| time.is_finite()) {
                cpu_times.push((format!("{lanes}_cpu_{of}"), format!("{}, {lanes} at once", CPU_OF[of]), values));
            }
        }
        if *lanes == 64 {
            bench.figure("64_over_raw", "64 lanes: throughput / raw at 64", over(1), Target::AtLeast(0.8));
            bench.figure("64_over_by_hand", "64 lanes: throughput / by hand at 64", over(2), Target::None);
        }
    }
    for (id, label, values) in cpu_times {
        bench.row(&id, &label, &values);
    }
    bench.end();
}

/// Cases, raw round trips and cases by hand a second, in turn, so many times.
fn rates(harness: &Harness, lanes: usize, rounds: usize, length: Duration) -> Vec<[Done; 3]> {
    let turns = [(); 3].map(|()| Turn {
        begin: Barrier::new(lanes + 1),
        end: Barrier::new(lanes + 1),
        is_over: AtomicBool::new(false),
        done: AtomicUsize::new(0),
    });
    let [ours, raw, by_hand] = &turns;
    let ready = Barrier::new(lanes + 1);
    std::thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| {
                let kafka = harness.lease();
                let (clients, offset) = (Raw::new(&kafka, "raw"), OffsetRoundTrip::new(&kafka, &kafka.topic("raw")));
                drop(kafka);
                clients.round_trip();
                offset.ask();
                clients.pause(true);
                reused(harness);
                ready.wait();
                for _ in 0..rounds {
                    ours.take(|| reused(harness));
                    clients.pause(false);
                    raw.take(|| clients.round_trip());
                    by_hand.take(|| {
                        offset.ask();
                        clients.acknowledged_round_trip();
                    });
                    clients.pause(true);
                }
            });
        }
        ready.wait();
        (0..rounds).map(|_| [ours, raw, by_hand].map(|turn| turn.time(length))).collect()
    })
}
