//! A harness: one configuration with its broker connection, workers and pool.

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

/// One configuration with its own broker connection, workers and pool, for tests that need a configuration
/// other than the default.
///
/// Building a harness connects to nothing. The first [`lease`](Self::lease) connects to the broker.
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
/// # // RELAY reads the environment, which this example must not depend on.
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
    /// Returns a builder that configures a harness.
    pub fn builder() -> HarnessBuilder {
        HarnessBuilder::default()
    }

    /// Returns the harness of the crate's fixtures, which only the environment configures.
    pub fn from_environment() -> &'static Self {
        static DEFAULT: LazyLock<Harness> = LazyLock::new(|| Harness::builder().build());
        &DEFAULT
    }

    /// Returns the lease of the test that runs on this thread. If the thread has no lease, a new one begins.
    ///
    /// While a lease is alive, every call on the same thread returns the same lease, because a test may use `kafka`,
    /// `topic_names` and `consumers` as separate fixtures. Scenarios that run concurrently as futures on one thread would
    /// share a lease and read each other's messages. Give each scenario its own [`detached_lease`](Self::detached_lease).
    ///
    /// A runner may use a thread for several tests in sequence. After a test has failed or has caught a panic, the next
    /// lease on its thread is a new lease in the worker's next generation.
    ///
    /// # Panics
    /// Panics if a setting is invalid or the broker does not respond. Use [`try_lease`](Self::try_lease) to get an error instead.
    #[track_caller]
    pub fn lease(&self) -> Kafka {
        self.try_lease().or_raise()
    }

    /// Returns the lease of the test that runs on this thread, like [`lease`](Self::lease), but returns an error instead of
    /// panicking.
    ///
    /// Each call waits at most the configured timeout. After a connection attempt has failed, each call waits at most 200 ms.
    ///
    /// # Errors
    /// Returns [`Error::Config`](crate::Error::Config) or [`Error::Name`](crate::Error::Name) if a setting is invalid.
    /// Returns [`Error::Unreachable`](crate::Error::Unreachable) or [`Error::Broker`](crate::Error::Broker) if the broker does
    /// not respond, and [`Error::State`](crate::Error::State) if there is no directory for the ledger.
    pub fn try_lease(&self) -> Result<Kafka> {
        Lease::of_this_thread(&self.inner).map(Kafka::new)
    }

    /// Returns a new lease that belongs to no thread. It has its own worker and is never shared.
    ///
    /// Use it if a test does not have a thread to itself: for scenarios that run concurrently on one thread, for several
    /// cases in one test, and for runners such as cucumber and libtest-mimic. The lease ends when the `Kafka` and everything
    /// that it has returned are dropped, on any thread.
    ///
    /// The lease counts as failed if one of these is dropped by a panic, or if [`Kafka::mark_failed`] was called. The crate
    /// cannot detect any other failure. Call `mark_failed` if the runner turns an `Err` into a failure, or if it catches a
    /// panic while the `Kafka` stays alive, as cucumber does with its `World`.
    ///
    /// Several leases on one thread:
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
    ///     consumer.assert_empty(); // the other leases have sent to other topics
    /// }
    /// ```
    ///
    /// Scenarios that run as futures on one thread:
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
    /// Panics if a setting is invalid or the broker does not respond. Use [`try_detached_lease`](Self::try_detached_lease) to
    /// get an error instead.
    #[track_caller]
    pub fn detached_lease(&self) -> Kafka {
        self.try_detached_lease().or_raise()
    }

    /// Returns a new lease that belongs to no thread, like [`detached_lease`](Self::detached_lease), but returns an error
    /// instead of panicking.
    ///
    /// # Errors
    /// Returns the same errors as [`try_lease`](Self::try_lease).
    pub fn try_detached_lease(&self) -> Result<Kafka> {
        Lease::detached(&self.inner).map(Kafka::new)
    }

    /// Deletes the topics and groups that killed runs have left on the harness's cluster, like [`sweep()`](crate::sweep()).
    ///
    /// # Errors
    /// Returns the same errors as [`sweep()`](crate::sweep()), and an error if a setting of the harness is invalid.
    pub fn sweep(&self) -> Result<Swept> {
        sweep::with_config(self.inner.config()?)
    }

    /// Returns how many topics and consumers the harness has created, reused and closed. All counts are 0 before the first
    /// lease.
    pub fn stats(&self) -> Stats {
        self.inner.stats()
    }
}

impl fmt::Debug for Harness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harness").field("config", &self.inner.config()).finish_non_exhaustive()
    }
}
