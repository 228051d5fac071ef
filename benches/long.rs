//! 20,000 cases on one worker and on eight: whether the last thousand is as fast as the first, and what has grown meanwhile.
//! `cargo bench --bench long`.
//!
//! Each run is a process of its own, this binary again. The embedded broker keeps every message in that process: what they take
//! shows in as many messages that are sent without this crate.
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

/// Set for the process that does it: on how many workers, and how many cases.
const CHILD: &str = "BENCH_LONG";

const CASES: usize = 20_000;
const TURNS: usize = 5;

fn main() {
    if let Ok(what) = std::env::var(CHILD) {
        let (workers, cases) = what.split_once(' ').unwrap();
        return child(workers.parse().unwrap(), cases.parse().unwrap());
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
    let of = |result: &Value, key: &str| result[key].as_f64().unwrap_or(f64::NAN);
    let result = start(workers, cases);
    let keys = ["first_ms", "last_ms", "raw_first_ms", "raw_last_ms", "threads_more", "files_more", "memory_more_MiB"];
    bench.row(&workers.to_string(), &format!("{cases} cases, {on}"), &keys.map(|key| (key, of(&result, key))));
    let slower = of(&result, "last_ms") / of(&result, "first_ms");
    let raw_slower = of(&result, "raw_last_ms") / of(&result, "raw_first_ms");
    let label = format!("{on}: median of the last {window} / of the first {window}");
    bench.figure(&format!("slower_{workers}"), &label, slower, Target::AtMost(1.1));
    let label = format!("{on}: the same / that of raw round trips in turn with them");
    bench.figure(&format!("slower_than_raw_{workers}"), &label, slower / raw_slower, Target::AtMost(1.1));
    // What the messages of the raw clients alone take, twice: the cases have sent as many.
    let of_messages = |key: &str| if embedded { 2.0 * of(&result, key) } else { 0.0 };
    for (id, label, value, most) in [
        ("threads", "threads more than at the first mark", of(&result, "threads_more"), 0.0),
        ("files", "open files more than at the first mark", of(&result, "files_more"), 0.0),
        (
            "heap",
            "memory of Rust code more, without the embedded broker's messages, KiB",
            of(&result, "heap_more_KiB") - of_messages("heap_of_messages_KiB"),
            2048.0,
        ),
        ("memory_in_all", "memory more, MiB", of(&result, "memory_more_MiB"), 2.0),
        (
            "memory",
            "memory more, without the embedded broker's messages, MiB",
            of(&result, "memory_more_MiB") - of_messages("memory_of_messages_MiB"),
            2.0,
        ),
    ] {
        let target = if embedded && id == "memory_in_all" { Target::None } else { Target::AtMost(most) };
        bench.figure(&format!("{id}_{workers}"), &format!("{on}: {label}"), value, target);
    }
}

fn start(workers: usize, cases: usize) -> Value {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(CHILD, format!("{workers} {cases}")).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn child(workers: usize, cases: usize) {
    count_live_bytes();
    let harness = Harness::builder().topic_prefix("bench-long").build();
    let client = |n| Mutex::new(Raw::new(&harness.lease(), &format!("raw-{n}")));
    let clients: Vec<_> = (0..workers).map(client).collect();
    let each = |action: &dyn Fn(&Raw)| clients.iter().for_each(|client| action(&client.lock().unwrap()));
    let case = |_: usize| reused(&harness);
    let round_trip = |worker: usize| clients[worker].lock().unwrap().round_trip();
    let send = |worker: usize| clients[worker].lock().unwrap().send_alone();
    each(&|raw| raw.pause(true));
    // So many cases and so many raw round trips, in turn, so that what else the machine does meets both.
    let in_turn = |cases: usize| {
        let (mut ours, mut raw) = (Times::default(), Times::default());
        for _ in 0..TURNS {
            ours.append(many(workers, cases / TURNS, case));
            each(&|raw| raw.pause(false));
            raw.append(many(workers, cases / TURNS, round_trip));
            each(&|raw| raw.pause(true));
        }
        (ours, raw)
    };
    let window = cases / 20;
    // Clients connect and find their leaders with the very first.
    in_turn(TURNS * 4 * workers);
    let first = in_turn(window);
    let (mark, heap) = (settled(), live_bytes());
    // As many messages as the cases send, so that the raw clients' topics are as long; no need to receive them.
    if is_embedded(&harness.lease()) {
        many(workers, cases - window, send);
    }
    let (filled, filled_heap) = (settled(), live_bytes());
    many(workers, cases - 2 * window, case);
    each(&|raw| raw.skip());
    let last = in_turn(window);
    let (end, end_heap) = (settled(), live_bytes());
    let since = |end: Option<Resources>, of: fn(&Resources) -> usize| {
        Some(of(end.as_ref()?) as f64 - of(mark.as_ref()?) as f64)
    };
    let more = |of| since(end, of);
    let result = json!({
        "first_ms": first.0.median(),
        "last_ms": last.0.median(),
        "raw_first_ms": first.1.median(),
        "raw_last_ms": last.1.median(),
        "threads_more": more(|resources| resources.threads),
        "files_more": more(|resources| resources.files),
        "memory_more_MiB": more(|resources| resources.memory).map(|kib| kib / 1024.0),
        "memory_of_messages_MiB": since(filled, |resources| resources.memory).map(|kib| kib / 1024.0),
        "heap_of_messages_KiB": (filled_heap - heap) as f64 / 1024.0,
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
