//! What the consumers of a failed test have open goes away.

use rstest::rstest;
use rstest_kafka::{Harness, PooledConsumer};

use crate::common::look::name_of;
use crate::common::{comes_true, lease};

/// Threads of librdkafka's, and open files, of this process.
fn open_now() -> (usize, usize) {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let native = tasks.filter(|task| {
        // One that has ended meanwhile has no name any more.
        std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.starts_with("rdk:"))
    });
    (native.count(), std::fs::read_dir("/proc/self/fd").unwrap().count())
}

#[rstest]
fn counts_what_is_open() {
    let harness = Harness::from_environment();
    let with_one = lease(harness, |kafka| {
        let consumer = kafka.consumer("events");
        kafka.send("events", "k", "v");
        consumer.recv();
        open_now()
    });
    let (stale, with_eight): (Vec<String>, _) = lease(harness, |kafka| {
        let consumers: Vec<PooledConsumer> = (0..8).map(|_| kafka.consumer("events")).collect();
        kafka.send("events", "k", "v");
        consumers.iter().for_each(|consumer| drop(consumer.recv()));
        kafka.mark_failed();
        (consumers.iter().map(name_of).collect(), open_now())
    });
    assert!(with_eight.0 > with_one.0 && with_eight.1 > with_one.1, "{with_eight:?} with eight, {with_one:?} with one");
    // Of the next lease's eight none is one of those, also while they are being closed.
    lease(harness, |kafka| {
        let consumers: Vec<PooledConsumer> = (0..8).map(|_| kafka.consumer("events")).collect();
        assert!(consumers.iter().all(|consumer| !stale.contains(&name_of(consumer))));
        kafka.mark_failed();
    });
    assert!(comes_true(|| harness.stats().consumers_retired == 16), "{}", harness.stats());
    assert_eq!(harness.stats().consumers_idle, 0);
    lease(harness, |kafka| {
        let _consumer = kafka.consumer("events");
        // A client connects when it has something to ask, so that one may have a few files more than another had.
        let files_of_one = (with_eight.1 - with_one.1).div_ceil(7);
        let closed = comes_true(|| {
            let (threads, files) = open_now();
            threads <= with_one.0 && files <= with_one.1 + files_of_one
        });
        assert!(closed, "{:?} are open, {with_one:?} were with one consumer", open_now());
    });
}
