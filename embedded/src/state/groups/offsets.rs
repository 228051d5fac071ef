//! The committed offsets of a group.

use std::collections::BTreeMap;

use crate::clock::Time;

/// Offsets by topic and partition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Offsets(BTreeMap<String, BTreeMap<i32, Committed>>);

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    /// The leader epoch of the record, or -1 if the client sent none.
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
    pub(crate) committed_at: Time,
    /// When the offset expires, if the client set a retention time. Versions 2 to 4 of OffsetCommit have that field.
    pub(crate) expires_at: Option<Time>,
    /// The position among all commits. The later commit wins, even if the transaction of the earlier commit ends after it.
    pub(crate) serial: u64,
}

impl Offsets {
    pub(crate) fn get(&self, topic: &str, partition: i32) -> Option<&Committed> {
        self.0.get(topic)?.get(&partition)
    }

    pub(crate) fn put(&mut self, topic: &str, partition: i32, committed: Committed) {
        match self.0.get_mut(topic) {
            Some(partitions) => {
                partitions.insert(partition, committed);
            }
            None => {
                self.0.insert(topic.to_owned(), BTreeMap::from([(partition, committed)]));
            }
        }
    }

    pub(crate) fn remove(&mut self, topic: &str, partition: i32) {
        if let Some(partitions) = self.0.get_mut(topic) {
            partitions.remove(&partition);
            if partitions.is_empty() {
                self.0.remove(topic);
            }
        }
    }

    /// Drops the offsets of a deleted topic.
    pub(crate) fn remove_topic(&mut self, topic: &str) {
        self.0.remove(topic);
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&str, i32, &Committed) -> bool) {
        self.0.retain(|topic, partitions| {
            partitions.retain(|&partition, committed| keep(topic, partition, committed));
            !partitions.is_empty()
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the topics with their partitions, sorted.
    pub(crate) fn topics(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = (i32, &Committed)>)> {
        self.0
            .iter()
            .map(|(topic, partitions)| (topic.as_str(), partitions.iter().map(|(&index, offset)| (index, offset))))
    }

    /// Applies the offsets of a transaction, except for partitions with a later commit.
    pub(crate) fn merge(&mut self, pending: Self) {
        for (topic, partitions) in pending.0 {
            for (partition, committed) in partitions {
                if self.get(&topic, partition).is_none_or(|known| known.serial < committed.serial) {
                    self.put(&topic, partition, committed);
                }
            }
        }
    }
}
