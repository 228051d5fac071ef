//! How a test sends: one message or several, whole records or keys and values; each also async.
//!
//! All of it is one call, [`send_records`](Kafka::send_records), on a topic that the lease has resolved.

mod in_flight;

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use self::in_flight::InFlight;
use crate::cluster::producer::Waiter;
use crate::handles::Kafka;
use crate::model::error::{Error, OrRaise, Result};
use crate::model::producer_record::{Delivery, ProducerRecord};
use crate::model::topic::TopicRef;
use crate::sync::wait::{self, Deadline};

impl Kafka {
    /// Sends one message and returns once the broker has it, with the partition and offset that it gave.
    ///
    /// The partition is librdkafka's choice by the key (`consistent_random`). Name one with [`send_record`](Self::send_record),
    /// which also sends a message without a key.
    ///
    /// # Panics
    /// When the broker has not acknowledged it within the configured timeout; [`try_send`](Self::try_send) returns that
    /// as an error.
    #[track_caller]
    pub fn send(&self, topic: impl Into<TopicRef>, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Delivery {
        self.try_send(topic, key, value).or_raise()
    }

    /// As [`send`](Self::send).
    ///
    /// # Errors
    /// [`Error::Broker`](crate::Error::Broker) when it was not acknowledged; else as [`try_consumer`](Self::try_consumer). A
    /// message whose time ran out counts the test as failed, whatever the test does with the error: it may still come, when the
    /// next test has begun.
    pub fn try_send(
        &self,
        topic: impl Into<TopicRef>,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<Delivery> {
        self.try_send_record(topic, ProducerRecord::new(key, value))
    }

    /// As [`send`](Self::send), without blocking the thread; on any runtime.
    ///
    /// Dropped before it is done, it counts the test as failed: its message may still come, when the next test has begun.
    ///
    /// # Panics
    /// As [`send`](Self::send), at no particular place: a panic in an async function has no caller to name.
    pub async fn send_async(
        &self,
        topic: impl Into<TopicRef>,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Delivery {
        self.try_send_async(topic, key, value).await.or_raise()
    }

    /// As [`send_async`](Self::send_async).
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub async fn try_send_async(
        &self,
        topic: impl Into<TopicRef>,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<Delivery> {
        self.try_send_record_async(topic, ProducerRecord::new(key, value)).await
    }

    /// Sends messages in their order and returns once the broker has them all, each with its partition and offset.
    ///
    /// There may be more than the client's queue holds. As long as acknowledgements come it goes on; the configured timeout is for
    /// the next one.
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
    /// As [`try_send`](Self::try_send): the first that was not acknowledged. Those behind it may not have been sent.
    pub fn try_send_all<K, V>(
        &self,
        topic: impl Into<TopicRef>,
        messages: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Vec<Delivery>>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        self.try_send_records(topic, messages.into_iter().map(|(key, value)| ProducerRecord::new(key, value)))
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
        let records = messages.into_iter().map(|(key, value)| ProducerRecord::new(key, value));
        self.try_send_records_async(topic, records).await
    }

    /// Sends one message with all that a record can have: partition, headers, timestamp, no key, no value.
    ///
    /// # Panics
    /// When it was not acknowledged; [`try_send_record`](Self::try_send_record) returns that as an error.
    #[track_caller]
    pub fn send_record(&self, topic: impl Into<TopicRef>, record: ProducerRecord) -> Delivery {
        self.try_send_record(topic, record).or_raise()
    }

    /// As [`send_record`](Self::send_record).
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send); [`Error::Misuse`](crate::Error::Misuse) for a partition or a timestamp that no record can
    /// have.
    pub fn try_send_record(&self, topic: impl Into<TopicRef>, record: ProducerRecord) -> Result<Delivery> {
        self.try_send_records(topic, [record]).and_then(only)
    }

    /// As [`send_record`](Self::send_record), without blocking the thread; on any runtime.
    ///
    /// # Panics
    /// As [`send_async`](Self::send_async).
    pub async fn send_record_async(&self, topic: impl Into<TopicRef>, record: ProducerRecord) -> Delivery {
        self.try_send_record_async(topic, record).await.or_raise()
    }

    /// As [`send_record_async`](Self::send_record_async).
    ///
    /// # Errors
    /// As [`try_send_record`](Self::try_send_record).
    pub async fn try_send_record_async(&self, topic: impl Into<TopicRef>, record: ProducerRecord) -> Result<Delivery> {
        self.try_send_records_async(topic, [record]).await.and_then(only)
    }

    /// As [`send_all`](Self::send_all), of whole records.
    ///
    /// ```
    /// use rstest_kafka::{ProducerRecord, TopicSpec};
    /// # let harness = rstest_kafka::Harness::builder().embedded_brokers(1).build();
    /// # let kafka = harness.lease();
    ///
    /// let wide = kafka.topic(TopicSpec::new("wide").partitions(3));
    /// let sent = kafka.send_records(&wide, (0..3).map(|n| ProducerRecord::new("k", "v").partition(n)));
    /// assert_eq!(sent.iter().map(|delivery| delivery.partition).collect::<Vec<_>>(), [0, 1, 2]);
    /// ```
    ///
    /// # Panics
    /// When one was not acknowledged; [`try_send_records`](Self::try_send_records) returns that as an error.
    #[track_caller]
    pub fn send_records(
        &self,
        topic: impl Into<TopicRef>,
        records: impl IntoIterator<Item = ProducerRecord>,
    ) -> Vec<Delivery> {
        self.try_send_records(topic, records).or_raise()
    }

    /// As [`send_records`](Self::send_records).
    ///
    /// # Errors
    /// As [`try_send_record`](Self::try_send_record): the first that was not acknowledged. Those behind it may not have been sent.
    pub fn try_send_records(
        &self,
        topic: impl Into<TopicRef>,
        records: impl IntoIterator<Item = ProducerRecord>,
    ) -> Result<Vec<Delivery>> {
        let lease = self.lease.lease();
        let mut in_flight = InFlight::to(lease, topic.into())?;
        let (timeout, progress) = (lease.deadline().allowed(), AtomicUsize::new(0));
        let ended = {
            let mut sending = pin!(in_flight.send(records, Waiter::Thread, &progress));
            // As long as something comes it goes on.
            loop {
                let before = progress.load(Ordering::Relaxed);
                if wait::block_on(sending.as_mut(), Deadline::after(timeout)).is_some() {
                    break true;
                } else if progress.load(Ordering::Relaxed) == before {
                    break false;
                }
            }
        };
        in_flight.outcome(ended, timeout)
    }

    /// As [`send_records`](Self::send_records), without blocking the thread; on any runtime.
    ///
    /// # Panics
    /// As [`send_async`](Self::send_async).
    pub async fn send_records_async(
        &self,
        topic: impl Into<TopicRef>,
        records: impl IntoIterator<Item = ProducerRecord>,
    ) -> Vec<Delivery> {
        self.try_send_records_async(topic, records).await.or_raise()
    }

    /// As [`send_records_async`](Self::send_records_async).
    ///
    /// # Errors
    /// As [`try_send_records`](Self::try_send_records).
    pub async fn try_send_records_async(
        &self,
        topic: impl Into<TopicRef>,
        records: impl IntoIterator<Item = ProducerRecord>,
    ) -> Result<Vec<Delivery>> {
        let lease = self.lease.lease();
        let mut in_flight = InFlight::to(lease, topic.into())?;
        let (timeout, progress) = (lease.deadline().allowed(), AtomicUsize::new(0));
        let ended = {
            let mut sending = pin!(in_flight.send(records, Waiter::Task, &progress));
            loop {
                let before = progress.load(Ordering::Relaxed);
                if wait::timeout(sending.as_mut(), Deadline::after(timeout)).await.is_some() {
                    break true;
                } else if progress.load(Ordering::Relaxed) == before {
                    break false;
                }
            }
        };
        in_flight.outcome(ended, timeout)
    }
}

fn only(mut deliveries: Vec<Delivery>) -> Result<Delivery> {
    deliveries.pop().ok_or_else(|| Error::misuse("a record was sent without an outcome; this is a bug of rstest-kafka"))
}
