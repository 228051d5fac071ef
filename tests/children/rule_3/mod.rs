//! Each way to fail, and each way to pass: one test between a look at its worker before and a look after it.

mod fails;
#[cfg(target_os = "linux")]
mod open;
mod passes;

use std::sync::Mutex;

use rstest::rstest;
use rstest_kafka::{Harness, Kafka, kafka};

use crate::common::child::say;
use crate::common::look::Look;
use crate::common::{comes_true, lease};

#[rstest]
fn a_look_before(kafka: Kafka) {
    Look::at(&kafka).say("before");
}

#[rstest]
fn z_look_after() {
    fails::let_what_hangs_end();
    let harness = Harness::from_environment();
    // The lane of one that hung is free when it has ended, which nobody is told: until then this is on another one.
    let on_the_first_lane = || {
        let look =
            lease(harness, |kafka| (kafka.worker_id().as_str() == *WORKER.lock().unwrap()).then(|| Look::at(&kafka)));
        look.map(|look| look.say("after")).is_some()
    };
    assert!(comes_true(on_the_first_lane));
    say("retired", harness.stats().consumers_retired);
}

/// The worker of the row, where `z_look_after` looks.
static WORKER: Mutex<String> = Mutex::new(String::new());

/// What each row does first.
fn begin(kafka: &Kafka) {
    let look = Look::at(kafka);
    look.say("row");
    WORKER.lock().unwrap().clone_from(&look.worker);
}

#[derive(Debug)]
struct Refused;

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("refused")
    }
}

impl std::error::Error for Refused {}

fn refuse() -> Result<(), Refused> {
    Err(Refused)
}
