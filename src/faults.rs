//! Faults on demand: a broker for one lease alone, that goes down, is slow and answers with errors when it is told to.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;

use crate::broker::{Broker, Embedded, Request};
use crate::error::{Error, OrRaise, Result};
use crate::lease::LeaseGuard;
use crate::wait::Deadline;

/// The faults of a test's own broker, from [`Kafka::faults`](crate::Kafka::faults): to see how a service takes them.
///
/// They are felt by every client of this lease's broker, and by nobody else, and end with the lease. The test's own calls are
/// requests like the service's, so make topics, consumers and groups before the fault, or choose one that only the service meets:
///
/// | the test's call | asks with | refused for a passing reason |
/// |---|---|---|
/// | a topic, its fence | metadata, [`ListOffsets`](Request::ListOffsets) | asks again until the timeout |
/// | a consumer, `recv` and its like | [`Fetch`](Request::Fetch) | goes on until the timeout |
/// | `drain`, `assert_empty` | [`ListOffsets`](Request::ListOffsets), then [`Fetch`](Request::Fetch) | both of these |
/// | `send` and its like | [`Produce`](Request::Produce); the first one [`InitProducerId`](Request::InitProducerId) | sends again until the timeout, never twice |
/// | a group | [`FindCoordinator`](Request::FindCoordinator), [`OffsetCommit`](Request::OffsetCommit) | asks again until the timeout |
/// | its lag, waiting for it | [`OffsetFetch`](Request::OffsetFetch), [`ListOffsets`](Request::ListOffsets) | asks again until the timeout |
///
/// A passing reason is one that a client takes for such: an election, a coordinator that is loading, a lost connection. What is
/// refused for another, such as a missing right, fails at once.
///
/// ```
/// use rstest_kafka::Request;
/// use rstest_kafka::rdkafka::error::RDKafkaErrorCode;
/// use rstest_kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer};
/// # let harness = rstest_kafka::Harness::builder().embedded_brokers(1).build();
/// # let kafka = harness.lease();
///
/// let faults = kafka.faults(); // before the first topic
/// let orders = kafka.topic("orders");
/// let consumer = kafka.consumer(&orders);
///
/// faults.fail_next(Request::Produce, 2, RDKafkaErrorCode::NotEnoughReplicas);
///
/// // The service under test: its client tries again, and again.
/// let mut config = kafka.client_config();
/// config.remove("fetch.wait.max.ms"); // a consumer's
/// let service: BaseProducer = config.set("retry.backoff.ms", "10").create().unwrap();
/// service.send(BaseRecord::to(&orders).key("k").payload("survives")).unwrap();
/// service.flush(std::time::Duration::from_secs(5)).unwrap();
///
/// assert_eq!(consumer.recv().text(), "survives");
/// assert_eq!(faults.requests(Request::Produce), 3); // two refused, one taken
/// ```
#[must_use = "faults are for the service under test"]
#[derive(Clone)]
pub struct Faults {
    lease: LeaseGuard,
    broker: Arc<Embedded>,
}

impl Faults {
    pub(crate) fn of(lease: LeaseGuard) -> Result<Self> {
        lease.lease().take_own_broker()?;
        let own = lease.lease().own_broker().ok_or_else(|| Error::misuse("this lease has no broker of its own"))?;
        let broker = Arc::clone(own.broker());
        Ok(Self { lease, broker })
    }

    /// Takes a broker down, 1 being the first: it closes every connection and refuses new ones, until
    /// [`broker_up`](Self::broker_up).
    ///
    /// No other broker takes over the partitions that it leads; what was written to them is there again when it is up.
    ///
    /// # Panics
    /// When there is no such broker; [`try_broker_down`](Self::try_broker_down) returns that as an error.
    #[track_caller]
    pub fn broker_down(&self, broker: i32) {
        self.try_broker_down(broker).or_raise();
    }

    /// As [`broker_down`](Self::broker_down).
    ///
    /// # Errors
    /// [`Error::Misuse`] when there is no such broker, [`Error::Broker`] when it does not do as it is told.
    pub fn try_broker_down(&self, broker: i32) -> Result<()> {
        self.broker.set_up(broker, false, self.deadline())
    }

    /// Brings a broker back, with all that was written to it. Clients find it after their `reconnect.backoff.max.ms` at the
    /// latest: 10 s for librdkafka's, 500 ms for this crate's.
    ///
    /// # Panics
    /// When there is no such broker; [`try_broker_up`](Self::try_broker_up) returns that as an error.
    #[track_caller]
    pub fn broker_up(&self, broker: i32) {
        self.try_broker_up(broker).or_raise();
    }

    /// As [`broker_up`](Self::broker_up).
    ///
    /// # Errors
    /// As [`try_broker_down`](Self::try_broker_down).
    pub fn try_broker_up(&self, broker: i32) -> Result<()> {
        self.broker.set_up(broker, true, self.deadline())
    }

    /// From now on every broker sends each answer so much later, in whole milliseconds; zero ends it.
    ///
    /// # Panics
    /// When the broker does not do as it is told; [`try_latency`](Self::try_latency) returns that as an error.
    #[track_caller]
    pub fn latency(&self, latency: Duration) {
        self.try_latency(latency).or_raise();
    }

    /// As [`latency`](Self::latency).
    ///
    /// # Errors
    /// [`Error::Broker`] when the broker does not do as it is told.
    pub fn try_latency(&self, latency: Duration) -> Result<()> {
        self.broker.set_latency(latency, self.deadline())
    }

    /// The next `n` requests of a kind, whoever sends them, are answered with this error and not carried out.
    ///
    /// They come after those that an earlier call has asked for. With
    /// [`BrokerTransportFailure`](RDKafkaErrorCode::BrokerTransportFailure) the broker closes the connection instead of
    /// answering.
    ///
    /// # Panics
    /// For an error that no broker answers with; [`try_fail_next`](Self::try_fail_next) returns that as an error.
    #[track_caller]
    pub fn fail_next(&self, request: Request, n: usize, error: RDKafkaErrorCode) {
        self.try_fail_next(request, n, error).or_raise();
    }

    /// As [`fail_next`](Self::fail_next).
    ///
    /// # Errors
    /// [`Error::Misuse`] for an error that no broker answers with, or more than 1,000,000 of them.
    pub fn try_fail_next(&self, request: Request, n: usize, error: RDKafkaErrorCode) -> Result<()> {
        self.broker.fail_next(request, n, error)
    }

    /// From now on metadata say this error of a topic, such as `LeaderNotAvailable` or `TopicAuthorizationFailed`; `None`
    /// ends it.
    ///
    /// # Panics
    /// For an error that no broker answers with; [`try_topic_error`](Self::try_topic_error) returns that as an error.
    #[track_caller]
    pub fn topic_error(&self, topic: &str, error: Option<RDKafkaErrorCode>) {
        self.try_topic_error(topic, error).or_raise();
    }

    /// As [`topic_error`](Self::topic_error).
    ///
    /// # Errors
    /// [`Error::Misuse`] for an error that no broker answers with, [`Error::Broker`] when it does not do as it is told.
    pub fn try_topic_error(&self, topic: &str, error: Option<RDKafkaErrorCode>) -> Result<()> {
        self.broker.set_topic_error(topic, error, self.deadline())
    }

    /// How many requests of a kind have come since the broker is there, also those that were answered with an error.
    pub fn requests(&self, request: Request) -> usize {
        self.broker.requests(request)
    }

    /// Ends every fault: all brokers are up and answer at once, and no error is left to be answered with.
    ///
    /// # Panics
    /// When the broker does not do as it is told; [`try_clear`](Self::try_clear) returns that as an error.
    #[track_caller]
    pub fn clear(&self) {
        self.try_clear().or_raise();
    }

    /// As [`clear`](Self::clear).
    ///
    /// # Errors
    /// [`Error::Broker`] when the broker does not do as it is told.
    pub fn try_clear(&self) -> Result<()> {
        self.broker.heal(self.deadline())
    }

    fn deadline(&self) -> Deadline {
        self.lease.lease().deadline()
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").field("broker", &self.broker.name()).finish_non_exhaustive()
    }
}
