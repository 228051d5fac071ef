//! Rule 8: listing tests, or running tests that use no fixture, starts no thread, opens no socket, writes no file.
//!
//! What is open is looked at while tests run and when the process ends. A thread or socket that is gone by then is told of
//! when it is made: this binary's own `pthread_create` and `socket` stand before the C library's.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use common::child::{Child, Outcome, is_child, only_in_a_child, say};
use rstest::rstest;
use rstest_kafka::{Harness, Kafka, KeepTopics, Report, kafka};
use tempfile::TempDir;

/// What this process has: the names of its threads, and what its file descriptors stand for.
fn look(who: &str) {
    for task in fs::read_dir("/proc/self/task").unwrap().flatten() {
        if let Ok(name) = fs::read_to_string(task.path().join("comm")) {
            say(&format!("thread {who}"), name.trim());
        }
    }
    for target in open_files() {
        say(&format!("file {who}"), target.display());
    }
}

/// Without the folder that is read to learn them.
fn open_files() -> BTreeSet<PathBuf> {
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    open.filter(|target| !target.starts_with("/proc")).collect()
}

/// The last look, when the process ends, whether or not a test ran in it.
#[dtor::dtor(unsafe)]
fn at_the_end() {
    if is_child() {
        look("at the end");
    }
}

mod made {
    use std::ffi::{CStr, c_char, c_int, c_ulong, c_void};
    use std::mem;

    use super::{is_child, say};

    type Start = extern "C" fn(*mut c_void) -> *mut c_void;
    type PthreadCreate = unsafe extern "C" fn(*mut c_ulong, *const c_void, Start, *mut c_void) -> c_int;
    type Socket = unsafe extern "C" fn(c_int, c_int, c_int) -> c_int;

    unsafe extern "C" {
        fn dlsym(handle: *mut c_void, symbol: *const c_char) -> *mut c_void;
    }

    /// The C library's own function of that name, and a word to the parent that it is called.
    fn next(name: &CStr) -> *mut c_void {
        if is_child() {
            say("made", name.to_str().unwrap());
        }
        // `RTLD_NEXT`, as glibc has it: search behind this binary.
        // SAFETY: the name ends with a nul.
        let found = unsafe { dlsym(-1_isize as *mut c_void, name.as_ptr()) };
        assert!(!found.is_null());
        found
    }

    // SAFETY: it has the signature of the C library's and does what that does.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn pthread_create(
        thread: *mut c_ulong,
        attributes: *const c_void,
        start: Start,
        argument: *mut c_void,
    ) -> c_int {
        // SAFETY: the C library's function of this name has this signature; the arguments are the caller's.
        unsafe {
            mem::transmute::<*mut c_void, PthreadCreate>(next(c"pthread_create"))(thread, attributes, start, argument)
        }
    }

    // SAFETY: as above.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
        // SAFETY: as above.
        unsafe { mem::transmute::<*mut c_void, Socket>(next(c"socket"))(domain, kind, protocol) }
    }
}

/// A child whose folders for state, temporary files and work are one, empty so far.
struct Watched {
    child: Child,
    folder: TempDir,
}

impl Watched {
    fn new(child: Child) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = child.in_folder(folder.path());
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
    let outcome = Watched::new(Child::with_arguments(arguments)).run();
    outcome.exits_with(0);
    made_threads_for_tests_alone(&outcome, 0);
    let (tests, rest): (Vec<&String>, _) = outcome.stdout.iter().partition(|line| line.ends_with(": test"));
    let all_are_paths = tests.iter().all(|line| !line.trim_end_matches(": test").contains([' ', '\t']));
    assert!(all_are_paths && tests.iter().any(|line| line.contains("child_uses_the_fixture")), "{outcome}");
    let rest: Vec<&str> = rest.into_iter().map(String::as_str).filter(|line| !line.is_empty()).collect();
    let count = format!("{} tests, 0 benchmarks", tests.len());
    assert!(rest.is_empty() || rest == [count.as_str()], "{rest:?}\n{outcome}");
}

#[rstest]
fn tests_without_a_fixture_start_nothing() {
    let outcome = Watched::new(Child::of_module("child_uses_nothing::", 1)).run();
    outcome.exits_with(0).stdout_is_libtests();
    made_threads_for_tests_alone(&outcome, 2);
    // libtest's two: its own and the test's.
    for test in ["first", "second"] {
        assert_eq!(outcome.said_by(&format!("thread {test}")).len(), 2, "{outcome}");
    }
}

#[rstest]
fn a_run_in_which_a_test_fails_without_a_fixture_starts_nothing() {
    let outcome = Watched::new(Child::of_module("child_fails_without_a_fixture::", 1)).run();
    outcome.exits_with(101).stdout_is_libtests();
    made_threads_for_tests_alone(&outcome, 1);
}

#[rstest]
fn building_a_harness_starts_nothing() {
    let outcome = Watched::new(Child::of_module("child_builds::", 1)).run();
    outcome.exits_with(0).stdout_is_libtests();
    made_threads_for_tests_alone(&outcome, 1);
    assert_eq!(outcome.said_by("thread after"), outcome.said_by("thread before"), "{outcome}");
    assert_eq!(outcome.said_by("file after"), outcome.said_by("file before"), "{outcome}");
}

/// That what the others do not find can be found.
#[rstest]
fn using_the_fixture_starts_something() {
    let outcome = Child::of_module("child_uses_the_fixture::", 1).run();
    outcome.exits_with(0).stdout_is_libtests();
    let made = outcome.said_by("made");
    assert!(["pthread_create", "socket"].iter().all(|what| made.iter().any(|found| found == what)), "{outcome}");
    assert!(outcome.said_by("thread in use").iter().any(|name| name.starts_with("rdk:")), "{outcome}");
    assert!(outcome.said_by("file in use").iter().any(|file| file.starts_with("socket:")), "{outcome}");
}

mod child_uses_nothing {
    use super::*;

    #[rstest]
    #[ignore = "run by tests_without_a_fixture_start_nothing"]
    fn first() {
        only_in_a_child();
        look("first");
    }

    #[rstest]
    #[ignore = "run by tests_without_a_fixture_start_nothing"]
    fn second() {
        only_in_a_child();
        look("second");
    }
}

mod child_fails_without_a_fixture {
    use super::*;

    #[rstest]
    #[ignore = "run by a_run_in_which_a_test_fails_without_a_fixture_starts_nothing"]
    fn as_it_must() {
        only_in_a_child();
        panic!("as it must");
    }
}

mod child_builds {
    use super::*;

    #[rstest]
    #[ignore = "run by building_a_harness_starts_nothing"]
    fn and_drops() {
        only_in_a_child();
        look("before");
        let full = Harness::builder()
            .topic_prefix("relay")
            .group_prefix("relay")
            .worker_id("w")
            .partitions(3)
            .replication_factor(1)
            .embedded_brokers(3)
            .timeout(Duration::from_secs(1))
            .exit_deadline(Duration::from_secs(1))
            .max_idle_consumers(3)
            .keep_topics(KeepTopics::Always)
            .report(Report::Summary);
        let cluster = Harness::builder().bootstrap_servers("127.0.0.1:1");
        let harnesses =
            [full.clone().build(), full.try_build().unwrap(), cluster.clone().build(), cluster.try_build().unwrap()];
        for harness in &harnesses {
            assert_eq!(harness.stats(), rstest_kafka::Stats::default());
            assert!(!format!("{harness:?}").is_empty());
        }
        // One that cannot be: a lease of it is an error, and no more.
        let invalid = Harness::builder().partitions(0);
        assert!(invalid.clone().try_build().is_err());
        assert!(invalid.build().try_lease().is_err());
        assert_eq!(Harness::from_environment().stats().leases, 0);
        look("after");
        drop(harnesses);
    }
}

mod child_uses_the_fixture {
    use super::*;

    #[rstest]
    #[ignore = "run by using_the_fixture_starts_something"]
    fn once(kafka: Kafka) {
        only_in_a_child();
        kafka.topic("events");
        look("in use");
    }
}
