//! A harness: one configuration, one broker, its workers and its pool.

mod builder;
pub(crate) mod inner;

use std::fmt;
use std::sync::{Arc, LazyLock};

pub use self::builder::HarnessBuilder;
use self::inner::HarnessInner;
use crate::error::{OrRaise, Result};
use crate::guards::Kafka;
use crate::lease::Lease;
use crate::stats::Stats;
use crate::sweep::{self, Swept};

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
    inner: Arc<HarnessInner>,
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

    /// The lease of the test that runs on this thread: started now, or the one that it has.
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
    /// [`Error::Broker`](crate::Error::Broker) when the broker does not answer. The first caller waits for the configured timeout; until the
    /// broker answers the others wait 200 ms. [`Error::State`](crate::Error::State) when there is no place for the ledger.
    pub fn try_lease(&self) -> Result<Kafka> {
        Lease::of_this_thread(&self.inner).map(Kafka::new)
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
