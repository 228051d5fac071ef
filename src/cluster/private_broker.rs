//! A broker that one lease has for itself, for its faults, and its end off the test's path.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crate::broker::Broker;
use crate::cluster::Cluster;
use crate::config::Config;
use crate::model::error::{Error, Result};
use crate::sync::background::BackgroundDrop;
use crate::sync::wait::Deadline;

/// How many brokers of ended leases may be on their way out before the next one waits for them.
const MOST_ENDING: usize = 16;

/// How long the end of a broker may take before it is left to whoever still has it.
const END: Duration = Duration::from_secs(5);

/// Closes the brokers of ended leases off the test's path.
static ENDING: LazyLock<BackgroundDrop<Ending>> = LazyLock::new(BackgroundDrop::new);

/// A broker of one lease, with the connection to it.
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
                advice: "the embedded broker can: give these tests a Harness::builder().embedded_brokers(1), or ask \
                         capabilities().faults first"
                    .to_owned(),
            });
        }
        ENDING.wait_for_room(MOST_ENDING, deadline);
        let broker = Arc::new(Broker::embedded(config.embedded_brokers, &config.properties)?);
        let cluster = Arc::new(Cluster::of_one_lease(&broker, config, harness, deadline)?);
        Ok(Self { broker, cluster })
    }

    pub(crate) fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    pub(crate) fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// What is left to be closed when its lease has ended, or when it was never used.
    pub(crate) fn ending(&self) -> Ending {
        Ending { cluster: Arc::clone(&self.cluster) }
    }
}

/// What is left of a lease's own broker; its drop takes it apart.
pub(crate) struct Ending {
    cluster: Arc<Cluster>,
}

impl Ending {
    /// Has it go away, off the test's path.
    pub(crate) fn close(self) {
        ENDING.close([self]);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let deadline = Deadline::after(END);
        // Its faults stay as they are: these clients close without their broker.
        self.cluster.close_idle();
        self.cluster.wait_for_closing(deadline);
        // The lease lets go of it any moment; whoever is last waits for its clients to end, and that is not to be the test.
        while Arc::strong_count(&self.cluster) > 1 && !deadline.has_passed() {
            deadline.pause(Duration::from_millis(1));
        }
    }
}
