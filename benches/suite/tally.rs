//! What a suite has made and asked for, written at its exit to the file that `SUITE_REPORT` names.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rstest_kafka::{Harness, Kafka};
use serde_json::json;

use crate::common::embedded::Embedded;
use crate::common::is_embedded;

/// By hand: those that this crate makes it counts itself.
static TOPICS: AtomicUsize = AtomicUsize::new(0);
static EMBEDDED: OnceLock<Option<Embedded>> = OnceLock::new();

pub fn topic() {
    TOPICS.fetch_add(1, Ordering::Relaxed);
}

/// Of a suite with this crate.
pub fn of(kafka: &Kafka) {
    count(is_embedded(kafka).then(|| Embedded::of(kafka)));
}

/// From now on, if anybody wants to know; only the embedded broker can be asked from here.
pub fn count(embedded: Option<Embedded>) {
    EMBEDDED.get_or_init(|| {
        if std::env::var_os("SUITE_REPORT").is_some() {
            // After the harness's own, so that this one runs first, while its broker is there.
            // SAFETY: the function does not unwind: what fails in it is ignored.
            #[cfg(unix)]
            unsafe {
                libc::atexit(write)
            };
        }
        if let Some(embedded) = &embedded {
            embedded.start_counting();
        }
        embedded
    });
}

extern "C" fn write() {
    let Some(path) = std::env::var_os("SUITE_REPORT") else { return };
    let topics = TOPICS.load(Ordering::Relaxed) as u64 + Harness::from_environment().stats().topics_made;
    let requests = EMBEDDED.get().and_then(Option::as_ref).map(Embedded::count);
    let _ = std::fs::write(path, json!({ "topics": topics, "requests": requests }).to_string());
}
