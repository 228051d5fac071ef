//! A pooled consumer as a test has it: what it receives and asserts, in the mode of its `Kafka`.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::stream::{self, Stream};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::Offset;
use rdkafka::util::Timeout;

use super::LeasedConsumer;
use super::reading::only;
use crate::cluster::pool::PoolClient;
use crate::handles::mode::{Checked, Mode, Nonblocking, Panics};
use crate::lease::LeaseGuard;
use crate::model::error::Result;
use crate::model::record::Record;
use crate::model::topic::{Topic, TopicRef};
use crate::sync::wait::{Calls, Deadline};

/// A consumer of one topic, from the pool: connected, and assigned to every partition at the lease's fence.
///
/// The consumer receives exactly the messages that are written after the lease first named the topic, also on partitions that are
/// added later. Messages of one partition arrive in order; between partitions there is no order. Several consumers of one topic in
/// one test each receive every message.
///
/// A topic that was only named ([`TopicNames::name`](crate::TopicNames::name)) need not exist yet: receiving waits until the
/// service has created it, and reads each partition from its start. If a topic is deleted and created again, a consumer that has
/// not received anything reads the new topic from its start, and any other consumer fails. Records that were deleted from the
/// start of a partition are skipped.
///
/// Calls that wait do so for at most the configured timeout (`RSTEST_KAFKA_TIMEOUT_MS`, 5 s), or for the time that
/// [`within`](Self::within) allows. After a timeout they spend up to 2 s more asking the broker for the cause. How a call reports
/// an error, and whether it blocks, is the consumer's [`Mode`].
///
/// [`client`](Self::client) is rdkafka's consumer, for everything else. Whatever a test does to it, the next test gets it reset, or
/// gets a different consumer. A consumer that was subscribed is never reused.
///
/// ```
/// # let harness = rstest_kafka::Harness::builder().embedded_brokers(1).build();
/// # let kafka = harness.lease();
/// let consumer = kafka.consumer("events");
/// kafka.send_all("events", [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]);
///
/// assert_eq!(consumer.recv().text(), "1");
/// assert_eq!(consumer.recv_matching(|record| record.key() == Some(b"c")).text(), "3"); // keeps what it skips
/// let rest: Vec<_> = consumer.drain().iter().map(|record| record.text().to_owned()).collect();
/// assert_eq!(rest, ["2", "4"]);
/// consumer.assert_empty();
/// ```
#[must_use = "a consumer that is dropped goes back to the pool"]
pub struct PooledConsumer<M: Mode = Panics> {
    leased: Arc<LeasedConsumer>,
    /// `None`: the configured timeout.
    timeout: Option<Duration>,
    mode: PhantomData<M>,
}

impl<M: Mode> PooledConsumer<M> {
    pub(crate) fn take(lease: LeaseGuard, topic: TopicRef) -> Result<Self> {
        let leased = Arc::new(LeasedConsumer::take(lease, topic)?);
        Ok(Self { leased, timeout: None, mode: PhantomData })
    }

    fn in_mode<N: Mode>(&self, timeout: Option<Duration>) -> PooledConsumer<N> {
        PooledConsumer { leased: Arc::clone(&self.leased), timeout, mode: PhantomData }
    }

    /// Returns the same consumer with calls that return a `Result`.
    ///
    /// ```
    /// # let harness = rstest_kafka::Harness::builder().embedded_brokers(1).build();
    /// # let kafka = harness.lease();
    /// let consumer = kafka.consumer("events");
    /// kafka.send("events", "key", "unexpected");
    /// let error = consumer.checked().assert_empty().unwrap_err();
    /// assert!(error.to_string().contains("unexpected"));
    /// ```
    pub fn checked(&self) -> PooledConsumer<Checked> {
        self.in_mode(self.timeout)
    }

    /// Returns the same consumer with calls that return a future, for async tests.
    pub fn nonblocking(&self) -> PooledConsumer<Nonblocking> {
        self.in_mode(self.timeout)
    }

    /// Returns the same consumer with another deadline than the configured one. Each call has the whole time for itself.
    ///
    /// ```
    /// use std::time::Duration;
    /// # let harness = rstest_kafka::Harness::builder().embedded_brokers(1).build();
    /// # let kafka = harness.lease();
    ///
    /// let consumer = kafka.consumer("events");
    /// let error = consumer.within(Duration::from_millis(20)).recv().unwrap_err();
    /// assert!(error.to_string().contains("within 20ms"));
    /// ```
    pub fn within(&self, timeout: Duration) -> PooledConsumer<M::Fallible> {
        self.in_mode(Some(timeout))
    }

    /// Another handle, for a future that a test may keep or spawn.
    fn same(&self) -> Self {
        self.in_mode(self.timeout)
    }

    fn deadline(&self) -> Deadline {
        Deadline::after(self.timeout.unwrap_or_else(|| self.leased.timeout()))
    }

    /// Returns the next message.
    ///
    /// # Errors
    /// [`Error::Timeout`](crate::Error::Timeout) if no message arrives in time: with the fence, the position and the end offset of
    /// each partition, so that "nothing was sent" and "sent, not delivered" look different.
    /// [`Error::Broker`](crate::Error::Broker) if the consumer fails.
    #[track_caller]
    pub fn recv(&self) -> M::Wait<'static, Record> {
        let consumer = self.same();
        M::wait(async move { consumer.leased.recv_n(Calls::of::<M>(), consumer.deadline(), 1).await.and_then(only) })
    }

    /// Returns the next `n` messages. The timeout is for all of them together. Messages that were read before an error are
    /// returned by the next call.
    ///
    /// # Errors
    /// [`Error::Timeout`](crate::Error::Timeout) if fewer messages arrive in time, [`Error::Broker`](crate::Error::Broker) if the
    /// consumer fails.
    #[track_caller]
    pub fn recv_n(&self, n: usize) -> M::Wait<'static, Vec<Record>> {
        let consumer = self.same();
        M::wait(async move { consumer.leased.recv_n(Calls::of::<M>(), consumer.deadline(), n).await })
    }

    /// Returns the first message that `matches`. The messages before it are kept, and returned in order by the next calls.
    ///
    /// # Errors
    /// [`Error::Timeout`](crate::Error::Timeout) if no message matches in time, [`Error::Broker`](crate::Error::Broker) if the
    /// consumer fails.
    #[track_caller]
    pub fn recv_matching<'a>(&self, matches: impl FnMut(&Record) -> bool + Send + 'a) -> M::Wait<'a, Record> {
        let consumer = self.same();
        M::wait(async move { consumer.leased.recv_matching(Calls::of::<M>(), consumer.deadline(), matches).await })
    }

    /// Returns every message up to the end offsets at the time of the call. The result may be empty.
    ///
    /// # Errors
    /// [`Error::Broker`](crate::Error::Broker) if the topic does not exist, [`Error::Unreachable`](crate::Error::Unreachable) if
    /// the broker does not return the end offsets, [`Error::Timeout`](crate::Error::Timeout) if the consumer cannot read up to
    /// them in time.
    #[track_caller]
    pub fn drain(&self) -> M::Wait<'static, Vec<Record>> {
        let consumer = self.same();
        M::wait(async move { Ok(consumer.leased.drain(Calls::of::<M>(), consumer.deadline()).await?.0) })
    }

    /// Asserts that there is no further message. It asks the broker and does not sleep.
    ///
    /// Every message that a broker has acknowledged before the call counts. Before a service may write to a topic at all, create
    /// the topic with [`Kafka::topic`](crate::Kafka::topic).
    ///
    /// # Errors
    /// [`Error::NotEmpty`](crate::Error::NotEmpty) with the messages, if there are any. If it cannot be known whether there is a
    /// message that is also an error: the topic does not exist (often the test and the service do not mean the same name), a
    /// transaction is open, or the consumer cannot read up to the end, for instance because it is paused. To show that nothing is
    /// visible *yet* in an open transaction, use `within(…).recv()`.
    #[track_caller]
    pub fn assert_empty(&self) -> M::Wait<'static, ()> {
        let consumer = self.same();
        M::wait(async move { consumer.leased.assert_empty(Calls::of::<M>(), consumer.deadline()).await })
    }

    /// Asserts that no message arrives for `duration`, for a service that may still send one. The call takes that long.
    ///
    /// # Errors
    /// The same as [`assert_empty`](Self::assert_empty).
    #[track_caller]
    pub fn assert_no_more_within(&self, duration: Duration) -> M::Wait<'static, ()> {
        let consumer = self.same();
        M::wait(async move {
            let calls = Calls::of::<M>();
            consumer.leased.put_back_next_within(calls, duration).await?;
            consumer.leased.assert_empty(calls, consumer.deadline()).await
        })
    }

    /// Returns the value of the next message, parsed as JSON.
    ///
    /// ```
    /// # let harness = rstest_kafka::Harness::builder().embedded_brokers(1).build();
    /// # let kafka = harness.lease();
    /// #[derive(Debug, PartialEq, serde::Deserialize)]
    /// struct Order {
    ///     id: u64,
    ///     items: Vec<u64>,
    /// }
    ///
    /// let consumer = kafka.consumer("orders");
    /// kafka.send("orders", "k", r#"{"id":1,"items":[7,8]}"#);
    /// assert_eq!(consumer.recv_json::<Order>(), Order { id: 1, items: vec![7, 8] });
    ///
    /// kafka.send("orders", "k", r#"{"id":2,"items":[7,"8"]}"#);
    /// let error = consumer.checked().recv_json::<Order>().unwrap_err();
    /// assert!(error.to_string().contains(r#"items[1]: invalid type: string "8", expected u64"#));
    /// ```
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) if the value is not such JSON: with the path to the difference, the topic, partition and
    /// offset, and a preview of the value. The message counts as received. Otherwise the same as [`recv`](Self::recv).
    #[cfg(feature = "json")]
    #[track_caller]
    pub fn recv_json<'a, T: serde::de::DeserializeOwned + 'a>(&self) -> M::Wait<'a, T> {
        let consumer = self.same();
        M::wait(async move {
            let record = consumer.leased.recv_n(Calls::of::<M>(), consumer.deadline(), 1).await.and_then(only)?;
            record.try_json()
        })
    }

    /// Returns a stream of messages that does not end. It has no deadline: wrap it in the timeout of the runtime.
    ///
    /// # Errors
    /// An item is [`Error::Broker`](crate::Error::Broker) if the consumer fails.
    pub fn stream(&self) -> impl Stream<Item = Result<Record>> + Unpin + '_ {
        let next = |leased| async move { Some((LeasedConsumer::next_record(leased).await, leased)) };
        Box::pin(stream::unfold(&*self.leased, next))
    }

    /// Returns the topic that the consumer reads.
    pub fn topic(&self) -> &Topic {
        self.leased.topic()
    }

    /// Returns rdkafka's [`StreamConsumer`](rdkafka::consumer::StreamConsumer).
    ///
    /// To seek use [`seek`](Self::seek), so that the crate knows that the consumer was moved.
    pub fn client(&self) -> &PoolClient {
        self.leased.touched.store(true, Ordering::Relaxed);
        &self.leased.client
    }

    /// Moves the consumer, like rdkafka's [`seek`](Consumer::seek). The consumer is not reused after that.
    ///
    /// # Errors
    /// The error of rdkafka's method.
    pub fn seek<T: Into<Timeout>>(&self, topic: &str, partition: i32, offset: Offset, timeout: T) -> KafkaResult<()> {
        self.leased.sought.store(true, Ordering::Relaxed);
        self.leased.client.seek(topic, partition, offset, timeout)
    }

    /// Moves the consumer, like rdkafka's [`seek_partitions`](Consumer::seek_partitions). The consumer is not reused after that.
    ///
    /// # Errors
    /// The error of rdkafka's method.
    pub fn seek_partitions<T: Into<Timeout>>(
        &self,
        partitions: TopicPartitionList,
        timeout: T,
    ) -> KafkaResult<TopicPartitionList> {
        self.leased.sought.store(true, Ordering::Relaxed);
        self.leased.client.seek_partitions(partitions, timeout)
    }
}

impl<M: Mode> fmt::Debug for PooledConsumer<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledConsumer").field("topic", self.topic()).finish_non_exhaustive()
    }
}
