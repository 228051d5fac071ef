//! The report: what a run did, told at its end, and never on stdout.

mod common;

use common::child::{Child, Outcome, only_in_a_child};
use rstest::rstest;
use rstest_kafka::{Kafka, TopicSpec, kafka};

const REPORT: &str = "RSTEST_KAFKA_REPORT";

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
fn the_summary_says_what_was_made_and_what_was_reused() {
    let outcome = Child::of_module("child_reuses::", 1).env(REPORT, "summary").run();
    outcome.exits_with(101).stdout_is_libtests();
    let expected = [
        "rstest-kafka: 4 tests on 1 worker: 1 failed, 1 new generation",
        "  topics     3 made in # ms, 2 reused in # ms",
        "  consumers  2 made in # ms, 2 reused in # ms, 1 retired",
        "  messages   5 sent, # ms spent waiting",
        "  saved      # ms by reuse",
        "  exit       1 consumer closed, 0 topics and 0 groups deleted in # ms",
    ];
    assert_eq!(summary(&outcome), expected, "{outcome}");
}

#[rstest]
fn without_a_reuse_nothing_was_saved() {
    let outcome = Child::of_tests(&["child_reuses::a_makes"], 1).env(REPORT, "summary").run();
    outcome.exits_with(0);
    assert!(outcome.stderr.contains("  saved      0 ms by reuse\n"), "{outcome}");
}

#[rstest]
fn without_being_asked_nothing_is_said() {
    for report in ["", "off"] {
        let outcome = Child::of_tests(&["child_reuses::a_makes"], 1).env(REPORT, report).run();
        assert_eq!(outcome.exits_with(0).stderr, "", "{outcome}");
    }
}

#[rstest]
fn harnesses_that_are_gone_count_too() {
    let outcome = Child::of_tests(&["child_has_two_harnesses"], 1).env(REPORT, "summary").run();
    let said = summary(outcome.exits_with(0));
    assert_eq!(said[0], "rstest-kafka: 3 tests on 1 worker: 0 failed, 0 new generations", "{outcome}");
    assert_eq!(said.len(), 6, "one summary for all: {outcome}");
}

#[rstest]
#[ignore = "the other process of a test above"]
fn child_has_two_harnesses(kafka: Kafka) {
    only_in_a_child();
    for prefix in ["one", "two"] {
        rstest_kafka::Harness::builder().topic_prefix(prefix).build().lease().topic("events");
    }
    kafka.topic("events");
}

/// One after another on one worker; the second fails.
mod child_reuses {
    use super::*;

    fn plays(kafka: &Kafka) {
        only_in_a_child();
        let consumer = kafka.consumer("events");
        kafka.send("events", "key", "value");
        consumer.recv();
    }

    #[rstest]
    #[ignore = "the other process of a test above"]
    fn a_makes(kafka: Kafka) {
        plays(&kafka);
        kafka.topic(TopicSpec::new("scratch").exclusive());
    }

    #[rstest]
    #[ignore = "the other process of a test above"]
    fn b_reuses_and_fails(kafka: Kafka) {
        plays(&kafka);
        panic!("as it must");
    }

    #[rstest]
    #[ignore = "the other process of a test above"]
    fn c_makes_anew(kafka: Kafka) {
        plays(&kafka);
    }

    #[rstest]
    #[ignore = "the other process of a test above"]
    fn d_reuses(kafka: Kafka) {
        plays(&kafka);
        kafka.send("events", "key", "left");
    }
}
