//! Rule 6: cleanup never decides a test: whatever ends a process, its exit code and its stdout are libtest's, within the
//! deadline of the exit.

mod common;

use std::time::Duration;

use common::child::{Child, Outcome};
use rstest::rstest;

/// The exit's deadline in the children.
const EXIT_DEADLINE: Duration = Duration::from_secs(2);

/// What the exit's deadline leaves out: the threads of the exit say what they left, and the process itself ends.
const AND_A_LITTLE: Duration = Duration::from_secs(1);

/// What the issue demands of an exit with 32 idle consumers.
const EXIT_WITH_32_CONSUMERS: Duration = Duration::from_secs(1);

fn run(module: &str) -> Outcome {
    let deadline = EXIT_DEADLINE.as_millis().to_string();
    Child::module(module, 1).env("RSTEST_KAFKA_EXIT_DEADLINE_MS", deadline).run()
}

impl Outcome {
    #[track_caller]
    fn ends_as_libtest_would(&self, code: i32) -> &Self {
        self.exits_with(code).stdout_is_libtests().exits_within(EXIT_DEADLINE + AND_A_LITTLE)
    }

    /// Nothing panicked that no test of the child announced: an exit function, a Drop.
    #[track_caller]
    fn panics_only_as_announced(&self) -> &Self {
        let mut lines = self.stderr.lines();
        while let Some(line) = lines.next() {
            if line.contains(" panicked at ") {
                let message = lines.next().unwrap_or_default();
                let announced = ["as it must", "Timeout ", "child says "].iter().any(|known| message.contains(known));
                assert!(announced, "{message:?}\n{self}");
            }
        }
        self
    }
}

#[rstest]
fn all_tests_pass() {
    let outcome = run("rule_6::passes::");
    outcome.ends_as_libtest_would(0).panics_only_as_announced();
    assert_eq!(outcome.said_by("test").len(), 3, "{outcome}");
}

#[rstest]
fn all_tests_pass_and_the_report_goes_to_stderr() {
    let report = Child::module("rule_6::passes::", 1).env("RSTEST_KAFKA_REPORT", "summary").run();
    report.ends_as_libtest_would(0);
    assert!(report.stderr.contains("rstest-kafka: 3 tests"), "{report}");
}

#[rstest]
fn some_tests_fail() {
    let outcome = run("rule_6::fails::");
    outcome.ends_as_libtest_would(101).panics_only_as_announced();
    outcome.test_was("rule_6::fails::b_panics", "FAILED").test_was("rule_6::fails::c_passes", "ok");
}

#[rstest]
fn a_test_still_hangs() {
    let outcome = run("rule_6::hangs::");
    outcome.ends_as_libtest_would(101).panics_only_as_announced();
    assert_eq!(outcome.said_by("hangs").len(), 4, "{outcome}");
}

#[rstest]
fn a_test_calls_exit() {
    let outcome = run("rule_6::exits::");
    outcome.exits_with(7).panics_only_as_announced();
    assert_eq!(outcome.said_by("exits").len(), 1, "{outcome}");
}

#[rstest]
fn the_embedded_broker_is_gone() {
    let outcome = run("rule_6::broker_lost::loses_its_embedded_broker::");
    outcome.ends_as_libtest_would(0).panics_only_as_announced();
    assert_eq!(outcome.once_by("consumers"), "8", "{outcome}");
}

#[rstest]
fn the_embedded_broker_does_not_answer_a_consumer_that_leaves_its_group() {
    let outcome = run("rule_6::broker_lost::leaks_a_member_of_a_group::");
    outcome.ends_as_libtest_would(0).panics_only_as_announced();
    assert!(outcome.stderr.contains("rstest-kafka: 1 consumers did not close in time"), "{outcome}");
}

#[rstest]
fn the_broker_is_gone_that_topics_are_to_be_deleted_on() {
    let outcome = run("rule_6::broker_lost::loses_its_cluster::");
    outcome.ends_as_libtest_would(0).panics_only_as_announced();
    let name = outcome.once_by("named");
    assert!(outcome.stderr.contains(&format!("rstest-kafka: {name} is left on broker")), "{outcome}");
}

#[rstest]
fn the_broker_never_answered() {
    let outcome = run("rule_6::broker_lost::has_no_broker::");
    outcome.ends_as_libtest_would(101);
    assert!(outcome.stderr.contains("127.0.0.1:1 did not respond"), "{outcome}");
}

#[rstest]
fn a_consumer_is_dropped_while_unwinding() {
    let outcome = run("rule_6::unwinds::");
    outcome.ends_as_libtest_would(101).panics_only_as_announced();
    for test in ["idle", "paused", "subscribed", "assigned_elsewhere", "read_halfway", "several", "in_a_thread"] {
        outcome.test_was(&format!("rule_6::unwinds::{test}"), "FAILED");
    }
    outcome.test_was("rule_6::unwinds::zz_the_next_test", "ok");
}

#[rstest]
fn the_exit_with_32_idle_consumers_is_short() {
    let outcome = run("rule_6::has_32_idle_consumers::");
    outcome.exits_with(0).stdout_is_libtests();
    assert_eq!(outcome.once_by("idle"), "32", "{outcome}");
    outcome.exits_within(EXIT_WITH_32_CONSUMERS);
}
