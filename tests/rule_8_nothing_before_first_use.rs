//! Rule 8: listing tests, or running tests that use no fixture, starts no thread, opens no socket, writes no file.
//!
//! What is open is looked at while tests run and when the process ends. A thread or socket that is gone by then is told of
//! when it is made: the children's own `pthread_create` and `socket` come before the C library's.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod common;

use std::fs;
use std::path::PathBuf;

use common::child::{Child, Outcome};
use common::open_files;
use rstest::rstest;
use tempfile::TempDir;

/// A child whose folders for state, temporary files and work are one, empty so far.
struct Watched {
    child: Child,
    folder: TempDir,
}

impl Watched {
    fn new(child: Child) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = child.in_folder(folder.path()).env("WATCHED", "yes");
        for variable in ["TMPDIR", "HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "RSTEST_KAFKA_STATE_DIR"] {
            child = child.env(variable, folder.path());
        }
        Self { child, folder }
    }

    fn run(self) -> Outcome {
        let inherited = open_files();
        let outcome = self.child.run();
        assert_eq!(fs::read_dir(self.folder.path()).unwrap().count(), 0, "a file was written\n{outcome}");
        // Its own pipes and what it was started with, and nothing else.
        for look in ["at the end", "before", "after"] {
            for file in outcome.said_by(&format!("file {look}")) {
                let is_known =
                    file.starts_with("pipe:") || file == "/dev/null" || inherited.contains(&PathBuf::from(&file));
                assert!(is_known, "{file} is open {look}\n{outcome}");
            }
        }
        outcome
    }
}

/// One thread for each test was all that was ever made, and the main thread is alone at the end.
#[track_caller]
fn made_threads_for_tests_alone(outcome: &Outcome, tests: usize) {
    assert_eq!(outcome.said_by("made"), vec!["pthread_create"; tests], "{outcome}");
    assert_eq!(outcome.said_by("thread at the end").len(), 1, "{outcome}");
}

#[rstest]
#[case::pretty(&["--list"])]
#[case::terse(&["--list", "--format", "terse"])]
#[case::of_ignored_tests(&["--list", "--ignored"])]
fn listing_starts_nothing_and_prints_the_list_alone(#[case] arguments: &[&str]) {
    let outcome = Watched::new(Child::with(arguments)).run();
    outcome.exits_with(0);
    made_threads_for_tests_alone(&outcome, 0);
    let (tests, rest): (Vec<&String>, _) = outcome.stdout.iter().partition(|line| line.ends_with(": test"));
    let all_are_paths = tests.iter().all(|line| !line.trim_end_matches(": test").contains([' ', '\t']));
    let is_whole = tests.iter().any(|line| line.contains("rule_8::uses_the_fixture"));
    assert!(all_are_paths && is_whole != arguments.contains(&"--ignored"), "{outcome}");
    let rest: Vec<&str> = rest.into_iter().map(String::as_str).filter(|line| !line.is_empty()).collect();
    let count = format!("{} tests, 0 benchmarks", tests.len());
    assert!(rest.is_empty() || rest == [count.as_str()], "{rest:?}\n{outcome}");
}

#[rstest]
fn tests_without_a_fixture_start_nothing() {
    let outcome = Watched::new(Child::module("rule_8::uses_nothing::", 1)).run();
    outcome.exits_with(0).stdout_is_libtests();
    made_threads_for_tests_alone(&outcome, 2);
    // libtest's two: its own and the test's.
    for test in ["first", "second"] {
        assert_eq!(outcome.said_by(&format!("thread {test}")).len(), 2, "{outcome}");
    }
}

#[rstest]
fn a_run_in_which_a_test_fails_without_a_fixture_starts_nothing() {
    let outcome = Watched::new(Child::module("rule_8::fails_without_a_fixture::", 1)).run();
    outcome.exits_with(101).stdout_is_libtests();
    made_threads_for_tests_alone(&outcome, 1);
}

#[rstest]
fn building_a_harness_starts_nothing() {
    let outcome = Watched::new(Child::module("rule_8::builds::", 1)).run();
    outcome.exits_with(0).stdout_is_libtests();
    made_threads_for_tests_alone(&outcome, 1);
    assert_eq!(outcome.said_by("thread after"), outcome.said_by("thread before"), "{outcome}");
    assert_eq!(outcome.said_by("file after"), outcome.said_by("file before"), "{outcome}");
}

/// That what the others do not find can be found.
#[rstest]
fn using_the_fixture_starts_something() {
    let outcome = Child::module("rule_8::uses_the_fixture::", 1).env("WATCHED", "yes").run();
    outcome.exits_with(0).stdout_is_libtests();
    let made = outcome.said_by("made");
    assert!(["pthread_create", "socket"].iter().all(|what| made.iter().any(|found| found == what)), "{outcome}");
    assert!(outcome.said_by("thread in use").iter().any(|name| name.starts_with("rdk:")), "{outcome}");
    assert!(outcome.said_by("file in use").iter().any(|file| file.starts_with("socket:")), "{outcome}");
}
