//! What a harness has done so far, in numbers.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::report;

/// What a harness has made, reused and closed since it began; from [`Harness::stats`](crate::Harness::stats).
///
/// ```
/// # let harness = rstest_kafka::Harness::builder().embedded_brokers(1).build();
/// for _test in 0..2 {
///     let kafka = harness.lease();
///     let consumer = kafka.consumer("events");
///     kafka.send("events", "key", "value");
///     consumer.recv();
/// }
/// let stats = harness.stats();
/// assert_eq!((stats.leases, stats.topics_made, stats.topics_reused), (2, 1, 1));
/// assert_eq!((stats.consumers_made, stats.consumers_reused), (1, 1));
/// println!("{stats}"); // as RSTEST_KAFKA_REPORT=summary shows it at exit
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Leases that were started: tests, as a rule.
    pub leases: u64,
    /// Leases that failed before their last fixture was dropped.
    pub failed_leases: u64,
    /// Lanes that this process has used, with whichever harness.
    pub lanes: u64,
    /// How often a failure has moved a lane of this process to its next generation, with whichever harness.
    pub generations: u64,
    /// Topics that were made.
    pub topics_made: u64,
    /// Topics that a lease found already made.
    pub topics_reused: u64,
    /// Fences that were asked for: one offset request per broker each, or fewer, since those of several lanes go together.
    pub fences: u64,
    /// Consumers that were made.
    pub consumers_made: u64,
    /// Consumers that a lease found in the pool.
    pub consumers_reused: u64,
    /// Consumers that were closed off the test's path: of a failed lease, in a bad state, or one too many.
    pub consumers_retired: u64,
    /// Consumers that are idle in the pool now.
    pub consumers_idle: u64,
    /// Messages that were sent with `Kafka::send` and its like.
    pub messages_sent: u64,
    /// Topics that were deleted, or named only and never made: nearly all of them at exit.
    pub topics_deleted: u64,
    /// Groups that were deleted, or given out and never used: at exit.
    pub groups_deleted: u64,
}

impl Stats {
    /// Those of two harnesses of one process.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            leases: self.leases + other.leases,
            failed_leases: self.failed_leases + other.failed_leases,
            lanes: self.lanes.max(other.lanes),
            generations: self.generations.max(other.generations),
            topics_made: self.topics_made + other.topics_made,
            topics_reused: self.topics_reused + other.topics_reused,
            fences: self.fences + other.fences,
            consumers_made: self.consumers_made + other.consumers_made,
            consumers_reused: self.consumers_reused + other.consumers_reused,
            consumers_retired: self.consumers_retired + other.consumers_retired,
            consumers_idle: self.consumers_idle + other.consumers_idle,
            messages_sent: self.messages_sent + other.messages_sent,
            topics_deleted: self.topics_deleted + other.topics_deleted,
            groups_deleted: self.groups_deleted + other.groups_deleted,
        }
    }
}

/// The lines of the summary.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        report::write_stats(f, self)
    }
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) leases: Counter,
    pub(crate) failed_leases: Counter,
    pub(crate) topics_made: Counter,
    pub(crate) topics_reused: Counter,
    pub(crate) fences: Counter,
    pub(crate) consumers_made: Counter,
    pub(crate) consumers_reused: Counter,
    pub(crate) consumers_retired: Counter,
    pub(crate) messages_sent: Counter,
    pub(crate) topics_deleted: Counter,
    pub(crate) groups_deleted: Counter,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(crate) fn snapshot(&self, lanes: usize, consumers_idle: usize) -> Stats {
        Stats {
            leases: self.leases.get(),
            failed_leases: self.failed_leases.get(),
            lanes: lanes as u64,
            generations: report::generations(),
            topics_made: self.topics_made.get(),
            topics_reused: self.topics_reused.get(),
            fences: self.fences.get(),
            consumers_made: self.consumers_made.get(),
            consumers_reused: self.consumers_reused.get(),
            consumers_retired: self.consumers_retired.get(),
            consumers_idle: consumers_idle as u64,
            messages_sent: self.messages_sent.get(),
            topics_deleted: self.topics_deleted.get(),
            groups_deleted: self.groups_deleted.get(),
        }
    }
}
