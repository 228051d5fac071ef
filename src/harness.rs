//! A harness: one configuration, one broker, its workers and its pool.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::broker::{Secret, Shape};
use crate::config::{Config, Environment, FailureAccount, KeepTopics, Settings};
use crate::connection::Connection;
use crate::error::{Error, OrRaise, Result};
use crate::flight::Flight;
use crate::guards::Kafka;
use crate::lease::Lease;
use crate::registry;
use crate::report::Report;
use crate::stats::Stats;
use crate::sweep::{self, Swept};
use crate::topic::TopicSpec;
use crate::wait::Deadline;

/// How long a broker that did not answer is waited for from then on, so that failing tests do not pile up.
const ASK_AGAIN: Duration = Duration::from_millis(200);

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

pub(crate) struct HarnessInner {
    config: Result<Config>,
    connection: Flight<Arc<Connection>>,
    /// Since when the broker is known not to answer.
    unreachable: Mutex<Option<(Instant, Error)>>,
}

impl Harness {
    /// A harness to be configured.
    pub fn builder() -> HarnessBuilder {
        HarnessBuilder { settings: Settings::default() }
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
    /// [`Error::Config`] or [`Error::Name`] for a setting that is not taken, [`Error::Unreachable`] or
    /// [`Error::Broker`] when the broker does not answer. The first caller waits for the configured timeout; until the
    /// broker answers the others wait 200 ms.
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
        self.inner.connection.get().map(|connection| connection.stats()).unwrap_or_default()
    }
}

impl fmt::Debug for Harness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harness").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

impl HarnessInner {
    pub(crate) fn config(&self) -> Result<&Config> {
        self.config.as_ref().map_err(Clone::clone)
    }

    /// The timeout of everything that a test waits for.
    pub(crate) fn timeout(&self) -> Duration {
        self.config.as_ref().map_or(Duration::from_secs(5), |config| config.timeout)
    }

    /// The connection, made by the first lease.
    pub(crate) fn connection(&self) -> Result<Arc<Connection>> {
        if let Some(connection) = self.connection.get() {
            return Ok(connection);
        }
        let config = self.config()?;
        let known = self.unreachable.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let deadline = Deadline::after(if known.is_some() { ASK_AGAIN.min(config.timeout) } else { config.timeout });
        let connect = || {
            let outcome = Connection::open(config, deadline).map(Arc::new);
            let mut unreachable = self.unreachable.lock().unwrap_or_else(PoisonError::into_inner);
            *unreachable = match &outcome {
                Ok(_) => None,
                Err(error) => Some(known.clone().unwrap_or_else(|| (Instant::now(), error.clone()))),
            };
            drop(unreachable);
            if let Ok(connection) = &outcome {
                registry::add(connection, config.exit_deadline, config.report.clone());
            }
            outcome
        };
        // Who fails because another waited in vain says the same as that one.
        let late = || match &*self.unreachable.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((_, error)) => error.clone(),
            None => Error::Unreachable {
                broker: config.bootstrap_servers.clone().unwrap_or_else(|| "embedded broker".to_owned()),
                waited: deadline.allowed(),
                source: None,
            },
        };
        let first = known.as_ref().map(|(_, error)| error.clone());
        self.connection.get_or_make(deadline, connect, late).map_err(|error| first.unwrap_or(error))
    }

    /// What a spec comes to with the harness's defaults.
    pub(crate) fn shape(&self, spec: &TopicSpec) -> Result<Shape> {
        let config = self.config()?;
        Ok(Shape {
            partitions: spec.partitions.unwrap_or(config.partitions),
            replication_factor: spec.replication_factor.or(config.replication_factor),
            config: spec.config.clone(),
        })
    }
}

impl Drop for HarnessInner {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.get() {
            registry::remove(&connection);
        }
    }
}

/// Configures a [`Harness`]; what it leaves out is taken from the environment, and else the default.
///
/// ```
/// use std::time::Duration;
///
/// use rstest_kafka::Harness;
///
/// let harness = Harness::builder()
///     .embedded_brokers(3)
///     .replication_factor(3)
///     .partitions(6)
///     .timeout(Duration::from_secs(2))
///     .build();
/// assert_eq!(harness.lease().topic("events").partitions(), Some(6));
///
/// let refused = Harness::builder().partitions(0).try_build().unwrap_err();
/// assert_eq!(refused.to_string(), "Harness::builder().partitions is \"0\": it takes 1 to 1000");
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until build() is called"]
pub struct HarnessBuilder {
    settings: Settings,
}

impl HarnessBuilder {
    /// The addresses of a real cluster, `host:port` with commas between them (`RSTEST_KAFKA_BOOTSTRAP_SERVERS`; default: the
    /// embedded broker).
    pub fn bootstrap_servers(mut self, servers: impl Into<String>) -> Self {
        self.settings.bootstrap_servers = Some(servers.into());
        self
    }

    /// A Java-style client .properties file for all clients of a real cluster (`RSTEST_KAFKA_PROPERTIES`; default none). The
    /// embedded broker's clients do not read it.
    ///
    /// It is read as Java does: ISO 8859-1, `\u00fc`, continuation lines. Its `bootstrap.servers` counts where neither the
    /// builder nor the environment names a cluster. librdkafka's own properties stand as they are; of Java's
    /// - translated are `sasl.jaas.config` with a plain or a SCRAM login, PEM key and trust stores, and what only has
    ///   another name, such as `fetch.max.wait.ms`;
    /// - left out is how a Java client does its own work (serializers, interceptors, metrics, `ssl.protocol` and the like),
    ///   and what this crate's clients set for themselves (`group.id`, `client.id`);
    /// - refused, with what to use instead, are JKS stores, other logins, Java classes and `transactional.id`.
    ///
    /// What librdkafka does not know either is an error that names it. No value is ever shown.
    pub fn properties_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.properties_file = Some(path.into());
        self
    }

    /// A librdkafka property for all clients of a real cluster; wins over the file. Its value is never shown. The embedded
    /// broker's clients do not get it.
    pub fn property(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.properties.push((key.into(), Secret(value.into())));
        self
    }

    /// The embedded broker with so many brokers, 1 to 9, also where the environment names a cluster
    /// (`RSTEST_KAFKA_EMBEDDED_BROKERS`, which does not win over a named cluster; default 1).
    pub fn embedded_brokers(mut self, brokers: usize) -> Self {
        self.settings.embedded_brokers = Some(brokers);
        self
    }

    /// What topic names begin with (`RSTEST_KAFKA_TOPIC_PREFIX`, default `test`).
    pub fn topic_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.settings.topic_prefix = Some(prefix.into());
        self
    }

    /// What group names begin with (`RSTEST_KAFKA_GROUP_PREFIX`, default `test-consumer`).
    pub fn group_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.settings.group_prefix = Some(prefix.into());
        self
    }

    /// The worker's id in all names (`RSTEST_KAFKA_WORKER_ID`; default: see [`WorkerId`](crate::WorkerId)).
    pub fn worker_id(mut self, id: impl Into<String>) -> Self {
        self.settings.worker_id = Some(id.into());
        self
    }

    /// How many partitions a topic has where its spec does not say, 1 to 1000 (`RSTEST_KAFKA_PARTITIONS`, default 1).
    pub fn partitions(mut self, partitions: i32) -> Self {
        self.settings.partitions = Some(partitions);
        self
    }

    /// How many replicas a partition has where its topic's spec does not say, 1 to 32767 and at most as many as there are
    /// brokers (`RSTEST_KAFKA_REPLICATION_FACTOR`; default: the broker's).
    pub fn replication_factor(mut self, replication_factor: i32) -> Self {
        self.settings.replication_factor = Some(replication_factor);
        self
    }

    /// How long anything is waited for, 1 ms to 10 minutes (`RSTEST_KAFKA_TIMEOUT_MS`, default 5 s).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = Some(timeout);
        self
    }

    /// How long closing and deleting at exit may take, 1 ms to 10 minutes (`RSTEST_KAFKA_EXIT_DEADLINE_MS`, default 5 s).
    pub fn exit_deadline(mut self, deadline: Duration) -> Self {
        self.settings.exit_deadline = Some(deadline);
        self
    }

    /// How many consumers may be idle in the pool, over all workers, 0 to 10000 (`RSTEST_KAFKA_MAX_IDLE_CONSUMERS`, default
    /// 64). The least recently used one beyond it is closed; 0 keeps none.
    pub fn max_idle_consumers(mut self, consumers: usize) -> Self {
        self.settings.max_idle_consumers = Some(consumers);
        self
    }

    /// Which topics outlive the process (`RSTEST_KAFKA_KEEP_TOPICS`, default never).
    pub fn keep_topics(mut self, keep: KeepTopics) -> Self {
        self.settings.keep_topics = Some(keep);
        self
    }

    /// What the output of a failed test ends with (`RSTEST_KAFKA_FAILURE_ACCOUNT`, default on).
    pub fn failure_account(mut self, failure_account: FailureAccount) -> Self {
        self.settings.failure_account = Some(failure_account);
        self
    }

    /// What is told at exit of what the run did (`RSTEST_KAFKA_REPORT`, default off).
    pub fn report(mut self, report: Report) -> Self {
        self.settings.report = Some(report);
        self
    }

    /// The folder of the ledger, by which the next run deletes what a killed one left (`RSTEST_KAFKA_STATE_DIR`; default: a
    /// folder of the user's own). Only tests on a real cluster use it.
    pub fn state_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.state_dir = Some(path.into());
        self
    }

    /// The harness. A setting that is not taken is an error of every lease, so that each test says why it failed.
    pub fn build(self) -> Harness {
        let config = Config::resolve(&self.settings, &Environment::of_process());
        Harness {
            inner: Arc::new(HarnessInner { config, connection: Flight::default(), unreachable: Mutex::default() }),
        }
    }

    /// The harness, checked now.
    ///
    /// # Errors
    /// [`Error::Config`] or [`Error::Name`] for the first setting that is not taken.
    pub fn try_build(self) -> Result<Harness> {
        let harness = self.build();
        harness.inner.config()?;
        Ok(harness)
    }
}
