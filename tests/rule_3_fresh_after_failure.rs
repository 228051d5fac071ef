//! Rule 3: after a failed test its worker's next lease has the next generation: new topics, new groups, new consumers.
//!
//! Each way to fail, and each way to pass, is one child: a look at the worker before, the test, a look after it.

mod common;

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Duration;

use common::child::{Child, Outcome, only_in_a_child, say};
use common::{comes_true, lease, put, thread_of_a_test};
use rstest::{fixture, rstest};
use rstest_kafka::rdkafka::bindings as rdsys;
use rstest_kafka::rdkafka::consumer::Consumer;
use rstest_kafka::{Consumers, FailureReport, Harness, Kafka, PooledConsumer, TestError, TestResult, TopicNames};
use rstest_kafka::{consumers, kafka, topic_names};

/// What a lease is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    worker: String,
    generation: u32,
    topic: String,
    group: String,
    consumer: String,
}

impl Look {
    fn at(kafka: &Kafka) -> Self {
        let consumer = kafka.consumer("events");
        Self {
            worker: kafka.worker_id().to_string(),
            generation: kafka.generation(),
            topic: consumer.topic().name().to_owned(),
            group: group_of(&consumer),
            consumer: name_of(&consumer),
        }
    }

    fn say(&self, who: &str) {
        let Self { worker, generation, topic, group, consumer } = self;
        say(who, format_args!("{worker} {generation} {topic} {group} {consumer}"));
    }

    #[track_caller]
    fn of(outcome: &Outcome, who: &str) -> Self {
        let said = outcome.once_by(who);
        let [worker, generation, topic, group, consumer] = said.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{said:?}")
        };
        let [worker, topic, group, consumer] = [worker, topic, group, consumer].map(str::to_owned);
        Self { worker, generation: generation.parse().unwrap(), topic, group, consumer }
    }
}

/// The group of a consumer, as its client has it.
fn group_of(consumer: &PooledConsumer) -> String {
    let mut value = [0_u8; 512];
    let mut size = value.len();
    // SAFETY: the client is alive, its configuration with it; the buffer is writable for the size that is given.
    let code = unsafe {
        let configuration = rdsys::rd_kafka_conf(consumer.client().client().native_ptr());
        rdsys::rd_kafka_conf_get(configuration, c"group.id".as_ptr(), value.as_mut_ptr().cast(), &mut size)
    };
    assert_eq!(code, rdsys::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK);
    std::ffi::CStr::from_bytes_until_nul(&value).unwrap().to_str().unwrap().to_owned()
}

/// librdkafka's name of a client, `rstest-kafka-consumer#consumer-3`, of which a process has each once.
fn name_of(consumer: &PooledConsumer) -> String {
    // SAFETY: the client is alive, and the name is its own.
    let name = unsafe { std::ffi::CStr::from_ptr(rdsys::rd_kafka_name(consumer.client().client().native_ptr())) };
    name.to_str().unwrap().to_owned()
}

/// Runs one row of the child tests between two looks at its worker.
fn between_two_looks(row: &str) -> Outcome {
    Child::of_tests(&["a_look_before", row, "z_look_after"], 1).run()
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
    outcome.test_was(row, fails);
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
    outcome.exits_with(0).test_was(row, "ok");
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
    Child::of_tests(&["child_counts_what_is_open"], 1).run().exits_with(0).test_was("child_counts_what_is_open", "ok");
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

#[rstest]
#[ignore = "begins each child of this file"]
fn a_look_before(kafka: Kafka) {
    only_in_a_child();
    Look::at(&kafka).say("before");
}

#[rstest]
#[ignore = "ends each child of this file"]
fn z_look_after() {
    only_in_a_child();
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
    only_in_a_child();
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

mod fails {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    static MAY_END: AtomicBool = AtomicBool::new(false);

    pub(super) fn let_what_hangs_end() {
        MAY_END.store(true, Ordering::SeqCst);
    }

    /// Longer than the test's timeout.
    fn hang() {
        assert!(comes_true(|| MAY_END.load(Ordering::SeqCst)));
    }

    #[rstest]
    #[ignore = "run by a_failure_moves_its_worker_on_by_one"]
    fn panic_in_the_body(kafka: Kafka) {
        begin(&kafka);
        panic!("as it must");
    }

    #[rstest]
    #[ignore = "run by a_failure_moves_its_worker_on_by_one"]
    #[tokio::test]
    async fn panic_on_tokio_current_thread(kafka: Kafka) {
        begin(&kafka);
        tokio::task::yield_now().await;
        panic!("as it must");
    }

    #[rstest]
    #[ignore = "run by a_failure_moves_its_worker_on_by_one"]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn panic_on_tokio_multi_thread(kafka: Kafka) {
        begin(&kafka);
        tokio::task::yield_now().await;
        panic!("as it must");
    }

    #[rstest]
    #[ignore = "run by a_failure_moves_its_worker_on_by_one"]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn panic_in_a_joined_task(kafka: Kafka) {
        begin(&kafka);
        tokio::spawn(async { panic!("as it must") }).await.unwrap()
    }

    #[rstest]
    #[ignore = "run by a_failure_moves_its_worker_on_by_one"]
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
    #[ignore = "run by a_failure_moves_its_worker_on_by_one"]
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
    #[ignore = "run by a_failure_moves_its_worker_on_by_one"]
    fn panic_in_a_joined_thread(kafka: Kafka) {
        begin(&kafka);
        thread::spawn(|| panic!("as it must")).join().unwrap()
    }

    #[rstest]
    #[ignore = "run by a_failure_moves_its_worker_on_by_one"]
    fn panic_in_a_joined_thread_that_has_the_fixture(kafka: Kafka) {
        begin(&kafka);
        let body = move || {
            let _kafka = kafka;
            panic!("as it must")
        };
        thread::spawn(body).join().unwrap()
    }

    #[rstest]
    #[ignore = "run by a_failure_moves_its_worker_on_by_one"]
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
    #[ignore = "run by a_failure_moves_its_worker_on_by_one"]
    fn panic_in_a_later_fixture(looked_at: Kafka, later: u8) {
        drop((looked_at, later));
    }

    #[rstest]
    #[ignore = "run by a_failure_moves_its_worker_on_by_one"]
    #[tokio::test]
    #[timeout(Duration::from_millis(50))]
    async fn async_timeout(kafka: Kafka) {
        begin(&kafka);
        std::future::pending::<()>().await;
    }

    #[rstest]
    #[ignore = "run by a_failure_moves_its_worker_on_by_one"]
    #[timeout(Duration::from_secs(60))]
    fn sync_timeout_with_a_panic(kafka: Kafka) {
        begin(&kafka);
        panic!("as it must");
    }

    #[rstest]
    #[ignore = "run by a_failure_moves_its_worker_on_by_one"]
    #[timeout(Duration::from_secs(60))]
    fn sync_timeout_with_the_fixture_dropped_early(kafka: Kafka) {
        begin(&kafka);
        drop(kafka);
        // rstest resumes it on the test's thread, which no hook sees: the body's has but the test's name.
        panic!("as it must");
    }

    #[rstest]
    #[ignore = "run by a_failure_moves_its_worker_on_by_one"]
    fn panic_that_no_hook_sees(kafka: Kafka) {
        begin(&kafka);
        panic::set_hook(Box::new(|_| ()));
        panic!("as it must");
    }

    #[rstest]
    #[ignore = "run by a_failure_moves_its_worker_on_by_one"]
    #[timeout(Duration::from_millis(500))]
    fn sync_timeout_expires(kafka: Kafka) {
        begin(&kafka);
        hang();
    }

    #[rstest]
    #[ignore = "run by a_failure_moves_its_worker_on_by_one"]
    #[timeout(Duration::from_millis(500))]
    fn sync_timeout_expires_and_the_body_goes_on(kafka: Kafka) {
        begin(&kafka);
        hang();
        assert!(panic::catch_unwind(|| panic!("caught")).is_err());
        kafka.topic("events");
    }

    #[rstest]
    #[ignore = "run by a_failure_moves_its_worker_on_by_one"]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn fixture_moved_to_a_task(kafka: Kafka) {
        begin(&kafka);
        tokio::spawn(async move { drop(kafka) }).await.unwrap();
        panic!("as it must");
    }

    #[rstest]
    #[ignore = "run by a_failure_moves_its_worker_on_by_one"]
    fn fixture_dropped_early(kafka: Kafka) {
        begin(&kafka);
        drop(kafka);
        panic!("as it must");
    }

    #[rstest]
    #[ignore = "run by a_failure_moves_its_worker_on_by_one"]
    fn consumer_alone_while_unwinding(kafka: Kafka) {
        begin(&kafka);
        let _consumer = kafka.consumer("events");
        drop(kafka);
        panic!("as it must");
    }

    #[rstest]
    #[ignore = "run by a_failure_moves_its_worker_on_by_one"]
    fn err(kafka: Kafka) -> TestResult {
        begin(&kafka);
        refuse()?;
        Ok(())
    }

    #[rstest]
    #[ignore = "run by a_failure_moves_its_worker_on_by_one"]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn err_of_an_async_test(kafka: Kafka) -> TestResult {
        begin(&kafka);
        tokio::task::yield_now().await;
        refuse()?;
        Ok(())
    }

    #[rstest]
    #[ignore = "run by a_failure_moves_its_worker_on_by_one"]
    fn err_made_on_another_thread(kafka: Kafka) -> TestResult {
        begin(&kafka);
        thread::spawn(|| refuse().map_err(TestError::from)).join().unwrap()
    }

    #[rstest]
    #[ignore = "run by a_failure_moves_its_worker_on_by_one"]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn err_made_on_another_task(kafka: Kafka) -> TestResult {
        begin(&kafka);
        tokio::spawn(async { refuse().map_err(TestError::from) }).await?
    }

    #[rstest]
    #[ignore = "run by a_failure_moves_its_worker_on_by_one"]
    #[timeout(Duration::from_secs(60))]
    fn err_under_a_sync_timeout(kafka: Kafka) -> TestResult {
        begin(&kafka);
        refuse()?;
        Ok(())
    }

    #[rstest]
    #[ignore = "run by a_failure_moves_its_worker_on_by_one"]
    fn err_after_the_fixture(kafka: Kafka) -> TestResult {
        begin(&kafka);
        drop(kafka);
        refuse()?;
        Ok(())
    }

    #[rstest]
    #[ignore = "run by a_failure_moves_its_worker_on_by_one"]
    fn marked(kafka: Kafka) {
        begin(&kafka);
        kafka.mark_failed();
    }

    #[rstest]
    #[ignore = "run by a_failure_moves_its_worker_on_by_one"]
    fn marked_before_a_panic(kafka: Kafka) {
        begin(&kafka);
        kafka.mark_failed();
        drop(kafka);
        panic!("as it must");
    }

    #[rstest]
    #[ignore = "run by a_failure_moves_its_worker_on_by_one"]
    fn two_harnesses(kafka: Kafka, topic_names: TopicNames, consumers: Consumers) {
        begin(&kafka);
        let relay = Harness::builder().topic_prefix("relay").build();
        let _of_relay = (relay.lease(), topic_names, consumers);
        panic!("as it must");
    }

    #[rstest]
    #[ignore = "run by a_failure_moves_its_worker_on_by_one"]
    fn caught_once_and_then_not(kafka: Kafka) {
        begin(&kafka);
        assert!(panic::catch_unwind(|| panic!("caught")).is_err());
        kafka.topic("events");
        panic!("as it must");
    }
}

mod passes {
    use super::*;

    #[rstest]
    #[ignore = "run by a_passing_test_leaves_its_worker_where_it_is"]
    fn plainly(kafka: Kafka) {
        begin(&kafka);
    }

    #[rstest]
    #[ignore = "run by a_false_alarm_costs_a_passing_test_one_generation"]
    fn panic_is_caught(kafka: Kafka) {
        begin(&kafka);
        assert!(panic::catch_unwind(|| panic!("caught")).is_err());
    }

    #[rstest]
    #[ignore = "run by a_false_alarm_costs_a_passing_test_one_generation"]
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
    #[ignore = "run by a_false_alarm_costs_a_passing_test_one_generation"]
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
    #[ignore = "run by a_false_alarm_costs_a_passing_test_one_generation"]
    #[timeout(Duration::from_secs(60))]
    fn panic_is_caught_under_a_sync_timeout(kafka: Kafka) {
        begin(&kafka);
        assert!(panic::catch_unwind(|| panic!("caught")).is_err());
    }

    #[rstest]
    #[ignore = "run by a_false_alarm_costs_a_passing_test_one_generation"]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn panic_is_caught_in_an_async_test(kafka: Kafka) {
        begin(&kafka);
        assert!(tokio::spawn(async { panic!("caught") }).await.is_err());
        assert!(panic::catch_unwind(|| panic!("caught")).is_err());
    }

    #[rstest]
    #[ignore = "run by a_passing_test_leaves_its_worker_where_it_is"]
    fn err_is_handled(kafka: Kafka) -> TestResult {
        begin(&kafka);
        let handled: TestResult = (|| Ok(refuse()?))();
        assert!(handled.is_err());
        Ok(())
    }

    #[rstest]
    #[ignore = "run by a_passing_test_leaves_its_worker_where_it_is"]
    #[timeout(Duration::from_secs(60))]
    fn err_is_handled_under_a_sync_timeout(kafka: Kafka) -> TestResult {
        begin(&kafka);
        let handled: TestResult = (|| Ok(refuse()?))();
        assert!(handled.is_err());
        Ok(())
    }

    #[rstest]
    #[ignore = "run by a_false_alarm_costs_a_passing_test_one_generation"]
    fn err_is_shown_and_handled(kafka: Kafka) -> TestResult {
        begin(&kafka);
        let handled: TestResult = (|| Ok(refuse()?))();
        eprintln!("{:?}", handled.unwrap_err());
        Ok(())
    }

    #[rstest]
    #[ignore = "run by a_passing_test_leaves_its_worker_where_it_is"]
    fn err_is_handled_after_the_fixture(kafka: Kafka) -> TestResult {
        begin(&kafka);
        drop(kafka);
        let handled: TestResult = (|| Ok(refuse()?))();
        assert!(handled.is_err());
        Ok(())
    }

    #[rstest]
    #[ignore = "run by a_passing_test_leaves_its_worker_where_it_is"]
    fn unrelated_thread_panics(kafka: Kafka) {
        begin(&kafka);
        let detached = thread::spawn(|| panic!("nobody's business"));
        assert!(comes_true(|| detached.is_finished()));
    }

    #[rstest]
    #[ignore = "run by a_passing_test_leaves_its_worker_where_it_is"]
    fn unrelated_thread_errs(kafka: Kafka) {
        begin(&kafka);
        let detached = thread::spawn(|| drop(refuse().map_err(TestError::from)));
        assert!(comes_true(|| detached.is_finished()));
    }

    #[rstest]
    #[ignore = "run by a_passing_test_leaves_its_worker_where_it_is"]
    fn fixture_dropped_early(kafka: Kafka) {
        begin(&kafka);
        drop(kafka);
    }

    #[rstest]
    #[ignore = "run by a_passing_test_leaves_its_worker_where_it_is"]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn fixture_moved_to_a_task(kafka: Kafka) {
        begin(&kafka);
        tokio::spawn(async move { drop(kafka) }).await.unwrap();
    }

    #[rstest]
    #[ignore = "run by a_passing_test_leaves_its_worker_where_it_is"]
    #[tokio::test]
    #[timeout(Duration::from_secs(60))]
    async fn under_an_async_timeout(kafka: Kafka) {
        begin(&kafka);
        tokio::task::yield_now().await;
    }

    #[rstest]
    #[ignore = "run by a_false_alarm_costs_a_passing_test_one_generation"]
    #[should_panic(expected = "as it must")]
    fn by_panicking(kafka: Kafka) {
        begin(&kafka);
        panic!("as it must");
    }
}

/// Threads of librdkafka's, and open files, of this process.
#[cfg(target_os = "linux")]
fn open_now() -> (usize, usize) {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let native = tasks.filter(|task| {
        // One that has ended meanwhile has no name any more.
        std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.starts_with("rdk:"))
    });
    (native.count(), std::fs::read_dir("/proc/self/fd").unwrap().count())
}

#[cfg(target_os = "linux")]
#[rstest]
#[ignore = "run by consumers_of_the_old_generation_are_closed"]
fn child_counts_what_is_open() {
    only_in_a_child();
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
