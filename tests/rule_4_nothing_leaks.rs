//! Rule 4: a process that was killed, whenever, is swept up by the next run; counted by plain rdkafka.
#![cfg(unix)]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::child::{CHILD_RUN, children};
use common::cluster;
use rstest_kafka::Harness;

/// The run that is killed, with what tests do.
const CHILD: &str = "rule_4::a_run_that_may_be_killed";

/// Starts the run, with names that nobody else has.
fn start(prefix: &str, state: &Path, extra: &[(&str, &str)]) -> Child {
    start_by(Command::new(children()), prefix, state, extra)
}

fn start_by(mut command: Command, prefix: &str, state: &Path, extra: &[(&str, &str)]) -> Child {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("NEXTEST") || name.starts_with("RSTEST_KAFKA_") {
            command.env_remove(name);
        }
    }
    command
        .args(["--exact", CHILD, "--nocapture", "--test-threads=1"])
        .env(CHILD_RUN, "yes")
        .env("RSTEST_KAFKA_BOOTSTRAP_SERVERS", cluster::servers())
        .env("RSTEST_KAFKA_TOPIC_PREFIX", prefix)
        .env("RSTEST_KAFKA_GROUP_PREFIX", prefix)
        .env("RSTEST_KAFKA_STATE_DIR", state)
        // Nothing else is to stand on stderr than what went wrong.
        .env("RSTEST_KAFKA_FAILURE_REPORT", "off")
        .envs(extra.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn end(child: Child) -> (bool, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn kill(child: &Child, signal: &str) {
    let status = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

fn ledgers(state: &Path) -> Vec<String> {
    let names = std::fs::read_dir(state).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

/// A whole run of its own that sweeps in the background, as any next run does.
fn next_run(prefix: &str, state: &Path) {
    let (passed, stderr) = end(start(prefix, state, &[]));
    assert!(passed && stderr.is_empty(), "{stderr}");
}

fn prefix(name: &str) -> String {
    format!("kill-{name}-{}", std::process::id())
}

/// How long an undisturbed run takes; it leaves nothing.
fn undisturbed(name: &str) -> Duration {
    let (state, prefix) = (tempfile::tempdir().unwrap(), prefix(name));
    children();
    let clock = Instant::now();
    next_run(&prefix, state.path());
    let took = clock.elapsed();
    cluster::assert_only(&prefix, &[], "an undisturbed run");
    assert_eq!(ledgers(state.path()), Vec::<String>::new(), "and no ledger either");
    took
}

#[test]
#[ignore = "needs a real cluster in RSTEST_KAFKA_BOOTSTRAP_SERVERS"]
fn a_run_killed_at_any_moment_is_swept_by_the_next() {
    let took = undisturbed("whole");
    let points = cluster::kill_points(60);
    let mut with_leftovers = 0;
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..3)
            .map(|lane| {
                scope.spawn(move || {
                    let mut with_leftovers = 0;
                    for point in (lane..points).step_by(3) {
                        let (state, prefix) = (tempfile::tempdir().unwrap(), prefix(&format!("at-{point}")));
                        let foreign = format!("{prefix}-foreign");
                        cluster::make(&foreign);
                        let child = start(&prefix, state.path(), &[]);
                        // Evenly over a run, and a little beyond its end; not the same from one time to the next.
                        let jitter = Instant::now().elapsed().subsec_nanos() % 1_000;
                        std::thread::sleep(took * 2 * point / points + Duration::from_micros(jitter.into()));
                        kill(&child, if point % 2 == 0 { "KILL" } else { "INT" });
                        let (_, stderr) = end(child);
                        assert!(!stderr.contains("panicked"), "{stderr}");
                        with_leftovers += u32::from(cluster::named(&prefix).len() > 1);
                        let sweep = || {
                            let harness = Harness::builder().bootstrap_servers(cluster::servers());
                            let swept = harness.state_dir(state.path()).build().sweep().unwrap();
                            assert!(swept.left.is_empty() && swept.set_aside.is_empty(), "point {point}: {swept:?}");
                        };
                        if point % 4 < 2 {
                            next_run(&prefix, state.path());
                        } else {
                            sweep();
                        }
                        // What the broker was still making when the run was killed may come after that sweep. It is in
                        // the ledger as long as it may, and so the next sweep's.
                        let came_late = || !ledgers(state.path()).is_empty() && cluster::named(&prefix).len() > 1;
                        let patience = Instant::now() + Duration::from_secs(20);
                        while came_late() && Instant::now() < patience {
                            sweep();
                        }
                        cluster::assert_only(&prefix, &[&foreign], &format!("point {point}"));
                        cluster::delete(&BTreeSet::from([foreign]));
                    }
                    with_leftovers
                })
            })
            .collect();
        with_leftovers = lanes.into_iter().map(|lane| lane.join().unwrap()).sum();
    });
    println!("{points} points over twice {took:?}; {with_leftovers} kills left something to sweep");
    assert!(with_leftovers >= points / 5, "the kills hit the run: {with_leftovers}");
}

#[test]
#[ignore = "needs a real cluster in RSTEST_KAFKA_BOOTSTRAP_SERVERS"]
fn a_run_killed_between_two_steps_of_its_ledger_is_swept_by_the_next() {
    let steps = ["header:1", "remove:1", "forgotten:1", "forgotten:2", "deleted:1", "deleted:2"]
        .map(str::to_owned)
        .into_iter()
        .chain((1..=12).map(|n| format!("written:{n}")))
        .chain((1..=6).map(|n| format!("made:{n}")));
    for step in steps {
        let (state, prefix) = (tempfile::tempdir().unwrap(), prefix(&step.replace(':', "-")));
        let foreign = format!("{prefix}-foreign");
        cluster::make(&foreign);
        let (passed, stderr) = end(start(&prefix, state.path(), &[("LEDGER_FAULT", &step)]));
        assert!(!passed, "{step} was not reached: {stderr}");
        let left = cluster::named(&prefix).len() - 1;
        // Also the one that sweeps is killed before it can forget, and the next one sweeps again.
        let (_, stderr) = end(start(&prefix, state.path(), &[("LEDGER_FAULT", "swept:1")]));
        assert!(!stderr.contains("panicked"), "{step}: {stderr}");
        next_run(&prefix, state.path());
        cluster::assert_only(&prefix, &[&foreign], &format!("killed at {step}, {left} left"));
        cluster::delete(&BTreeSet::from([foreign]));
    }
}

#[test]
#[ignore = "needs a real cluster in RSTEST_KAFKA_BOOTSTRAP_SERVERS"]
fn a_slots_process_killed_before_it_could_say_that_it_ended_well_moves_the_slot_on() {
    let (state, prefix) = (tempfile::tempdir().unwrap(), prefix("slot"));
    let run = format!("{:08x}-0000-4000-8000-000000000000", std::process::id());
    let slot = [("NEXTEST_RUN_ID", run.as_str()), ("NEXTEST_TEST_GLOBAL_SLOT", "3"), ("NEXTEST_ATTEMPT", "1")];
    let generations = |names: &BTreeSet<String>| {
        let of = |name: &String| name.rsplit_once("-f").and_then(|(_, n)| n.parse::<u32>().ok()).unwrap_or(0);
        names.iter().filter(|name| name.contains("events-slot-3")).map(of).collect::<BTreeSet<_>>()
    };
    // Two failures in each run of the child; the last generation's topics stay for the next process.
    next_run_in(&prefix, state.path(), &slot, true);
    let first = generations(&cluster::named(&prefix));
    assert_eq!(first, BTreeSet::new(), "the last lease failed, so nothing is left to reuse");
    // Each begins beyond all that the one before may have used, and moves on by its own two failures, unless it is killed.
    for (fault, last) in [("close:1", 4), ("made:1", 5), ("none", 8)] {
        let faulty = [&slot[..], &[("LEDGER_FAULT", fault)]].concat();
        next_run_in(&prefix, state.path(), &faulty, fault == "none");
        let text: String = ledgers(state.path())
            .iter()
            .filter(|name| name.contains("slot-3"))
            .map(|name| std::fs::read_to_string(state.path().join(name)).unwrap())
            .collect();
        let mut lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let begun = lines.rfind(|line| line["event"] == "begun");
        assert_eq!(begun.unwrap()["generation"], last, "{fault}: {text}");
    }
    // Its runner cannot be told, so only time shows that it is dead.
    let harness = Harness::builder().bootstrap_servers(cluster::servers()).state_dir(state.path()).build();
    if std::env::var_os("NEXTEST").is_none() {
        for name in ledgers(state.path()) {
            let file = std::fs::File::options().append(true).open(state.path().join(name)).unwrap();
            file.set_modified(std::time::SystemTime::now() - Duration::from_secs(25 * 3600)).unwrap();
        }
        harness.sweep().unwrap();
        cluster::assert_only(&prefix, &[], "a day later");
        assert_eq!(ledgers(state.path()), Vec::<String>::new());
    } else {
        cluster::delete(&cluster::named(&prefix));
    }
}

/// A runner that is killed at once leaves a process behind that has no lease yet, and later has no runner to name.
#[test]
#[ignore = "needs a real cluster in RSTEST_KAFKA_BOOTSTRAP_SERVERS"]
fn a_slots_process_whose_runner_was_killed_before_its_first_lease_is_swept() {
    let (state, prefix) = (tempfile::tempdir().unwrap(), prefix("orphan"));
    let run = format!("{:08x}-0000-4000-8000-000000000001", std::process::id());
    let begun = state.path().join("begun");
    let mut runner = Command::new("sh");
    let until_begun = r#""$0" "$@" & until [ -e "$BEGUN_AS_AN_ORPHAN_TO_BE" ]; do sleep 0.01; done; kill -KILL $$"#;
    runner.args(["-c", until_begun]).arg(children());
    let slot = [
        ("NEXTEST_RUN_ID", run.as_str()),
        ("NEXTEST_TEST_GLOBAL_SLOT", "1"),
        ("BEGUN_AS_AN_ORPHAN_TO_BE", begun.to_str().unwrap()),
    ];
    // Its end is the end of the orphan, which has its stderr.
    let (_, stderr) = end(start_by(runner, &prefix, state.path(), &slot));
    assert!(begun.exists() && !stderr.contains("panicked"), "{stderr}");
    std::fs::remove_file(begun).unwrap();
    assert!(!ledgers(state.path()).is_empty(), "its slot's topics are left to its run");
    let harness = Harness::builder().bootstrap_servers(cluster::servers()).state_dir(state.path()).build();
    harness.sweep().unwrap();
    cluster::assert_only(&prefix, &[], "after the sweep");
    assert_eq!(ledgers(state.path()), Vec::<String>::new());
}

fn next_run_in(prefix: &str, state: &Path, environment: &[(&str, &str)], passes: bool) {
    let (passed, stderr) = end(start(prefix, state, environment));
    assert_eq!(passed, passes, "{stderr}");
}
