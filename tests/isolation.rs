//! Thousands of random tests on several lanes: none sees another's messages, none misses one of its own.
//!
//! The plan is the same in every run; `ISOLATION_CASES` makes it longer, `ISOLATION_SEED` another one.

mod common;

use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};
use std::str::FromStr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rstest_kafka::rdkafka::Offset;
use rstest_kafka::rdkafka::consumer::Consumer;
use rstest_kafka::{Harness, Kafka, PooledConsumer, Record};

const PARTITIONS: i32 = 4;
const LANES: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Read {
    Receive,
    Drain,
    Matching,
    Async,
    /// Not at all, so that all of it is left over and prefetched.
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Spoil {
    No,
    Pause,
    Unassign,
    Rewind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Pass,
    Marked,
    Panic,
    Leak,
    Hang,
}

/// What one test does.
#[derive(Debug, Clone)]
struct Case {
    topic: usize,
    consumers: usize,
    /// The partitions that it writes to before it asks for its consumers.
    early: Vec<i32>,
    /// And after.
    late: Vec<i32>,
    read: Read,
    /// The partitions on which it leaves messages that it never reads.
    left: Vec<i32>,
    spoil: Spoil,
    end: End,
}

fn case() -> impl Strategy<Value = Case> {
    let partitions = |most| prop::collection::vec(0..PARTITIONS, 0..most);
    let read = prop_oneof![
        6 => Just(Read::Receive), 3 => Just(Read::Drain), 2 => Just(Read::Matching), 2 => Just(Read::Async),
        2 => Just(Read::Nothing)
    ];
    let spoil = prop_oneof![
        20 => Just(Spoil::No), 1 => Just(Spoil::Pause), 1 => Just(Spoil::Unassign), 1 => Just(Spoil::Rewind)
    ];
    let end = prop_oneof![
        950 => Just(End::Pass), 20 => Just(End::Marked), 20 => Just(End::Panic), 3 => Just(End::Leak),
        3 => Just(End::Hang)
    ];
    (0..3usize, 1..3usize, partitions(4), partitions(4), read, partitions(6), spoil, end).prop_map(
        |(topic, consumers, early, late, read, left, spoil, end)| Case {
            topic,
            consumers,
            early,
            late,
            read,
            left,
            spoil,
            end,
        },
    )
}

#[derive(Default)]
struct Seen {
    sent: AtomicUsize,
    left: AtomicUsize,
    own: AtomicUsize,
    stale: AtomicUsize,
    missed: AtomicUsize,
    hung: AtomicUsize,
}

fn add(counter: &AtomicUsize, n: usize) {
    counter.fetch_add(n, Ordering::Relaxed);
}

impl Seen {
    /// Each expected message once, nothing else.
    fn judge(&self, number: usize, mut expected: Vec<String>, mut read: Vec<String>) {
        expected.sort();
        read.sort();
        if expected == read {
            add(&self.own, read.len());
            return;
        }
        let stale = read.iter().filter(|text| !expected.contains(text)).count();
        let missed = expected.iter().filter(|text| !read.contains(text)).count();
        // One that came twice is as bad as another's.
        let twice = (read.len() - stale).saturating_sub(expected.len() - missed);
        add(&self.stale, stale + twice);
        add(&self.missed, missed);
        eprintln!("case {number}: expected {expected:?}, read {read:?}");
    }
}

fn texts(records: Vec<Record>) -> Vec<String> {
    records.iter().map(|record| record.text().to_owned()).collect()
}

fn read(consumer: &PooledConsumer, how: Read, n: usize) -> Vec<String> {
    match how {
        Read::Receive => texts(consumer.recv_n(n)),
        Read::Drain => texts(consumer.drain()),
        Read::Matching if n == 0 => Vec::new(),
        Read::Matching => {
            // The last that comes first, then what was skipped.
            let mut come = 0;
            let last = consumer.recv_matching(|_| {
                come += 1;
                come == n
            });
            let mut all = texts(consumer.recv_n(n - 1));
            all.push(last.text().to_owned());
            all
        }
        Read::Async => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            texts(runtime.block_on(consumer.nonblocking().recv_n(n)).unwrap())
        }
        Read::Nothing => Vec::new(),
    }
}

fn play(kafka: Kafka, number: usize, case: &Case, seen: &Seen, all_done: &Barrier) {
    let topic = kafka.topic(["orders", "events", "audit"][case.topic]);
    let mut expected = Vec::new();
    let mut write = |partitions: &[i32]| {
        for partition in partitions {
            let text = format!("{number}:{}", expected.len());
            common::put(&kafka, &topic, *partition, &text);
            expected.push(text);
        }
    };
    write(&case.early);
    let consumers: Vec<PooledConsumer> = (0..case.consumers).map(|_| kafka.consumer(&topic)).collect();
    write(&case.late);
    add(&seen.sent, expected.len());
    for consumer in &consumers {
        let mut come = read(consumer, case.read, expected.len());
        if case.read != Read::Nothing {
            // What nobody expects would be here.
            come.extend(texts(consumer.drain()));
            seen.judge(number, expected.clone(), come);
        }
    }
    for partition in &case.left {
        common::put(&kafka, &topic, *partition, &format!("{number}:left"));
    }
    add(&seen.left, case.left.len());
    for consumer in &consumers {
        match case.spoil {
            Spoil::No => {}
            Spoil::Pause => consumer.client().pause(&consumer.client().assignment().unwrap()).unwrap(),
            Spoil::Unassign => consumer.client().unassign().unwrap(),
            Spoil::Rewind => consumer.seek(&topic, 0, Offset::Beginning, Duration::from_secs(5)).unwrap(),
        }
    }
    match case.end {
        End::Pass => {}
        End::Marked => kafka.mark_failed(),
        End::Panic => panic!("planned, in case {number}"),
        End::Leak => std::mem::forget((kafka, consumers)),
        End::Hang => {
            // It still writes, and keeps its lane until all the others are done.
            all_done.wait();
            common::put(&kafka, &topic, 0, "late");
        }
    }
}

fn variable<T: FromStr>(name: &str, default: T) -> T {
    let Ok(value) = std::env::var(name) else { return default };
    value.parse().unwrap_or_else(|_| panic!("{name} is {value:?}: it takes a whole number"))
}

#[test]
fn no_test_sees_or_misses_a_message() {
    let cases: usize = variable("ISOLATION_CASES", 3_000);
    let seed: u64 = variable("ISOLATION_SEED", 1);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let plan = prop::collection::vec(case(), cases).new_tree(&mut runner).unwrap().current();

    let hanging = plan.iter().filter(|case| case.end == End::Hang).count();
    let all_done = Barrier::new(hanging + 1);
    let harness = Harness::builder().topic_prefix("isolation").partitions(PARTITIONS).build();
    let (seen, next, unplanned) = (Seen::default(), AtomicUsize::new(0), AtomicUsize::new(0));
    let started = Instant::now();
    std::thread::scope(|scope| {
        let lane = || {
            while let Some((number, case)) = {
                let number = next.fetch_add(1, Ordering::Relaxed);
                plan.get(number).map(|case| (number, case))
            } {
                let (harness, seen, all_done, unplanned) = (&harness, &seen, &all_done, &unplanned);
                let test = move || {
                    let kafka = harness.lease();
                    let outcome = panic::catch_unwind(AssertUnwindSafe(|| play(kafka, number, case, seen, all_done)));
                    if outcome.is_err() && case.end != End::Panic {
                        add(unplanned, 1);
                    }
                    if case.end == End::Hang {
                        add(&seen.hung, 1);
                    }
                };
                let test = scope.spawn(test);
                if case.end != End::Hang {
                    let _ = test.join();
                }
            }
        };
        let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(lane)).collect();
        lanes.into_iter().for_each(|lane| lane.join().unwrap());
        all_done.wait();
    });

    let stats = harness.stats();
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    let ends = plan.iter().fold(BTreeMap::new(), |mut ends, case| {
        *ends.entry(format!("{:?}", case.end)).or_insert(0) += 1;
        ends
    });
    println!("{cases} cases in {:?}, ended as {ends:?}\n{stats}", started.elapsed());
    println!(
        "{} messages sent, {} read by their own consumers, {} left over; {} stale, {} missed",
        count(&seen.sent),
        count(&seen.own),
        count(&seen.left),
        count(&seen.stale),
        count(&seen.missed)
    );
    assert_eq!((count(&seen.stale), count(&seen.missed), count(&unplanned)), (0, 0, 0));
    assert_eq!(count(&seen.hung), hanging);
    assert_eq!(stats.leases, cases as u64);
    let never_free = ends.get("Leak").copied().unwrap_or(0) + hanging;
    assert!(stats.lanes <= (LANES + never_free) as u64, "only who hangs or leaks keeps its lane");
    assert!(stats.topics_reused > stats.topics_made, "most cases were played on topics that others had filled");
}
