//! Topics and their partitions.

use std::collections::BTreeMap;

use crate::state::Cluster;
use crate::state::topics::Topic as State;

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its id, in the form of a UUID.
    pub id: String,
    /// Whether it is one of Kafka's own.
    pub internal: bool,
    /// Its partitions, from number 0 on.
    pub partitions: Vec<Partition>,
    /// The settings that were made for this topic, by Kafka's names.
    pub config: BTreeMap<String, String>,
}

/// A partition, without its records.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Partition {
    /// The broker that leads it, if any can.
    pub leader: Option<i32>,
    /// How often the leader has changed.
    pub leader_epoch: i32,
    /// The brokers that have it.
    pub replicas: Vec<i32>,
    /// Those of them that are in sync.
    pub in_sync: Vec<i32>,
    /// The offset of the first record that is there.
    pub start: i64,
    /// The offset of the next record.
    pub end: i64,
    /// Up to where committed records can be read: before the first open transaction.
    pub last_stable_offset: i64,
}

/// Where the partitions of a topic end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndOffsets {
    /// The topic's id, as the number that its UUID is.
    pub topic_id: u128,
    /// The offset of the next record of each partition, from number 0 on.
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
