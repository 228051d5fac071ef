//! What several test files share.
#![allow(dead_code, reason = "each test file uses its own part of it")]

pub mod cargo;
pub mod child;
pub mod cluster;
pub mod embedded;
pub mod foreign;
pub mod look;
pub mod transactions;

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};
use std::{panic, thread};

use rstest_kafka::{Harness, Kafka, ProducerRecord, Record};

/// Runs `body` as libtest runs a test: on a thread of its own, with whose end its lane is free again.
pub fn thread_of_a_test<T: Send>(body: impl FnOnce() -> T + Send) -> thread::Result<T> {
    // Joined by hand: the end of a scope does not wait for a thread's locals, of which the lane is one.
    thread::scope(|scope| scope.spawn(body).join())
}

/// One test after another with this harness; what it asserts fails the caller's test.
pub fn lease<T: Send>(harness: &Harness, body: impl FnOnce(Kafka) -> T + Send) -> T {
    match thread_of_a_test(|| body(harness.lease())) {
        Ok(value) => value,
        Err(panic) => panic::resume_unwind(panic),
    }
}

static ALONE: RwLock<()> = RwLock::new(());

/// Until it is dropped no other test of this file runs that calls this or [`beside_others`], so that leases one after another are on
/// the same lane.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    ALONE.write().unwrap_or_else(PoisonError::into_inner)
}

/// Until it is dropped no test runs that is to be [`alone`].
pub fn beside_others() -> RwLockReadGuard<'static, ()> {
    ALONE.read().unwrap_or_else(PoisonError::into_inner)
}

/// Sends to one partition.
pub fn put(kafka: &Kafka, topic: &str, partition: i32, text: &str) -> i64 {
    kafka.send_record(topic, ProducerRecord::value(text).partition(partition)).offset
}

/// The values in alphabetical order: partitions have none among them.
pub fn sorted(records: &[Record]) -> Vec<String> {
    let mut texts = in_order(records);
    texts.sort();
    texts
}

/// The values in the order of arrival.
pub fn in_order(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| record.text().to_owned()).collect()
}

/// Waits for a condition, looking again and again; false if it does not come.
pub fn comes_true(mut condition: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(20) {
        if condition() {
            return true;
        }
        thread::park_timeout(Duration::from_millis(5));
    }
    condition()
}

/// What the descriptors of this process stand for, without the folder that is read to learn that.
#[cfg(target_os = "linux")]
pub fn open_files() -> std::collections::BTreeSet<std::path::PathBuf> {
    use std::fs;
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    open.filter(|target| !target.starts_with("/proc")).collect()
}
