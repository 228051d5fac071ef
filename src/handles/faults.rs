//! Faults on demand: a broker for one lease alone, that goes down, is slow and answers with errors when it is told to.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use embedded_kafka::{ApiKey as Request, EmbeddedKafka, ErrorCode, Fault};

use crate::lease::LeaseGuard;
use crate::model::error::{Error, OrRaise, Result};

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
/// use rstest_kafka::{ErrorCode, Request};
/// use rstest_kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer};
/// # let harness = rstest_kafka::Harness::builder().embedded_brokers(1).build();
/// # let kafka = harness.lease();
///
/// let faults = kafka.faults(); // before the first topic
/// let orders = kafka.topic("orders");
/// let consumer = kafka.consumer(&orders);
///
/// faults.fail_next(Request::Produce, 2, ErrorCode::NotEnoughReplicas);
///
/// // The service under test: its client tries again, and again.
/// let mut config = kafka.producer_config();
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
    /// The lease goes on, and with it its broker.
    _lease: LeaseGuard,
    broker: Arc<EmbeddedKafka>,
}

impl Faults {
    pub(crate) fn of(lease: LeaseGuard) -> Result<Self> {
        lease.lease().take_private_broker()?;
        let own = lease.lease().private_broker().and_then(|own| own.broker().as_embedded().cloned());
        let broker = own.ok_or_else(|| Error::misuse("this lease has no broker of its own"))?;
        Ok(Self { _lease: lease, broker })
    }

    /// The broker itself: its clock, its logs and groups, and what it has been asked for.
    pub fn embedded(&self) -> &EmbeddedKafka {
        &self.broker
    }

    /// Takes a broker down, 1 being the first: it closes every connection and refuses new ones, until
    /// [`broker_up`](Self::broker_up).
    ///
    /// The partitions that it leads go to another of their replicas, and the groups that it coordinates to another broker.
    /// A partition without another replica has no leader meanwhile.
    ///
    /// librdkafka closes a consumer that is a member of a group, and does not reach its coordinator, only after
    /// `session.timeout.ms`, 45 s by default: a test that drops its service while the broker is down gives it a short one.
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
    /// [`Error::Misuse`] when there is no such broker.
    pub fn try_broker_down(&self, broker: i32) -> Result<()> {
        self.broker.broker_down(broker).map_err(refused)
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
    /// [`Error::Misuse`] when there is no such broker.
    pub fn try_broker_up(&self, broker: i32) -> Result<()> {
        self.broker.broker_up(broker).map_err(refused)
    }

    /// From now on every broker sends each answer so much later; zero ends it.
    pub fn latency(&self, latency: Duration) {
        self.broker.latency(latency);
    }

    /// The next `n` requests of a kind, whoever sends them, are answered with this error and not carried out.
    ///
    /// They come after those that an earlier call has asked for. A Fetch that waits for messages already is not among them.
    ///
    /// # Panics
    /// For a request that the broker does not serve; [`try_fail_next`](Self::try_fail_next) returns that as an error.
    #[track_caller]
    pub fn fail_next(&self, request: Request, n: usize, error: ErrorCode) {
        self.try_fail_next(request, n, error).or_raise();
    }

    /// As [`fail_next`](Self::fail_next).
    ///
    /// # Errors
    /// [`Error::Misuse`] for a request that the broker does not serve, or an error that no broker answers with.
    pub fn try_fail_next(&self, request: Request, n: usize, error: ErrorCode) -> Result<()> {
        self.broker.fail(request, n, error).map_err(refused)
    }

    /// Has something else go wrong: for one client or topic only, with a delay, after the request was carried out, or with the
    /// connection closed instead of an answer.
    ///
    /// # Panics
    /// For a fault that cannot happen; [`try_fault`](Self::try_fault) returns that as an error.
    #[track_caller]
    pub fn fault(&self, fault: Fault) {
        self.try_fault(fault).or_raise();
    }

    /// As [`fault`](Self::fault).
    ///
    /// # Errors
    /// [`Error::Misuse`] for a fault that cannot happen.
    pub fn try_fault(&self, fault: Fault) -> Result<()> {
        self.broker.fault(fault).map_err(refused)
    }

    /// From now on metadata say this error of a topic, such as [`ErrorCode::LeaderNotAvailable`]; `None` ends it.
    ///
    /// # Panics
    /// For an error that no broker answers with; [`try_topic_error`](Self::try_topic_error) returns that as an error.
    #[track_caller]
    pub fn topic_error(&self, topic: &str, error: Option<ErrorCode>) {
        self.try_topic_error(topic, error).or_raise();
    }

    /// As [`topic_error`](Self::topic_error).
    ///
    /// # Errors
    /// [`Error::Misuse`] for an error that no broker answers with.
    pub fn try_topic_error(&self, topic: &str, error: Option<ErrorCode>) -> Result<()> {
        self.broker.topic_error(topic, error).map_err(refused)
    }

    /// How many requests of a kind have come since the broker is there, also those that were answered with an error.
    pub fn requests(&self, request: Request) -> usize {
        self.broker.requests(request)
    }

    /// Ends every fault: all brokers are up and answer at once, and no error is left to be answered with.
    ///
    /// # Panics
    /// When the port of a broker that was down is taken; [`try_clear`](Self::try_clear) returns that as an error.
    #[track_caller]
    pub fn clear(&self) {
        self.try_clear().or_raise();
    }

    /// As [`clear`](Self::clear).
    ///
    /// # Errors
    /// [`Error::Misuse`] when the port of a broker that was down is taken.
    pub fn try_clear(&self) -> Result<()> {
        self.broker.clear_faults().map_err(refused)
    }
}

fn refused(error: embedded_kafka::Error) -> Error {
    Error::misuse(format!("{error:?}"))
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").field("broker", &self.broker.bootstrap_servers()).finish_non_exhaustive()
    }
}
