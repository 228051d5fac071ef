//! Tests that take their lanes, and some that never give them back.

use std::collections::BTreeSet;
use std::mem;
use std::sync::{Barrier, LazyLock, Mutex};
use std::thread;
use std::time::Duration;

use rstest::rstest;
use rstest_kafka::{Harness, Kafka, kafka};

use crate::common::child::say;

mod fills_all_lanes {
    use super::*;

    static AT_ONCE: LazyLock<usize> = LazyLock::new(|| std::env::var("AT_ONCE").unwrap().parse().unwrap());
    static BARRIER: LazyLock<Barrier> = LazyLock::new(|| Barrier::new(*AT_ONCE));
    static HELD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

    /// Held until the end of the test, after its lease.
    struct Held(String);

    impl Drop for Held {
        fn drop(&mut self) {
            HELD.lock().unwrap().remove(&self.0);
        }
    }

    #[rstest]
    fn holds_one(#[values(0, 1, 2, 3, 4, 5, 6, 7)] _a: u8, #[values(0, 1, 2, 3)] _b: u8) {
        let kafka = Harness::from_environment().lease();
        let worker = kafka.worker_id().to_string();
        assert!(HELD.lock().unwrap().insert(worker.clone()), "{worker} is another running test's");
        let held = Held(worker.clone());
        // Now all that run at once hold one: their number divides that of the tests.
        BARRIER.wait();
        assert_eq!(HELD.lock().unwrap().len(), *AT_ONCE);
        say("worker", &worker);
        say("lanes", kafka.stats().lanes);
        BARRIER.wait();
        drop(held);
        drop(kafka);
    }
}

mod hangs {
    use super::*;

    #[rstest]
    #[timeout(Duration::from_millis(50))]
    fn a_hangs(kafka: Kafka) {
        say("hangs", kafka.worker_id());
        loop {
            thread::park();
        }
    }

    #[rstest]
    fn b_next(kafka: Kafka) {
        say("next", kafka.worker_id());
    }

    #[rstest]
    fn c_later(kafka: Kafka) {
        say("later", kafka.worker_id());
    }
}

mod leaks {
    use super::*;

    #[rstest]
    fn a_leaks(kafka: Kafka) {
        say("leaks", kafka.worker_id());
        match std::env::var("LEAKED").as_deref() {
            Ok("kafka") => mem::forget(kafka),
            Ok("topic_names") => mem::forget(kafka.topic_names()),
            Ok("consumers") => mem::forget(kafka.consumers()),
            Ok("pooled") => mem::forget(kafka.consumer("events")),
            other => panic!("{other:?}"),
        }
    }

    #[rstest]
    fn b_next(kafka: Kafka) {
        say("next", kafka.worker_id());
    }
}
