//! The producer that all lanes of a harness share.

mod polled;
mod tasks;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_channel::oneshot;
use rdkafka::ClientConfig;
use rdkafka::bindings as rdsys;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, NoCustomPartitioner, Producer as _, ProducerContext};

use self::polled::Polled;
pub(crate) use self::polled::Waiter;
use crate::broker::{Broker, ClientErrors, Role, advice, create_client};
use crate::model::error::{Error, Result};
use crate::model::producer_record::{Delivery, ProducerRecord};
use crate::model::record::time_of;
use crate::sync::wait::Deadline;

type Outcome = Result<Delivery, Undelivered>;
type Native = Polled<Deliveries>;

/// Sends each delivery report to the caller that waits for it.
#[derive(Default)]
struct Deliveries {
    errors: ClientErrors,
    /// Whether the producer was connected before its first record.
    is_connected: AtomicBool,
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        self.errors.remember(error, reason);
    }
}

impl ProducerContext<NoCustomPartitioner> for Deliveries {
    type DeliveryOpaque = Box<oneshot::Sender<Outcome>>;

    fn delivery(&self, result: &DeliveryResult<'_>, report: Self::DeliveryOpaque) {
        let outcome = match result {
            Ok(message) => {
                // An earlier error does not explain a later failure.
                self.errors.forget();
                Ok(Delivery {
                    partition: message.partition(),
                    offset: message.offset(),
                    time: time_of(message.timestamp()),
                })
            }
            Err((error, message)) => {
                // SAFETY: the message is valid as long as `message`.
                let status = unsafe { rdsys::rd_kafka_message_status(message.ptr()) };
                // If the record timed out in the queue, it certainly does not arrive. All timed-out records are treated
                // alike, because whether the record was sent is a matter of milliseconds.
                let may_arrive = status != rdsys::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED
                    || error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageTimedOut);
                Err(Undelivered { error: error.clone(), may_arrive })
            }
        };
        // A caller that no longer waits has dropped its receiver.
        let _ = report.send(outcome);
    }
}

/// How long the first record of a producer waits for a connection. Afterwards it waits in the producer's queue.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(100);

/// How long a record waits for new metadata if its client does not know the partition.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a record was not delivered.
#[derive(Debug)]
pub(crate) struct Undelivered {
    pub(crate) error: KafkaError,
    /// Whether the broker may have the record, or may still receive it.
    pub(crate) may_arrive: bool,
}

/// The values of a record that an error message names.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RecordInfo {
    pub(crate) size: usize,
    partition: Option<i32>,
}

impl RecordInfo {
    pub(crate) fn of(record: &ProducerRecord) -> Self {
        Self { size: record.size(), partition: record.partition }
    }
}

/// Where a record was refused. Client and broker have separate limits, but the same error codes for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusedBy {
    Client,
    Broker,
}

/// A record in the producer's queue, whose delivery report is pending.
pub(crate) struct Sending {
    report: oneshot::Receiver<Outcome>,
    pub(crate) info: RecordInfo,
    /// The client whose queue will contain the report.
    native: Arc<Native>,
}

impl Sending {
    /// Waits for the delivery report of the record.
    pub(crate) async fn outcome(&mut self, waiter: Waiter) -> Outcome {
        let Self { report, native, .. } = self;
        let canceled = |oneshot::Canceled| Err(Undelivered { error: KafkaError::Canceled, may_arrive: true });
        native.wait(waiter, report).await.unwrap_or_else(canceled)
    }
}

/// The shared producer. It is idempotent, so that a retry after a lost connection never duplicates a message.
pub(crate) struct Producer {
    native: Mutex<Arc<Native>>,
    broker: Arc<Broker>,
    config: ClientConfig,
}

impl Producer {
    pub(crate) fn new(broker: Arc<Broker>, timeout: Duration) -> Result<Self> {
        let config = config(&broker, timeout);
        let native = Mutex::new(Arc::new(create_native(&config, broker.name())?));
        Ok(Self { native, broker, config })
    }

    fn native(&self) -> Arc<Native> {
        Arc::clone(&self.native.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a record into the queue. It is sent at once.
    pub(crate) fn enqueue(&self, topic: &str, record: &ProducerRecord) -> Result<Sending, KafkaError> {
        let (sender, report) = oneshot::channel();
        let native = self.native();
        if !native.producer().context().is_connected.swap(true, Ordering::Relaxed) {
            connect(&native, topic);
        }
        let headers = record.headers.iter().fold(None, |headers: Option<OwnedHeaders>, (key, value)| {
            Some(headers.unwrap_or_default().insert(Header { key, value: value.as_ref() }))
        });
        let base = BaseRecord::<[u8], [u8], _> {
            topic,
            partition: record.partition,
            payload: record.value.as_deref(),
            key: record.key.as_deref(),
            timestamp: record.millis(),
            headers,
            delivery_opaque: Box::new(sender),
        };
        // An acknowledged record frees its place in the queue only when its report is taken.
        native.drain();
        let sent = match native.producer().send(base) {
            Err((error, base))
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownPartition)
                    && has_partition(&native, topic, base.partition) =>
            {
                native.producer().send(base)
            }
            sent => sent,
        };
        match sent {
            Ok(()) => Ok(Sending { report, info: RecordInfo::of(record), native }),
            Err((error, _)) => Err(error),
        }
    }

    /// Returns the error for a record that was refused or timed out.
    pub(crate) fn send_error(&self, topic: &str, error: KafkaError, by: RefusedBy, info: &RecordInfo) -> Error {
        self.replace_if_broken(&self.native());
        let RecordInfo { size, partition } = info;
        let advice = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageTimedOut) => {
                let allowed = self.config.get("message.timeout.ms").unwrap_or_default();
                format!("no acknowledgement within message.timeout.ms ({allowed}) of the client{}", self.last_error())
            }
            Some(RDKafkaErrorCode::MessageSizeTooLarge) if by == RefusedBy::Client => {
                let limit = self.config.get("message.max.bytes").unwrap_or("1000000");
                format!(
                    "the record has {size} bytes, and message.max.bytes of the client is {limit}: raise it with \
                     Harness::builder().property(\"message.max.bytes\", …), and for more than 1 MiB the topic's limit with \
                     TopicSpec::config(\"max.message.bytes\", …)"
                )
            }
            Some(code @ (RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge)) => {
                format!("the broker refused the record of {size} bytes, or its batch: {}", advice(code))
            }
            Some(RDKafkaErrorCode::UnknownPartition) => match partition {
                Some(partition) => {
                    format!("the topic has no partition {partition}; create it with TopicSpec::partitions")
                }
                None => "the topic has no such partition".to_owned(),
            },
            Some(code) => advice(code).to_owned(),
            None => "the client was closed".to_owned(),
        };
        let action = format!("send to topic {topic:?}");
        Error::Broker { action, broker: self.broker.name().to_owned(), advice, source: Some(error) }
    }

    /// Returns the error for records that were not acknowledged in time: `waiting` of `sent`.
    pub(crate) fn timeout_error(&self, topic: &str, allowed: Duration, (waiting, sent): (usize, usize)) -> Error {
        self.native().drain();
        let missing = if sent > 1 { format!(" for {waiting} of {sent} records") } else { String::new() };
        Error::Broker {
            action: format!("send to topic {topic:?}"),
            broker: self.broker.name().to_owned(),
            advice: format!("no acknowledgement within {allowed:?}{missing}{}", self.last_error()),
            source: Some(KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut)),
        }
    }

    fn last_error(&self) -> String {
        let last = self.native().producer().context().errors.last();
        last.map(|(_, reason)| format!(" (last: {reason})")).unwrap_or_default()
    }

    /// Replaces a producer that has a fatal error. It would refuse the records of all other lanes too.
    fn replace_if_broken(&self, broken: &Arc<Native>) {
        if broken.producer().client().fatal_error().is_none() {
            return;
        }
        if let Ok(fresh) = create_native(&self.config, self.broker.name()) {
            let mut native = self.native.lock().unwrap_or_else(PoisonError::into_inner);
            let old = Arc::ptr_eq(&native, broken).then(|| std::mem::replace(&mut *native, Arc::new(fresh)));
            drop(native);
            drop(old);
        }
    }
}

/// Waits a short time for a connection, so that librdkafka requests the producer id that idempotence needs.
///
/// librdkafka requests the id when metadata arrive, if a broker is connected then, and otherwise every 500 ms
/// (`rd_kafka_idemp_pid_fsm`). The first metadata come from the bootstrap address, whose connection librdkafka closes
/// as soon as it knows the brokers. On a busy machine the id was then missing, and the first record waited for 450 ms.
fn connect(native: &Native, topic: &str) {
    let deadline = Deadline::after(CONNECT_TIMEOUT);
    while !deadline.has_passed() {
        match native.producer().client().fetch_metadata(Some(topic), deadline.remaining()) {
            // The bootstrap address has a negative id.
            Ok(metadata) if metadata.orig_broker_id() < 0 => {}
            _ => return,
        }
    }
}

/// Whether the broker has a partition that the client does not know, because it was added later. Afterwards the client
/// knows it.
fn has_partition(native: &Native, topic: &str, partition: Option<i32>) -> bool {
    let metadata = native.producer().client().fetch_metadata(Some(topic), METADATA_TIMEOUT);
    let topics = metadata.as_ref().map(|metadata| metadata.topics()).unwrap_or_default();
    topics.iter().flat_map(|topic| topic.partitions()).any(|found| Some(found.id()) == partition)
}

fn config(broker: &Broker, timeout: Duration) -> ClientConfig {
    let mut config = broker.own_client_config(Role::Producer);
    for (key, value) in [
        ("client.id", "rstest-kafka-producer"),
        ("enable.idempotence", "true"),
        ("linger.ms", "0"),
        ("message.timeout.ms", &timeout.as_millis().to_string()),
    ] {
        if config.get(key).is_none() {
            config.set(key, value);
        }
    }
    config
}

fn create_native(config: &ClientConfig, broker: &str) -> Result<Native> {
    let producer: BaseProducer<Deliveries> = create_client(config, Deliveries::default(), "producer", broker)?;
    Ok(Polled::new(producer))
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("broker", &self.broker.name()).finish_non_exhaustive()
    }
}
