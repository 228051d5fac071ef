//! Whether a reused case still costs what it may: counts, and ratios within this run, which hold on a busy machine too.
//!
//! Always on embedded brokers of its own. It fails where a bound is broken, also as a part of `cargo test --benches`, by
//! which the project's check runs it. The bounds of the ratios are far from what is measured: they catch a case that has
//! become slow for good, such as a second fetch that waits, and no noise.
#![allow(missing_docs, reason = "a benchmark has no callers")]

mod common;

use std::time::Instant;

use common::allocations::{Counting, of_this_thread};
use common::embedded::Embedded;
use common::fresh::Fresh;
use common::process::Resources;
use common::raw::{OffsetRoundTrip, Raw};
use common::report::{Bench, Target};
use common::{Times, reused};
use rstest_kafka::{Harness, Request, TopicSpec};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const WARM: usize = 100;
const CASES: usize = 1_000;

/// So many records that a question to librdkafka for each of them shows.
const MANY: usize = 10_000;

/// What a case itself asks for.
const OF_A_CASE: [Request; 3] = [Request::Produce, Request::Fetch, Request::ListOffsets];

/// A ratio is measured again before it counts as too bad: only what is bad each time is.
const TRIES: usize = 4;

struct Check {
    bench: Bench,
    broken: Vec<String>,
}

impl Check {
    fn at_most(&mut self, id: &str, label: &str, value: f64, most: f64) {
        self.bench.figure(id, label, value, Target::AtMost(most));
        if value > most {
            self.broken.push(format!("{label} is {value}, more than {most}"));
        }
    }

    fn at_least(&mut self, id: &str, label: &str, value: f64, least: f64) {
        self.bench.figure(id, label, value, Target::AtLeast(least));
        if value < least {
            self.broken.push(format!("{label} is {value}, less than {least}"));
        }
    }
}

fn harness(prefix: &str) -> Harness {
    let harness = Harness::builder().topic_prefix(prefix).embedded_brokers(1).build();
    (0..WARM).for_each(|_| reused(&harness));
    harness
}

fn main() {
    let Some(bench) = Bench::begin("regression") else { return };
    let mut check = Check { bench, broken: Vec::new() };
    let counted = harness("regression-counts");
    check.bench.on(&counted.lease());
    counts(&mut check, &counted);
    drop(counted);
    ratios(&mut check);
    check.bench.end();
    for broken in &check.broken {
        eprintln!("regression: {broken}");
    }
    if !check.broken.is_empty() {
        std::process::exit(1);
    }
}

fn counts(check: &mut Check, harness: &Harness) {
    let broker = Embedded::of(&harness.lease());
    let before = (harness.stats(), Resources::now());
    broker.start_counting();
    let (started, cases) = (Instant::now(), CASES as f64);
    let ((), allocations) = of_this_thread(|| (0..CASES).for_each(|_| reused(harness)));
    let took = started.elapsed();
    let requests = broker.count();
    let after = (harness.stats(), Resources::now());

    let of = |kind: Request| requests.get(&(kind as i16)).copied().unwrap_or(0) as f64 / cases;
    let others: usize =
        requests.iter().filter(|(kind, _)| !OF_A_CASE.iter().any(|own| *own as i16 == **kind)).map(|(_, n)| n).sum();
    check.at_most("produce", "Produce requests of a case that sends one message", of(Request::Produce), 1.0);
    check.at_most("offsets", "offset requests of a case", of(Request::ListOffsets), 0.0);
    // Clients ask for metadata now and then, whatever is done with them.
    let now_and_then = 2.0 + took.as_secs_f64();
    check.at_most("others", "all other requests but Fetch, of all cases", others as f64, now_and_then);
    // One that a message ends, and those of 1 ms each until it comes.
    let idle = took.as_secs_f64() * 1e3 / cases;
    check.at_most("fetches", "Fetch requests of a case", of(Request::Fetch), 2.0 + idle);
    check.at_most("allocations", "allocations of a case on its own thread", allocations as f64 / cases, 60.0);

    let names = harness.lease().topic_names();
    let ((), text) = of_this_thread(|| drop(names.text("events").unwrap()));
    check.at_most("text", "allocations of a name", text as f64, 1.0);
    let _known = names.name("events");
    let ((), known) = of_this_thread(|| drop(names.name("events")));
    check.at_most("known", "allocations of a name that the test has said before", known as f64, 0.0);

    let made = |stats: rstest_kafka::Stats| (stats.topics_made + stats.consumers_made + stats.lanes) as f64;
    check.at_most("made", "topics, consumers and lanes that the cases made", made(after.0) - made(before.0), 0.0);
    match (before.1, after.1) {
        (Some(before), Some(after)) => {
            let more = |before: usize, after: usize| after as f64 - before as f64;
            check.at_most("threads", "threads more than before the cases", more(before.threads, after.threads), 0.0);
            check.at_most("files", "open files more than before the cases", more(before.files, after.files), 0.0);
        }
        _ => check.bench.skip("threads", "only Linux tells a process's threads and files"),
    }
}

fn ratios(check: &mut Check) {
    let harness = harness("regression-ratios");
    let kafka = harness.lease();
    let (raw, offset) = (Raw::new(&kafka, "raw"), OffsetRoundTrip::new(&kafka, &kafka.topic("raw")));
    drop(kafka);
    // Its three requests one after another: a raw round trip alone would leave the fence's out, which is as quick.
    let over_by_hand = least_of(
        || {
            let (mut ours, mut plain) = (Times::default(), Times::default());
            for _ in 0..10 {
                reused(&harness);
                (0..20).for_each(|_| ours.add(|| reused(&harness)));
                raw.pause(false);
                let by_hand = || {
                    offset.ask();
                    raw.acknowledged_round_trip();
                };
                (0..20).for_each(|_| plain.add(by_hand));
                raw.pause(true);
            }
            ours.median() / plain.median()
        },
        2.0,
    );
    // To read up to the end asks librdkafka for positions once a wait, and not at every record.
    let drain_over_receive = least_of(
        || {
            let (mut drains, mut receives) = (Times::default(), Times::default());
            for _ in 0..3 {
                // A detached lease has an exclusive topic of its own, whatever else of this thread is alive.
                let kafka = harness.detached_lease();
                let topic = kafka.topic(TopicSpec::new("many").exclusive());
                let (drained, received) = (kafka.consumer(&topic), kafka.consumer(&topic));
                kafka.send_all(&topic, (0..MANY).map(|_| ("k", "v")));
                receives.add(|| assert_eq!(received.recv_n(MANY).len(), MANY));
                drains.add(|| assert_eq!(drained.drain().len(), MANY));
            }
            drains.median() / receives.median()
        },
        3.0,
    );
    check.at_most("drain", "drain of 10,000 records / receive of as many", drain_over_receive, 3.0);
    check.at_most("over_by_hand", "reused case / the same requests by hand", over_by_hand, 2.0);
    drop((raw, offset));
    let fresh = Fresh::new(&harness.lease());
    let under_fresh = least_of(
        || {
            let (mut ours, mut others) = (Times::default(), Times::default());
            for _ in 0..5 {
                reused(&harness);
                (0..20).for_each(|_| ours.add(|| reused(&harness)));
                others.add(|| fresh.assign());
            }
            ours.median() / others.median()
        },
        1.0 / 20.0,
    );
    check.at_least("fresh", "fresh topic + assign / reused case", 1.0 / under_fresh, 20.0);
}

/// The best of some tries, of which the first good one is the last.
fn least_of(attempt: impl Fn() -> f64, good: f64) -> f64 {
    let mut least = f64::INFINITY;
    for _ in 0..TRIES {
        least = least.min(attempt());
        if least <= good {
            break;
        }
    }
    least
}
