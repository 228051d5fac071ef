//! What a broker is asked about a group: on whichever thread, without the lease, which is not to wait for an answer.

use std::sync::Arc;
use std::time::Duration;

use super::fenced::GroupParts;
use crate::broker::{Control, PartitionOffset};
use crate::cluster::Cluster;
use crate::model::error::{Error, GroupLag, LaggingPartition, Result};
use crate::model::topic::{Fence, Topic};
use crate::sync::wait::Deadline;

/// How long the message of a timeout may wait for the group's state.
const ASK_FOR_STATE: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(super) struct Questions {
    cluster: Arc<Cluster>,
    group: Arc<GroupParts>,
}

impl Questions {
    pub(super) fn of(cluster: Arc<Cluster>, group: Arc<GroupParts>) -> Self {
        Self { cluster, group }
    }

    fn control(&self) -> &Control {
        self.cluster.broker().control()
    }

    pub(super) fn committed(&self, topic: &Topic, partition: i32, deadline: Deadline) -> Result<Option<i64>> {
        let asked = [PartitionOffset { topic: topic.name().to_owned(), partition, offset: None }];
        let committed = self.control().committed(&self.group.id, &asked, deadline)?;
        Ok(committed.into_iter().next().and_then(|committed| committed.offset))
    }

    pub(super) fn lag(&self, deadline: Deadline) -> Result<i64> {
        let goal = self.ends(deadline)?;
        Ok(self.lagging(&goal, deadline)?.iter().map(LaggingPartition::lag).sum())
    }

    /// Where each partition of its topics ends now, however many those are.
    pub(super) fn ends(&self, deadline: Deadline) -> Result<Vec<PartitionOffset>> {
        let mut ends = Vec::new();
        for topic in &self.group.topics {
            ends.extend(self.ends_of(topic, deadline)?);
        }
        Ok(ends)
    }

    /// The same of one of its topics.
    pub(super) fn ends_of(&self, topic: &Topic, deadline: Deadline) -> Result<Vec<PartitionOffset>> {
        if topic.0.fence == Fence::Beginning {
            self.control().wait_for_leaders(topic.name(), deadline)?;
        }
        let now = self.control().topic_now(topic.name(), deadline)?;
        let now = now.ok_or_else(|| Error::misuse(format!("topic {:?} is gone", topic.name())))?;
        let of_topic = self.group.topics.iter().zip(&self.group.ids).find(|(of_group, _)| *of_group == topic);
        // What the group has committed may be of the one that was deleted.
        if of_topic.and_then(|(_, id)| *id).is_some_and(|id| id != now.id) {
            return Err(self.control().created_again(topic.name(), "make its group after that"));
        }
        let end = |(partition, end): (i32, i64)| PartitionOffset {
            topic: topic.name().to_owned(),
            partition,
            offset: Some(end),
        };
        Ok((0..).zip(now.ends).map(end).collect())
    }

    /// Each partition of the goal with what the group has committed on it.
    pub(super) fn lagging(&self, goal: &[PartitionOffset], deadline: Deadline) -> Result<Vec<LaggingPartition>> {
        let committed = self.control().committed(&self.group.id, goal, deadline)?;
        Ok(goal
            .iter()
            .zip(committed)
            .map(|(goal, committed)| {
                let topic = self.group.topics.iter().find(|topic| topic.name() == goal.topic);
                LaggingPartition {
                    topic: goal.topic.clone(),
                    partition: goal.partition,
                    fence: topic.map_or(0, |topic| topic.fence(goal.partition)),
                    committed: committed.offset,
                    goal: goal.offset.unwrap_or(0),
                }
            })
            .collect())
    }

    /// The error of a wait that was in vain.
    pub(super) fn lags(&self, partitions: Vec<LaggingPartition>, deadline: Deadline) -> Error {
        let broker = self.cluster.broker();
        let described = broker.control().describe_group(&self.group.id, Deadline::after(ASK_FOR_STATE));
        let (state, members) = match described {
            Ok(description) => (Some(description.state), description.members),
            Err(_) => (None, Vec::new()),
        };
        let (group, broker, waited) = (self.group.id.clone(), broker.name().to_owned(), deadline.allowed());
        Error::Lag(Arc::new(GroupLag { group, broker, waited, partitions, state, members }))
    }
}
