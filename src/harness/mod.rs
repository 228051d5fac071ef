//! A harness: one configuration, one broker, its workers and its pool.

mod builder;

use std::fmt;
use std::sync::{Arc, LazyLock};

pub use self::builder::HarnessBuilder;
use crate::cluster::lazy::LazyCluster;
use crate::handles::Kafka;
use crate::lease::Lease;
use crate::ledger::sweep::{self, Swept};
use crate::model::error::{OrRaise, Result};
use crate::report::stats::Stats;

/// One configuration with its own broker connection, workers and pool; for tests that need other than the default one.
///
/// Building it connects to nothing. The first [`lease`](Self::lease) does.
///
/// ```
/// use std::sync::LazyLock;
///
/// use rstest::{fixture, rstest};
/// use rstest_kafka::{Harness, Kafka};
///
/// static RELAY: LazyLock<Harness> = LazyLock::new(|| Harness::builder().topic_prefix("relay-test").partitions(3).build());
///
/// #[fixture]
/// fn kafka() -> Kafka {
///     RELAY.lease()
/// }
/// # fn main() {
/// # // RELAY reads the environment of whoever runs this, so the example is not run against it.
/// # let relay = Harness::builder().topic_prefix("relay-test").partitions(3).embedded_brokers(1).build();
/// # let kafka = relay.lease();
/// let events = kafka.topic("events");
/// assert!(events.starts_with("relay-test-events-"));
/// assert_eq!(events.partitions(), Some(3));
/// # }
/// ```
#[derive(Clone)]
pub struct Harness {
    inner: Arc<LazyCluster>,
}

impl Harness {
    /// A harness to be configured.
    pub fn builder() -> HarnessBuilder {
        HarnessBuilder::default()
    }

    /// The harness behind the crate's own fixtures, configured by the environment alone.
    pub fn from_environment() -> &'static Self {
        static DEFAULT: LazyLock<Harness> = LazyLock::new(|| Harness::builder().build());
        &DEFAULT
    }

    /// The lease of the test that runs on this thread: the one that is alive, or a new one.
    ///
    /// All leases that one thread takes from a harness while one of them is alive are the same lease, because a test may ask
    /// for `kafka`, `topic_names` and `consumers`, each by itself. Scenarios that run concurrently on one thread, as futures,
    /// cannot be told from that and would read each other's messages: give each its own
    /// [`detached_lease`](Self::detached_lease).
    ///
    /// A runner may use a thread for one test after another. Once a test has failed, or has caught a panic, the next lease
    /// on its thread is a new one, in the worker's next generation.
    ///
    /// # Panics
    /// When a setting is not taken or the broker does not answer; [`try_lease`](Self::try_lease) returns that as an error.
    #[track_caller]
    pub fn lease(&self) -> Kafka {
        self.try_lease().or_raise()
    }

    /// As [`lease`](Self::lease).
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) or [`Error::Name`](crate::Error::Name) for a setting that is not taken, [`Error::Unreachable`](crate::Error::Unreachable) or
    /// [`Error::Broker`](crate::Error::Broker) when the broker does not answer. Each caller waits for the configured timeout, or
    /// for 200 ms once it is known that the broker cannot be connected to. [`Error::State`](crate::Error::State) when there is no place for the ledger.
    pub fn try_lease(&self) -> Result<Kafka> {
        Lease::of_this_thread(&self.inner).map(Kafka::new)
    }

    /// A lease that belongs to no thread: it has a worker of its own and is never shared.
    ///
    /// Use it where a test does not have its thread to itself: scenarios that run concurrently on one thread, several cases
    /// in one test, runners such as cucumber and libtest-mimic. The lease ends when the `Kafka`, and all that it has handed
    /// out, is dropped, on whatever thread.
    ///
    /// The lease has failed if one of these is dropped by a panic, or if [`Kafka::mark_failed`] was called. Nothing else
    /// shows that it has: where the runner turns an `Err` into a failure, or catches a panic while the `Kafka` lives on, as
    /// cucumber does with its `World`, call `mark_failed`.
    ///
    /// Several at once on one thread:
    ///
    /// ```
    /// # let harness = rstest_kafka::Harness::builder().embedded_brokers(1).build();
    /// let cases: Vec<_> = (0..3).map(|_| harness.detached_lease()).collect();
    /// for (n, kafka) in cases.iter().enumerate() {
    ///     kafka.send("events", "key", &n.to_string());
    /// }
    /// for (n, kafka) in cases.iter().enumerate() {
    ///     let consumer = kafka.consumer("events");
    ///     assert_eq!(consumer.recv().text(), n.to_string());
    ///     consumer.assert_empty(); // what the others have sent is on topics of theirs
    /// }
    /// ```
    ///
    /// Scenarios as futures on one thread:
    ///
    /// ```
    /// use rstest_kafka::Harness;
    ///
    /// async fn scenario(harness: &Harness, text: &str) {
    ///     let kafka = harness.detached_lease();
    ///     let consumer = kafka.consumer("events");
    ///     kafka.nonblocking().send("events", "key", text).await.unwrap();
    ///     assert_eq!(consumer.nonblocking().recv().await.unwrap().text(), text);
    ///     consumer.nonblocking().assert_empty().await.unwrap();
    /// }
    ///
    /// # let harness = Harness::builder().embedded_brokers(1).build();
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// tokio::join!(scenario(&harness, "a"), scenario(&harness, "b"), scenario(&harness, "c"));
    /// # });
    /// ```
    ///
    /// # Panics
    /// As [`lease`](Self::lease); [`try_detached_lease`](Self::try_detached_lease) returns that as an error.
    #[track_caller]
    pub fn detached_lease(&self) -> Kafka {
        self.try_detached_lease().or_raise()
    }

    /// As [`detached_lease`](Self::detached_lease).
    ///
    /// # Errors
    /// As [`try_lease`](Self::try_lease).
    pub fn try_detached_lease(&self) -> Result<Kafka> {
        Lease::detached(&self.inner).map(Kafka::new)
    }

    /// Deletes what dead runs have left on its cluster: [`sweep`](crate::sweep()), with this harness's configuration.
    ///
    /// # Errors
    /// As [`sweep`](crate::sweep()).
    pub fn sweep(&self) -> Result<Swept> {
        sweep::with_config(self.inner.config()?)
    }

    /// What it has made, reused and closed so far; all 0 before its first lease.
    pub fn stats(&self) -> Stats {
        self.inner.stats()
    }
}

impl fmt::Debug for Harness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harness").field("config", &self.inner.config()).finish_non_exhaustive()
    }
}
