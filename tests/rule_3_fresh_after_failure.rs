//! Rule 3: after a failed test its worker's next lease has the next generation: new topics, new groups, new consumers.
//!
//! Each way to fail, and each way to pass, is one child: a look at the worker before, the test, a look after it.

mod common;

use std::sync::Barrier;
use std::thread;

use common::child::{Child, Outcome};
use common::look::Look;
use common::{comes_true, lease, put, thread_of_a_test};
use rstest::rstest;
use rstest_kafka::{FailureReport, Harness, Kafka, kafka};

/// Runs one row of the child tests between two looks at its worker.
fn between_two_looks(row: &str) -> Outcome {
    let row = format!("rule_3::{row}");
    Child::tests(&["rule_3::a_look_before", &row, "rule_3::z_look_after"], 1).run()
}

#[rstest]
#[case::panic_in_the_body("fails::panic_in_the_body")]
#[case::panic_on_tokio_current_thread("fails::panic_on_tokio_current_thread")]
#[case::panic_on_tokio_multi_thread("fails::panic_on_tokio_multi_thread")]
#[case::panic_in_a_joined_task("fails::panic_in_a_joined_task")]
#[case::panic_in_a_joined_task_that_has_the_fixture("fails::panic_in_a_joined_task_that_has_the_fixture")]
#[case::panic_in_a_joined_task_that_is_resumed("fails::panic_in_a_joined_task_that_is_resumed")]
#[case::panic_in_a_joined_thread("fails::panic_in_a_joined_thread")]
#[case::panic_in_a_joined_thread_that_has_the_fixture("fails::panic_in_a_joined_thread_that_has_the_fixture")]
#[case::panic_in_a_thread_scope("fails::panic_in_a_thread_scope")]
#[case::panic_in_a_later_fixture("fails::panic_in_a_later_fixture")]
#[case::async_timeout("fails::async_timeout")]
#[case::sync_timeout_with_a_panic("fails::sync_timeout_with_a_panic")]
#[case::sync_timeout_expires("fails::sync_timeout_expires")]
#[case::sync_timeout_expires_and_the_body_goes_on("fails::sync_timeout_expires_and_the_body_goes_on")]
#[case::sync_timeout_with_the_fixture_dropped_early("fails::sync_timeout_with_the_fixture_dropped_early")]
#[case::panic_that_no_hook_sees("fails::panic_that_no_hook_sees")]
#[case::fixture_moved_to_a_task("fails::fixture_moved_to_a_task")]
#[case::fixture_dropped_early("fails::fixture_dropped_early")]
#[case::consumer_alone_while_unwinding("fails::consumer_alone_while_unwinding")]
#[case::err("fails::err")]
#[case::err_of_an_async_test("fails::err_of_an_async_test")]
#[case::err_made_on_another_thread("fails::err_made_on_another_thread")]
#[case::err_made_on_another_task("fails::err_made_on_another_task")]
#[case::err_under_a_sync_timeout("fails::err_under_a_sync_timeout")]
#[case::err_after_the_fixture("fails::err_after_the_fixture")]
#[case::marked("fails::marked")]
#[case::marked_before_a_panic("fails::marked_before_a_panic")]
#[case::two_harnesses("fails::two_harnesses")]
#[case::caught_once_and_then_not("fails::caught_once_and_then_not")]
fn a_failure_moves_its_worker_on_by_one(#[case] row: &str) {
    let outcome = between_two_looks(row);
    let (before, after) = (Look::of(&outcome, "before"), Look::of(&outcome, "after"));
    assert_eq!(Look::of(&outcome, "row"), before, "what was warm is reused\n{outcome}");
    let fails = if row.contains("::marked") && !row.ends_with("panic") { "ok" } else { "FAILED" };
    outcome.test_was(&format!("rule_3::{row}"), fails);
    assert_eq!(after.worker, before.worker, "{outcome}");
    assert_eq!(after.generation, before.generation + 1, "{outcome}");
    assert_eq!(after.topic, format!("{}-f{}", before.topic, after.generation), "{outcome}");
    assert_eq!(before.group.strip_suffix("-0"), after.group.strip_suffix("-1"), "{outcome}");
    assert_ne!(after.group, before.group, "{outcome}");
    assert_ne!(after.consumer, before.consumer, "{outcome}");
    let retired: u64 = outcome.once_by("retired").parse().unwrap();
    assert!(retired >= 1, "{outcome}");
}

#[rstest]
#[case::plainly("passes::plainly")]
#[case::err_is_handled("passes::err_is_handled")]
#[case::err_is_handled_under_a_sync_timeout("passes::err_is_handled_under_a_sync_timeout")]
#[case::err_is_handled_after_the_fixture("passes::err_is_handled_after_the_fixture")]
#[case::unrelated_thread_panics("passes::unrelated_thread_panics")]
#[case::unrelated_thread_errs("passes::unrelated_thread_errs")]
#[case::fixture_dropped_early("passes::fixture_dropped_early")]
#[case::fixture_moved_to_a_task("passes::fixture_moved_to_a_task")]
#[case::under_an_async_timeout("passes::under_an_async_timeout")]
fn a_passing_test_leaves_its_worker_where_it_is(#[case] row: &str) {
    let outcome = between_two_looks(row);
    outcome.exits_with(0).test_was(&format!("rule_3::{row}"), "ok");
    let before = Look::of(&outcome, "before");
    assert_eq!(Look::of(&outcome, "row"), before, "{outcome}");
    assert_eq!(Look::of(&outcome, "after"), before, "{outcome}");
}

/// A sign of failure is not taken back.
#[rstest]
#[case::should_panic("passes::by_panicking")]
#[case::panic_is_caught("passes::panic_is_caught")]
#[case::panics_are_caught_again_and_again("passes::panics_are_caught_again_and_again")]
#[case::panic_is_caught_with_a_consumer_of_its_own("passes::panic_is_caught_with_a_consumer_of_its_own")]
#[case::panic_is_caught_under_a_sync_timeout("passes::panic_is_caught_under_a_sync_timeout")]
#[case::panic_is_caught_in_an_async_test("passes::panic_is_caught_in_an_async_test")]
#[case::err_is_shown_and_handled("passes::err_is_shown_and_handled")]
fn a_false_alarm_costs_a_passing_test_one_generation(#[case] row: &str) {
    let outcome = between_two_looks(row);
    outcome.exits_with(0);
    let (before, after) = (Look::of(&outcome, "before"), Look::of(&outcome, "after"));
    assert_eq!((after.worker, after.generation), (before.worker, before.generation + 1), "{outcome}");
}

#[rstest]
fn a_failure_on_one_lane_leaves_the_others_where_they_are(kafka: Kafka) {
    let harness = Harness::builder().topic_prefix("beside").build();
    let mine = harness.lease();
    assert_eq!(mine.worker_id(), kafka.worker_id());
    let (before, generation) = (Look::at(&mine), mine.generation());
    let failed = thread_of_a_test(|| {
        let theirs = harness.lease();
        let look = Look::at(&theirs);
        theirs.mark_failed();
        look
    })
    .unwrap();
    assert_ne!(failed.worker, before.worker);
    assert!(comes_true(|| harness.stats().failed_leases == 1));
    assert_eq!(Look::at(&mine), before, "a consumer of another lane is not retired");
    drop((mine, kafka));
    let again = harness.lease();
    assert_eq!(again.generation(), generation);
    assert_eq!(Look::at(&again), before);
}

#[cfg(target_os = "linux")]
#[rstest]
fn consumers_of_the_old_generation_are_closed() {
    let child = "rule_3::open::counts_what_is_open";
    Child::tests(&[child], 1).run().exits_with(0).test_was(child, "ok");
}

#[rstest]
fn a_consumer_that_outlives_its_generation_is_not_handed_out() {
    let harness = Harness::builder().topic_prefix("outlives").build();
    let other = Harness::builder().topic_prefix("outlives-too").build();
    let kafka = harness.lease();
    let (early, late) = (kafka.consumer("events"), kafka.consumer("events"));
    kafka.mark_failed();
    drop(early);
    assert_eq!(harness.stats().consumers_idle, 0, "its lease has failed");
    // A lease with another harness moves the worker on, and begins without a failure.
    assert_eq!(other.lease().generation(), kafka.generation() + 1);
    drop(late);
    let stats = harness.stats();
    assert_eq!((stats.consumers_idle, stats.consumers_retired), (0, 2), "its generation is over");
}

#[rstest]
fn a_consumer_that_is_put_back_while_its_worker_moves_on_does_not_stay() {
    let harness = Harness::builder().topic_prefix("put-back").failure_report(FailureReport::Off).build();
    let other = Harness::builder().topic_prefix("put-back-too").build();
    for round in 0..100 {
        let passed = thread_of_a_test(|| {
            let kafka = harness.lease();
            let consumers: Vec<_> = (0..3).map(|n| kafka.consumer(format!("events-{n}"))).collect();
            let together = Barrier::new(2);
            thread::scope(|scope| {
                scope.spawn(|| {
                    together.wait();
                    drop(consumers);
                });
                together.wait();
                kafka.mark_failed();
                drop(other.lease()); // moves the worker on
            });
        });
        passed.unwrap();
        assert_eq!(harness.stats().consumers_idle, 0, "in round {round}");
    }
}

#[rstest]
fn leftovers_of_a_failed_test_are_not_seen_by_the_next() {
    let harness = Harness::builder().topic_prefix("leftovers").build();
    let (mut lanes, mut names) = (Vec::new(), Vec::new());
    for n in 0..3 {
        lease(&harness, |kafka| {
            let events = kafka.topic("events");
            let consumer = kafka.consumer(&events);
            consumer.assert_empty();
            put(&kafka, &events, 0, "left over");
            lanes.push(kafka.worker_id().to_string());
            names.push(events.name().to_owned());
            kafka.mark_failed();
            assert_eq!(events.fence(0), 0, "test {n} begins in a topic of its own");
        });
    }
    names.dedup();
    assert_eq!(names.len(), 3, "{names:?} on {lanes:?}");
}
