//! The topics that Kafka keeps for itself, and who coordinates what is kept in them.
//!
//! Groups and transactions are kept elsewhere here, so that these topics have no records. They are there all the same: the
//! leader of a partition coordinates what falls on it, and clients list and describe them once they are used.

use std::collections::BTreeMap;

use super::producers::Producers;
use super::topics::NewTopic;
use super::{Broker, Cluster, java_hash};

/// The topic of groups and their offsets.
pub(crate) const OFFSETS: &str = "__consumer_offsets";
/// The topic of transactions.
pub(crate) const TRANSACTIONS: &str = "__transaction_state";

/// Each with the broker's settings for its partitions and its replicas.
const TOPICS: [(&str, &str, &str); 2] = [
    (OFFSETS, "offsets.topic.num.partitions", "offsets.topic.replication.factor"),
    (TRANSACTIONS, "transaction.state.log.num.partitions", "transaction.state.log.replication.factor"),
];

impl Cluster {
    /// Lays the internal topics out. Nobody sees one before it is used.
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
                // All are laid out alike, so that one broker coordinates a name whatever it is the name of.
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

    /// Has clients see an internal topic, since it is used now.
    pub(crate) fn reveal(&mut self, name: &str) -> bool {
        match self.dormant.remove(name) {
            Some(topic) => {
                self.topics.insert(topic);
                true
            }
            None => false,
        }
    }

    /// The live broker that coordinates a group, or a transactional id.
    pub(crate) fn coordinator(&self, name: &str) -> Option<&Broker> {
        self.coordinator_of(OFFSETS, name)
    }

    /// The live broker that coordinates what falls on a partition of an internal topic: its leader.
    pub(crate) fn coordinator_of(&self, topic: &str, name: &str) -> Option<&Broker> {
        let topic = self.topics.get(topic).or_else(|| self.dormant.get(topic))?;
        let partition = topic.partition(partition_for(name, topic.partitions.len()))?;
        self.live_brokers().find(|broker| broker.id == partition.leader)
    }

    /// The producers that have committed offsets of groups which fall on a partition.
    pub(crate) fn offset_producers(&mut self, partition: i32) -> Option<&mut Producers> {
        let topics = if self.topics.get(OFFSETS).is_some() { &mut self.topics } else { &mut self.dormant };
        Some(&mut topics.get_mut(OFFSETS)?.partition_mut(partition)?.producers)
    }

    /// The partition that Kafka keeps a group's offsets in.
    pub(crate) fn coordinator_partition(&self, group: &str) -> i32 {
        let topic = self.topics.get(OFFSETS).or_else(|| self.dormant.get(OFFSETS));
        partition_for(group, topic.map_or(0, |topic| topic.partitions.len()))
    }
}

fn partition_for(name: &str, partitions: usize) -> i32 {
    (java_hash(name).checked_abs().unwrap_or(0) as usize % partitions.max(1)) as i32
}
