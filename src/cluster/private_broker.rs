//! The private broker of one lease, for its faults.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crate::broker::Broker;
use crate::cluster::Cluster;
use crate::config::Config;
use crate::model::error::{Error, Result};
use crate::sync::background::BackgroundDrop;
use crate::sync::wait::Deadline;

/// The number of brokers that may be closing before a new one waits for them.
const MAX_CLOSING: usize = 16;

/// The time after which a closing broker is left to the threads that still use it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Closes the brokers of ended leases in the background.
static CLOSING: LazyLock<BackgroundDrop<ClosingBroker>> = LazyLock::new(BackgroundDrop::new);

/// An embedded broker of one lease, and the clients on it.
pub(crate) struct PrivateBroker {
    broker: Arc<Broker>,
    cluster: Arc<Cluster>,
}

impl PrivateBroker {
    pub(crate) fn start(config: &Config, harness: &Cluster, deadline: Deadline) -> Result<Self> {
        if !harness.broker().capabilities().faults {
            return Err(Error::Unsupported {
                what: "have faults on demand".to_owned(),
                broker: harness.broker().name().to_owned(),
                advice:
                    "use Harness::builder().embedded_brokers(1) for these tests, or check capabilities().faults first"
                        .to_owned(),
            });
        }
        CLOSING.wait_for_room(MAX_CLOSING, deadline);
        let broker = Arc::new(Broker::embedded(config.embedded_brokers, &config.properties)?);
        let cluster = Arc::new(Cluster::for_one_lease(&broker, config, harness, deadline)?);
        Ok(Self { broker, cluster })
    }

    pub(crate) fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    pub(crate) fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// Returns what must be closed when the lease has ended, or when the broker was not used.
    pub(crate) fn closing(&self) -> ClosingBroker {
        ClosingBroker { cluster: Arc::clone(&self.cluster) }
    }
}

/// The private broker of an ended lease. Its drop closes the broker.
pub(crate) struct ClosingBroker {
    cluster: Arc<Cluster>,
}

impl ClosingBroker {
    /// Closes the broker in the background.
    pub(crate) fn close(self) {
        CLOSING.close([self]);
    }
}

impl Drop for ClosingBroker {
    fn drop(&mut self) {
        let deadline = Deadline::after(CLOSE_TIMEOUT);
        // The faults stay injected: these clients close without a response of their broker.
        self.cluster.close_pool();
        self.cluster.wait_for_closing(deadline);
        // The lease drops its reference soon. The last reference waits for the clients to close, and the test must not
        // wait for them.
        while Arc::strong_count(&self.cluster) > 1 && !deadline.has_passed() {
            deadline.pause(Duration::from_millis(1));
        }
    }
}
