//! The names of a test's topics.

use std::fmt;
use std::marker::PhantomData;

use super::mode::{Mode, Panics};
use crate::lease::LeaseGuard;
#[cfg(feature = "__internal")]
use crate::model::error::Result;
use crate::model::ids::{RunId, WorkerId};
use crate::model::topic::Topic;

/// The names of a test's topics, for a service that creates its topics itself.
///
/// ```
/// use rstest_kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer};
/// # let harness = rstest_kafka::Harness::builder().embedded_brokers(1).build();
/// # let kafka = harness.lease();
/// # let topic_names = kafka.topic_names();
///
/// let audit = topic_names.name("audit");
/// let consumer = kafka.consumer(&audit); // the topic need not exist yet
///
/// // The service under test: its first message creates the topic.
/// let service: BaseProducer = kafka.producer_config().create().unwrap();
/// service.send(BaseRecord::to(&audit).key("service").payload("started")).unwrap();
/// service.flush(std::time::Duration::from_secs(5)).unwrap();
///
/// assert_eq!(consumer.recv().text(), "started");
/// ```
#[must_use = "a test's lease ends when its last fixture is dropped"]
#[derive(Clone)]
pub struct TopicNames<M: Mode = Panics> {
    lease: LeaseGuard,
    mode: PhantomData<M>,
}

impl<M: Mode> TopicNames<M> {
    pub(crate) fn new(lease: LeaseGuard) -> Self {
        Self { lease, mode: PhantomData }
    }

    /// Names a topic without creating it, for a service that lets the broker create it.
    ///
    /// If an earlier test on this worker has left the topic, the fence is at its current end offsets.
    ///
    /// # Errors
    /// Fails with [`Error::Name`](crate::Error::Name) if the name is invalid, before anything is sent, and with
    /// [`Error::State`](crate::Error::State) if the topic cannot be recorded in the ledger. Fails with
    /// [`Error::Unreachable`](crate::Error::Unreachable) or [`Error::Broker`](crate::Error::Broker) if the broker does not return
    /// the end offsets of an existing topic.
    #[track_caller]
    pub fn name(&self, logical: &str) -> M::Setup<Topic> {
        M::set_up(self.lease.lease().named_topic(logical))
    }

    /// Returns the id of the worker that this test holds.
    pub fn worker_id(&self) -> &WorkerId {
        &self.lease.lease().names().worker_id
    }

    /// Returns the id of the run.
    pub fn run_id(&self) -> &RunId {
        &self.lease.lease().names().run_id
    }

    /// Returns how many tests have failed on this worker before this one.
    pub fn generation(&self) -> u32 {
        self.lease.lease().names().generation
    }

    /// Returns the topic name as text, without a request, a fence or an entry in the ledger.
    ///
    /// This crate's benchmarks use it to measure the cost of a name.
    #[cfg(feature = "__internal")]
    #[doc(hidden)]
    pub fn text(&self, logical: &str) -> Result<String> {
        self.lease.lease().names().topic(logical)
    }
}

impl<M: Mode> fmt::Debug for TopicNames<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TopicNames").field(&self.lease).finish()
    }
}
