//! What the end of a process costs that has so many consumers and topics open: closing, deleting, exit functions.
//!
//! Each is a process of its own, this binary again, and the time is from its last word to its end. `cargo bench --bench exit`.
#![allow(missing_docs, reason = "a benchmark has no callers")]

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use common::report::{Bench, Target};
use common::{is_embedded, median};
use rstest_kafka::Harness;

const OPEN: [usize; 3] = [1, 10, 100];

/// Set for the process that is to end.
const CHILD: &str = "BENCH_EXIT_OPEN";

fn main() {
    if let Ok(open) = std::env::var(CHILD) {
        return open_and_end(open.parse().unwrap());
    }
    let Some(mut bench) = Bench::begin("exit") else { return };
    let harness = bench.harness("bench-exit-parent");
    let embedded = is_embedded(&harness.lease());
    for open in bench.pick(&OPEN[..], &OPEN[..2]) {
        let times: Vec<f64> = (0..bench.pick(5, 1)).map(|_| time(*open)).collect();
        let worst = times.iter().copied().fold(0.0, f64::max);
        let label = format!("exit with {open} topics and {open} consumers");
        let median = median(times);
        bench.row(&open.to_string(), &label, &[("median_s", median), ("worst_s", worst)]);
        if *open == 100 {
            let most = Target::AtMost(if embedded { 0.3 } else { 1.0 });
            bench.figure("exit_100", "exit, 100 consumers + 100 topics, seconds", median, most);
        }
    }
    bench.end();
}

fn time(open: usize) -> f64 {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(CHILD, open.to_string()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let said = Instant::now();
    assert_eq!(line, "ready\n");
    assert!(child.wait().unwrap().success());
    said.elapsed().as_secs_f64()
}

fn open_and_end(open: usize) {
    let harness = Harness::builder().topic_prefix("bench-exit").max_idle_consumers(open).build();
    let kafka = harness.lease();
    let topics = kafka.checked().topics_of((0..open).map(|n| format!("topic-{n}"))).unwrap();
    let consumers: Vec<_> = topics.iter().map(|topic| kafka.consumer(topic)).collect();
    for (topic, consumer) in topics.iter().zip(&consumers) {
        kafka.send(topic, "k", "v");
        consumer.recv();
    }
    drop((topics, consumers, kafka));
    println!("ready");
    // A static's: its end is the exit's, not a drop's.
    std::mem::forget(harness);
}
