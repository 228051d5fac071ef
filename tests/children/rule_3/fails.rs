//! Tests that fail, each in a way of its own.

use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rstest::{fixture, rstest};
use rstest_kafka::{Consumers, Harness, Kafka, TestError, TestResult, TopicNames};
use rstest_kafka::{consumers, kafka, topic_names};

use super::{begin, refuse};
use crate::common::comes_true;

static MAY_END: AtomicBool = AtomicBool::new(false);

pub(super) fn let_what_hangs_end() {
    MAY_END.store(true, Ordering::SeqCst);
}

/// Longer than the test's timeout.
fn hang() {
    assert!(comes_true(|| MAY_END.load(Ordering::SeqCst)));
}

#[rstest]
fn panic_in_the_body(kafka: Kafka) {
    begin(&kafka);
    panic!("as it must");
}

#[rstest]
#[tokio::test]
async fn panic_on_tokio_current_thread(kafka: Kafka) {
    begin(&kafka);
    tokio::task::yield_now().await;
    panic!("as it must");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn panic_on_tokio_multi_thread(kafka: Kafka) {
    begin(&kafka);
    tokio::task::yield_now().await;
    panic!("as it must");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn panic_in_a_joined_task(kafka: Kafka) {
    begin(&kafka);
    tokio::spawn(async { panic!("as it must") }).await.unwrap()
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn panic_in_a_joined_task_that_has_the_fixture(kafka: Kafka) {
    begin(&kafka);
    let task = tokio::spawn(async move {
        let _kafka = kafka;
        panic!("as it must")
    });
    task.await.unwrap()
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn panic_in_a_joined_task_that_is_resumed(kafka: Kafka) {
    begin(&kafka);
    let task = tokio::spawn(async move {
        let _kafka = kafka;
        panic!("as it must")
    });
    let Err(error) = task.await;
    // No panic hook sees it on this thread.
    panic::resume_unwind(error.into_panic())
}

#[rstest]
fn panic_in_a_joined_thread(kafka: Kafka) {
    begin(&kafka);
    thread::spawn(|| panic!("as it must")).join().unwrap()
}

#[rstest]
fn panic_in_a_joined_thread_that_has_the_fixture(kafka: Kafka) {
    begin(&kafka);
    let body = move || {
        let _kafka = kafka;
        panic!("as it must")
    };
    thread::spawn(body).join().unwrap()
}

#[rstest]
fn panic_in_a_thread_scope(kafka: Kafka) {
    begin(&kafka);
    thread::scope(|scope| {
        scope.spawn(|| {
            kafka.send("events", "k", "v");
            panic!("as it must")
        });
    });
}

#[fixture]
fn later() -> u8 {
    panic!("as it must")
}

#[fixture]
fn looked_at(kafka: Kafka) -> Kafka {
    begin(&kafka);
    kafka
}

#[rstest]
fn panic_in_a_later_fixture(looked_at: Kafka, later: u8) {
    drop((looked_at, later));
}

#[rstest]
#[tokio::test]
#[timeout(Duration::from_millis(50))]
async fn async_timeout(kafka: Kafka) {
    begin(&kafka);
    std::future::pending::<()>().await;
}

#[rstest]
#[timeout(Duration::from_secs(60))]
fn sync_timeout_with_a_panic(kafka: Kafka) {
    begin(&kafka);
    panic!("as it must");
}

#[rstest]
#[timeout(Duration::from_secs(60))]
fn sync_timeout_with_the_fixture_dropped_early(kafka: Kafka) {
    begin(&kafka);
    drop(kafka);
    // rstest resumes it on the test's thread, which no hook sees: the body's has but the test's name.
    panic!("as it must");
}

#[rstest]
fn panic_that_no_hook_sees(kafka: Kafka) {
    begin(&kafka);
    panic::set_hook(Box::new(|_| ()));
    panic!("as it must");
}

#[rstest]
#[timeout(Duration::from_millis(500))]
fn sync_timeout_expires(kafka: Kafka) {
    begin(&kafka);
    hang();
}

#[rstest]
#[timeout(Duration::from_millis(500))]
fn sync_timeout_expires_and_the_body_goes_on(kafka: Kafka) {
    begin(&kafka);
    hang();
    assert!(panic::catch_unwind(|| panic!("caught")).is_err());
    kafka.topic("events");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fixture_moved_to_a_task(kafka: Kafka) {
    begin(&kafka);
    tokio::spawn(async move { drop(kafka) }).await.unwrap();
    panic!("as it must");
}

#[rstest]
fn fixture_dropped_early(kafka: Kafka) {
    begin(&kafka);
    drop(kafka);
    panic!("as it must");
}

#[rstest]
fn consumer_alone_while_unwinding(kafka: Kafka) {
    begin(&kafka);
    let _consumer = kafka.consumer("events");
    drop(kafka);
    panic!("as it must");
}

#[rstest]
fn err(kafka: Kafka) -> TestResult {
    begin(&kafka);
    refuse()?;
    Ok(())
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn err_of_an_async_test(kafka: Kafka) -> TestResult {
    begin(&kafka);
    tokio::task::yield_now().await;
    refuse()?;
    Ok(())
}

#[rstest]
fn err_made_on_another_thread(kafka: Kafka) -> TestResult {
    begin(&kafka);
    thread::spawn(|| refuse().map_err(TestError::from)).join().unwrap()
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn err_made_on_another_task(kafka: Kafka) -> TestResult {
    begin(&kafka);
    tokio::spawn(async { refuse().map_err(TestError::from) }).await?
}

#[rstest]
#[timeout(Duration::from_secs(60))]
fn err_under_a_sync_timeout(kafka: Kafka) -> TestResult {
    begin(&kafka);
    refuse()?;
    Ok(())
}

#[rstest]
fn err_after_the_fixture(kafka: Kafka) -> TestResult {
    begin(&kafka);
    drop(kafka);
    refuse()?;
    Ok(())
}

#[rstest]
fn marked(kafka: Kafka) {
    begin(&kafka);
    kafka.mark_failed();
}

#[rstest]
fn marked_before_a_panic(kafka: Kafka) {
    begin(&kafka);
    kafka.mark_failed();
    drop(kafka);
    panic!("as it must");
}

#[rstest]
fn two_harnesses(kafka: Kafka, topic_names: TopicNames, consumers: Consumers) {
    begin(&kafka);
    let relay = Harness::builder().topic_prefix("relay").build();
    let _of_relay = (relay.lease(), topic_names, consumers);
    panic!("as it must");
}

#[rstest]
fn caught_once_and_then_not(kafka: Kafka) {
    begin(&kafka);
    assert!(panic::catch_unwind(|| panic!("caught")).is_err());
    kafka.topic("events");
    panic!("as it must");
}
