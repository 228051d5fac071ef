//! Tests that tell what their process has open, in a process that tells which threads and sockets are made.

use std::fs;
use std::time::Duration;

use rstest::rstest;
use rstest_kafka::{Harness, Kafka, KeepTopics, Report, kafka};

use crate::common::child::say;
use crate::common::open_files;

/// Other children make threads and sockets as well, and are not asked about them.
fn is_watched() -> bool {
    std::env::var_os("WATCHED").is_some()
}

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

/// The last look, when the process ends, whether or not a test ran in it.
#[dtor::dtor(unsafe)]
fn at_the_end() {
    if is_watched() {
        look("at the end");
    }
}

mod made {
    use std::ffi::{CStr, c_char, c_int, c_ulong, c_void};
    use std::mem;

    use super::is_watched;
    use crate::common::child::say;

    type Start = extern "C" fn(*mut c_void) -> *mut c_void;
    type PthreadCreate = unsafe extern "C" fn(*mut c_ulong, *const c_void, Start, *mut c_void) -> c_int;
    type Socket = unsafe extern "C" fn(c_int, c_int, c_int) -> c_int;

    unsafe extern "C" {
        fn dlsym(handle: *mut c_void, symbol: *const c_char) -> *mut c_void;
    }

    /// The C library's own function of that name, and a word to the parent that it is called.
    fn next(name: &CStr) -> *mut c_void {
        if is_watched() {
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

mod uses_nothing {
    use super::*;

    #[rstest]
    fn first() {
        look("first");
    }

    #[rstest]
    fn second() {
        look("second");
    }
}

mod fails_without_a_fixture {
    use super::*;

    #[rstest]
    fn as_it_must() {
        panic!("as it must");
    }
}

mod builds {
    use super::*;

    #[rstest]
    fn and_drops() {
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

mod uses_the_fixture {
    use super::*;

    #[rstest]
    fn once(kafka: Kafka) {
        kafka.topic("events");
        look("in use");
    }
}
