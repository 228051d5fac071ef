//! Kafka's internal topics, and the coordinators of their partitions.
//!
//! Groups and transactions are not stored in these topics, so the topics have no records. They exist because the leader of a
//! partition is the coordinator of its groups or transactions, and because clients list and describe the topics once they are
//! in use.

use std::collections::BTreeMap;

use super::producers::Producers;
use super::topics::NewTopic;
use super::{Broker, Cluster, java_hash};

/// The topic of groups and their offsets.
pub(crate) const OFFSETS: &str = "__consumer_offsets";
/// The topic of transactions.
pub(crate) const TRANSACTIONS: &str = "__transaction_state";

/// The topics, each with the broker properties for its partitions and replicas.
const TOPICS: [(&str, &str, &str); 2] = [
    (OFFSETS, "offsets.topic.num.partitions", "offsets.topic.replication.factor"),
    (TRANSACTIONS, "transaction.state.log.num.partitions", "transaction.state.log.replication.factor"),
];

impl Cluster {
    /// Plans the internal topics. Clients do not see a topic before it is used.
    pub(crate) fn lay_out_internal(&mut self) {
        for (name, partitions, replication) in TOPICS {
            if self.topics.get(name).is_some() || self.dormant.get(name).is_some() {
                continue;
            }
            let topic = NewTopic {
                name: name.to_owned(),
                partitions: self.configs.broker_number(partitions) as i32,
                replication: self.configs.broker_number(replication) as i16,
                ..NewTopic::default()
            };
            if let Ok(plan) = self.plan_topic(topic) {
                // All topics have the same placement, so the same broker coordinates a group and a transactional id with the
                // same name.
                let (replicas, config) = (plan.replicas(), self.internal_config(name));
                let settings = self.configs.effective(&config);
                let topic = self.dormant.add(name, replicas, config);
                topic.settings = settings;
            }
        }
    }

    fn internal_config(&self, name: &str) -> BTreeMap<String, String> {
        let of = |setting: &str| self.configs.broker(setting).to_owned();
        let own: &[(&str, String)] = &if name == OFFSETS {
            vec![("compression.type", "producer".to_owned()), ("segment.bytes", of("offsets.topic.segment.bytes"))]
        } else {
            vec![
                ("compression.type", "uncompressed".to_owned()),
                ("min.insync.replicas", of("transaction.state.log.min.isr")),
                ("segment.bytes", of("transaction.state.log.segment.bytes")),
                ("unclean.leader.election.enable", "false".to_owned()),
            ]
        };
        let compact = ("cleanup.policy".to_owned(), "compact".to_owned());
        own.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).chain([compact]).collect()
    }

    /// Makes an internal topic visible to clients when it is used.
    pub(crate) fn reveal(&mut self, name: &str) -> bool {
        match self.dormant.remove(name) {
            Some(topic) => {
                self.topics.insert(topic);
                true
            }
            None => false,
        }
    }

    /// Returns the running broker that coordinates a group or a transactional id.
    pub(crate) fn coordinator(&self, name: &str) -> Option<&Broker> {
        self.coordinator_of(OFFSETS, name)
    }

    /// Returns the running broker that coordinates a partition of an internal topic: the leader of the partition.
    pub(crate) fn coordinator_of(&self, topic: &str, name: &str) -> Option<&Broker> {
        let topic = self.topics.get(topic).or_else(|| self.dormant.get(topic))?;
        let partition = topic.partition(partition_for(name, topic.partitions.len()))?;
        self.live_brokers().find(|broker| broker.id == partition.leader)
    }

    /// Returns the producers that have committed offsets of the groups of a partition.
    pub(crate) fn offset_producers(&mut self, partition: i32) -> Option<&mut Producers> {
        let topics = if self.topics.get(OFFSETS).is_some() { &mut self.topics } else { &mut self.dormant };
        Some(&mut topics.get_mut(OFFSETS)?.partition_mut(partition)?.producers)
    }

    /// Returns the partition in which Kafka stores the offsets of a group.
    pub(crate) fn coordinator_partition(&self, group: &str) -> i32 {
        let topic = self.topics.get(OFFSETS).or_else(|| self.dormant.get(OFFSETS));
        partition_for(group, topic.map_or(0, |topic| topic.partitions.len()))
    }
}

fn partition_for(name: &str, partitions: usize) -> i32 {
    (java_hash(name).checked_abs().unwrap_or(0) as usize % partitions.max(1)) as i32
}
