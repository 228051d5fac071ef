//! How a test sends: a message, a whole record, or several.

mod in_flight;

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use self::in_flight::InFlight;
use crate::handles::Kafka;
use crate::handles::mode::Mode;
use crate::model::error::{Error, Result};
use crate::model::producer_record::{Delivery, ProducerRecord};
use crate::model::topic::TopicRef;
use crate::sync::wait::{Calls, Deadline};

impl<M: Mode> Kafka<M> {
    /// Sends a message and returns its partition and offset once the broker has acknowledged it.
    ///
    /// librdkafka chooses the partition by the key (`consistent_random`). To choose it yourself, or to send a message without a key,
    /// use [`send_record`](Self::send_record).
    ///
    /// # Errors
    /// [`Error::Broker`](crate::Error::Broker) if the broker does not acknowledge the message within the configured timeout. The
    /// message may still arrive later, when the next test has begun. Therefore the test counts as failed, even if it handles the
    /// error, and also if the future is dropped before it is done.
    #[track_caller]
    pub fn send(
        &self,
        topic: impl Into<TopicRef>,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> M::Wait<'static, Delivery> {
        self.send_record(topic, ProducerRecord::new(key, value))
    }

    /// Sends a record and returns its partition and offset once the broker has acknowledged it.
    ///
    /// # Errors
    /// [`Error::Misuse`](crate::Error::Misuse) if the record has a negative partition or a timestamp before 1970. Otherwise the same
    /// as [`send`](Self::send).
    #[track_caller]
    pub fn send_record(&self, topic: impl Into<TopicRef>, record: ProducerRecord) -> M::Wait<'static, Delivery> {
        let (kafka, topic) = (Self::new(self.lease.clone()), topic.into());
        M::wait(async move { kafka.send_in_order(topic, [record]).await.and_then(only) })
    }

    /// Sends records in order and returns once the broker has acknowledged all of them, each with its partition and offset.
    ///
    /// An item is a [`ProducerRecord`], or a key and a value. There may be more records than the client's queue holds. The call goes
    /// on as long as acknowledgements arrive: the configured timeout is for the next one.
    ///
    /// ```
    /// use rstest_kafka::{ProducerRecord, TopicSpec};
    /// # let harness = rstest_kafka::Harness::builder().embedded_brokers(1).build();
    /// # let kafka = harness.lease();
    ///
    /// let wide = kafka.topic(TopicSpec::new("wide").partitions(3));
    /// kafka.send_all(&wide, [("a", "1"), ("b", "2")]);
    /// let sent = kafka.send_all(&wide, (0..3).map(|n| ProducerRecord::value("v").partition(n)));
    /// assert_eq!(sent.iter().map(|delivery| delivery.partition).collect::<Vec<_>>(), [0, 1, 2]);
    /// ```
    ///
    /// # Errors
    /// The error of the first record that was not acknowledged, the same as for [`send_record`](Self::send_record). The records after
    /// it may not have been sent.
    #[track_caller]
    pub fn send_all<'a, R: Into<ProducerRecord>>(
        &self,
        topic: impl Into<TopicRef>,
        records: impl IntoIterator<Item = R, IntoIter: Send + 'a>,
    ) -> M::Wait<'a, Vec<Delivery>> {
        let (kafka, topic, records) = (Self::new(self.lease.clone()), topic.into(), records.into_iter());
        M::wait(async move { kafka.send_in_order(topic, records.map(Into::into)).await })
    }

    async fn send_in_order(
        &self,
        topic: TopicRef,
        records: impl IntoIterator<Item = ProducerRecord>,
    ) -> Result<Vec<Delivery>> {
        let (lease, calls) = (self.lease.lease(), Calls::of::<M>());
        let mut in_flight = InFlight::to(lease, topic)?;
        let (timeout, progress) = (lease.deadline().allowed(), AtomicUsize::new(0));
        let ended = {
            let mut sending = pin!(in_flight.send(records, calls.into(), &progress));
            // It goes on as long as acknowledgements arrive.
            loop {
                let before = progress.load(Ordering::Relaxed);
                if calls.timeout(sending.as_mut(), Deadline::after(timeout)).await.is_some() {
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
