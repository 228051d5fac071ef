//! Topics and their partitions.

use std::collections::BTreeMap;

use crate::state::Cluster;
use crate::state::topics::Topic as State;

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Topic {
    /// The topic name.
    pub name: String,
    /// The topic id, formatted as a UUID.
    pub id: String,
    /// Whether the topic is an internal topic of Kafka, such as `__consumer_offsets`.
    pub internal: bool,
    /// The partitions, indexed by partition number.
    pub partitions: Vec<Partition>,
    /// The configuration properties that are set on this topic, by their names in Kafka. Defaults are not included.
    pub config: BTreeMap<String, String>,
}

/// A partition, without its records.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Partition {
    /// The id of the leader, or `None` if no replica can be the leader.
    pub leader: Option<i32>,
    /// The leader epoch, which increases with every change of the leader.
    pub leader_epoch: i32,
    /// The ids of the brokers that have a replica.
    pub replicas: Vec<i32>,
    /// The ids of the brokers that have an in-sync replica.
    pub in_sync: Vec<i32>,
    /// The start offset: the offset of the first record.
    pub start: i64,
    /// The end offset: the offset of the next record.
    pub end: i64,
    /// The last stable offset: the first offset of the oldest open transaction, or the end offset if there is none.
    pub last_stable_offset: i64,
}

/// The end offsets of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndOffsets {
    /// The topic id: its UUID as a number.
    pub topic_id: u128,
    /// The end offsets, indexed by partition number.
    pub offsets: Vec<i64>,
}

impl EndOffsets {
    pub(crate) fn of(topic: &State) -> Self {
        let offsets = topic.partitions.iter().map(|partition| partition.log.end()).collect();
        Self { topic_id: topic.id.as_u128(), offsets }
    }
}

impl Topic {
    pub(crate) fn all(cluster: &Cluster) -> Vec<Self> {
        cluster.topics.iter().map(Self::of).collect()
    }

    pub(crate) fn of(topic: &State) -> Self {
        let partitions = topic.partitions.iter().map(|partition| Partition {
            leader: Some(partition.leader).filter(|leader| *leader >= 0),
            leader_epoch: partition.leader_epoch,
            replicas: partition.replicas.clone(),
            in_sync: partition.isr.clone(),
            start: partition.log.start(),
            end: partition.log.end(),
            last_stable_offset: partition.last_stable_offset(),
        });
        Self {
            name: topic.name.clone(),
            id: topic.id.to_string(),
            internal: topic.internal,
            partitions: partitions.collect(),
            config: topic.config.clone(),
        }
    }
}
