//! What a harness has done so far, in numbers.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

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
    /// Topics that were made.
    pub topics_made: u64,
    /// Topics that a lease found already made.
    pub topics_reused: u64,
    /// Offset requests that fences took; each is one request per broker.
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
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} leases on {} lanes, {} failed", self.leases, self.lanes, self.failed_leases)?;
        writeln!(f, "topics: {} made, {} reused", self.topics_made, self.topics_reused)?;
        write!(
            f,
            "consumers: {} made, {} reused, {} retired",
            self.consumers_made, self.consumers_reused, self.consumers_retired
        )
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
            topics_made: self.topics_made.get(),
            topics_reused: self.topics_reused.get(),
            fences: self.fences.get(),
            consumers_made: self.consumers_made.get(),
            consumers_reused: self.consumers_reused.get(),
            consumers_retired: self.consumers_retired.get(),
            consumers_idle: consumers_idle as u64,
            messages_sent: self.messages_sent.get(),
        }
    }
}
