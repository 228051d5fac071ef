//! From the start of a process to its first received message, in this binary started again. `cargo bench --bench cold`.
#![allow(missing_docs, reason = "a benchmark has no callers")]

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use common::report::{Bench, Target};
use common::{is_embedded, median};
use rstest_kafka::Harness;

/// Set for the process that starts.
const CHILD: &str = "BENCH_COLD";

fn main() {
    match std::env::var(CHILD).as_deref() {
        Ok("nothing") => return println!("{{}}"),
        Ok(_) => return first_message(),
        Err(_) => {}
    }
    let Some(mut bench) = Bench::begin("cold") else { return };
    let harness = bench.harness("bench-cold-parent");
    let embedded = is_embedded(&harness.lease());
    let runs = bench.pick(15, 2);
    let nothing = median((0..runs).map(|_| time("nothing").0));
    bench.row("nothing", "a process that does nothing", &[("median_ms", nothing)]);
    let times: Vec<(f64, [f64; 4])> = (0..runs).map(|_| time("message")).collect();
    let total = median(times.iter().map(|(total, _)| *total));
    for (n, what) in ["lease", "topic", "consumer", "message"].iter().enumerate() {
        let label = format!("  of it until the {what}");
        bench.row(what, &label, &[("median_ms", median(times.iter().map(|(_, steps)| steps[n])))]);
    }
    bench.row("cold", "process start to first received message", &[("median_ms", total)]);
    let most = if embedded { Target::AtMost(15.0) } else { Target::None };
    bench.figure("cold", "process start to first received message, ms", total, most);
    bench.end();
}

/// In milliseconds, until the child said so; and what it said of its steps.
fn time(what: &str) -> (f64, [f64; 4]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(CHILD, what).stdin(Stdio::null()).stdout(Stdio::piped());
    let started = Instant::now();
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let took = started.elapsed().as_secs_f64() * 1e3;
    assert!(child.wait().unwrap().success());
    let steps = serde_json::from_str(&line).unwrap_or_default();
    (took, steps)
}

fn first_message() {
    let started = Instant::now();
    let since = || started.elapsed().as_secs_f64() * 1e3;
    let harness = Harness::builder().topic_prefix("bench-cold").build();
    let kafka = harness.lease();
    let lease = since();
    let events = kafka.topic("events");
    let topic = since();
    let consumer = kafka.consumer(&events);
    let made = since();
    kafka.send(&events, "k", "v");
    consumer.recv();
    println!("{:?}", [lease, topic, made, since()]);
}
