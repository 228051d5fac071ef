//! How a harness is configured in code.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Harness, LazyCluster};
use crate::config::Report;
use crate::config::environment::Environment;
use crate::config::{Config, FailureReport, KeepTopics, Settings};
use crate::model::error::Result;
use crate::model::secret::Secret;

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
#[derive(Debug, Clone, Default)]
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

    /// A librdkafka property for all clients; wins over the file. Its value is never shown.
    ///
    /// The embedded broker's clients take it too, except for what says how a cluster is reached: `bootstrap.servers`,
    /// `security.protocol`, `sasl.…` and `ssl.…`.
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

    /// How long anything is waited for, 1 ms to 10 minutes (`RSTEST_KAFKA_TIMEOUT_MS`, default 5 s). After a wait in vain the
    /// broker has up to 2 s more to say why.
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

    /// What the output of a failed test ends with (`RSTEST_KAFKA_FAILURE_REPORT`, default on).
    pub fn failure_report(mut self, failure_report: FailureReport) -> Self {
        self.settings.failure_report = Some(failure_report);
        self
    }

    /// What is written about the run when the process exits (`RSTEST_KAFKA_REPORT`, default off).
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
        Harness { inner: Arc::new(LazyCluster::new(config)) }
    }

    /// The harness, checked now.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) or [`Error::Name`](crate::Error::Name) for the first setting that is not taken.
    pub fn try_build(self) -> Result<Harness> {
        let harness = self.build();
        harness.inner.config()?;
        Ok(harness)
    }
}
