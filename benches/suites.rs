//! The same 200 cases written four ways, each run as a test binary: time, memory, what the broker has to do, what is left.
//! `cargo bench --bench suites`; the cases are in `benches/suite`.
#![allow(missing_docs, reason = "a benchmark has no callers")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use common::process::{Usage, wait_for};
use common::report::{Bench, Target};
use common::served::served_by;
use common::{SOON, is_embedded, median};
use rstest_kafka::rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::Value;

const WAYS: [(&str, &str); 4] = [
    ("fresh_group", "fresh topic and group each, subscribe"),
    ("fresh_assign", "fresh topic each, assign"),
    ("shared", "one topic for all, each passes over the others'"),
    ("ours", "this crate"),
];

/// How many tests run at once: libtest's own choice is the number of cores, and most of these wait most of the time.
const AT_ONCE: &str = "8";
const CASES: usize = 200;
const RUNS: usize = 3;

/// A way that is so slow is run once.
const SLOW_SECONDS: f64 = 1.5;

fn main() {
    let Some(mut bench) = Bench::begin("suites") else { return };
    let harness = bench.harness("bench-suites");
    let kafka = harness.lease();
    let embedded = is_embedded(&kafka);
    let onlooker: BaseConsumer = kafka.client_config().create().unwrap();
    let suite = build();
    let report = tempfile::NamedTempFile::new().unwrap();
    let filter = bench.pick("", "case::tens_01_0::");
    let cases = bench.pick(CASES, CASES / 10);
    println!("{cases} cases, {AT_ONCE} at once, {RUNS} runs each where they take less than {SLOW_SECONDS} s");
    let mut walls = BTreeMap::new();
    for (way, label) in WAYS {
        if !bench.wants(way) {
            continue;
        }
        let filter = format!("{way}::{filter}");
        let run = |counted| run(&suite, &filter, report.path(), counted, cases);
        // What only Kafka's broker can tell is asked before and after the first run.
        let had = (!embedded).then(|| left(&onlooker));
        let mut usages = Vec::new();
        let served = served_by(|| usages.push(run(false)));
        // The embedded broker ends with the process.
        let left_over = had.map_or(0.0, |had| left(&onlooker) - had);
        let told = tell(report.path());
        while !bench.is_short() && usages.len() < RUNS && usages[0].wall.as_secs_f64() < SLOW_SECONDS {
            usages.push(run(false));
        }
        let requests: Option<BTreeMap<String, f64>> = if embedded {
            run(true);
            serde_json::from_value(tell(report.path())["requests"].clone()).ok()
        } else {
            served
        };
        let wall = median(usages.iter().map(|usage| usage.wall.as_secs_f64()));
        walls.insert(way, wall);
        let mut values = vec![("wall_s", wall)];
        match usages[0].cpu.zip(usages[0].peak) {
            Some(_) => {
                let cpu = usages.iter().filter_map(|usage| usage.cpu).map(|cpu| cpu.as_secs_f64());
                let peak = usages.iter().filter_map(|usage| usage.peak).map(|peak| peak as f64 / 1024.0);
                values.extend([("cpu_s", median(cpu)), ("peak_MiB", median(peak))]);
            }
            None => bench.skip("cpu", "this system does not tell a child's CPU time and memory"),
        }
        values.push(("topics_made", told["topics"].as_f64().unwrap_or(f64::NAN)));
        match requests {
            Some(requests) => values.push(("requests", requests.values().sum())),
            None => bench.skip("requests", "the broker's own count takes scripts/with-kafka and a JDK"),
        }
        values.push(("left_behind", left_over));
        bench.row(way, label, &values);
    }
    if let Some(ours) = walls.get("ours") {
        for (way, label) in &WAYS[..3] {
            if let Some(wall) = walls.get(way) {
                bench.figure(&format!("{way}_over_ours"), &format!("{label} / this crate"), wall / ours, Target::None);
            }
        }
    }
    bench.end();
}

/// The test binary, built as this one is.
fn build() -> PathBuf {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.arg(if cfg!(debug_assertions) { "test" } else { "bench" });
    cargo.args(["--bench", "suite", "--no-run", "--quiet", "--message-format=json"]);
    if cfg!(feature = "json") {
        cargo.args(["--features", "json"]);
    }
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::inherit()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let executable = messages
        .filter(|message| message["target"]["name"] == "suite")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    executable.unwrap_or_else(|| panic!("cargo has not built the suite: {}", output.status))
}

fn run(suite: &Path, filter: &str, report: &Path, counted: bool, cases: usize) -> Usage {
    let output = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new(suite);
    command.args([filter, "--ignored", "--test-threads", AT_ONCE]).env("SUITE_REPORT", report);
    if counted {
        command.env("SUITE_REQUESTS", "yes");
    }
    for variable in ["RUST_TEST_THREADS", "RUST_TEST_SHUFFLE", "RUST_TEST_NOCAPTURE"] {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null()).stdout(output.reopen().unwrap());
    let started = Instant::now();
    let usage = wait_for(command.spawn().unwrap(), started);
    let text = std::fs::read_to_string(output.path()).unwrap();
    let failures = text.split_once("failures:").map_or(&*text, |(_, failures)| failures);
    assert!(usage.success && text.contains(&format!("{cases} passed")), "{filter}: {failures}");
    usage
}

fn tell(report: &Path) -> Value {
    std::fs::read_to_string(report).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// How many topics and groups the cluster has.
fn left(onlooker: &BaseConsumer) -> f64 {
    let topics = onlooker.fetch_metadata(None, SOON).unwrap();
    // Kafka's own for groups' offsets comes with the first group.
    let topics = topics.topics().iter().filter(|topic| !topic.name().starts_with("__")).count();
    let groups = onlooker.fetch_group_list(None, SOON).unwrap().groups().len();
    (topics + groups) as f64
}
