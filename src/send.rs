//! How a test sends: one message, several, or a whole record; each also async.

use std::sync::Arc;

use rdkafka::message::ToBytes;
use rdkafka::producer::BaseRecord;
use rdkafka::producer::future_producer::Delivery;

use crate::error::{Error, OrRaise, Result};
use crate::guards::Kafka;
use crate::lane::Hold;
use crate::producer::{Producer, Sending};
use crate::topic::TopicRef;

impl Kafka {
    /// Sends one message and returns once the broker has it, with the partition and offset that it gave.
    ///
    /// The partition is librdkafka's choice by the key (`consistent_random`); name one with
    /// [`send_record`](Self::send_record).
    ///
    /// # Panics
    /// When the broker has not acknowledged it within the configured timeout; [`try_send`](Self::try_send) returns that
    /// as an error.
    #[track_caller]
    pub fn send<K, V>(&self, topic: impl Into<TopicRef>, key: &K, value: &V) -> Delivery
    where
        K: ToBytes + ?Sized,
        V: ToBytes + ?Sized,
    {
        self.try_send(topic, key, value).or_raise()
    }

    /// As [`send`](Self::send).
    ///
    /// # Errors
    /// [`Error::Broker`](crate::Error::Broker) when it was not acknowledged; else as [`try_consumer`](Self::try_consumer).
    pub fn try_send<K, V>(&self, topic: impl Into<TopicRef>, key: &K, value: &V) -> Result<Delivery>
    where
        K: ToBytes + ?Sized,
        V: ToBytes + ?Sized,
    {
        let topic = self.lease.lease().resolve(topic.into())?;
        self.try_send_record(BaseRecord::to(topic.name()).key(key).payload(value))
    }

    /// As [`send`](Self::send), without blocking the thread; on any runtime.
    ///
    /// Dropped before it is done it counts the test as failed, since its message may come when the next one has begun.
    ///
    /// # Panics
    /// As [`send`](Self::send), at no particular place: a panic in an async function has no caller to name.
    pub async fn send_async<K, V>(&self, topic: impl Into<TopicRef>, key: &K, value: &V) -> Delivery
    where
        K: ToBytes + ?Sized,
        V: ToBytes + ?Sized,
    {
        self.try_send_async(topic, key, value).await.or_raise()
    }

    /// As [`send_async`](Self::send_async).
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub async fn try_send_async<K, V>(&self, topic: impl Into<TopicRef>, key: &K, value: &V) -> Result<Delivery>
    where
        K: ToBytes + ?Sized,
        V: ToBytes + ?Sized,
    {
        let topic = self.lease.lease().resolve(topic.into())?;
        self.try_send_record_async(BaseRecord::to(topic.name()).key(key).payload(value)).await
    }

    /// Sends messages in their order and returns once the broker has them all, each with its partition and offset.
    ///
    /// # Panics
    /// When one was not acknowledged; [`try_send_all`](Self::try_send_all) returns that as an error.
    #[track_caller]
    pub fn send_all<K, V>(
        &self,
        topic: impl Into<TopicRef>,
        messages: impl IntoIterator<Item = (K, V)>,
    ) -> Vec<Delivery>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        self.try_send_all(topic, messages).or_raise()
    }

    /// As [`send_all`](Self::send_all).
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send): the first that was not acknowledged.
    pub fn try_send_all<K, V>(
        &self,
        topic: impl Into<TopicRef>,
        messages: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Vec<Delivery>>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let deadline = self.lease.lease().deadline();
        let Enqueued { producer, sendings, refused } = self.enqueue_all(topic.into(), messages)?;
        // Each is waited for, whatever became of the others: one that is still on its way would be the next test's.
        let outcomes: Vec<_> = sendings.into_iter().map(|sending| producer.wait(sending, deadline)).collect();
        outcomes.into_iter().chain(refused.map(Err)).collect()
    }

    /// As [`send_all`](Self::send_all), without blocking the thread; on any runtime.
    ///
    /// # Panics
    /// As [`send_async`](Self::send_async).
    pub async fn send_all_async<K, V>(
        &self,
        topic: impl Into<TopicRef>,
        messages: impl IntoIterator<Item = (K, V)>,
    ) -> Vec<Delivery>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        self.try_send_all_async(topic, messages).await.or_raise()
    }

    /// As [`send_all_async`](Self::send_all_async).
    ///
    /// # Errors
    /// As [`try_send_all`](Self::try_send_all).
    pub async fn try_send_all_async<K, V>(
        &self,
        topic: impl Into<TopicRef>,
        messages: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Vec<Delivery>>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let deadline = self.lease.lease().deadline();
        let Enqueued { producer, sendings, refused } = self.enqueue_all(topic.into(), messages)?;
        let on_their_way = OnItsWay(Some(self.lease.lease().hold()));
        let mut outcomes = Vec::with_capacity(sendings.len());
        for sending in sendings {
            outcomes.push(producer.wait_async(sending, deadline).await);
        }
        on_their_way.ends();
        outcomes.into_iter().chain(refused.map(Err)).collect()
    }

    fn enqueue_all<K, V>(&self, topic: TopicRef, messages: impl IntoIterator<Item = (K, V)>) -> Result<Enqueued>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let lease = self.lease.lease();
        let topic = lease.resolve(topic)?;
        let connection = lease.connection();
        let producer = connection.producer(lease.hold().lane())?;
        let (mut sendings, mut refused) = (Vec::new(), None);
        for (key, value) in messages {
            match producer.enqueue(BaseRecord::to(topic.name()).key(key.as_ref()).payload(value.as_ref())) {
                Ok(sending) => sendings.push(sending),
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        connection.counters().messages_sent.add(sendings.len());
        Ok(Enqueued { producer, sendings, refused })
    }

    /// Sends one message with all that a record can have: partition, headers, timestamp, no key, no value.
    ///
    /// ```
    /// use rstest_kafka::rdkafka::message::{Header, OwnedHeaders};
    /// use rstest_kafka::rdkafka::producer::BaseRecord;
    /// # let harness = rstest_kafka::Harness::builder().embedded_brokers(1).build();
    /// # let kafka = harness.lease();
    ///
    /// let events = kafka.topic("events");
    /// let headers = OwnedHeaders::new().insert(Header { key: "trace", value: Some("a1") });
    /// let record = BaseRecord::<str, str>::to(&events).partition(0).headers(headers).payload("one");
    /// assert_eq!(kafka.send_record(record).partition, 0);
    ///
    /// let received = kafka.consumer(&events).recv();
    /// assert_eq!((received.key(), received.header("trace")), (None, Some(&b"a1"[..])));
    /// ```
    ///
    /// # Panics
    /// When it was not acknowledged; [`try_send_record`](Self::try_send_record) returns that as an error.
    #[track_caller]
    pub fn send_record<K, V>(&self, record: BaseRecord<'_, K, V>) -> Delivery
    where
        K: ToBytes + ?Sized,
        V: ToBytes + ?Sized,
    {
        self.try_send_record(record).or_raise()
    }

    /// As [`send_record`](Self::send_record).
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn try_send_record<K, V>(&self, record: BaseRecord<'_, K, V>) -> Result<Delivery>
    where
        K: ToBytes + ?Sized,
        V: ToBytes + ?Sized,
    {
        let lease = self.lease.lease();
        let connection = lease.settle("a message");
        let producer = connection.producer(lease.hold().lane())?;
        connection.counters().messages_sent.add(1);
        producer.wait(producer.enqueue(record)?, lease.deadline())
    }

    /// As [`send_record`](Self::send_record), without blocking the thread; on any runtime.
    ///
    /// # Panics
    /// As [`send_async`](Self::send_async).
    pub async fn send_record_async<K, V>(&self, record: BaseRecord<'_, K, V>) -> Delivery
    where
        K: ToBytes + ?Sized,
        V: ToBytes + ?Sized,
    {
        self.try_send_record_async(record).await.or_raise()
    }

    /// As [`send_record_async`](Self::send_record_async).
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub async fn try_send_record_async<K, V>(&self, record: BaseRecord<'_, K, V>) -> Result<Delivery>
    where
        K: ToBytes + ?Sized,
        V: ToBytes + ?Sized,
    {
        let lease = self.lease.lease();
        let connection = lease.settle("a message");
        let producer = connection.producer(lease.hold().lane())?;
        connection.counters().messages_sent.add(1);
        let sending = producer.enqueue(record)?;
        let on_its_way = OnItsWay(Some(lease.hold()));
        let outcome = producer.wait_async(sending, lease.deadline()).await;
        on_its_way.ends();
        outcome
    }
}

/// Messages that are on their way, and why those behind them are not.
struct Enqueued {
    producer: Arc<Producer>,
    sendings: Vec<Sending>,
    refused: Option<Error>,
}

/// A message that an async test may stop waiting for: if it does, the message may come when the next test has begun, which
/// must not be on the same topics.
struct OnItsWay<'a>(Option<&'a Hold>);

impl OnItsWay<'_> {
    fn ends(mut self) {
        self.0 = None;
    }
}

impl Drop for OnItsWay<'_> {
    fn drop(&mut self) {
        if let Some(hold) = self.0 {
            hold.mark_failed();
        }
    }
}
