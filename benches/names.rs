//! What a name costs: no lock, and no allocation but its own string. `cargo bench --bench names`; needs no broker of its own.
//!
//! That there is no lock shows where several threads ask at once: a name takes each of them as much CPU time as one alone.
#![allow(missing_docs, reason = "a benchmark has no callers")]

mod common;

use std::hint::black_box;
use std::time::Instant;

use common::allocations::{Counting, of_this_thread};
use common::report::{Bench, Target};
use common::{median, process};
use rstest_kafka::{FailureReport, Harness, TopicNames};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const BATCHES: usize = 51;

/// Nanoseconds of this thread's CPU time for one call, the median of many batches.
fn nanoseconds(per_batch: u32, call: impl Fn()) -> f64 {
    let batch = || {
        let (started, clock) = (Instant::now(), process::thread_cpu_time());
        (0..per_batch).for_each(|_| call());
        let took = match (clock, process::thread_cpu_time()) {
            (Some(before), Some(after)) => after - before,
            _ => started.elapsed(),
        };
        took.as_secs_f64() * 1e9 / f64::from(per_batch)
    };
    median((0..BATCHES).map(|_| batch()))
}

/// The same in so many tests at once, each with its lease.
fn at_once(harness: &Harness, threads: usize, per_batch: u32, call: impl Fn(&TopicNames) + Sync) -> f64 {
    let barrier = std::sync::Barrier::new(threads);
    let one = || {
        let names = harness.lease().topic_names();
        let _known = names.name("events");
        barrier.wait();
        nanoseconds(per_batch, || call(&names))
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        median(running.into_iter().map(|thread| thread.join().unwrap()))
    })
}

fn main() {
    let Some(mut bench) = Bench::begin("names") else { return };
    // One of its tests fails on purpose.
    let harness = Harness::builder().topic_prefix("bench-names").failure_report(FailureReport::Off).build();
    bench.on(&harness.lease());
    let per_batch = bench.pick(2_000, 20);
    let text = |names: &TopicNames| drop(black_box(names.text(black_box("events")).unwrap()));
    let known = |names: &TopicNames| drop(black_box(names.name(black_box("events"))));
    type Call<'a> = &'a (dyn Fn(&TopicNames) + Sync);
    let mut counts = Vec::new();
    for generation in 0..2 {
        // On a thread of its own, as a test: with its end the verdict is known.
        let counted = std::thread::scope(|scope| {
            let test = || {
                let kafka = harness.lease();
                let names = kafka.topic_names();
                let _known = names.name("events");
                if generation == 0 {
                    kafka.mark_failed();
                }
                assert_eq!(kafka.generation(), generation);
                [&text as Call, &known].map(|call| of_this_thread(|| call(&names)).1)
            };
            scope.spawn(test).join().unwrap()
        });
        counts.push(counted);
    }
    for (which, label, call) in
        [(0, "a name, as text", &text as Call), (1, "a topic that the test has already named", &known)]
    {
        let alone = at_once(&harness, 1, per_batch, call);
        let together = at_once(&harness, 8, per_batch, call);
        let most = counts.iter().map(|counted| counted[which]).max().unwrap();
        let values = [("alone_ns", alone), ("8_at_once_ns", together), ("allocations", most as f64)];
        bench.row(["text", "known"][which], label, &values);
        let target = Target::AtMost([1.0, 0.0][which]);
        bench.figure(
            ["text_allocations", "known_allocations"][which],
            ["allocations of a name", "allocations of one that the test has said before"][which],
            most as f64,
            target,
        );
    }
    bench.end();
}
