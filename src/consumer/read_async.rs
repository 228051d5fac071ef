//! The same without blocking the thread, on any runtime.
//!
//! Where librdkafka has a blocking call only, such as for end offsets, it is made on a thread of its own.

use std::time::Duration;

use super::PooledConsumer;
use super::reading::{Unread, only};
use crate::error::{OrRaise, Result};
use crate::record::Record;
use crate::wait::{self, Calls, Deadline};

impl PooledConsumer {
    /// The next message, as [`recv`](Self::recv), without blocking the thread; on any runtime.
    ///
    /// Cancelling it loses no message.
    ///
    /// # Panics
    /// As [`recv`](Self::recv), at no particular place: a panic in an async function has no caller to name.
    pub async fn recv_async(&self) -> Record {
        self.try_recv_async().await.or_raise()
    }

    /// As [`recv_async`](Self::recv_async).
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv).
    pub async fn try_recv_async(&self) -> Result<Record> {
        let deadline = Deadline::after(self.timeout());
        self.reading(deadline, 1, async |read: &mut Vec<Record>| self.fill(read, 1).await).await.and_then(only)
    }

    /// As [`recv_n`](Self::recv_n), without blocking the thread.
    ///
    /// # Panics
    /// As [`recv_n`](Self::recv_n).
    pub async fn recv_n_async(&self, n: usize) -> Vec<Record> {
        self.try_recv_n_async(n).await.or_raise()
    }

    /// As [`try_recv_n`](Self::try_recv_n), without blocking the thread.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv).
    pub async fn try_recv_n_async(&self, n: usize) -> Result<Vec<Record>> {
        let deadline = Deadline::after(self.timeout());
        self.reading(deadline, n, async |read: &mut Vec<Record>| self.fill(read, n).await).await
    }

    /// As [`recv_matching`](Self::recv_matching), without blocking the thread. Cancelling it loses no message.
    ///
    /// # Panics
    /// As [`recv_matching`](Self::recv_matching).
    pub async fn recv_matching_async(&self, matches: impl FnMut(&Record) -> bool) -> Record {
        self.try_recv_matching_async(matches).await.or_raise()
    }

    /// As [`try_recv_matching`](Self::try_recv_matching), without blocking the thread.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv).
    pub async fn try_recv_matching_async(&self, mut matches: impl FnMut(&Record) -> bool) -> Result<Record> {
        let deadline = Deadline::after(self.timeout());
        if let Some(record) = self.take_ahead(&mut matches) {
            return Ok(record);
        }
        let _waiting = self.lease.lease().waiting();
        loop {
            match wait::timeout(self.next_from_broker(), deadline).await {
                Some(Ok(record)) if matches(&record) => return Ok(record),
                Some(Ok(record)) => self.ahead().push_back(record),
                Some(Err(error)) => return Err(error),
                None => return Err(self.timed_out_async(deadline, 1, 0, Calls::Elsewhere).await),
            }
        }
    }

    /// As [`drain`](Self::drain), without blocking the thread.
    ///
    /// # Panics
    /// As [`drain`](Self::drain).
    pub async fn drain_async(&self) -> Vec<Record> {
        self.try_drain_async().await.or_raise()
    }

    /// As [`try_drain`](Self::try_drain), without blocking the thread.
    ///
    /// # Errors
    /// As [`try_drain`](Self::try_drain).
    pub async fn try_drain_async(&self) -> Result<Vec<Record>> {
        Ok(self.drain_to_the_ends_async().await?.0)
    }

    async fn drain_to_the_ends_async(&self) -> Result<(Vec<Record>, Vec<i64>)> {
        let deadline = Deadline::after(self.timeout());
        let (stands, ask) = (self.stands(), self.ask_end_offsets());
        let ends = Calls::Elsewhere.run(move || ask(deadline)).await?;
        self.check_ends(&stands, &ends)?;
        let records = self.reading(deadline, 0, async |read: &mut Vec<Record>| self.read_to(&ends, read).await).await?;
        Ok((records, ends))
    }

    /// As [`assert_empty`](Self::assert_empty), without blocking the thread.
    ///
    /// # Panics
    /// As [`assert_empty`](Self::assert_empty).
    pub async fn assert_empty_async(&self) {
        self.try_assert_empty_async().await.or_raise();
    }

    /// As [`try_assert_empty`](Self::try_assert_empty), without blocking the thread.
    ///
    /// # Errors
    /// As [`try_assert_empty`](Self::try_assert_empty).
    pub async fn try_assert_empty_async(&self) -> Result<()> {
        let (records, ends) = self.drain_to_the_ends_async().await?;
        self.none_of(records)?;
        if !self.has_skipped_to(&ends) {
            return Ok(());
        }
        let asked = Calls::Elsewhere.run(self.ask_all_ends()).await;
        self.check_decided(asked, &ends)
    }

    /// As [`assert_no_more_within`](Self::assert_no_more_within), without blocking the thread.
    ///
    /// # Panics
    /// As [`assert_no_more_within`](Self::assert_no_more_within).
    pub async fn assert_no_more_within_async(&self, duration: Duration) {
        self.try_assert_no_more_within_async(duration).await.or_raise();
    }

    /// As [`assert_no_more_within_async`](Self::assert_no_more_within_async).
    ///
    /// # Errors
    /// As [`try_assert_empty`](Self::try_assert_empty).
    pub async fn try_assert_no_more_within_async(&self, duration: Duration) -> Result<()> {
        let next = {
            let _waiting = self.lease.lease().waiting();
            wait::timeout(self.next_record(), Deadline::after(duration)).await
        };
        if let Some(come) = next {
            // Put back, so that the assertion below shows it among the others.
            self.ahead().push_front(come?);
        }
        self.try_assert_empty_async().await
    }

    /// Runs a reading; what it had read when it failed or was cancelled stays readable.
    async fn reading(
        &self,
        deadline: Deadline,
        expected: usize,
        reading: impl AsyncFnOnce(&mut Vec<Record>) -> Result<()>,
    ) -> Result<Vec<Record>> {
        let _waiting = self.lease.lease().waiting();
        let mut read = Unread::new(self);
        match wait::timeout(reading(&mut read.records), deadline).await {
            Some(outcome) => outcome?,
            None => return Err(self.timed_out_async(deadline, expected, read.records.len(), Calls::Elsewhere).await),
        }
        Ok(read.take())
    }
}
