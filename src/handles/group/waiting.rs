//! Waiting until a group has consumed: one way for sync and async tests.

use std::time::Duration;

use super::fenced::FencedGroup;
use super::questions::Questions;
use crate::broker::PartitionOffset;
use crate::handles::consumer::LeasedConsumer;
use crate::model::error::{Error, LaggingPartition, Result};
use crate::model::topic::Topic;
use crate::sync::wait::{Calls, Deadline};

/// How often a group's commits are looked at, at first; every look doubles it up to the longest.
const FIRST_LOOK: Duration = Duration::from_millis(2);
const LONGEST_LOOK: Duration = Duration::from_millis(50);
/// How long one look may take when the waiting is over.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// One waiting for a group: when to look again, and what was seen last.
pub(super) struct Waiting<'a> {
    group: &'a FencedGroup,
    questions: Questions,
    calls: Calls,
    goal: Vec<PartitionOffset>,
    deadline: Deadline,
    pause: Duration,
    last: Vec<LaggingPartition>,
    /// A lag that holds nothing to read is looked for once per standstill: it costs a read.
    read_at: Option<Vec<LaggingPartition>>,
}

impl<'a> Waiting<'a> {
    /// Waits for the ends that the topics have now.
    pub(super) async fn to_the_end(group: &'a FencedGroup, deadline: Deadline, calls: Calls) -> Result<()> {
        let questions = group.questions();
        let goal = calls.run(move || questions.ends(deadline)).await?;
        Self::new(group, goal, deadline, calls).run().await
    }

    /// Waits for a commit past one offset.
    pub(super) async fn past(
        group: &'a FencedGroup,
        (topic, partition, offset): (&Topic, i32, i64),
        deadline: Deadline,
        calls: Calls,
    ) -> Result<()> {
        if !group.topics().contains(topic) {
            return Err(Error::misuse(format!(
                "group {:?} does not read topic {:?}: it was made for {:?}",
                group.id(),
                topic.name(),
                group.topics().iter().map(Topic::name).collect::<Vec<_>>()
            )));
        }
        let (questions, asked) = (group.questions(), topic.clone());
        let ends = calls.run(move || questions.ends_of(&asked, deadline)).await?;
        if !ends.iter().any(|end| end.partition == partition) {
            return Err(Error::misuse(format!("topic {:?} has no partition {partition}", topic.name())));
        }
        let next = offset.saturating_add(1);
        let goal = PartitionOffset { topic: topic.name().to_owned(), partition, offset: Some(next) };
        Self::new(group, vec![goal], deadline, calls).run().await
    }

    fn new(group: &'a FencedGroup, goal: Vec<PartitionOffset>, deadline: Deadline, calls: Calls) -> Self {
        let (questions, last, read_at) = (group.questions(), Vec::new(), None);
        Self { group, questions, calls, goal, deadline, pause: FIRST_LOOK, last, read_at }
    }

    async fn run(mut self) -> Result<()> {
        let _waiting = self.group.lease.lease().waiting();
        while let Some(pause) = self.look().await? {
            match self.calls {
                Calls::OnThisThread => self.deadline.pause(pause),
                Calls::OnAnotherThread => futures_timer::Delay::new(self.deadline.remaining().min(pause)).await,
            }
        }
        Ok(())
    }

    /// `None` when the goal is reached, else how long to wait before the next look.
    async fn look(&mut self) -> Result<Option<Duration>> {
        // The last look is given time too: its answer is what the error shows.
        let asking = Deadline::after(self.deadline.remaining().max(LAST_LOOK));
        let (questions, goal) = (self.questions.clone(), self.goal.clone());
        let partitions = self.calls.run(move || questions.lagging(&goal, asking)).await?;
        if partitions.iter().all(|partition| partition.lag() == 0) {
            return Ok(None);
        }
        let stands_still = self.pause >= LONGEST_LOOK && partitions == self.last;
        if stands_still && self.read_at.as_ref() != Some(&partitions) {
            if self.is_written(&partitions, asking).await? && self.nothing_to_read(&partitions, asking).await? {
                return Ok(None);
            }
            self.read_at = Some(partitions.clone());
        }
        self.last = partitions;
        if self.deadline.has_passed() {
            let (questions, last, deadline) = (self.questions.clone(), std::mem::take(&mut self.last), self.deadline);
            return Err(self.calls.run(move || questions.lags(last, deadline)).await);
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_LOOK);
        Ok(Some(pause))
    }

    /// Whether the topics reach to the goal: what is not written yet is waited for.
    async fn is_written(&self, partitions: &[LaggingPartition], deadline: Deadline) -> Result<bool> {
        let questions = self.questions.clone();
        let ends = self.calls.run(move || questions.ends(deadline)).await?;
        Ok(partitions.iter().filter(|partition| partition.lag() > 0).all(|partition| {
            let is_its =
                |end: &&PartitionOffset| (&end.topic, end.partition) == (&partition.topic, partition.partition);
            ends.iter().find(is_its).is_some_and(|end| end.offset >= Some(partition.goal))
        }))
    }

    /// Whether nothing that a reader would get stands between what is committed and the goal.
    async fn nothing_to_read(&self, partitions: &[LaggingPartition], deadline: Deadline) -> Result<bool> {
        for topic in self.group.topics() {
            let behind: Vec<(i32, i64, i64)> = partitions
                .iter()
                .filter(|partition| partition.topic == topic.name() && partition.lag() > 0)
                .map(|partition| (partition.partition, partition.committed.unwrap_or(partition.fence), partition.goal))
                .collect();
            if !behind.is_empty() {
                let consumer = LeasedConsumer::take(self.group.lease.clone(), topic.into())?;
                if consumer.has_between(&behind, self.calls, deadline).await? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}
