//! The summary of a run on stderr when the process exits, and the values of the setting.

mod common;

use common::child::{Child, Outcome};
use rstest::rstest;

const REPORT: &str = "RSTEST_KAFKA_REPORT";

/// A child on the embedded broker, wherever the other tests are played: what is deleted differs.
fn embedded(child: Child) -> Child {
    child.env("RSTEST_KAFKA_BOOTSTRAP_SERVERS", "").env("RSTEST_KAFKA_PROPERTIES", "")
}

/// The summary on a child's stderr, with its durations masked; 0 stays.
fn summary(outcome: &Outcome) -> Vec<String> {
    let lines = outcome.stderr.lines().skip_while(|line| !line.starts_with("rstest-kafka: "));
    let ours = |line: &&str| line.starts_with("rstest-kafka: ") || line.starts_with("  ");
    lines.take_while(ours).map(masked).collect()
}

fn masked(line: &str) -> String {
    let mut words: Vec<&str> = line.split(' ').collect();
    for at in 1..words.len() {
        let is_unit = matches!(words[at].trim_end_matches(','), "ms" | "s");
        if is_unit && words[at - 1].parse::<f64>().is_ok() && words[at - 1].contains('.') {
            words[at - 1] = "#";
            words[at] = if words[at].ends_with(',') { "ms," } else { "ms" };
        }
    }
    words.join(" ")
}

#[rstest]
fn the_summary_shows_what_was_created_and_what_was_reused() {
    let outcome = embedded(Child::module("report::reuses::", 1));
    let outcome = outcome.env(REPORT, "summary").env("RSTEST_KAFKA_FAILURE_REPORT", "off").run();
    outcome.exits_with(101).stdout_is_libtests();
    let expected = [
        "rstest-kafka: 4 tests on 1 worker: 1 failed, 1 new generation",
        "  topics     3 created, 2 reused",
        "  consumers  2 created, 2 reused, 1 retired",
        "  messages   5 sent",
        "  exit       1 consumer closed, 0 topics and 0 groups deleted in # ms",
    ];
    assert_eq!(summary(&outcome), expected, "{outcome}");
}

#[rstest]
fn without_being_asked_nothing_is_said() {
    for report in ["", "off"] {
        let outcome = Child::tests(&["report::reuses::a_creates"], 1).env(REPORT, report).run();
        assert_eq!(outcome.exits_with(0).stderr, "", "{outcome}");
    }
}

#[rstest]
fn harnesses_that_are_gone_count_too() {
    let outcome = Child::tests(&["report::has_two_harnesses"], 1).env(REPORT, "summary").run();
    let said = summary(outcome.exits_with(0));
    assert_eq!(said[0], "rstest-kafka: 3 tests on 1 worker: 0 failed, 0 new generations", "{outcome}");
    assert_eq!(said.len(), 5, "one summary for all: {outcome}");
}

#[rstest]
fn a_value_that_is_not_taken_is_named() {
    for value in ["html", "html:", "HTML:a", "yes"] {
        let outcome = Child::tests(&["report::reuses::a_creates"], 1).env(REPORT, value).run();
        outcome.exits_with(101);
        let says =
            format!("RSTEST_KAFKA_REPORT is {value:?}: it takes off, summary, or html: and the path of an HTML report");
        assert!(outcome.stderr.contains(&says), "{outcome}");
    }
}

/// Without the feature; with it, the tests of `report_html` write one.
#[cfg(not(feature = "report"))]
#[rstest]
fn an_html_report_takes_the_feature() {
    let folder = tempfile::tempdir().unwrap();
    let child = Child::tests(&["report::reuses::a_creates"], 1).env(REPORT, "html:kafka.html");
    let outcome = child.in_folder(folder.path()).run();
    outcome.exits_with(101);
    assert!(
        outcome.stderr.contains("RSTEST_KAFKA_REPORT") && outcome.stderr.contains("the feature `report`"),
        "{outcome}"
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// The secret is one of the configuration of a harness that works.
#[rstest]
fn the_summary_has_no_secret() {
    let outcome = Child::tests(&["report::has_a_secret"], 1).env(REPORT, "summary").run();
    let said = outcome.exits_with(0).to_string();
    assert!(said.contains("2 tests on") && !said.contains("hunter2"), "{said}");
}
