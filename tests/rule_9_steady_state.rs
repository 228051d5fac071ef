//! Rule 9: on a warm worker a test makes nothing new and costs one offset request per broker; what is idle is bounded.

mod common;

use std::fs;
use std::time::{Duration, Instant};

use common::embedded::Embedded;
use common::{alone, comes_true, lease, put};
use rstest::rstest;
use rstest_kafka::{Harness, HarnessBuilder, Kafka, Request, Stats};

const WARM: usize = 100;
const CASES: usize = 2_000;

fn case(kafka: &Kafka, number: usize) {
    let events = kafka.topic("events");
    let consumer = kafka.consumer(&events);
    let partition = number as i32 % events.partitions().unwrap();
    put(kafka, &events, partition, "mine");
    assert_eq!(consumer.recv().text(), "mine");
    put(kafka, &events, partition, "left");
}

/// What this process has, as the operating system counts it; only Linux tells.
#[derive(Debug, PartialEq)]
struct Resources {
    threads: usize,
    files: usize,
}

impl Resources {
    fn now() -> Option<Self> {
        let count = |folder| fs::read_dir(folder).ok().map(Iterator::count);
        Some(Self { threads: count("/proc/self/task")?, files: count("/proc/self/fd")? })
    }

    /// Once nothing is closed in the background any more.
    fn settled() -> Option<Self> {
        // More than one look: a listing of threads misses some while others end.
        within_ten_seconds("the closing of consumers", || (0..5).all(|_| closing_threads() == 0));
        Self::now()
    }

    /// Whether they are no more than before, but for the second connection that a client of a cluster opens when it sees
    /// fit. A consumer has 4 threads and some 10 files.
    fn no_more_than(&self, before: &Self) -> bool {
        self.threads <= before.threads && self.files < before.files + 5
    }
}

fn threads() -> Vec<String> {
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).unwrap_or_default().trim().to_owned();
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    let mut names: Vec<String> = tasks.flatten().map(name).collect();
    names.sort();
    names
}

fn closing_threads() -> usize {
    // The kernel keeps the first 15 characters.
    threads().iter().filter(|name| *name == "rstest-kafka cl").count()
}

fn within_ten_seconds(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(10), "{what} did not end");
        std::thread::yield_now();
    }
}

fn made(stats: Stats) -> [u64; 3] {
    [stats.topics_made, stats.consumers_made, stats.lanes]
}

#[rstest]
#[case::configured("steady-1", Harness::builder())]
#[case::three_partitions("steady-3", Harness::builder().partitions(3))]
#[case::embedded_three_brokers("steady-6", Harness::builder().partitions(6).embedded_brokers(3))]
fn a_warm_worker_makes_nothing_new(#[case] prefix: &str, #[case] builder: HarnessBuilder) {
    let _alone = alone();
    let harness = builder.topic_prefix(prefix).build();
    (0..WARM).for_each(|number| lease(&harness, |kafka| case(&kafka, number)));
    let (before, resources) = (harness.stats(), Resources::settled());
    (WARM..CASES).for_each(|number| lease(&harness, |kafka| case(&kafka, number)));
    let after = harness.stats();
    if let (Some(now), Some(before)) = (Resources::now(), resources) {
        assert!(now.no_more_than(&before), "{now:?} after {before:?}");
    }
    assert_eq!((made(after), after.consumers_retired), (made(before), before.consumers_retired));
    assert_eq!(after.leases - before.leases, (CASES - WARM) as u64);
    assert_eq!(after.fences - before.fences, (CASES - WARM) as u64);
    assert_eq!(after.consumers_idle, 1);
    // Its end in the background is not counted as another case's.
    drop(harness);
    Resources::settled();
}

#[rstest]
#[case::one_broker(1, 1)]
#[case::many_partitions(1, 64)]
#[case::three_brokers(3, 12)]
fn embedded_a_warm_case_costs_no_request_but_its_own(#[case] brokers: usize, #[case] partitions: i32) {
    let _alone = alone();
    let harness = Harness::builder().topic_prefix("counted").embedded_brokers(brokers).partitions(partitions).build();
    (0..WARM).for_each(|number| lease(&harness, |kafka| case(&kafka, number)));
    let broker = lease(&harness, |kafka| Embedded::of(&kafka));
    broker.start_counting();
    (WARM..CASES).for_each(|number| lease(&harness, |kafka| case(&kafka, number)));
    let requests = broker.count();
    println!("{} cases, requests by their number in the protocol: {requests:?}", CASES - WARM);
    assert_eq!(broker.count_of(Request::ListOffsets), 0);
    // Beside it: what clients ask now and then, whatever the number of cases.
    let of_a_case = [Request::Produce, Request::Fetch, Request::ListOffsets].map(|request| request as i16);
    let others: usize = requests.iter().filter(|(kind, _)| !of_a_case.contains(kind)).map(|(_, n)| n).sum();
    assert!(others < 100, "{requests:?}");
    drop(harness);
    Resources::settled();
}

/// For a moment it stays assigned, so that a test which follows closely finds its Fetch on the way.
#[rstest]
fn embedded_an_idle_consumer_soon_fetches_no_more() {
    let _alone = alone();
    let harness = Harness::builder().topic_prefix("idle").embedded_brokers(1).build();
    let broker = lease(&harness, |kafka| {
        let consumer = kafka.consumer("events");
        put(&kafka, consumer.topic(), 0, "mine");
        assert_eq!(consumer.recv().text(), "mine");
        Embedded::of(&kafka)
    });
    broker.start_counting();
    let fetches = || broker.count_of(Request::Fetch);
    let is_silent = || {
        let (before, since) = (fetches(), Instant::now());
        while since.elapsed() < Duration::from_millis(200) {
            std::thread::yield_now();
        }
        fetches() == before
    };
    assert!(comes_true(is_silent));
    drop(harness);
    Resources::settled();
}

#[rstest]
fn idle_consumers_are_bounded_and_the_oldest_closed_off_the_tests_path() {
    let _alone = alone();
    let harness = Harness::builder().topic_prefix("bounded").max_idle_consumers(3).build();
    let use_topics = |topics: std::ops::Range<i32>| {
        lease(&harness, |kafka| {
            let consumers: Vec<_> = topics.map(|n| kafka.consumer(format!("topic-{n}"))).collect();
            // Given back in this order: the first is the least recently used.
            consumers.into_iter().for_each(drop);
            harness.stats()
        })
    };
    use_topics(0..3);
    let (warm, threads_before) = (Resources::settled(), threads());
    let stats = use_topics(0..8);
    within_ten_seconds("the closing", || closing_threads() == 0);
    assert_eq!((stats.consumers_idle, stats.consumers_retired), (3, 5));
    if warm.is_some() {
        // At most: an earlier test's harness may still have been ending when `warm` was counted.
        let (now, warm) = (Resources::settled().unwrap(), warm.unwrap());
        assert!(
            now.no_more_than(&warm),
            "what was one too many is closed, not only forgotten: {now:?}, {:?} after {warm:?}, {threads_before:?}",
            threads()
        );
    }
    let made_before = harness.stats().consumers_made;
    use_topics(5..8);
    assert_eq!(harness.stats().consumers_made, made_before, "those that were used last have stayed");
    use_topics(0..1);
    assert_eq!(harness.stats().consumers_made, made_before + 1, "and the others not");
    assert_eq!(harness.stats().consumers_idle, 3);
    drop(harness);
    Resources::settled();
}

#[rstest]
fn none_stays_idle_where_none_may() {
    let _alone = alone();
    let harness = Harness::builder().topic_prefix("none").max_idle_consumers(0).build();
    (0..3).for_each(|number| lease(&harness, |kafka| case(&kafka, number)));
    let stats = harness.stats();
    assert_eq!((stats.consumers_made, stats.consumers_idle, stats.consumers_retired), (3, 0, 3));
    drop(harness);
    Resources::settled();
}
