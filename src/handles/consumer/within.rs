//! Receiving and asserting: every wait with a deadline, every "there is nothing" asked of the broker.

use std::time::Duration;

use super::PooledConsumer;
use super::reading::only;
use crate::handles::within::Within;
use crate::model::error::Result;
use crate::model::record::Record;
use crate::sync::wait::{self, Calls, Deadline};

/// As the methods of [`PooledConsumer`] of the same names.
impl Within<'_, PooledConsumer> {
    /// The next message.
    ///
    /// # Errors
    /// [`Error::Timeout`](crate::Error::Timeout) when none comes, [`Error::Broker`](crate::Error::Broker) when the consumer fails.
    pub fn recv(&self) -> Result<Record> {
        self.recv_n(1).and_then(only)
    }

    /// The next `n` messages, in one time for all of them. What was read before an error stays readable.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_n(&self, n: usize) -> Result<Vec<Record>> {
        self.of.block_on(self.deadline(), n, async |read: &mut Vec<Record>| self.of.fill(read, n).await)
    }

    /// The first message that `matches`; what comes before it is kept and given out by the next receive, in order.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_matching(&self, mut matches: impl FnMut(&Record) -> bool) -> Result<Record> {
        if let Some(record) = self.of.take_ahead(&mut matches) {
            return Ok(record);
        }
        // What is ahead already did not match; new messages are put behind it.
        let finding = async |read: &mut Vec<Record>| self.of.find(read, matches).await;
        self.of.block_on(self.deadline(), 1, finding).and_then(only)
    }

    /// Everything up to the end offsets at the moment of the call, which may be nothing.
    ///
    /// # Errors
    /// As [`PooledConsumer::try_drain`].
    pub fn drain(&self) -> Result<Vec<Record>> {
        Ok(self.drain_to_the_ends(self.deadline())?.0)
    }

    /// Also the end offsets up to which it has read.
    fn drain_to_the_ends(&self, deadline: Deadline) -> Result<(Vec<Record>, Vec<i64>)> {
        wait::block_on_to_end(self.of.must_have_topic(Calls::OnThisThread, deadline))?;
        let stands = self.of.stands();
        let now = self.of.ask_now()(deadline)?;
        let ends = self.of.ends_of(now, &stands)?;
        let reading = async |read: &mut Vec<Record>| self.of.read_to(&ends, read).await;
        let records = self.of.block_on(deadline, 0, reading)?;
        Ok((records, ends))
    }

    /// Asserts that there is nothing more to receive, by asking the broker: it does not sleep.
    ///
    /// # Errors
    /// As [`PooledConsumer::try_assert_empty`].
    pub fn assert_empty(&self) -> Result<()> {
        let deadline = self.deadline();
        let (records, ends) = self.drain_to_the_ends(deadline)?;
        self.of.none_of(records)?;
        if self.of.has_skipped_to(&ends) {
            self.of.check_decided(self.of.ask_all_ends()(), &ends, deadline)
        } else {
            Ok(())
        }
    }

    /// Asserts that nothing comes for a while, which takes `duration`, and that there is nothing then.
    ///
    /// # Errors
    /// As [`PooledConsumer::try_assert_empty`].
    pub fn assert_no_more_within(&self, duration: Duration) -> Result<()> {
        let next = {
            let _waiting = self.of.lease.lease().waiting();
            wait::block_on(self.of.next_record(), Deadline::after(duration))
        };
        if let Some(come) = next {
            // Put back, so that the assertion below shows it among the others.
            self.of.ahead().push_front(come?);
        }
        self.assert_empty()
    }
}

/// The same without blocking the thread, on any runtime. Cancelling loses no message.
///
/// Where librdkafka has a blocking call only, such as for end offsets, it is made on a thread of its own.
impl Within<'_, PooledConsumer> {
    /// As [`recv`](Self::recv).
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub async fn recv_async(&self) -> Result<Record> {
        self.recv_n_async(1).await.and_then(only)
    }

    /// As [`recv_n`](Self::recv_n).
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub async fn recv_n_async(&self, n: usize) -> Result<Vec<Record>> {
        self.of.reading(self.deadline(), n, async |read: &mut Vec<Record>| self.of.fill(read, n).await).await
    }

    /// As [`recv_matching`](Self::recv_matching).
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub async fn recv_matching_async(&self, mut matches: impl FnMut(&Record) -> bool) -> Result<Record> {
        if let Some(record) = self.of.take_ahead(&mut matches) {
            return Ok(record);
        }
        let finding = async |read: &mut Vec<Record>| self.of.find(read, matches).await;
        self.of.reading(self.deadline(), 1, finding).await.and_then(only)
    }

    /// As [`drain`](Self::drain).
    ///
    /// # Errors
    /// As [`drain`](Self::drain).
    pub async fn drain_async(&self) -> Result<Vec<Record>> {
        Ok(self.drain_to_the_ends_async(self.deadline()).await?.0)
    }

    async fn drain_to_the_ends_async(&self, deadline: Deadline) -> Result<(Vec<Record>, Vec<i64>)> {
        self.of.must_have_topic(Calls::OnAnotherThread, deadline).await?;
        let (stands, ask) = (self.of.stands(), self.of.ask_now());
        let now = Calls::OnAnotherThread.run(move || ask(deadline)).await?;
        let ends = self.of.ends_of(now, &stands)?;
        let reading = async |read: &mut Vec<Record>| self.of.read_to(&ends, read).await;
        let records = self.of.reading(deadline, 0, reading).await?;
        Ok((records, ends))
    }

    /// As [`assert_empty`](Self::assert_empty).
    ///
    /// # Errors
    /// As [`assert_empty`](Self::assert_empty).
    pub async fn assert_empty_async(&self) -> Result<()> {
        let deadline = self.deadline();
        let (records, ends) = self.drain_to_the_ends_async(deadline).await?;
        self.of.none_of(records)?;
        if !self.of.has_skipped_to(&ends) {
            return Ok(());
        }
        let asked = Calls::OnAnotherThread.run(self.of.ask_all_ends()).await;
        self.of.check_decided(asked, &ends, deadline)
    }

    /// As [`assert_no_more_within`](Self::assert_no_more_within).
    ///
    /// # Errors
    /// As [`assert_empty`](Self::assert_empty).
    pub async fn assert_no_more_within_async(&self, duration: Duration) -> Result<()> {
        let next = {
            let _waiting = self.of.lease.lease().waiting();
            wait::timeout(self.of.next_record(), Deadline::after(duration)).await
        };
        if let Some(come) = next {
            // Put back, so that the assertion below shows it among the others.
            self.of.ahead().push_front(come?);
        }
        self.assert_empty_async().await
    }
}
