//! The configuration of a harness, and the cluster that its first lease opens.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::process::PROCESS;
use crate::broker::{Broker, Shape};
use crate::cluster::Cluster;
use crate::config::Config;
use crate::model::error::{Error, Result};
use crate::model::topic::TopicSpec;
use crate::report::stats::Stats;
use crate::sync::once::OnceWithDeadline;
use crate::sync::wait::Deadline;

/// The configuration of a harness, and its cluster once a lease has opened it.
pub(crate) struct LazyCluster {
    config: Result<Config>,
    cluster: OnceWithDeadline<Arc<Cluster>>,
    /// The broker and its clients, until the cluster is open. They continue to connect between two leases, because
    /// connecting to a remote broker, or over TLS, can take longer than one short timeout.
    connecting: Mutex<Option<Arc<Broker>>>,
    /// The error of the first lease that could not reach the broker.
    unreachable: Mutex<Option<Error>>,
}

impl LazyCluster {
    /// Creates the state of a harness without connecting.
    pub(crate) fn new(config: Result<Config>) -> Self {
        Self {
            config,
            cluster: OnceWithDeadline::default(),
            connecting: Mutex::default(),
            unreachable: Mutex::default(),
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        self.cluster.get().map(|cluster| cluster.stats()).unwrap_or_default()
    }

    pub(crate) fn config(&self) -> Result<&Config> {
        self.config.as_ref().map_err(Clone::clone)
    }

    /// The timeout of every operation that waits.
    pub(crate) fn timeout(&self) -> Duration {
        self.config.as_ref().map_or(Duration::from_secs(5), |config| config.timeout)
    }

    /// Returns the cluster. The first lease opens it.
    pub(crate) fn cluster(&self) -> Result<Arc<Cluster>> {
        if let Some(cluster) = self.cluster.get() {
            return Ok(cluster);
        }
        let config = self.config()?;
        let first_error = lock(&self.unreachable).clone();
        let deadline = Deadline::after(config.timeout);
        let connect = || {
            let outcome =
                self.connect(config, deadline).map_err(|error| waited_since_first_lease(first_error.as_ref(), error));
            let mut unreachable = lock(&self.unreachable);
            match &outcome {
                Ok(_) => *unreachable = None,
                Err(error) => drop(unreachable.get_or_insert_with(|| error.clone())),
            }
            drop(unreachable);
            if let Ok(cluster) = &outcome {
                PROCESS.add(cluster, config.exit_deadline, config.report.clone());
            }
            outcome
        };
        // A caller that waited for another caller returns the same error.
        let timed_out = || match &*lock(&self.unreachable) {
            Some(error) => error.clone(),
            None => Error::Unreachable {
                broker: config.bootstrap_servers.clone().unwrap_or_else(|| "embedded broker".to_owned()),
                waited: deadline.allowed(),
                source: None,
            },
        };
        self.cluster.get_or_create(deadline, connect, timed_out)
    }

    /// Opens the cluster, with the clients that are already connecting if there are any.
    ///
    /// Clients that failed to connect wait longer before each retry, up to 10 s. New clients replace them, and the
    /// first failure of these is returned at once, so that tests do not queue for a broker that is down.
    fn connect(&self, config: &Config, deadline: Deadline) -> Result<Arc<Cluster>> {
        let connecting = lock(&self.connecting).clone();
        let has_failed = connecting.as_ref().is_some_and(|broker| broker.control().has_failed());
        let broker = match connecting.filter(|_| !has_failed) {
            Some(broker) => broker,
            None => Arc::new(match &config.bootstrap_servers {
                None => Broker::embedded(config.embedded_brokers, &config.properties)?,
                Some(servers) => Broker::cluster(servers, &config.properties)?,
            }),
        };
        *lock(&self.connecting) = Some(Arc::clone(&broker));
        if has_failed {
            broker.control().answers_or_fails(deadline)?;
        }
        let cluster = Cluster::open(broker, config, deadline)?;
        *lock(&self.connecting) = None;
        Ok(Arc::new(cluster))
    }

    /// Returns the shape of a spec, with the defaults of the harness.
    pub(crate) fn shape(&self, spec: &TopicSpec) -> Result<Shape> {
        let config = self.config()?;
        Ok(Shape {
            partitions: spec.partitions.unwrap_or(config.partitions),
            replication_factor: spec.replication_factor.or(config.replication_factor),
            config: spec.config.clone(),
        })
    }
}

impl Drop for LazyCluster {
    fn drop(&mut self) {
        if let Some(cluster) = self.cluster.get() {
            PROCESS.remove(&cluster);
        }
    }
}

/// Replaces the time that an unreachable broker was waited for by that of the first lease. A later lease fails sooner,
/// and its own short wait would be misleading.
fn waited_since_first_lease(first: Option<&Error>, error: Error) -> Error {
    match (first, error) {
        (Some(Error::Unreachable { waited, .. }), Error::Unreachable { broker, source, .. }) => {
            Error::Unreachable { broker, waited: *waited, source }
        }
        (_, error) => error,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
