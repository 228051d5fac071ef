//! Faults of a private broker: it stops, is slow, or returns errors.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use embedded_kafka::{ApiKey as Request, EmbeddedKafka, ErrorCode, Fault};

use super::mode::{Checked, Mode, Panics};
use crate::lease::LeaseGuard;
use crate::model::error::{Error, Result};

/// The faults of a test's private broker, from [`Kafka::faults`](crate::Kafka::faults), to test how a service handles them.
///
/// Every client of the private broker meets the faults, and no other client does. The faults end with the lease. The test's own calls
/// send requests like the service's, so create topics, consumers and groups before the fault, or choose a request that only the
/// service sends:
///
/// | call of the test | requests | after a temporary error |
/// |---|---|---|
/// | a topic, its fence | metadata, [`ListOffsets`](Request::ListOffsets) | retries until the timeout |
/// | a consumer, `recv` and similar calls | [`Fetch`](Request::Fetch) | continues until the timeout |
/// | `drain`, `assert_empty` | [`ListOffsets`](Request::ListOffsets), then [`Fetch`](Request::Fetch) | both of these |
/// | `send` and similar calls | [`Produce`](Request::Produce); before the first one [`InitProducerId`](Request::InitProducerId) | retries until the timeout, and never sends a message twice |
/// | a group | [`FindCoordinator`](Request::FindCoordinator), [`OffsetCommit`](Request::OffsetCommit) | retries until the timeout |
/// | its lag, waiting for it | [`OffsetFetch`](Request::OffsetFetch), [`ListOffsets`](Request::ListOffsets) | retries until the timeout |
///
/// A client treats some errors as temporary: an election, a coordinator that is loading, a lost connection. After any other error, such as
/// a missing permission, the call fails at once.
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
/// // The service under test: its client retries.
/// let mut config = kafka.producer_config();
/// let service: BaseProducer = config.set("retry.backoff.ms", "10").create().unwrap();
/// service.send(BaseRecord::to(&orders).key("k").payload("survives")).unwrap();
/// service.flush(std::time::Duration::from_secs(5)).unwrap();
///
/// assert_eq!(consumer.recv().text(), "survives");
/// assert_eq!(faults.requests(Request::Produce), 3); // two refused, one carried out
/// ```
#[must_use = "faults are for the service under test"]
#[derive(Clone)]
pub struct Faults<M: Mode = Panics> {
    /// Keeps the lease, and with it the private broker.
    lease: LeaseGuard,
    broker: Arc<EmbeddedKafka>,
    mode: PhantomData<M>,
}

impl<M: Mode> Faults<M> {
    pub(crate) fn of(lease: LeaseGuard) -> Result<Self> {
        lease.lease().take_private_broker()?;
        let private = lease.lease().private_broker().and_then(|private| private.broker().as_embedded().cloned());
        let broker = private.ok_or_else(|| Error::misuse("this lease has no private broker"))?;
        Ok(Self { lease, broker, mode: PhantomData })
    }

    /// Returns the same faults with calls that return a `Result`.
    pub fn checked(&self) -> Faults<Checked> {
        Faults { lease: self.lease.clone(), broker: Arc::clone(&self.broker), mode: PhantomData }
    }

    /// Returns the private broker: its clock, its logs and groups, and the requests that it has received.
    pub fn embedded(&self) -> &EmbeddedKafka {
        &self.broker
    }

    /// Stops a broker; the first has number 1. It closes every connection and refuses new ones until
    /// [`broker_up`](Self::broker_up).
    ///
    /// Another replica of each partition becomes its leader, and another broker coordinates its groups. A partition without another
    /// replica has no leader meanwhile.
    ///
    /// If a consumer is a member of a group and does not reach its coordinator, librdkafka closes the consumer only after
    /// `session.timeout.ms`, 45 s by default. Set a short one if the test drops its service while the broker is stopped.
    ///
    /// # Errors
    /// [`Error::Misuse`] if there is no such broker.
    #[track_caller]
    pub fn broker_down(&self, broker: i32) -> M::Setup<()> {
        finish::<M>(self.broker.broker_down(broker))
    }

    /// Starts a broker again, with everything that was written to it. Clients find it after their `reconnect.backoff.max.ms` at the
    /// latest: 10 s by librdkafka's default, 500 ms for this crate's clients.
    ///
    /// # Errors
    /// [`Error::Misuse`] if there is no such broker.
    #[track_caller]
    pub fn broker_up(&self, broker: i32) -> M::Setup<()> {
        finish::<M>(self.broker.broker_up(broker))
    }

    /// Delays every response of every broker by `latency`. Zero ends the delay.
    pub fn latency(&self, latency: Duration) {
        self.broker.latency(latency);
    }

    /// Answers the next `n` requests of a kind with this error, from whichever client, without carrying them out.
    ///
    /// They come after the requests that an earlier call has named. A Fetch that already waits for messages is not one of them.
    ///
    /// # Errors
    /// [`Error::Misuse`] if the broker does not serve the request, or no broker returns the error.
    #[track_caller]
    pub fn fail_next(&self, request: Request, n: usize, error: ErrorCode) -> M::Setup<()> {
        finish::<M>(self.broker.fail(request, n, error))
    }

    /// Injects another fault: for one client or topic only, with a delay, after the request was carried out, or with a closed
    /// connection in place of a response.
    ///
    /// # Errors
    /// [`Error::Misuse`] if the fault is not possible.
    #[track_caller]
    pub fn fault(&self, fault: Fault) -> M::Setup<()> {
        finish::<M>(self.broker.fault(fault))
    }

    /// Returns this error for a topic in every metadata response, such as [`ErrorCode::LeaderNotAvailable`]. `None` ends it.
    ///
    /// # Errors
    /// [`Error::Misuse`] if no broker returns the error.
    #[track_caller]
    pub fn topic_error(&self, topic: &str, error: Option<ErrorCode>) -> M::Setup<()> {
        finish::<M>(self.broker.topic_error(topic, error))
    }

    /// Returns how many requests of a kind the private broker has received, including requests that it answered with an error.
    pub fn requests(&self, request: Request) -> usize {
        self.broker.requests(request)
    }

    /// Ends every fault: all brokers run and respond at once, and no error is pending.
    ///
    /// # Errors
    /// [`Error::Misuse`] if the port of a stopped broker is in use.
    #[track_caller]
    pub fn clear(&self) -> M::Setup<()> {
        finish::<M>(self.broker.clear_faults())
    }
}

#[track_caller]
fn finish<M: Mode>(outcome: embedded_kafka::Result<()>) -> M::Setup<()> {
    M::set_up(outcome.map_err(|error| Error::misuse(format!("{error:?}"))))
}

impl<M: Mode> fmt::Debug for Faults<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").field("broker", &self.broker.bootstrap_servers()).finish_non_exhaustive()
    }
}
