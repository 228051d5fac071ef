//! What a test receives and asserts, within the configured timeout.

use std::time::Duration;

use futures_util::stream::{self, Stream};

use super::PooledConsumer;
use crate::handles::within::Within;
use crate::model::error::{OrRaise, Result};
use crate::model::record::Record;

impl PooledConsumer {
    /// The next message, waited for at most the configured timeout (`RSTEST_KAFKA_TIMEOUT_MS`, 5 s).
    ///
    /// Blocks the thread. It works inside a tokio runtime, whose other tasks on this thread then stand still: in an
    /// async test use [`recv_async`](Self::recv_async).
    ///
    /// # Panics
    /// When none comes, or the consumer fails: with each partition's fence, position and end offset, so that "nothing
    /// was sent" and "sent, not delivered" look different. [`try_recv`](Self::try_recv) returns that as an error.
    #[track_caller]
    pub fn recv(&self) -> Record {
        self.try_recv().or_raise()
    }

    /// As [`recv`](Self::recv).
    ///
    /// # Errors
    /// [`Error::Timeout`](crate::Error::Timeout) when none comes, [`Error::Broker`](crate::Error::Broker) when the consumer fails.
    pub fn try_recv(&self) -> Result<Record> {
        self.usually().recv()
    }

    /// The next `n` messages, within one configured timeout for all of them.
    ///
    /// # Panics
    /// When fewer come, or the consumer fails. [`try_recv_n`](Self::try_recv_n) returns that as an error.
    #[track_caller]
    pub fn recv_n(&self, n: usize) -> Vec<Record> {
        self.try_recv_n(n).or_raise()
    }

    /// As [`recv_n`](Self::recv_n). What was read before an error stays readable.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv).
    pub fn try_recv_n(&self, n: usize) -> Result<Vec<Record>> {
        self.usually().recv_n(n)
    }

    /// The first message that `matches`; what comes before it is kept and given out by the next receive, in order.
    ///
    /// # Panics
    /// When none comes, or the consumer fails.
    #[track_caller]
    pub fn recv_matching(&self, matches: impl FnMut(&Record) -> bool) -> Record {
        self.try_recv_matching(matches).or_raise()
    }

    /// As [`recv_matching`](Self::recv_matching).
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv).
    pub fn try_recv_matching(&self, matches: impl FnMut(&Record) -> bool) -> Result<Record> {
        self.usually().recv_matching(matches)
    }

    /// The messages as they come, without an end: a stream of [`Record`]s or the errors of the consumer.
    ///
    /// It has no deadline of its own; wrap it in the runtime's timeout.
    pub fn stream(&self) -> impl Stream<Item = Result<Record>> + Unpin + '_ {
        Box::pin(stream::unfold(self, |consumer| async move { Some((consumer.next_record().await, consumer)) }))
    }

    /// Everything up to the end offsets at the moment of the call, which may be nothing.
    ///
    /// # Panics
    /// When the topic does not exist, the broker does not tell the end offsets, or what stands before them cannot be read.
    #[track_caller]
    pub fn drain(&self) -> Vec<Record> {
        self.try_drain().or_raise()
    }

    /// As [`drain`](Self::drain).
    ///
    /// # Errors
    /// [`Error::Unreachable`](crate::Error::Unreachable) or [`Error::Broker`](crate::Error::Broker) without end offsets,
    /// [`Error::Timeout`](crate::Error::Timeout) when it cannot read to them.
    pub fn try_drain(&self) -> Result<Vec<Record>> {
        self.usually().drain()
    }

    /// Asserts that there is nothing more to receive, by asking the broker: it does not sleep.
    ///
    /// Every message that a broker has acknowledged before the call counts. While a transaction is open on the topic it
    /// cannot be told, since a reader of committed messages does not get to what stands behind its first message: that is
    /// an error. That nothing is to be seen *yet* is what [`within`](Self::within) shows.
    ///
    /// A topic that does not exist is an error too, although nothing was written to it: the usual reason is that the test and
    /// the service do not mean the same name. Where a service may write nothing at all, create the topic first, with
    /// [`Kafka::topic`](crate::Kafka::topic).
    ///
    /// # Panics
    /// With the messages, when there are some; and when the broker cannot tell, the topic does not exist, a transaction is open, or
    /// the consumer cannot read up to its end, for instance because it is paused.
    #[track_caller]
    pub fn assert_empty(&self) {
        self.try_assert_empty().or_raise();
    }

    /// As [`assert_empty`](Self::assert_empty).
    ///
    /// # Errors
    /// [`Error::NotEmpty`](crate::Error::NotEmpty) with the messages, else as [`try_drain`](Self::try_drain).
    pub fn try_assert_empty(&self) -> Result<()> {
        self.usually().assert_empty()
    }

    /// Asserts that nothing comes for a while: for what a service may still send. Takes `duration`.
    ///
    /// # Panics
    /// With the messages, when some come; else as [`assert_empty`](Self::assert_empty).
    #[track_caller]
    pub fn assert_no_more_within(&self, duration: Duration) {
        self.try_assert_no_more_within(duration).or_raise();
    }

    /// As [`assert_no_more_within`](Self::assert_no_more_within).
    ///
    /// # Errors
    /// As [`try_assert_empty`](Self::try_assert_empty).
    pub fn try_assert_no_more_within(&self, duration: Duration) -> Result<()> {
        self.usually().assert_no_more_within(duration)
    }

    /// All that waits, with this deadline in place of the configured one, and as a `Result`.
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
    pub fn within(&self, timeout: Duration) -> Within<'_, Self> {
        Within { of: self, timeout }
    }

    /// With the configured timeout.
    pub(super) fn usually(&self) -> Within<'_, Self> {
        self.within(self.timeout())
    }
}
