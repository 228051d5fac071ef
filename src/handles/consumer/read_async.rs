//! The same without blocking the thread, on any runtime.

use std::time::Duration;

use super::PooledConsumer;
use crate::model::error::{OrRaise, Result};
use crate::model::record::Record;

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
        self.usually().recv_async().await
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
        self.usually().recv_n_async(n).await
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
    pub async fn try_recv_matching_async(&self, matches: impl FnMut(&Record) -> bool) -> Result<Record> {
        self.usually().recv_matching_async(matches).await
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
        self.usually().drain_async().await
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
        self.usually().assert_empty_async().await
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
        self.usually().assert_no_more_within_async(duration).await
    }
}
