//! What a harness has done so far, in numbers.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

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
    /// What the topics that were made have cost their tests: to create them and wait for leaders, without the first
    /// connecting, and without the fence, which a reused topic has as well.
    pub topics_made_in: Duration,
    /// What the reused topics have cost their tests: to read the fence.
    pub topics_reused_in: Duration,
    /// What the consumers that were made have cost their tests: to make them, connect and assign them.
    pub consumers_made_in: Duration,
    /// What the reused consumers have cost their tests: to assign them.
    pub consumers_reused_in: Duration,
    /// What tests have spent in receiving, in assertions that something is not there, and in waiting for a group; each of
    /// several threads counts.
    pub waited: Duration,
}

impl Stats {
    /// What reuse has saved the tests, as measured in this run.
    ///
    /// For topics and for consumers: what one cost on average where it was made here, times the number of reuses, less what
    /// the reuses cost. Nothing that was not measured is counted: what is reused and was made by another process saves 0
    /// here, and so does the closing and deleting that a fresh one would have cost. Never negative; 0 without a reuse.
    ///
    /// ```
    /// # let harness = rstest_kafka::Harness::builder().embedded_brokers(1).build();
    /// harness.lease().consumer("events");
    /// assert_eq!(harness.stats().time_saved(), std::time::Duration::ZERO); // nothing was reused yet
    /// ```
    pub fn time_saved(&self) -> Duration {
        let saved = |made, made_in: Duration, reused: u64, reused_in: Duration| match made {
            0 => 0,
            made => signed(made_in) * i128::from(reused) / i128::from(made) - signed(reused_in),
        };
        let nanos = saved(self.topics_made, self.topics_made_in, self.topics_reused, self.topics_reused_in)
            + saved(self.consumers_made, self.consumers_made_in, self.consumers_reused, self.consumers_reused_in);
        Duration::from_nanos(nanos.clamp(0, i128::from(u64::MAX)) as u64)
    }

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
            topics_made_in: self.topics_made_in + other.topics_made_in,
            topics_reused_in: self.topics_reused_in + other.topics_reused_in,
            consumers_made_in: self.consumers_made_in + other.consumers_made_in,
            consumers_reused_in: self.consumers_reused_in + other.consumers_reused_in,
            waited: self.waited + other.waited,
        }
    }
}

fn signed(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
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
    pub(crate) topics_made_in: Clock,
    pub(crate) topics_reused_in: Clock,
    pub(crate) consumers_made_in: Clock,
    pub(crate) consumers_reused_in: Clock,
    pub(crate) waited: Clock,
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

/// A sum of durations, in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Clock(AtomicU64);

impl Clock {
    pub(crate) fn add(&self, took: Duration) {
        self.0.fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
    }

    fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
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
            topics_made_in: self.topics_made_in.get(),
            topics_reused_in: self.topics_reused_in.get(),
            consumers_made_in: self.consumers_made_in.get(),
            consumers_reused_in: self.consumers_reused_in.get(),
            waited: self.waited.get(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn stats(topics: (u64, u64, u64, u64), consumers: (u64, u64, u64, u64)) -> Stats {
        let ms = Duration::from_millis;
        Stats {
            topics_made: topics.0,
            topics_made_in: ms(topics.1),
            topics_reused: topics.2,
            topics_reused_in: ms(topics.3),
            consumers_made: consumers.0,
            consumers_made_in: ms(consumers.1),
            consumers_reused: consumers.2,
            consumers_reused_in: ms(consumers.3),
            ..Stats::default()
        }
    }

    #[rstest]
    #[case::nothing_done((0, 0, 0, 0), (0, 0, 0, 0), 0)]
    #[case::nothing_reused((4, 80, 0, 0), (4, 40, 0, 0), 0)]
    #[case::both((2, 40, 10, 30), (1, 5, 4, 2), 10 * 20 - 30 + 4 * 5 - 2)]
    #[case::made_elsewhere((0, 0, 10, 30), (1, 5, 4, 2), 4 * 5 - 2)]
    #[case::reuse_cost_more((1, 1, 2, 50), (1, 10, 3, 3), 0)]
    fn time_saved_is_what_was_measured(
        #[case] topics: (u64, u64, u64, u64),
        #[case] consumers: (u64, u64, u64, u64),
        #[case] saved: u64,
    ) {
        assert_eq!(stats(topics, consumers).time_saved(), Duration::from_millis(saved));
    }
}
