//! Tests that pass, also some that look for a moment as if they failed.

use std::panic::{self, AssertUnwindSafe};
use std::thread;
use std::time::Duration;

use rstest::rstest;
use rstest_kafka::{Kafka, TestError, TestResult, kafka};

use super::{begin, refuse};
use crate::common::comes_true;

#[rstest]
fn plainly(kafka: Kafka) {
    begin(&kafka);
}

#[rstest]
fn panic_is_caught(kafka: Kafka) {
    begin(&kafka);
    assert!(panic::catch_unwind(|| panic!("caught")).is_err());
}

#[rstest]
fn panics_are_caught_again_and_again(kafka: Kafka) {
    begin(&kafka);
    for n in 0..20 {
        let consumer = kafka.consumer("audit");
        assert!(panic::catch_unwind(|| panic!("caught")).is_err());
        kafka.send("audit", "k", n.to_string());
        assert_eq!(consumer.recv_n(n + 1).len(), n + 1, "it is the same lease all the time");
    }
}

#[rstest]
fn panic_is_caught_with_a_consumer_of_its_own(kafka: Kafka) {
    begin(&kafka);
    let asserts = || {
        let audit = kafka.consumer("audit");
        kafka.send("audit", "k", "v");
        audit.assert_empty();
    };
    assert!(panic::catch_unwind(AssertUnwindSafe(asserts)).is_err());
    // Of use still, for one whose assertion was expected to fail.
    assert_eq!(kafka.consumer("audit").recv().text(), "v");
}

#[rstest]
#[timeout(Duration::from_secs(60))]
fn panic_is_caught_under_a_sync_timeout(kafka: Kafka) {
    begin(&kafka);
    assert!(panic::catch_unwind(|| panic!("caught")).is_err());
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn panic_is_caught_in_an_async_test(kafka: Kafka) {
    begin(&kafka);
    assert!(tokio::spawn(async { panic!("caught") }).await.is_err());
    assert!(panic::catch_unwind(|| panic!("caught")).is_err());
}

#[rstest]
fn err_is_handled(kafka: Kafka) -> TestResult {
    begin(&kafka);
    let handled: TestResult = (|| Ok(refuse()?))();
    assert!(handled.is_err());
    Ok(())
}

#[rstest]
#[timeout(Duration::from_secs(60))]
fn err_is_handled_under_a_sync_timeout(kafka: Kafka) -> TestResult {
    begin(&kafka);
    let handled: TestResult = (|| Ok(refuse()?))();
    assert!(handled.is_err());
    Ok(())
}

#[rstest]
fn err_is_shown_and_handled(kafka: Kafka) -> TestResult {
    begin(&kafka);
    let handled: TestResult = (|| Ok(refuse()?))();
    eprintln!("{:?}", handled.unwrap_err());
    Ok(())
}

#[rstest]
fn err_is_handled_after_the_fixture(kafka: Kafka) -> TestResult {
    begin(&kafka);
    drop(kafka);
    let handled: TestResult = (|| Ok(refuse()?))();
    assert!(handled.is_err());
    Ok(())
}

#[rstest]
fn unrelated_thread_panics(kafka: Kafka) {
    begin(&kafka);
    let detached = thread::spawn(|| panic!("nobody's business"));
    assert!(comes_true(|| detached.is_finished()));
}

#[rstest]
fn unrelated_thread_errs(kafka: Kafka) {
    begin(&kafka);
    let detached = thread::spawn(|| drop(refuse().map_err(TestError::from)));
    assert!(comes_true(|| detached.is_finished()));
}

#[rstest]
fn fixture_dropped_early(kafka: Kafka) {
    begin(&kafka);
    drop(kafka);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fixture_moved_to_a_task(kafka: Kafka) {
    begin(&kafka);
    tokio::spawn(async move { drop(kafka) }).await.unwrap();
}

#[rstest]
#[tokio::test]
#[timeout(Duration::from_secs(60))]
async fn under_an_async_timeout(kafka: Kafka) {
    begin(&kafka);
    tokio::task::yield_now().await;
}

#[rstest]
#[should_panic(expected = "as it must")]
fn by_panicking(kafka: Kafka) {
    begin(&kafka);
    panic!("as it must");
}
