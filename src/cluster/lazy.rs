//! What a harness is behind its handle: the configuration, and the connection that its first lease makes.

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

pub(crate) struct LazyCluster {
    config: Result<Config>,
    cluster: OnceWithDeadline<Arc<Cluster>>,
    /// The broker and its clients while there is no connection. They go on connecting between two leases: to a broker at a
    /// distance, or over TLS, that takes longer than one short wait.
    connecting: Mutex<Option<Arc<Broker>>>,
    /// The error of the first lease that found no broker.
    unreachable: Mutex<Option<Error>>,
}

impl LazyCluster {
    /// One that has connected to nothing yet.
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

    /// The timeout of everything that a test waits for.
    pub(crate) fn timeout(&self) -> Duration {
        self.config.as_ref().map_or(Duration::from_secs(5), |config| config.timeout)
    }

    /// The connection, made by the first lease.
    pub(crate) fn cluster(&self) -> Result<Arc<Cluster>> {
        if let Some(cluster) = self.cluster.get() {
            return Ok(cluster);
        }
        let config = self.config()?;
        let known = lock(&self.unreachable).clone();
        let deadline = Deadline::after(config.timeout);
        let connect = || {
            let outcome = self.connect(config, deadline).map_err(|error| since_the_first(known.as_ref(), error));
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
        // Whoever waited for another says the same as that one.
        let late = || match &*lock(&self.unreachable) {
            Some(error) => error.clone(),
            None => Error::Unreachable {
                broker: config.bootstrap_servers.clone().unwrap_or_else(|| "embedded broker".to_owned()),
                waited: deadline.allowed(),
                source: None,
            },
        };
        self.cluster.get_or_create(deadline, connect, late)
    }

    /// Goes on with the clients that are connecting, if there are any.
    ///
    /// Clients that have failed to connect wait longer and longer before they try again, 10 s in the end. New ones take their
    /// place, and their first failure is enough: tests on a broker that is down do not pile up.
    fn connect(&self, config: &Config, deadline: Deadline) -> Result<Arc<Cluster>> {
        let made = lock(&self.connecting).clone();
        let has_failed = made.as_ref().is_some_and(|broker| broker.control().has_failed());
        let broker = match made.filter(|_| !has_failed) {
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

impl Drop for LazyCluster {
    fn drop(&mut self) {
        if let Some(cluster) = self.cluster.get() {
            PROCESS.remove(&cluster);
        }
    }
}

/// A broker that has not answered since the first lease has been waited for as long as that one says, not only for the last
/// short while.
fn since_the_first(first: Option<&Error>, error: Error) -> Error {
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
