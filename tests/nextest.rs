//! cargo-nextest, where each test is a process: runs it on a small crate and counts.
#![cfg(target_os = "linux")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use common::{cargo, cluster};

const SLOTS: usize = 8;
/// Logical topics of each test.
const TOPICS: usize = 2;

/// What the tests of the crate do at their end, and how many of them do so: 200 in two binaries.
const OUTCOMES: &[(&str, usize, &str)] = &[
    ("pass", 164, ""),
    ("panic", 8, r#"panic!("on purpose")"#),
    ("error", 6, r#"return Err("on purpose".into())"#),
    ("abort", 6, "std::process::abort()"),
    ("hang", 4, "body::hang()"),
    ("flaky", 12, r#"assert!(!body::is_first_attempt(), "on purpose")"#),
];

/// A crate that cargo-nextest runs; one at a time has it.
struct Crate {
    path: PathBuf,
    /// Each test writes there what it saw.
    probe: tempfile::TempDir,
    state: tempfile::TempDir,
    prefix: String,
    _alone: MutexGuard<'static, ()>,
}

/// What one attempt of a test saw.
#[derive(Debug)]
struct Attempt {
    test: String,
    attempt: u32,
    outcome: String,
    began: u128,
    /// In microseconds, from the lease to the last message.
    took: u64,
    worker: String,
    stale: u32,
    missed: u32,
    topics: [String; TOPICS],
    group: String,
}

impl Attempt {
    fn failed(&self) -> bool {
        match self.outcome.as_str() {
            "pass" => false,
            "flaky" => self.attempt == 1,
            _ => true,
        }
    }
}

impl Crate {
    /// Written anew only where it has changed, so that it is built once.
    fn new(prefix: &str) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let has_nextest =
            cargo::command().args(["nextest", "--version"]).output().is_ok_and(|output| output.status.success());
        assert!(has_nextest, "this test needs cargo-nextest: cargo install cargo-nextest --locked");
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("nextest-crate");
        let root = env!("CARGO_MANIFEST_DIR");
        let write = |name: &str, text: &str| {
            let path = path.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            if std::fs::read_to_string(&path).ok().as_deref() != Some(text) {
                std::fs::write(path, text).unwrap();
            }
        };
        // With the profile of this workspace, so that librdkafka is not compiled again.
        let manifest = format!(
            "[package]\nname = \"nextest-crate\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[dependencies]\nrstest = \
             \"0.28\"\nrstest-kafka = {{ path = {root:?} }}\n\n[profile.dev]\ndebug = \"line-tables-only\"\n\n[workspace]\n"
        );
        write("Cargo.toml", &manifest);
        write("src/lib.rs", "");
        write("src/body.rs", include_str!("nextest_crate/body.rs"));
        let timeout = r#"slow-timeout = { period = "10s", terminate-after = 1, grace-period = "1s" }"#;
        write(".config/nextest.toml", &format!("[profile.default]\nretries = 1\nfail-fast = false\n{timeout}\n"));
        if !path.join("Cargo.lock").exists() {
            std::fs::copy(Path::new(root).join("Cargo.lock"), path.join("Cargo.lock")).unwrap();
        }
        let mut binaries = [String::new(), String::new()];
        for binary in &mut binaries {
            binary.push_str("#[path = \"../src/body.rs\"]\nmod body;\nuse rstest_kafka::{Kafka, kafka};\n");
            binary.push_str("type Outcome = Result<(), Box<dyn std::error::Error>>;\n");
        }
        let tests = OUTCOMES.iter().flat_map(|(outcome, count, end)| (0..*count).map(move |n| (outcome, n, end)));
        for (at, (outcome, n, end)) in tests.enumerate() {
            // Spread over the binaries and, by the order of names, over the time.
            let order = at * 37 % 200;
            let test = format!("t{order:03}_{outcome}_{n}");
            let end = if end.is_empty() { String::new() } else { format!("\n    {end};") };
            writeln!(
                binaries[at % 2],
                "#[rstest::rstest]\n#[allow(unreachable_code)]\nfn {test}(kafka: Kafka) -> Outcome {{\n    \
                 body::exchange(&kafka, \"{test}\", \"{outcome}\");{end}\n    Ok(())\n}}"
            )
            .unwrap();
        }
        write("tests/first.rs", &binaries[0]);
        write("tests/second.rs", &binaries[1]);
        let unique = std::process::id();
        let temporary = || tempfile::tempdir().unwrap();
        Self { path, probe: temporary(), state: temporary(), prefix: format!("{prefix}-{unique}"), _alone: alone }
    }

    fn command(&self, servers: &str) -> Command {
        let mut command = cargo::command();
        command
            .arg("nextest")
            .current_dir(&self.path)
            .env("PROBE", self.probe.path())
            .env("RSTEST_KAFKA_STATE_DIR", self.state.path())
            .env("RSTEST_KAFKA_TOPIC_PREFIX", &self.prefix)
            .env("RSTEST_KAFKA_GROUP_PREFIX", &self.prefix)
            .env("RSTEST_KAFKA_BOOTSTRAP_SERVERS", servers);
        command
    }

    fn run(&self, servers: &str, arguments: &[&str]) -> Output {
        let mut command = self.command(servers);
        let output = command.args(["run", "--offline"]).args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("Starting"), "does the crate build?\n{text}");
        output
    }

    /// What the tests saw since the last call, in the order in which they began.
    fn attempts(&self) -> Vec<Attempt> {
        let mut attempts: Vec<Attempt> = std::fs::read_dir(self.probe.path())
            .unwrap()
            .map(|entry| entry.unwrap())
            // One that was being written when its process was killed.
            .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
            .map(|entry| {
                let path = entry.path();
                let text = std::fs::read_to_string(&path).unwrap();
                std::fs::remove_file(path).unwrap();
                let fields: Vec<&str> = text.split('\t').collect();
                let [test, attempt, outcome, began, took, worker, stale, missed, events, audit, group] = *fields else {
                    panic!("{text:?}")
                };
                Attempt {
                    test: test.to_owned(),
                    attempt: attempt.parse().unwrap(),
                    outcome: outcome.to_owned(),
                    began: began.parse().unwrap(),
                    took: took.parse().unwrap(),
                    worker: worker.to_owned(),
                    stale: stale.parse().unwrap(),
                    missed: missed.parse().unwrap(),
                    topics: [events.to_owned(), audit.to_owned()],
                    group: group.to_owned(),
                }
            })
            .collect();
        attempts.sort_by_key(|attempt| attempt.began);
        attempts
    }

    fn ledgers(&self) -> Vec<PathBuf> {
        std::fs::read_dir(self.state.path()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    fn harness(&self, servers: &str) -> rstest_kafka::Harness {
        rstest_kafka::Harness::builder().bootstrap_servers(servers).state_dir(self.state.path()).build()
    }
}

fn all_ran_and_none_saw_anothers_messages(attempts: &[Attempt]) {
    let tests: BTreeSet<&str> = attempts.iter().map(|attempt| attempt.test.as_str()).collect();
    assert_eq!(tests.len(), 200);
    for attempt in attempts {
        assert_eq!((attempt.stale, attempt.missed), (0, 0), "{attempt:?}");
    }
    let retried = attempts.iter().filter(|attempt| attempt.attempt == 2).count();
    assert_eq!(retried, 36, "each that fails is tried twice");
}

#[test]
#[ignore = "needs cargo-nextest"]
fn on_the_embedded_broker_each_process_has_its_own() {
    let tested = Crate::new("nextest-embedded");
    tested.run("", &["--test-threads=8"]);
    all_ran_and_none_saw_anothers_messages(&tested.attempts());
    assert_eq!(tested.ledgers(), Vec::<PathBuf>::new(), "nothing outlives the process, so nothing is written down");
}

#[test]
#[ignore = "needs cargo-nextest"]
fn listing_tests_starts_nothing() {
    let tested = Crate::new("nextest-list");
    // Nobody answers there, so whoever asked would fail.
    let output = tested.command("127.0.0.1:1").args(["list", "--offline"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let listed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(listed.lines().filter(|line| line.contains("_")).count(), 200, "{listed}");
    assert_eq!(tested.ledgers(), Vec::<PathBuf>::new());
}

#[test]
#[ignore = "needs cargo-nextest and a real cluster in RSTEST_KAFKA_BOOTSTRAP_SERVERS"]
fn on_a_cluster_a_slots_topics_are_made_once_and_replaced_after_a_failure() {
    let servers = cluster::servers();
    let tested = Crate::new("nextest-cluster");
    let foreign = format!("{}-foreign", tested.prefix);
    cluster::make(&foreign);
    tested.run(&servers, &["--test-threads=8"]);
    let attempts = tested.attempts();
    all_ran_and_none_saw_anothers_messages(&attempts);

    let slots: BTreeSet<&str> = attempts.iter().map(|attempt| attempt.worker.as_str()).collect();
    assert!(slots.len() <= SLOTS && slots.iter().all(|slot| slot.starts_with("slot-")), "{slots:?}");
    let failures = attempts.iter().filter(|attempt| attempt.failed()).count();
    let made: BTreeSet<&String> = attempts.iter().flat_map(|attempt| &attempt.topics).collect();
    println!("{} attempts, {failures} failed, {} topics made on {} slots", attempts.len(), made.len(), slots.len());
    assert!(made.len() <= TOPICS * (slots.len() + failures), "{} topics for {failures} failures", made.len());

    // A failure ends its slot's generation: no later test has its topics. A success does not: the next one has.
    let mut previous = BTreeMap::<&str, &Attempt>::new();
    let mut reused = 0;
    for attempt in &attempts {
        if let Some(before) = previous.insert(&attempt.worker, attempt) {
            let same = before.topics == attempt.topics;
            assert!(!(before.failed() && same), "{attempt:?} has the topics of {before:?}, which failed");
            assert!(before.failed() || same || attempt.attempt > 1, "{attempt:?} follows {before:?}");
            reused += usize::from(same);
        }
    }
    println!("{reused} attempts found their topics made");
    let groups: BTreeSet<&str> = attempts.iter().map(|attempt| attempt.group.as_str()).collect();
    assert_eq!(groups.len(), attempts.len(), "a service's group is new for each lease");

    // What remains is bounded: each slot's topics, and what the last ones that were killed had.
    let left = cluster::named(&tested.prefix);
    println!("{} topics and groups remain", left.len());
    assert!(left.len() <= 1 + 3 * TOPICS * SLOTS, "{left:#?}");
    let swept = tested.harness(&servers).sweep().unwrap();
    println!("{swept}");
    assert!(swept.left.is_empty() && swept.set_aside.is_empty(), "{swept:?}");
    cluster::assert_only(&tested.prefix, &[&foreign], "after the sweep");
    assert_eq!(tested.ledgers(), Vec::<PathBuf>::new());
    cluster::delete(&BTreeSet::from([foreign]));
}

#[test]
#[ignore = "needs cargo-nextest and a real cluster in RSTEST_KAFKA_BOOTSTRAP_SERVERS"]
fn a_run_killed_at_any_moment_is_swept() {
    let servers = cluster::servers();
    let tested = Crate::new("nextest-killed");
    let foreign = format!("{}-foreign", tested.prefix);
    cluster::make(&foreign);
    // So that no kill hits the compiler.
    assert!(tested.command(&servers).args(["list", "--offline"]).output().unwrap().status.success());
    let points = cluster::kill_points(12);
    let mut with_leftovers = 0;
    for point in 0..points {
        let mut command = tested.command(&servers);
        command.args(["run", "--offline", "--test-threads=8", "-E", "not test(hang)"]);
        let mut run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // cargo and the first look at the tests take a while of their own.
        std::thread::sleep(Duration::from_millis(900 + 3_000 * u64::from(point) / u64::from(points)));
        // SIGKILL has the runner's tests go on to their end, SIGINT has it end them.
        let (signal, pid) = (["-KILL", "-INT"][point as usize % 2], run.id());
        // cargo has become cargo-nextest.
        Command::new("kill").args([signal, &pid.to_string()]).status().unwrap();
        run.wait().unwrap();
        with_leftovers += u32::from(cluster::named(&tested.prefix).len() > 1);
        // Those that go on are alive, and theirs is not touched until they have ended.
        let late = Instant::now() + Duration::from_secs(20);
        while !tested.ledgers().is_empty() {
            let swept = tested.harness(&servers).sweep().unwrap();
            assert!(swept.set_aside.is_empty(), "point {point}: {swept:?}");
            let texts = || tested.ledgers().into_iter().map(|path| (std::fs::read_to_string(&path).ok(), path));
            assert!(Instant::now() < late, "point {point}: {:#?}", texts().collect::<Vec<_>>());
            std::thread::sleep(Duration::from_millis(100));
            // As if a while had passed: a topic that was asked for just before the kill might still come. And as if a day
            // had, for a process whose runner was gone before it was a process of ours: only time tells of that one.
            for ledger in tested.ledgers() {
                let text = std::fs::read_to_string(&ledger).unwrap_or_default();
                let knows_its_runner = text.lines().next().is_some_and(|header| !header.contains(r#""runner":null"#));
                let age = Duration::from_secs(if knows_its_runner { 60 } else { 25 * 3600 });
                if let Ok(file) = std::fs::File::options().append(true).open(ledger) {
                    file.set_modified(SystemTime::now() - age).unwrap();
                }
            }
        }
        cluster::assert_only(&tested.prefix, &[&foreign], &format!("point {point}"));
        for attempt in tested.attempts() {
            assert_eq!((attempt.stale, attempt.missed), (0, 0), "point {point}: {attempt:?}");
        }
    }
    println!("{points} points, {with_leftovers} kills left something to sweep");
    assert!(with_leftovers >= points / 2, "the kills hit the run");
    cluster::delete(&BTreeSet::from([foreign]));
}

/// Not a test but a measurement: `scripts/with-kafka -- cargo test --test nextest -- --ignored --nocapture what_reuse_saves`.
#[test]
#[ignore = "measures; needs cargo-nextest and a real cluster in RSTEST_KAFKA_BOOTSTRAP_SERVERS"]
fn what_reuse_saves() {
    let servers = cluster::servers();
    let tested = Crate::new("nextest-reuse");
    let (mut cases, mut runs) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for round in 0..6 {
        for (kind, name) in ["REUSED", "FRESH"].iter().enumerate() {
            let mut command = tested.command(&servers);
            command.args(["run", "--offline", "--test-threads=1", "-E", "test(pass_1)"]).env(name, "1");
            let output = command.output().unwrap();
            assert!(output.status.success(), "{output:?}");
            // From the first process's start to the last one's end, as the runner tells it: without building and listing.
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            let summary = text.lines().find(|line| line.contains("Summary [")).unwrap();
            let seconds: f64 = summary.split(['[', 's']).find_map(|part| part.trim().parse().ok()).unwrap();
            let attempts = tested.attempts();
            if round > 0 {
                runs[kind].push(seconds * 1e3 / attempts.len() as f64);
                cases[kind].extend(attempts.iter().map(|attempt| attempt.took as f64 / 1e3));
            }
        }
    }
    let median = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let [case, run] = [&mut cases, &mut runs].map(|[reused, fresh]| (median(reused), median(fresh)));
    for (what, (reused, fresh)) in [("two topics and three messages on each", case), ("a whole process", run)] {
        println!("{what}: reused {reused:.1} ms, fresh {fresh:.1} ms, {:.1} times", fresh / reused);
    }
    tested.harness(&servers).sweep().unwrap();
    cluster::assert_only(&tested.prefix, &[], "after the sweep");
}

#[test]
#[ignore = "needs cargo-nextest and a real cluster in RSTEST_KAFKA_BOOTSTRAP_SERVERS"]
fn other_ways_to_run_work_too_and_the_next_run_sweeps() {
    let servers = cluster::servers();
    let tested = Crate::new("nextest-ways");
    let filter = ["-E", "test(pass_1)"];
    let mut first_topics = BTreeSet::new();
    for ways in [&["--no-capture"][..], &["--test-threads=1"], &["--partition=count:1/2"], &["--retries=0"]] {
        let output = tested.run(&servers, &[&filter[..], ways].concat());
        assert!(output.status.success(), "{ways:?}: {}", String::from_utf8_lossy(&output.stderr));
        let attempts = tested.attempts();
        assert!(attempts.len() >= 20 && attempts.iter().all(|attempt| !attempt.failed()), "{ways:?}");
        let topics: BTreeSet<String> = attempts.into_iter().flat_map(|attempt| attempt.topics).collect();
        assert!(topics.len() <= 2 * SLOTS, "{topics:?}");
        // The run before is over, so this one has swept what it left.
        let remain = cluster::named(&tested.prefix);
        assert!(first_topics.is_disjoint(&remain), "{ways:?}: {remain:?}");
        first_topics = topics;
    }
    // One worker id for all slots: each process that runs beside another has a worker of its own all the same.
    let mut command = tested.command(&servers);
    command.args(["run", "--offline", "--test-threads=8"]).args(filter).env("RSTEST_KAFKA_WORKER_ID", "ci");
    assert!(command.output().unwrap().status.success());
    let workers: BTreeSet<String> = tested.attempts().into_iter().map(|attempt| attempt.worker).collect();
    assert!(workers.contains("ci") && workers.len() > 1 && workers.len() <= SLOTS, "{workers:?}");
    tested.harness(&servers).sweep().unwrap();
    cluster::assert_only(&tested.prefix, &[], "after the sweep");
}
