//! A producer that lanes share.

mod polled;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_channel::oneshot;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message, ToBytes};
use rdkafka::producer::future_producer::Delivery;
use rdkafka::producer::{BaseProducer, BaseRecord, NoCustomPartitioner, Producer as _, ProducerContext};

use self::polled::{Polled, Who};
use crate::broker::{Broker, ClientErrors, create_client};
use crate::error::{Error, Result};
use crate::wait::{self, Deadline};

type Outcome = Result<Delivery, KafkaError>;
type Native = Polled<Deliveries>;

/// Hands each delivery report to the one who waits for it.
#[derive(Default)]
struct Deliveries {
    errors: ClientErrors,
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
            Ok(message) => Ok(Delivery {
                partition: message.partition(),
                offset: message.offset(),
                timestamp: message.timestamp(),
            }),
            Err((error, _)) => Err(error.clone()),
        };
        // Who gave up waiting has dropped the other end.
        let _ = report.send(outcome);
    }
}

/// A record that stands in the producer's queue; its delivery is still to be waited for.
pub(crate) struct Sending {
    report: oneshot::Receiver<Outcome>,
    topic: String,
    /// In whose queue its report will be.
    native: Arc<Native>,
}

/// The shared producer: idempotent, so that a retry after a lost connection never doubles a test's message.
pub(crate) struct Producer {
    native: Mutex<Arc<Native>>,
    broker: Arc<dyn Broker>,
    timeout: Duration,
}

impl Producer {
    pub(crate) fn new(broker: Arc<dyn Broker>, timeout: Duration) -> Result<Self> {
        let native = Mutex::new(Arc::new(make(&*broker, timeout)?));
        Ok(Self { native, broker, timeout })
    }

    fn native(&self) -> Arc<Native> {
        Arc::clone(&self.native.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a record into the queue; it is on its way at once.
    pub(crate) fn enqueue<K, P>(&self, record: BaseRecord<'_, K, P>) -> Result<Sending>
    where
        K: ToBytes + ?Sized,
        P: ToBytes + ?Sized,
    {
        let (sender, report) = oneshot::channel();
        let topic = record.topic.to_owned();
        let native = self.native();
        let record = BaseRecord {
            topic: record.topic,
            partition: record.partition,
            payload: record.payload,
            key: record.key,
            timestamp: record.timestamp,
            headers: record.headers,
            delivery_opaque: Box::new(sender),
        };
        // What is acknowledged makes room in the queue only once its report is taken out.
        native.take_out();
        match native.producer().send(record) {
            Ok(()) => Ok(Sending { report, topic, native }),
            Err((error, _)) => {
                self.replace_if_broken(&native);
                Err(self.failed(&topic, error))
            }
        }
    }

    pub(crate) fn wait(&self, sending: Sending, deadline: Deadline) -> Result<Delivery> {
        let Sending { report, topic, native } = sending;
        self.outcome(&topic, wait::block_on(native.wait(Who::Thread, report), deadline))
    }

    pub(crate) async fn wait_async(&self, sending: Sending, deadline: Deadline) -> Result<Delivery> {
        let Sending { report, topic, native } = sending;
        self.outcome(&topic, wait::timeout(native.wait(Who::Task, report), deadline).await)
    }

    fn outcome(&self, topic: &str, outcome: Option<Result<Outcome, oneshot::Canceled>>) -> Result<Delivery> {
        match outcome {
            Some(Ok(Ok(delivery))) => Ok(delivery),
            Some(Ok(Err(error))) => {
                self.replace_if_broken(&self.native());
                Err(self.failed(topic, error))
            }
            Some(Err(oneshot::Canceled)) => Err(self.failed(topic, KafkaError::Canceled)),
            None => {
                let timed_out = KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut);
                Err(self.failed(topic, timed_out))
            }
        }
    }

    fn failed(&self, topic: &str, error: KafkaError) -> Error {
        let native = self.native();
        native.take_out();
        let last = native.producer().context().errors.last();
        let advice = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageTimedOut) => match last {
                Some((_, reason)) => format!("no acknowledgement within {:?} (last: {reason})", self.timeout),
                None => format!("no acknowledgement within {:?}", self.timeout),
            },
            Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => {
                "the topic is gone: did the test, or somebody else, delete it?".to_owned()
            }
            Some(RDKafkaErrorCode::UnknownPartition) => "the topic has no such partition".to_owned(),
            _ => String::new(),
        };
        let action = format!("send to topic {topic:?}");
        Error::Broker { action, broker: self.broker.name().to_owned(), advice, source: Some(error) }
    }

    /// A producer with a fatal error refuses everything from then on; the other lanes shall not meet that.
    fn replace_if_broken(&self, broken: &Arc<Native>) {
        if broken.producer().client().fatal_error().is_none() {
            return;
        }
        if let Ok(fresh) = make(&*self.broker, self.timeout) {
            let mut native = self.native.lock().unwrap_or_else(PoisonError::into_inner);
            let old = Arc::ptr_eq(&native, broken).then(|| std::mem::replace(&mut *native, Arc::new(fresh)));
            drop(native);
            drop(old);
        }
    }
}

fn make(broker: &dyn Broker, timeout: Duration) -> Result<Native> {
    let mut config = broker.client_config();
    // A consumer's property: a producer would warn about it.
    config.remove("fetch.wait.max.ms");
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
    let producer: BaseProducer<Deliveries> = create_client(&config, Deliveries::default(), "producer", broker.name())?;
    Ok(Polled::new(producer))
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("broker", &self.broker.name()).finish_non_exhaustive()
    }
}
