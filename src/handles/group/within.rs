//! What a group is asked and waited for, with another deadline.

use super::Group;
use super::waiting::Waiting;
use crate::handles::within::Within;
use crate::model::error::Result;
use crate::model::topic::Topic;
use crate::sync::wait::{self, Calls};

/// As the methods of [`Group`] of the same names; those with `_async` do not block the thread, on any runtime.
impl Within<'_, Group> {
    /// What the group has committed on a partition.
    ///
    /// # Errors
    /// As [`Group::try_committed`].
    pub fn committed(&self, topic: &Topic, partition: i32) -> Result<Option<i64>> {
        self.of.questions().committed(topic, partition, self.deadline())
    }

    /// How many offsets the group is behind the ends of its topics.
    ///
    /// # Errors
    /// As [`Group::try_lag`].
    pub fn lag(&self) -> Result<i64> {
        self.of.questions().lag(self.deadline())
    }

    /// Waits until the group has committed up to the ends that its topics have now.
    ///
    /// # Errors
    /// As [`Group::try_wait_until_consumed`].
    pub fn wait_until_consumed(&self) -> Result<()> {
        wait::block_on_to_end(Waiting::to_the_end(self.of, self.deadline(), Calls::OnThisThread))
    }

    /// Waits until the group has committed past the message at `offset`.
    ///
    /// # Errors
    /// As [`Group::try_wait_until_consumed_past`].
    pub fn wait_until_consumed_past(&self, topic: &Topic, partition: i32, offset: i64) -> Result<()> {
        wait::block_on_to_end(Waiting::past(self.of, (topic, partition, offset), self.deadline(), Calls::OnThisThread))
    }

    /// As [`committed`](Self::committed).
    ///
    /// # Errors
    /// As [`Group::try_committed`].
    pub async fn committed_async(&self, topic: &Topic, partition: i32) -> Result<Option<i64>> {
        let (questions, topic, deadline) = (self.of.questions(), topic.clone(), self.deadline());
        Calls::OnAnotherThread.run(move || questions.committed(&topic, partition, deadline)).await
    }

    /// As [`lag`](Self::lag).
    ///
    /// # Errors
    /// As [`Group::try_lag`].
    pub async fn lag_async(&self) -> Result<i64> {
        let (questions, deadline) = (self.of.questions(), self.deadline());
        Calls::OnAnotherThread.run(move || questions.lag(deadline)).await
    }

    /// As [`wait_until_consumed`](Self::wait_until_consumed).
    ///
    /// # Errors
    /// As [`Group::try_wait_until_consumed`].
    pub async fn wait_until_consumed_async(&self) -> Result<()> {
        Waiting::to_the_end(self.of, self.deadline(), Calls::OnAnotherThread).await
    }

    /// As [`wait_until_consumed_past`](Self::wait_until_consumed_past).
    ///
    /// # Errors
    /// As [`Group::try_wait_until_consumed_past`].
    pub async fn wait_until_consumed_past_async(&self, topic: &Topic, partition: i32, offset: i64) -> Result<()> {
        Waiting::past(self.of, (topic, partition, offset), self.deadline(), Calls::OnAnotherThread).await
    }
}
