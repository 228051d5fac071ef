//! 20,000 cases on one worker and on eight: whether the last thousand is as fast as the first, and what has grown meanwhile.
//! `cargo bench --bench long`.
//!
//! Each run is a process of its own, this binary again. The embedded broker keeps every message in that process, and looks
//! for an offset from the first one on: what both take shows in as many messages that are sent without this crate.
#![allow(missing_docs, reason = "a benchmark has no callers")]

mod common;

use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::allocations::{Counting, count_live_bytes, live_bytes};
use common::process::Resources;
use common::raw::Raw;
use common::report::{Bench, Target};
use common::{Times, is_embedded, reused};
use rstest_kafka::Harness;
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Set for the process that does it: what, on how many workers, how many.
const CHILD: &str = "BENCH_LONG";

const CASES: usize = 20_000;

fn main() {
    if let Ok(what) = std::env::var(CHILD) {
        let parts: Vec<&str> = what.split(' ').collect();
        return child(parts[0], parts[1].parse().unwrap(), parts[2].parse().unwrap());
    }
    let Some(mut bench) = Bench::begin("long") else { return };
    let harness = bench.harness("bench-long-parent");
    let embedded = is_embedded(&harness.lease());
    drop(harness);
    let cases = bench.pick(CASES, CASES / 20);
    for workers in [1, 8] {
        if bench.wants(&workers.to_string()) {
            compare(&mut bench, embedded, workers, cases);
        }
    }
    bench.end();
}

fn compare(bench: &mut Bench, embedded: bool, workers: usize, cases: usize) {
    let window = cases / 20;
    let plural = if workers == 1 { "" } else { "s" };
    let on = format!("{workers} worker{plural}");
    let [ours, raw] = ["ours", "raw"].map(|what| start(what, workers, cases));
    let of = |result: &Value, key: &str| result[key].as_f64().unwrap_or(f64::NAN);
    for (id, result, label) in [
        ("ours", &ours, format!("{cases} cases, {workers} worker{plural}")),
        ("raw", &raw, format!("{cases} messages without this crate, {workers} client{plural}")),
    ] {
        let keys = ["first_ms", "last_ms", "threads_more", "files_more", "heap_more_KiB", "memory_more_MiB"];
        let values = keys.map(|key| (key, of(result, key)));
        bench.row(&format!("{id}_{workers}"), &label, &values);
    }
    let slower = |result| of(result, "last_ms") / of(result, "first_ms");
    let label = format!("{on}: median of the last {window} / of the first {window}");
    // The embedded broker looks for an offset from the first message on (rd_kafka_mock_msgset_find).
    let aim = if embedded { Target::None } else { Target::AtMost(1.1) };
    bench.figure(&format!("slower_{workers}"), &label, slower(&ours), aim);
    let label = format!("{on}: the same / that of the raw round trips");
    bench.figure(&format!("slower_than_raw_{workers}"), &label, slower(&ours) / slower(&raw), Target::AtMost(1.1));
    let memory = of(&ours, "memory_more_MiB") - if embedded { of(&raw, "memory_more_MiB").max(0.0) } else { 0.0 };
    for (id, label, value, most) in [
        ("threads", "threads more than at the first mark", of(&ours, "threads_more"), 0.0),
        ("files", "open files more than at the first mark", of(&ours, "files_more"), 0.0),
        ("heap", "memory of the crate and the bench itself more, KiB", of(&ours, "heap_more_KiB"), 2048.0),
        ("memory", "memory more, without the embedded broker's, MiB", memory, 2.0),
    ] {
        bench.figure(&format!("{id}_{workers}"), &format!("{on}: {label}"), value, Target::AtMost(most));
    }
}

fn start(what: &str, workers: usize, cases: usize) -> Value {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(CHILD, format!("{what} {workers} {cases}")).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn child(what: &str, workers: usize, cases: usize) {
    count_live_bytes();
    let harness = Harness::builder().topic_prefix("bench-long").build();
    let clients: Vec<_> = match what {
        "raw" => (0..workers).map(|n| Mutex::new(Raw::new(&harness.lease(), &format!("raw-{n}")))).collect(),
        _ => Vec::new(),
    };
    let window = cases / 20;
    let ours = |_: usize| reused(&harness);
    let round_trip = |worker: usize| clients[worker].lock().unwrap().round_trip();
    let send = |worker: usize| clients[worker].lock().unwrap().send_alone();
    let phase = |cases, is_timed| match (what, is_timed) {
        ("ours", _) => many(workers, cases, ours),
        (_, true) => many(workers, cases, round_trip),
        (_, false) => many(workers, cases, send),
    };
    // Clients connect and find their leaders with the very first.
    phase(16 * workers, true);
    let first = phase(window, true);
    let (mark, heap) = (settled(), live_bytes());
    // What only fills the topics need not be received by the raw clients.
    clients.iter().for_each(|client| client.lock().unwrap().pause(true));
    phase(cases - 2 * window, false);
    clients.iter().for_each(|client| client.lock().unwrap().skip());
    phase(16 * workers, true);
    let last = phase(window, true);
    let (end, end_heap) = (settled(), live_bytes());
    let more = |of: fn(&Resources) -> usize| Some(of(end.as_ref()?) as f64 - of(mark.as_ref()?) as f64);
    let result = json!({
        "first_ms": first.median(),
        "last_ms": last.median(),
        "threads_more": more(|resources| resources.threads),
        "files_more": more(|resources| resources.files),
        "memory_more_MiB": more(|resources| resources.memory).map(|kib| kib / 1024.0),
        "heap_more_KiB": (end_heap - heap) as f64 / 1024.0,
    });
    println!("{result}");
    // Their ends would be a second each.
    std::mem::forget(clients);
}

/// So many on so many workers, each on a thread of its own as libtest runs a test.
fn many(workers: usize, cases: usize, one: impl Fn(usize) + Sync) -> Times {
    let times = Mutex::new(Times::default());
    std::thread::scope(|scope| {
        for worker in 0..workers {
            let (times, one) = (&times, &one);
            scope.spawn(move || {
                for _ in (worker..cases).step_by(workers) {
                    let test = || {
                        let started = Instant::now();
                        one(worker);
                        started.elapsed()
                    };
                    // Joined by hand: only then is its lane free again.
                    let took = std::thread::scope(|scope| scope.spawn(test).join().unwrap());
                    times.lock().unwrap().push(took);
                }
            });
        }
    });
    times.into_inner().unwrap()
}

/// Once what ends in the background has ended: the least of some looks.
fn settled() -> Option<Resources> {
    let mut least = Resources::now()?;
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(10));
        let now = Resources::now()?;
        least.threads = least.threads.min(now.threads);
        least.files = least.files.min(now.files);
        least.memory = now.memory;
    }
    Some(least)
}
