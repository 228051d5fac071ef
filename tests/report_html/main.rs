//! The HTML report of a run and its data, written when the processes of the run exit.

#[path = "../common/mod.rs"]
mod common;
mod reading;

use std::path::Path;
use std::time::Duration;

use common::child::{Child, Outcome};
use reading::{is_self_contained, masked, text_of};
use rstest::rstest;
use serde_json::{Value, json};

const CREATES: &str = "report::reuses::a_creates";
const REUSES: &str = "report::reuses::d_reuses";

/// A child that writes its report there, on the embedded broker, wherever the other tests run: what is deleted differs.
fn reporting(child: Child, report: &Path) -> Child {
    let child = child.env("RSTEST_KAFKA_BOOTSTRAP_SERVERS", "").env("RSTEST_KAFKA_PROPERTIES", "");
    child.env("RSTEST_KAFKA_REPORT", format!("html:{}", report.display()))
}

fn run(tests: &[&str], report: &Path) -> Outcome {
    reporting(Child::tests(tests, 1), report).run()
}

fn read(report: &Path) -> String {
    std::fs::read_to_string(report).unwrap()
}

/// The data of a report as other tools read them: the processes, and the leases.
fn data_of(report: &Path) -> (Vec<Value>, Vec<Value>) {
    let lines: Vec<Value> = read(&report.with_extension("jsonl"))
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is an object of JSON"))
        .collect();
    let of = |kind| lines.iter().filter_map(|line| line.get(kind).cloned()).collect::<Vec<_>>();
    let (processes, leases) = (of("process"), of("lease"));
    assert_eq!(processes.len() + leases.len(), lines.len(), "{lines:?}");
    (processes, leases)
}

#[rstest]
fn the_report_shows_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kafka.html");
    let outcome = reporting(Child::module("report::reuses::", 1), &path).run();
    outcome.exits_with(101).stdout_is_libtests();
    assert!(
        outcome.stderr.ends_with(&format!("rstest-kafka: the HTML report is in {}\n", path.display())),
        "{outcome}"
    );
    let report = read(&path);
    let expected = include_str!("expected.txt").lines().collect::<Vec<_>>();
    assert_eq!(masked(&report), expected, "{}", masked(&report).join("\n"));
    // Bars, waits and failures, each where the style has something to show.
    let count = |what: &str| report.matches(what).count();
    assert_eq!((count("<a class=\"bar\""), count("<a class=\"bar bad\"")), (3, 1), "{report}");
    assert_eq!(count("<span class=\"gen\""), 1, "{report}");
    assert_eq!(count("<span class=\"gen odd\""), 2, "one in the legend: {report}");
    assert_eq!(count("<i style="), 5, "one in the legend: {report}");
    is_self_contained(&report);
}

/// Field by field, as the README documents them.
#[rstest]
fn the_data_of_a_run_are_json_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kafka.html");
    reporting(Child::module("report::reuses::", 1), &path).run().exits_with(101);
    let (mut processes, mut leases) = data_of(&path);
    let process = processes[0].as_object_mut().unwrap();
    let (exited, exit_us) = (process.remove("exited").unwrap(), process.remove("exit_us").unwrap());
    assert!(exit_us.as_u64().is_some() && process.remove("runner").is_some(), "{process:?}");
    let run_id = process.remove("run_id").unwrap();
    let expected = json!({
        "version": 1, "binary": "children", "brokers": ["embedded broker"], "generations": 1, "messages_sent": 5,
    });
    assert_eq!(processes, [expected]);
    assert_eq!(leases.len(), 4);
    // The one that failed.
    let lease = leases[1].as_object_mut().unwrap();
    let started = lease.remove("started").unwrap();
    assert!(started.as_str() < exited.as_str() && started.as_str().unwrap().ends_with('Z'), "{started} {exited}");
    let [duration, waited] = ["duration_us", "waited_us"].map(|field| lease.remove(field).unwrap().as_u64().unwrap());
    let waits = lease.remove("waits_us").unwrap();
    let wait = |at: usize| waits[0][at].as_u64().unwrap();
    assert!(wait(1) == waited && wait(0) + wait(1) <= duration, "{waits} of {duration}");
    let expected = json!({
        "test": "report::reuses::b_reuses_and_fails", "binary": "children", "worker": "main", "generation": 0,
        "failed": true, "groups": [], "consumers_created": 0, "consumers_reused": 1,
        "topics": [{
            "logical": "events", "name": format!("test-events-main-{}", run_id.as_str().unwrap()), "origin": "reused",
        }],
    });
    assert_eq!(leases[1], expected);
    let origins: Vec<&str> =
        leases[0]["topics"].as_array().unwrap().iter().filter_map(|topic| topic["origin"].as_str()).collect();
    assert_eq!(origins, ["created", "exclusive"]);
}

#[rstest]
fn a_name_is_text_and_never_markup() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kafka.html");
    let child = reporting(Child::tests(&["report::has_odd_names"], 1), &path);
    child.env("RSTEST_KAFKA_WORKER_ID", "w").run().exits_with(0);
    let report = read(&path);
    is_self_contained(&report);
    let seen = text_of(&report).join("\n");
    assert!(seen.contains("&lt;/td&gt;&lt;script&gt;alert(1)&lt;/script&gt;--&gt;&lt;!--"), "{seen}");
    assert!(seen.contains("&quot; onclick=&quot;alert(1)") && seen.contains("&amp;amp;"), "{seen}");
    assert_eq!(data_of(&path).1.len(), 3);
}

/// The secret is one of the configuration of a harness that works.
#[rstest]
fn a_report_has_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kafka.html");
    let outcome = run(&["report::has_a_secret"], &path);
    let said = outcome.exits_with(0).to_string() + &read(&path) + &read(&path.with_extension("jsonl"));
    assert!(said.contains("1 worker") && said.contains("2 tests on") && !said.contains("hunter2"), "{said}");
}

#[rstest]
fn a_report_that_cannot_be_written_is_an_error_on_stderr_and_fails_no_test() {
    let folder = tempfile::tempdir().unwrap();
    let foreign = folder.path().join("Cargo.toml");
    std::fs::write(&foreign, "[package]").unwrap();
    for path in [folder.path(), &folder.path().join("missing/kafka.html"), &foreign] {
        let outcome = run(&[CREATES], path);
        outcome.exits_with(0).stdout_is_libtests().exits_within(Duration::from_secs(5));
        let said = format!("rstest-kafka: cannot write the HTML report {}: ", path.display());
        assert!(outcome.stderr.starts_with(&said) && outcome.stderr.lines().count() == 1, "{outcome}");
    }
    assert_eq!(read(&foreign), "[package]");
}

#[cfg(unix)]
#[rstest]
fn a_pipe_that_nobody_reads_delays_no_exit() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let outcome = run(&[CREATES], &pipe);
    outcome.exits_with(0).exits_within(Duration::from_secs(5));
    assert!(outcome.stderr.contains("is not a file that rstest-kafka has written"), "{outcome}");
}

/// All in one report, whichever is first and however they run beside each other.
#[cfg(target_os = "linux")]
#[rstest]
fn processes_of_one_run_share_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kafka.html");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| run(&[CREATES, REUSES], &path).exits_with(0).to_string());
        }
    });
    let text = text_of(&read(&path));
    assert_eq!(text[0], "8 tests on 1 worker, 0 failed");
    assert!(text[1].contains(" · 4 processes of children · "), "{text:?}");
    assert_eq!(text.iter().filter(|line| *line == REUSES).count(), 4, "{text:?}");
    let (processes, leases) = data_of(&path);
    assert_eq!((processes.len(), leases.len()), (4, 8));
}

#[rstest]
fn a_report_of_a_run_that_is_over_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kafka.html");
    run(&[CREATES], &path).exits_with(0);
    // As if another runner had begun it: one that has ended.
    let data = path.with_extension("jsonl");
    let mut process: Value = serde_json::from_str(read(&data).lines().next().unwrap()).unwrap();
    process["process"]["runner"] = Value::Null;
    let (version, rest) = (r#"{"process":{"version":1,"#, process["process"].as_object_mut().unwrap());
    rest.remove("version");
    rest.insert("run_id".to_owned(), "elsewhere".into());
    let rest = serde_json::to_string(rest).unwrap();
    std::fs::write(&data, format!("{version}{}}}\n", &rest[1..])).unwrap();
    run(&[CREATES], &path).exits_with(0);
    assert_eq!(text_of(&read(&path))[0], "1 test on 1 worker, 0 failed");
    assert_eq!(data_of(&path).0.len(), 1);
}

#[rstest]
fn a_path_may_give_each_process_a_report_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        run(&[CREATES], &folder.path().join("{binary}-{pid}.html")).exits_with(0);
    }
    let files = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let reports: Vec<String> = files.filter(|name| name.ends_with(".html")).collect();
    assert!(reports.len() == 2 && reports.iter().all(|name| name.starts_with("children-")), "{reports:?}");
}

#[rstest]
fn twenty_thousand_leases_are_a_report_of_bounded_size() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kafka.html");
    run(&["report::has_many_leases"], &path).exits_with(0).exits_within(Duration::from_secs(6));
    let report = read(&path);
    assert!(report.len() < 5_000_000, "{} bytes", report.len());
    let text = text_of(&report);
    assert_eq!(text[0], "20000 tests on 1 worker, 20 failed");
    assert!(text.iter().any(|line| line.starts_with("2018 of 20000 tests; the JSON lines")), "{:?}", &text[..30]);
    assert_eq!(report.matches(" id=\"l").count(), 2_018);
    assert_eq!(data_of(&path).1.len(), 20_000);
    is_self_contained(&report);
}

/// A test that hangs or was left in the middle is in the report, and shown not to have ended.
#[rstest]
fn a_test_that_has_not_ended_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kafka.html");
    run(&["report::leaks_its_lease"], &path).exits_with(0);
    let report = read(&path);
    assert!(
        report.contains("<a class=\"bar open\"") && text_of(&report).iter().any(|line| line == "not ended"),
        "{report}"
    );
    assert_eq!(data_of(&path).1[0]["duration_us"], Value::Null);
}

#[rstest]
fn the_builder_takes_a_report_and_two_harnesses_share_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kafka.html");
    let child = Child::tests(&["report::builds_two"], 1).env("REPORT", &path).in_folder(folder.path());
    let outcome = child.run();
    assert_eq!(outcome.exits_with(0).stderr.matches("the HTML report is in").count(), 2, "{outcome}");
    let report = read(&path);
    assert_eq!(text_of(&report)[0], "2 tests on 1 worker, 0 failed");
    assert!(report.contains("title=\"one-events-") && report.contains("title=\"two-events-"), "{report}");
    assert!(report.contains("--tracks:2"), "leases of one worker at one time are stacked: {report}");
    assert_eq!(outcome.once_by("made"), "false", "at exit, not before");
    assert!(folder.path().join("relative.html").exists(), "relative to the first working directory");
}
