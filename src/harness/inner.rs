//! What a harness is behind its handle: the configuration, and the connection that its first lease makes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::broker::Shape;
use crate::config::Config;
use crate::connection::Connection;
use crate::error::{Error, Result};
use crate::flight::Flight;
use crate::registry;
use crate::stats::Stats;
use crate::topic::TopicSpec;
use crate::wait::Deadline;

/// How long a broker that did not answer is waited for from then on, so that failing tests do not pile up.
const ASK_AGAIN: Duration = Duration::from_millis(200);

pub(crate) struct HarnessInner {
    config: Result<Config>,
    connection: Flight<Arc<Connection>>,
    /// Since when the broker is known not to answer.
    unreachable: Mutex<Option<(Instant, Error)>>,
}

impl HarnessInner {
    /// One that has connected to nothing yet.
    pub(super) fn new(config: Result<Config>) -> Self {
        Self { config, connection: Flight::default(), unreachable: Mutex::default() }
    }

    pub(super) fn stats(&self) -> Stats {
        self.connection.get().map(|connection| connection.stats()).unwrap_or_default()
    }

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
