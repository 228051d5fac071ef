//! Rule 6: cleanup never decides a test: whatever ends a process, its exit code and its stdout are libtest's, within the
//! deadline of the exit.

mod common;

use std::panic::{self, AssertUnwindSafe};
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use common::child::{Child, Outcome, only_in_a_child, say};
use common::comes_true;
use common::embedded::Embedded;
use rstest::rstest;
use rstest_kafka::rdkafka::consumer::Consumer;
use rstest_kafka::{Harness, Kafka, PooledConsumer, kafka};

/// The exit's deadline in the children of this file.
const EXIT_DEADLINE: Duration = Duration::from_secs(2);

/// What the exit's deadline leaves out: the threads of the exit say what they left, and the process itself ends.
const AND_A_LITTLE: Duration = Duration::from_secs(1);

/// What the issue demands of an exit with 32 idle consumers.
const EXIT_WITH_32_CONSUMERS: Duration = Duration::from_secs(1);

fn run(module: &str) -> Outcome {
    let deadline = EXIT_DEADLINE.as_millis().to_string();
    Child::of_module(module, 1).env("RSTEST_KAFKA_EXIT_DEADLINE_MS", deadline).run()
}

impl Outcome {
    #[track_caller]
    fn ends_as_libtest_would(&self, code: i32) -> &Self {
        self.exits_with(code).stdout_is_libtests().exits_within(EXIT_DEADLINE + AND_A_LITTLE)
    }

    /// Nothing panicked that no test of the child announced: an exit function, a Drop.
    #[track_caller]
    fn panics_only_as_announced(&self) -> &Self {
        let mut lines = self.stderr.lines();
        while let Some(line) = lines.next() {
            if line.contains(" panicked at ") {
                let message = lines.next().unwrap_or_default();
                let announced = ["as it must", "Timeout ", "child says "].iter().any(|known| message.contains(known));
                assert!(announced, "{message:?}\n{self}");
            }
        }
        self
    }
}

#[rstest]
fn all_tests_pass() {
    let outcome = run("child_passes::");
    outcome.ends_as_libtest_would(0).panics_only_as_announced();
    assert_eq!(outcome.said_by("test").len(), 3, "{outcome}");
}

#[rstest]
fn all_tests_pass_and_the_report_goes_to_stderr() {
    let report = Child::of_module("child_passes::", 1).env("RSTEST_KAFKA_REPORT", "summary").run();
    report.ends_as_libtest_would(0);
    assert!(report.stderr.contains("rstest-kafka: 3 tests"), "{report}");
}

#[rstest]
fn some_tests_fail() {
    let outcome = run("child_fails::");
    outcome.ends_as_libtest_would(101).panics_only_as_announced();
    outcome.test_was("child_fails::b_panics", "FAILED").test_was("child_fails::c_passes", "ok");
}

#[rstest]
fn a_test_still_hangs() {
    let outcome = run("child_hangs::");
    outcome.ends_as_libtest_would(101).panics_only_as_announced();
    assert_eq!(outcome.said_by("hangs").len(), 4, "{outcome}");
}

#[rstest]
fn a_test_calls_exit() {
    let outcome = run("child_exits::");
    outcome.exits_with(7).panics_only_as_announced();
    assert_eq!(outcome.said_by("exits").len(), 1, "{outcome}");
}

#[rstest]
fn the_embedded_broker_is_gone() {
    let outcome = run("child_loses_its_embedded_broker::");
    outcome.ends_as_libtest_would(0).panics_only_as_announced();
    assert_eq!(outcome.once_by("consumers"), "8", "{outcome}");
}

#[rstest]
fn the_embedded_broker_does_not_answer_a_consumer_that_leaves_its_group() {
    let outcome = run("child_leaks_a_member_of_a_group::");
    outcome.ends_as_libtest_would(0).panics_only_as_announced();
    assert!(outcome.stderr.contains("rstest-kafka: 1 consumers did not close in time"), "{outcome}");
}

#[rstest]
fn the_broker_is_gone_that_topics_are_to_be_deleted_on() {
    let outcome = run("child_loses_its_cluster::");
    outcome.ends_as_libtest_would(0).panics_only_as_announced();
    let name = outcome.once_by("named");
    assert!(outcome.stderr.contains(&format!("rstest-kafka: {name} is left on broker")), "{outcome}");
}

#[rstest]
fn the_broker_never_answered() {
    let outcome = run("child_has_no_broker::");
    outcome.ends_as_libtest_would(101);
    assert!(outcome.stderr.contains("127.0.0.1:1 did not respond"), "{outcome}");
}

#[rstest]
fn a_consumer_is_dropped_while_unwinding() {
    let outcome = run("child_unwinds::");
    outcome.ends_as_libtest_would(101).panics_only_as_announced();
    for test in ["idle", "paused", "subscribed", "assigned_elsewhere", "read_halfway", "several", "in_a_thread"] {
        outcome.test_was(&format!("child_unwinds::{test}"), "FAILED");
    }
    outcome.test_was("child_unwinds::zz_the_next_test", "ok");
}

#[rstest]
fn the_exit_with_32_idle_consumers_is_short() {
    let outcome = run("child_has_32_idle_consumers::");
    outcome.exits_with(0).stdout_is_libtests();
    assert_eq!(outcome.once_by("idle"), "32", "{outcome}");
    outcome.exits_within(EXIT_WITH_32_CONSUMERS);
}

/// Leaves a topic, a message and a consumer in the pool.
fn leave_something(kafka: &Kafka) {
    only_in_a_child();
    kafka.send("events", "k", "v");
    assert_eq!(kafka.consumer("events").recv().text(), "v");
}

mod child_passes {
    use super::*;

    #[rstest]
    #[ignore = "run by all_tests_pass"]
    fn one(kafka: Kafka, #[values("a", "b")] _case: &str) {
        leave_something(&kafka);
        say("test", "passes");
    }

    #[rstest]
    #[ignore = "run by all_tests_pass"]
    #[tokio::test]
    async fn two(kafka: Kafka) {
        leave_something(&kafka);
        say("test", "passes");
    }
}

mod child_fails {
    use super::*;

    #[rstest]
    #[ignore = "run by some_tests_fail"]
    fn a_passes(kafka: Kafka) {
        leave_something(&kafka);
    }

    #[rstest]
    #[ignore = "run by some_tests_fail"]
    fn b_panics(kafka: Kafka) {
        leave_something(&kafka);
        panic!("as it must");
    }

    #[rstest]
    #[ignore = "run by some_tests_fail"]
    fn c_passes(kafka: Kafka) {
        leave_something(&kafka);
    }
}

mod child_hangs {
    use super::*;

    #[rstest]
    #[ignore = "run by a_test_still_hangs"]
    #[timeout(Duration::from_secs(1))]
    fn with_its_consumer(kafka: Kafka) {
        leave_something(&kafka);
        let _consumer = kafka.consumer("events");
        say("hangs", "parked");
        loop {
            thread::park();
        }
    }

    #[rstest]
    #[ignore = "run by a_test_still_hangs"]
    #[timeout(Duration::from_secs(1))]
    fn in_receive(kafka: Kafka) {
        leave_something(&kafka);
        let consumer = kafka.consumer("events");
        say("hangs", "receiving");
        let _ = consumer.within(Duration::from_secs(600)).recv();
    }

    #[rstest]
    #[ignore = "run by a_test_still_hangs"]
    #[timeout(Duration::from_secs(1))]
    fn using_its_fixtures_over_and_over(kafka: Kafka) {
        leave_something(&kafka);
        say("hangs", "busy");
        loop {
            // The exit takes its consumers and brokers away: errors, not panics, and nothing that aborts.
            let _ = kafka.checked().send("events", "k", "v");
            let _ = kafka.checked().consumer("events").and_then(|consumer| consumer.checked().drain());
        }
    }

    #[rstest]
    #[ignore = "run by a_test_still_hangs"]
    #[timeout(Duration::from_secs(1))]
    fn as_a_member_of_a_group(kafka: Kafka) {
        leave_something(&kafka);
        let consumer = kafka.consumer("events");
        let events = consumer.topic().name();
        consumer.client().unassign().unwrap();
        consumer.client().subscribe(&[events]).unwrap();
        say("hangs", "subscribed");
        loop {
            let _ = consumer.within(Duration::from_secs(600)).recv();
        }
    }
}

mod child_exits {
    use super::*;

    #[rstest]
    #[ignore = "run by a_test_calls_exit"]
    fn itself(kafka: Kafka) {
        leave_something(&kafka);
        let _consumer = kafka.consumer("events");
        say("exits", "with its fixtures in its hands");
        std::process::exit(7);
    }
}

/// A harness that is closed at exit only, as those of a suite are.
static LOST: LazyLock<Harness> =
    LazyLock::new(|| Harness::builder().embedded_brokers(2).exit_deadline(EXIT_DEADLINE).build());

/// Makes a consumer a member of its group.
fn join(consumer: &PooledConsumer) {
    consumer.client().unassign().unwrap();
    consumer.client().subscribe(&[consumer.topic().name()]).unwrap();
    let joined = comes_true(|| {
        let _ = consumer.within(Duration::from_millis(20)).recv();
        consumer.client().assignment().unwrap().count() > 0
    });
    assert!(joined);
}

fn lose_the_broker(kafka: &Kafka) {
    let embedded = Embedded::of(kafka);
    (1..=2).for_each(|broker| embedded.take_down(broker));
}

mod child_loses_its_embedded_broker {
    use super::*;

    #[rstest]
    #[ignore = "run by the_embedded_broker_is_gone"]
    fn at_the_end() {
        only_in_a_child();
        let kafka = LOST.lease();
        leave_something(&kafka);
        let consumers: Vec<PooledConsumer> = (0..8).map(|_| kafka.consumer("events")).collect();
        // It is closed off the test's path, where it would wait for its coordinator.
        join(&consumers[0]);
        lose_the_broker(&kafka);
        say("consumers", consumers.len());
        drop(consumers);
        // So are those of a failed lease.
        kafka.mark_failed();
    }
}

mod child_leaks_a_member_of_a_group {
    use super::*;

    #[rstest]
    #[ignore = "run by the_embedded_broker_does_not_answer_a_consumer_that_leaves_its_group"]
    fn at_the_end() {
        only_in_a_child();
        let kafka = LOST.lease();
        leave_something(&kafka);
        let consumer = kafka.consumer("events");
        join(&consumer);
        // The answer to its LeaveGroup comes long after all that is allowed.
        let embedded = Embedded::of(&kafka);
        (1..=2).for_each(|broker| embedded.slow_down(broker, Duration::from_secs(600)));
        std::mem::forget(consumer);
    }
}

mod child_loses_its_cluster {
    use super::*;

    /// The cluster: an embedded broker, which only the other harness knows as such.
    static CLUSTER: LazyLock<Harness> = LazyLock::new(|| Harness::builder().embedded_brokers(1).build());
    static CLIENT: LazyLock<Harness> = LazyLock::new(|| {
        let servers = CLUSTER.lease().bootstrap_servers().to_owned();
        Harness::builder().bootstrap_servers(servers).exit_deadline(EXIT_DEADLINE).build()
    });

    #[rstest]
    #[ignore = "run by the_broker_is_gone_that_topics_are_to_be_deleted_on"]
    fn at_the_end() {
        only_in_a_child();
        let (cluster, client) = (CLUSTER.lease(), CLIENT.lease());
        // Named, so that it is to be deleted.
        say("named", client.topic_names().name("events").name());
        Embedded::of(&cluster).take_down(1);
    }
}

mod child_has_no_broker {
    use super::*;

    #[rstest]
    #[ignore = "run by the_broker_never_answered"]
    fn at_all() {
        only_in_a_child();
        let nobody = Harness::builder().bootstrap_servers("127.0.0.1:1").timeout(Duration::from_millis(300)).build();
        drop(nobody.lease());
    }
}

mod child_unwinds {
    use super::*;

    #[rstest]
    #[ignore = "run by a_consumer_is_dropped_while_unwinding"]
    fn idle(kafka: Kafka) {
        leave_something(&kafka);
        let _consumer = kafka.consumer("events");
        panic!("as it must");
    }

    #[rstest]
    #[ignore = "run by a_consumer_is_dropped_while_unwinding"]
    fn paused(kafka: Kafka) {
        leave_something(&kafka);
        let consumer = kafka.consumer("events");
        consumer.client().pause(&consumer.client().assignment().unwrap()).unwrap();
        panic!("as it must");
    }

    #[rstest]
    #[ignore = "run by a_consumer_is_dropped_while_unwinding"]
    fn subscribed(kafka: Kafka) {
        leave_something(&kafka);
        let consumer = kafka.consumer("events");
        consumer.client().unassign().unwrap();
        consumer.client().subscribe(&[consumer.topic().name()]).unwrap();
        panic!("as it must");
    }

    #[rstest]
    #[ignore = "run by a_consumer_is_dropped_while_unwinding"]
    fn assigned_elsewhere(kafka: Kafka) {
        leave_something(&kafka);
        let consumer = kafka.consumer("events");
        let mut list = rstest_kafka::rdkafka::TopicPartitionList::new();
        list.add_partition(kafka.topic("audit").name(), 0);
        consumer.client().assign(&list).unwrap();
        panic!("as it must");
    }

    #[rstest]
    #[ignore = "run by a_consumer_is_dropped_while_unwinding"]
    fn read_halfway(kafka: Kafka) {
        leave_something(&kafka);
        let consumer = kafka.consumer("events");
        kafka.send_all("events", (0..100).map(|n| (n.to_string(), "v")));
        consumer.recv_matching(|record| record.key() == Some(b"10"));
        panic!("as it must");
    }

    #[rstest]
    #[ignore = "run by a_consumer_is_dropped_while_unwinding"]
    fn several(kafka: Kafka) {
        leave_something(&kafka);
        let _consumers: Vec<PooledConsumer> = (0..4).map(|_| kafka.consumer("events")).collect();
        // Caught once on the way, with one more.
        let unwinds = || {
            let _one_more = kafka.consumer("events");
            panic!("as it must")
        };
        let payload = panic::catch_unwind(AssertUnwindSafe(unwinds)).unwrap_err();
        panic::resume_unwind(payload);
    }

    #[rstest]
    #[ignore = "run by a_consumer_is_dropped_while_unwinding"]
    fn in_a_thread(kafka: Kafka) {
        leave_something(&kafka);
        let consumer = kafka.consumer("events");
        let unwinds = move || {
            let _consumer = consumer;
            panic!("as it must")
        };
        let payload = thread::spawn(unwinds).join().unwrap_err();
        panic::resume_unwind(payload);
    }

    #[rstest]
    #[ignore = "run by a_consumer_is_dropped_while_unwinding"]
    fn zz_the_next_test(kafka: Kafka) {
        leave_something(&kafka);
    }
}

mod child_has_32_idle_consumers {
    use super::*;

    #[rstest]
    #[ignore = "run by the_exit_with_32_idle_consumers_is_short"]
    fn at_the_end(kafka: Kafka) {
        only_in_a_child();
        kafka.send("events", "k", "v");
        let consumers: Vec<PooledConsumer> = (0..32).map(|_| kafka.consumer("events")).collect();
        // Each is connected, as one is that has served a test.
        kafka.send("events", "k", "v");
        consumers.iter().for_each(|consumer| drop(consumer.recv()));
        drop(consumers);
        say("idle", kafka.stats().consumers_idle);
    }
}
