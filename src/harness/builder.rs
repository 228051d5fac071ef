//! Configuring a harness in code.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Harness, LazyCluster};
use crate::config::Report;
use crate::config::environment::Environment;
use crate::config::{Config, FailureReport, KeepTopics, Settings};
use crate::model::error::Result;
use crate::model::secret::Secret;

/// Configures a [`Harness`]. A setting that is not set here comes from the environment, or is the default.
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
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing until build() is called"]
pub struct HarnessBuilder {
    settings: Settings,
}

impl HarnessBuilder {
    /// Sets the addresses of a real cluster, as `host:port` separated by commas (`RSTEST_KAFKA_BOOTSTRAP_SERVERS`; default: the
    /// embedded broker).
    pub fn bootstrap_servers(mut self, servers: impl Into<String>) -> Self {
        self.settings.bootstrap_servers = Some(servers.into());
        self
    }

    /// Sets a Java-style client `.properties` file for all clients of a real cluster (`RSTEST_KAFKA_PROPERTIES`; default: none).
    /// Clients of the embedded broker do not read it.
    ///
    /// The file is read as Java reads it: in ISO 8859-1, with escapes such as `\u00fc` and with continuation lines. Its
    /// `bootstrap.servers` is used if neither the builder nor the environment names a cluster. Properties of librdkafka are
    /// passed on unchanged. Properties of Java clients are treated as follows:
    /// - `sasl.jaas.config` with a plain or a SCRAM login, PEM key and trust stores, and properties that only have a
    ///   different name in librdkafka, such as `fetch.max.wait.ms`, are translated.
    /// - Properties that only concern a Java client (serializers, interceptors, metrics, `ssl.protocol` and the like), and
    ///   properties that this crate sets itself (`group.id`, `client.id`), are ignored.
    /// - JKS stores, other logins, Java classes and `transactional.id` are refused. The error names the alternative.
    ///
    /// A property that librdkafka does not know is refused too, by name. No value is ever shown.
    pub fn properties_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.properties_file = Some(path.into());
        self
    }

    /// Sets a librdkafka property for all clients. It takes precedence over the file. Its value is never shown.
    ///
    /// Clients of the embedded broker use it too, except for the properties of the connection: `bootstrap.servers`,
    /// `security.protocol`, `sasl.…` and `ssl.…`.
    pub fn property(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.properties.push((key.into(), Secret(value.into())));
        self
    }

    /// Uses an embedded cluster of `brokers` brokers, 1 to 9, even if the environment names a cluster.
    ///
    /// The variable `RSTEST_KAFKA_EMBEDDED_BROKERS` (default 1) does not take precedence over a named cluster.
    pub fn embedded_brokers(mut self, brokers: usize) -> Self {
        self.settings.embedded_brokers = Some(brokers);
        self
    }

    /// Sets the prefix of topic names (`RSTEST_KAFKA_TOPIC_PREFIX`, default `test`).
    pub fn topic_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.settings.topic_prefix = Some(prefix.into());
        self
    }

    /// Sets the prefix of group names (`RSTEST_KAFKA_GROUP_PREFIX`, default `test-consumer`).
    pub fn group_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.settings.group_prefix = Some(prefix.into());
        self
    }

    /// Sets the worker's id, which is part of all names (`RSTEST_KAFKA_WORKER_ID`; default: see [`WorkerId`](crate::WorkerId)).
    pub fn worker_id(mut self, id: impl Into<String>) -> Self {
        self.settings.worker_id = Some(id.into());
        self
    }

    /// Sets the number of partitions of a topic whose spec does not set it, 1 to 1000 (`RSTEST_KAFKA_PARTITIONS`, default 1).
    pub fn partitions(mut self, partitions: i32) -> Self {
        self.settings.partitions = Some(partitions);
        self
    }

    /// Sets the replication factor of a topic whose spec does not set it, 1 to 32767 and at most the number of brokers
    /// (`RSTEST_KAFKA_REPLICATION_FACTOR`; default: the broker's).
    pub fn replication_factor(mut self, replication_factor: i32) -> Self {
        self.settings.replication_factor = Some(replication_factor);
        self
    }

    /// Sets the timeout of every operation that waits, 1 ms to 10 minutes (`RSTEST_KAFKA_TIMEOUT_MS`, default 5 s).
    ///
    /// After a timeout, an operation spends up to 2 s more asking the broker for the cause.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = Some(timeout);
        self
    }

    /// Sets how long closing and deleting at exit may take, 1 ms to 10 minutes (`RSTEST_KAFKA_EXIT_DEADLINE_MS`, default 5 s).
    pub fn exit_deadline(mut self, deadline: Duration) -> Self {
        self.settings.exit_deadline = Some(deadline);
        self
    }

    /// Sets how many consumers may be idle in the pool, over all workers, 0 to 10000 (`RSTEST_KAFKA_MAX_IDLE_CONSUMERS`,
    /// default 64). If there are more, the least recently used consumer is closed.
    pub fn max_idle_consumers(mut self, consumers: usize) -> Self {
        self.settings.max_idle_consumers = Some(consumers);
        self
    }

    /// Sets which topics outlive the process (`RSTEST_KAFKA_KEEP_TOPICS`, default never).
    pub fn keep_topics(mut self, keep: KeepTopics) -> Self {
        self.settings.keep_topics = Some(keep);
        self
    }

    /// Sets the failure report, which is printed at the end of a failed test's output (`RSTEST_KAFKA_FAILURE_REPORT`, default on).
    pub fn failure_report(mut self, failure_report: FailureReport) -> Self {
        self.settings.failure_report = Some(failure_report);
        self
    }

    /// Sets the report of the run, which is written when the process exits (`RSTEST_KAFKA_REPORT`, default off).
    pub fn report(mut self, report: Report) -> Self {
        self.settings.report = Some(report);
        self
    }

    /// Sets the directory of the ledger, from which the next run learns what a killed run left behind
    /// (`RSTEST_KAFKA_STATE_DIR`; default: a directory of the user). Only tests on a real cluster use it.
    pub fn state_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.state_dir = Some(path.into());
        self
    }

    /// Returns the harness. If a setting is invalid, every lease fails, so that each test reports the cause.
    pub fn build(self) -> Harness {
        let config = Config::resolve(&self.settings, &Environment::of_process());
        Harness { inner: Arc::new(LazyCluster::new(config)) }
    }

    /// Returns the harness, or an error if a setting is invalid.
    ///
    /// # Errors
    /// Returns [`Error::Config`](crate::Error::Config) or [`Error::Name`](crate::Error::Name) for the first invalid setting.
    pub fn try_build(self) -> Result<Harness> {
        let harness = self.build();
        harness.inner.config()?;
        Ok(harness)
    }
}
