//! Faults of the embedded broker: what librdkafka's mock cluster does when it is told to.

use std::ffi::{CString, c_char};
use std::sync::PoisonError;
use std::time::Duration;

use rdkafka::bindings as rdsys;
use rdkafka::error::{IsError, KafkaError, KafkaResult, RDKafkaErrorCode};

use super::{Broker, Control, Embedded};
use crate::error::{Error, Result};
use crate::wait::Deadline;

/// A request of the Kafka protocol that the embedded broker can answer with an error.
///
/// These are the requests for which librdkafka's mock cluster looks at its error stack; Metadata is not among them
/// ([`Faults::topic_error`](crate::Faults::topic_error)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(i16)]
pub enum Request {
    /// A producer's batch.
    Produce = 0,
    /// A consumer's question for messages.
    Fetch = 1,
    /// The question where a partition begins or ends.
    ListOffsets = 2,
    /// A group's commit.
    OffsetCommit = 8,
    /// The question for what a group has committed.
    OffsetFetch = 9,
    /// The question who coordinates a group or a transaction.
    FindCoordinator = 10,
    /// A member's joining of a classic group.
    JoinGroup = 11,
    /// A member's sign of life in a classic group.
    Heartbeat = 12,
    /// A member's leaving of a classic group.
    LeaveGroup = 13,
    /// The handing out of partitions in a classic group.
    SyncGroup = 14,
    /// The first question of every connection.
    ApiVersions = 18,
    /// The first question of an idempotent or transactional producer.
    InitProducerId = 22,
    /// The question where a leader's epoch ended.
    OffsetForLeaderEpoch = 23,
    /// A transaction's next partitions.
    AddPartitionsToTxn = 24,
    /// A transaction's group, whose offsets it commits.
    AddOffsetsToTxn = 25,
    /// A transaction's commit or abort.
    EndTxn = 26,
    /// A transaction's commit of a group's offsets.
    TxnOffsetCommit = 28,
    /// A member's sign of life, joining and leaving included, in a group of the KIP-848 protocol.
    ConsumerGroupHeartbeat = 68,
}

impl Request {
    const ALL: [Self; 18] = [
        Self::Produce,
        Self::Fetch,
        Self::ListOffsets,
        Self::OffsetCommit,
        Self::OffsetFetch,
        Self::FindCoordinator,
        Self::JoinGroup,
        Self::Heartbeat,
        Self::LeaveGroup,
        Self::SyncGroup,
        Self::ApiVersions,
        Self::InitProducerId,
        Self::OffsetForLeaderEpoch,
        Self::AddPartitionsToTxn,
        Self::AddOffsetsToTxn,
        Self::EndTxn,
        Self::TxnOffsetCommit,
        Self::ConsumerGroupHeartbeat,
    ];

    /// Its number in the protocol.
    fn key(self) -> i16 {
        self as i16
    }
}

type SetTopicError<E> = unsafe extern "C" fn(*mut rdsys::rd_kafka_mock_cluster_t, *const c_char, E);

/// How many errors may wait at once: each takes memory until it is answered.
const MOST_ERRORS: usize = 1_000_000;

impl Embedded {
    /// From now on its requests are counted.
    pub(crate) fn count_requests(&self) {
        // SAFETY: the mock lives as long as `self`; the call takes the mock's own lock.
        unsafe { rdsys::rd_kafka_mock_start_request_tracking(self.mock()) }
    }

    /// How many requests of a kind came since they are counted.
    pub(crate) fn requests(&self, request: Request) -> usize {
        let mut count = 0;
        // SAFETY: as above; the array has as many requests as it says, which stay alive until it is given back.
        unsafe {
            let all = rdsys::rd_kafka_mock_get_requests(self.mock(), &raw mut count);
            if all.is_null() {
                return 0;
            }
            let same = |n: &usize| rdsys::rd_kafka_mock_request_api_key(*all.add(*n)) == request.key();
            let found = (0..count).filter(same).count();
            rdsys::rd_kafka_mock_request_destroy_array(all, count);
            found
        }
    }

    /// Takes a broker away, or brings it back.
    pub(crate) fn set_up(&self, broker: i32, up: bool, deadline: Deadline) -> Result<()> {
        self.check_broker(broker)?;
        let (set, action) = match up {
            true => (rdsys::rd_kafka_mock_broker_set_up as unsafe extern "C" fn(_, _) -> _, "bring up"),
            false => (rdsys::rd_kafka_mock_broker_set_down as _, "take down"),
        };
        self.have(format!("{action} broker {broker}"), deadline, move |control| {
            // SAFETY: the mock lives as long as the control client, which the command holds.
            unsafe { set(rdsys::rd_kafka_handle_mock_cluster(control.native()), broker) }
        })
    }

    /// From now on every broker sends each answer so much later.
    pub(crate) fn set_latency(&self, latency: Duration, deadline: Deadline) -> Result<()> {
        let millis = i32::try_from(latency.as_millis()).unwrap_or(i32::MAX);
        self.have(format!("answer {latency:?} later"), deadline, move |control| {
            // SAFETY: as above; -1 is all brokers.
            unsafe {
                rdsys::rd_kafka_mock_broker_set_rtt(rdsys::rd_kafka_handle_mock_cluster(control.native()), -1, millis)
            }
        })
    }

    /// The next `n` requests of a kind, to whichever broker, are answered with this error.
    pub(crate) fn fail_next(&self, request: Request, n: usize, error: RDKafkaErrorCode) -> Result<()> {
        let code = wire_code(error)?;
        if n > MOST_ERRORS {
            return Err(Error::misuse(format!("{n} requests were to fail: it takes {MOST_ERRORS} at most")));
        }
        let codes = vec![code; n];
        // SAFETY: as above. The array has `n` numbers of the enum's size and representation, which are copied; no value
        // of the Rust enum is ever made of them.
        unsafe {
            rdsys::rd_kafka_mock_push_request_errors_array(
                self.mock(),
                request.key(),
                codes.len(),
                codes.as_ptr().cast::<rdsys::rd_kafka_resp_err_t>(),
            );
        }
        Ok(())
    }

    /// Metadata say this error of the topic from now on; `None`: no error.
    pub(crate) fn set_topic_error(
        &self,
        topic: &str,
        error: Option<RDKafkaErrorCode>,
        deadline: Deadline,
    ) -> Result<()> {
        let code = error.map_or(Ok(0), wire_code)?;
        let name = CString::new(topic).map_err(|_| Error::misuse("a topic's name has no 0 in it"))?;
        if error.is_some() {
            self.faulty_topics.lock().unwrap_or_else(PoisonError::into_inner).insert(topic.to_owned());
        }
        self.have(format!("answer for topic {topic:?} with an error"), deadline, move |control| {
            // SAFETY: as above; the name is copied. The function is declared with a number in the error's place, which
            // has the enum's size and representation, so that no value of the Rust enum is made of it.
            unsafe {
                let set = std::mem::transmute::<SetTopicError<rdsys::rd_kafka_resp_err_t>, SetTopicError<i32>>(
                    rdsys::rd_kafka_mock_topic_set_error,
                );
                set(rdsys::rd_kafka_handle_mock_cluster(control.native()), name.as_ptr(), code);
            }
            rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
        })
    }

    /// No request is answered with an error any more, none late, and every broker is there.
    pub(crate) fn heal(&self, deadline: Deadline) -> Result<()> {
        for request in Request::ALL {
            // SAFETY: as above.
            unsafe { rdsys::rd_kafka_mock_clear_request_errors(self.mock(), request.key()) }
        }
        let faulty = std::mem::take(&mut *self.faulty_topics.lock().unwrap_or_else(PoisonError::into_inner));
        faulty.iter().try_for_each(|topic| self.set_topic_error(topic, None, deadline))?;
        self.set_latency(Duration::ZERO, deadline)?;
        (1..=self.brokers() as i32).try_for_each(|broker| self.set_up(broker, true, deadline))
    }

    fn mock(&self) -> *mut rdsys::rd_kafka_mock_cluster_t {
        // SAFETY: the control client was made with a mock, which lives as long as it; the call reads a field.
        unsafe { rdsys::rd_kafka_handle_mock_cluster(self.control().native()) }
    }

    fn check_broker(&self, broker: i32) -> Result<()> {
        let last = self.brokers() as i32;
        if (1..=last).contains(&broker) {
            return Ok(());
        }
        let there = if last == 1 { "broker 1 alone".to_owned() } else { format!("brokers 1 to {last}") };
        Err(Error::misuse(format!(
            "there is no broker {broker}: {} has {there}; more come with embedded_brokers or RSTEST_KAFKA_EMBEDDED_BROKERS",
            self.name()
        )))
    }

    /// Has the mock's own thread do something.
    fn have(
        &self,
        action: String,
        deadline: Deadline,
        call: impl FnOnce(&Control) -> rdsys::rd_kafka_resp_err_t + Send + 'static,
    ) -> Result<()> {
        let command = move |control: &Control| -> KafkaResult<()> {
            let code = call(control);
            if code.is_error() { Err(KafkaError::MockCluster(code.into())) } else { Ok(()) }
        };
        self.command(command, deadline).map_err(|error| self.control().failed(action, error))
    }
}

/// The number of an error that a broker can answer with.
fn wire_code(error: RDKafkaErrorCode) -> Result<i32> {
    let code = error as i32;
    if code > 0 || error == RDKafkaErrorCode::BrokerTransportFailure {
        return Ok(code);
    }
    Err(Error::misuse(format!(
        "{error:?} is no error that a broker answers with: take one of the protocol's, or BrokerTransportFailure to have \
         the connection closed"
    )))
}
