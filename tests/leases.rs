//! Runners that use their threads again, and leases that are alive on one thread at once.

mod common;

use std::fmt::Debug;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use common::{alone, put};
use rstest_kafka::{Harness, Kafka, TestResult};

fn harness(prefix: &str) -> Harness {
    Harness::builder().topic_prefix(prefix).failure_report(rstest_kafka::FailureReport::Off).build()
}

/// A runner in miniature: it runs tests one after another on the thread that calls it, and shows an `Err` as runners do.
fn run<E: Debug>(test: impl FnOnce() -> Result<(), E>) -> bool {
    match panic::catch_unwind(AssertUnwindSafe(test)) {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            eprintln!("{error:?}");
            false
        }
        Err(_) => false,
    }
}

/// What a test meets on its topic: the generation, the name, and that nobody else's message is there.
fn meet(kafka: &Kafka) -> (u32, String) {
    let consumer = kafka.consumer("events");
    consumer.assert_empty();
    put(kafka, consumer.topic(), 0, "mine");
    assert_eq!(consumer.recv().text(), "mine");
    put(kafka, consumer.topic(), 0, "left behind");
    (kafka.generation(), consumer.topic().name().to_owned())
}

type Test = fn(Kafka) -> TestResult;

/// Ways to fail, each of which a runner sees.
const FAILING: [(&str, Test); 5] = [
    ("panics", |kafka| {
        meet(&kafka);
        panic!("as it must")
    }),
    ("panics when its fixture is gone", |kafka| {
        drop(kafka);
        panic!("as it must")
    }),
    ("panics and leaves a consumer to a thread that goes on", |kafka| {
        let consumer = kafka.consumer("events");
        LEFT.lock().unwrap().push(Box::new(consumer));
        panic!("as it must")
    }),
    ("returns an err", |kafka| {
        let consumer = kafka.consumer("events");
        put(&kafka, consumer.topic(), 0, "no number");
        consumer.recv().text().parse::<u32>()?;
        Ok(())
    }),
    ("is marked, and leaves its fixture to a thread that goes on", |kafka| {
        kafka.mark_failed();
        LEFT.lock().unwrap().push(Box::new(kafka));
        Ok(())
    }),
];

static LEFT: Mutex<Vec<Box<dyn Send>>> = Mutex::new(Vec::new());

#[test]
fn after_each_way_to_fail_the_next_test_on_the_thread_is_in_the_next_generation() {
    let _alone = alone();
    let harness = harness("runner");
    for (how, failing) in FAILING {
        let before = meet(&harness.lease());
        assert_eq!(meet(&harness.lease()), before, "one that passes changes nothing");
        run(|| failing(harness.lease()));
        let after = meet(&harness.lease());
        assert_eq!(after.0, before.0 + 1, "{how}");
        assert_ne!(after.1, before.1, "{how}");
        assert_eq!(meet(&harness.lease()), after, "{how}, once");
    }
    // One that ends only now has failed all the same, as the next lease shows.
    LEFT.lock().unwrap().clear();
    drop(harness.lease());
    assert_eq!(harness.stats().failed_leases, FAILING.len() as u64, "{}", harness.stats());
}

#[test]
fn a_thread_that_is_used_again_and_again_counts_each_failure_once() {
    let _alone = alone();
    let harness = harness("again");
    let first = harness.lease().generation();
    for failures in 0..20 {
        let kafka = harness.lease();
        assert_eq!(kafka.generation(), first + failures);
        assert!(!run(|| -> TestResult {
            let _mine = kafka;
            panic!("as it must")
        }));
    }
}

#[test]
fn two_harnesses_on_one_thread_fail_together_and_begin_together() {
    let _alone = alone();
    let (one, other) = (harness("one"), harness("other"));
    let generation = one.lease().generation();
    run(|| -> TestResult {
        let kept = (one.lease(), other.lease());
        LEFT.lock().unwrap().push(Box::new(kept));
        panic!("as it must")
    });
    let next = (one.lease(), other.lease());
    assert_eq!((next.0.generation(), next.1.generation()), (generation + 1, generation + 1));
    LEFT.lock().unwrap().clear();
}

#[test]
fn fixtures_of_one_test_are_one_lease() {
    let _alone = alone();
    let harness = harness("fixtures");
    let (kafka, names, consumers) = (harness.lease(), harness.lease().topic_names(), harness.lease().consumers());
    let events = kafka.topic("events");
    assert_eq!(names.name("events"), events);
    let consumer = consumers.consumer(&events);
    put(&kafka, &events, 0, "mine");
    assert_eq!(consumer.recv().text(), "mine");
    assert_eq!(harness.stats().leases, 1);
}

/// Few threads, many tests, of which every third fails: each meets a topic without the others' messages, and none that a
/// failed one has had.
#[test]
fn a_pool_of_threads_gives_no_test_what_a_failed_one_has_left() {
    let _alone = alone();
    let harness = harness("pool");
    let (tests, queue) = mpsc::channel::<usize>();
    let queue = Mutex::new(queue);
    let (ruined, passed) = (Mutex::new(Vec::<String>::new()), Mutex::new(0));
    (0..60).for_each(|number| tests.send(number).unwrap());
    drop(tests);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap().recv();
                    let Ok(number) = next else { return };
                    let test = || -> TestResult {
                        let kafka = harness.lease();
                        let (_, topic) = meet(&kafka);
                        assert!(!ruined.lock().unwrap().contains(&topic), "{topic} is a failed test's");
                        match number % 6 {
                            0 => {
                                ruined.lock().unwrap().push(topic);
                                drop(kafka);
                                panic!("as it must");
                            }
                            3 => {
                                ruined.lock().unwrap().push(topic);
                                "three".parse::<u32>()?;
                                Ok(())
                            }
                            _ => Ok(()),
                        }
                    };
                    *passed.lock().unwrap() += u32::from(run(test));
                }
            });
        }
    });
    assert_eq!((passed.into_inner().unwrap(), ruined.into_inner().unwrap().len()), (40, 20));
}

#[test]
fn detached_leases_on_one_thread_share_nothing() {
    let _alone = alone();
    let harness = harness("detached");
    let attached = harness.lease();
    let detached: Vec<Kafka> = (0..8).map(|_| harness.detached_lease()).collect();
    let mut workers: Vec<String> = detached.iter().map(|kafka| kafka.worker_id().to_string()).collect();
    workers.push(attached.worker_id().to_string());
    workers.sort();
    workers.dedup();
    assert_eq!(workers.len(), 9, "{workers:?}");
    let consumers: Vec<_> = detached.iter().map(|kafka| kafka.consumer("events")).collect();
    for (n, kafka) in detached.iter().enumerate() {
        put(kafka, &kafka.topic("events"), 0, &n.to_string());
    }
    for (n, consumer) in consumers.iter().enumerate() {
        assert_eq!(consumer.recv().text(), n.to_string());
        consumer.assert_empty();
    }
    attached.consumer("events").assert_empty();
}

#[test]
fn a_detached_lease_fails_for_itself() {
    let _alone = alone();
    let harness = harness("itself");
    let [kept, dropped, marked, attached] =
        [harness.detached_lease(), harness.detached_lease(), harness.detached_lease(), harness.lease()];
    let [kept_look, dropped_look, marked_look] =
        [&kept, &dropped, &marked].map(|kafka| (kafka.worker_id().to_string(), kafka.generation()));
    marked.mark_failed();
    drop(marked);
    run(|| -> TestResult {
        let _dropped = dropped;
        panic!("as it must")
    });
    assert_eq!(harness.stats().failed_leases, 2);
    // Their workers are free at once, and have moved on; the one that went on has not.
    let (one, other) = (harness.detached_lease(), harness.detached_lease());
    let mut next = [&one, &other].map(|kafka| (kafka.worker_id().to_string(), kafka.generation()));
    let mut moved = [dropped_look, marked_look].map(|(worker, generation)| (worker, generation + 1));
    next.sort();
    moved.sort();
    assert_eq!(next, moved);
    drop((kept, one, other));
    let again: Vec<Kafka> = (0..3).map(|_| harness.detached_lease()).collect();
    let again: Vec<_> = again.iter().map(|kafka| (kafka.worker_id().to_string(), kafka.generation())).collect();
    assert!(again.contains(&kept_look), "{again:?}: it has passed");
    drop(attached);
}

#[test]
fn scenarios_as_futures_on_one_thread_do_not_see_each_other() {
    let _alone = alone();
    let harness = harness("futures");
    let scenario = async |number: usize| {
        let kafka = harness.detached_lease();
        let consumer = kafka.consumer("events");
        for n in 0..5 {
            kafka.nonblocking().send("events", "k", format!("{number}-{n}")).await.unwrap();
            tokio::task::yield_now().await;
        }
        let come: Vec<String> =
            consumer.nonblocking().recv_n(5).await.unwrap().iter().map(|record| record.text().to_owned()).collect();
        assert_eq!(come, (0..5).map(|n| format!("{number}-{n}")).collect::<Vec<_>>());
        consumer.nonblocking().assert_empty().await.unwrap();
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(futures_util::future::join_all((0..8).map(scenario)));
    assert_eq!(harness.stats().leases, 8);
}

/// As an asynchronous runner does it: each scenario a task of its own, on whatever thread, some of which fail.
#[test]
fn scenarios_as_tasks_fail_each_for_itself() {
    let _alone = alone();
    let harness = Arc::new(harness("tasks"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for _ in 0..2 {
        let scenario = |number: usize| {
            let harness = Arc::clone(&harness);
            async move {
                let kafka = harness.detached_lease();
                let consumer = kafka.consumer("events");
                kafka.nonblocking().send("events", "k", number.to_string()).await.unwrap();
                assert_eq!(consumer.nonblocking().recv().await.unwrap().text(), number.to_string());
                consumer.nonblocking().assert_empty().await.unwrap();
                assert!(!number.is_multiple_of(4), "as it must");
            }
        };
        let tasks: Vec<_> = (0..12).map(|number| runtime.spawn(scenario(number))).collect();
        let outcomes = runtime.block_on(futures_util::future::join_all(tasks));
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 3);
    }
    assert_eq!(harness.stats().failed_leases, 6);
}
