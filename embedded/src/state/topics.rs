//! The topics of a cluster, by name and by id.

mod create;
pub(crate) mod names;
mod placement;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use kafka_protocol::ResponseError;
use uuid::Uuid;

pub(crate) use self::create::{MOST_PARTITIONS, NewTopic, Plan};
use super::configs::Effective;
use super::partition::Partition;
use crate::clock::Time;

#[derive(Debug, Default)]
pub(crate) struct Topics {
    by_name: BTreeMap<String, Topic>,
    names: HashMap<Uuid, String>,
    /// The topics by the key of name collisions.
    colliding: HashMap<String, BTreeSet<String>>,
    /// The number of topics that were ever added.
    added: usize,
    /// The limit for the size of all logs, and their size at the last count plus everything that was appended since.
    most_bytes: usize,
    counted_bytes: usize,
    /// The changed partitions that waiting fetches have not been checked for.
    touched: Vec<(Uuid, i32)>,
    /// The number of times a topic was created, deleted or given partitions.
    version: u64,
}

#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) partitions: Vec<Partition>,
    /// The properties that differ from the broker's, by their names in Kafka.
    pub(crate) config: BTreeMap<String, String>,
    /// The effective values of [`config`](Self::config) and the broker's properties.
    pub(crate) settings: Effective,
    pub(crate) internal: bool,
}

impl Topic {
    pub(crate) fn partition(&self, index: i32) -> Option<&Partition> {
        self.partitions.get(usize::try_from(index).ok()?)
    }

    pub(crate) fn partition_mut(&mut self, index: i32) -> Option<&mut Partition> {
        self.partitions.get_mut(usize::try_from(index).ok()?)
    }
}

impl Topics {
    pub(crate) fn get(&self, name: &str) -> Option<&Topic> {
        self.by_name.get(name)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Topic> {
        self.by_name.get_mut(name)
    }

    pub(crate) fn has_partition(&self, name: &str, index: i32) -> bool {
        self.get(name).is_some_and(|topic| topic.partition(index).is_some())
    }

    pub(crate) fn name_of(&self, id: Uuid) -> Option<&str> {
        self.names.get(&id).map(String::as_str)
    }

    /// Returns all topics, sorted by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Topic> {
        self.by_name.values()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Topic> {
        self.by_name.values_mut()
    }

    /// Returns a number that changes when a topic is created, deleted or given partitions. Data that was derived at the same
    /// number is still valid.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Adds a topic whose partitions have these replicas. The caller must check that the name is not in use.
    pub(crate) fn add(&mut self, name: &str, replicas: Vec<Vec<i32>>, config: BTreeMap<String, String>) -> &mut Topic {
        let id = Uuid::new_v4();
        let partitions = replicas.into_iter().map(Partition::new).collect();
        self.added += 1;
        self.insert(Topic {
            id,
            name: name.to_owned(),
            partitions,
            config,
            settings: Effective::default(),
            internal: names::is_internal(name),
        })
    }

    /// Inserts a topic. The caller must check that the name is not in use.
    pub(super) fn insert(&mut self, topic: Topic) -> &mut Topic {
        self.version += 1;
        let name = topic.name.clone();
        self.names.insert(topic.id, name.clone());
        if let Some(key) = names::collision_key(&name) {
            self.colliding.entry(key).or_default().insert(name.clone());
        }
        let entry = self.by_name.entry(name);
        debug_assert!(matches!(entry, Entry::Vacant(_)), "there is no topic {:?} yet", topic.name);
        entry.or_insert(topic)
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Topic> {
        let topic = self.by_name.remove(name)?;
        self.version += 1;
        self.names.remove(&topic.id);
        if let Some(key) = names::collision_key(name)
            && let Some(others) = self.colliding.get_mut(&key)
        {
            others.remove(name);
            if others.is_empty() {
                self.colliding.remove(&key);
            }
        }
        for index in 0..topic.partitions.len() {
            self.touched.push((topic.id, index as i32));
        }
        Some(topic)
    }

    /// Adds partitions with these replicas to a topic.
    fn grow(&mut self, name: &str, replicas: Vec<Vec<i32>>, up: &[i32]) {
        let Some(topic) = self.by_name.get_mut(name) else { return };
        for replicas in replicas {
            let mut partition = Partition::new(replicas);
            partition.lead_by_live(up);
            topic.partitions.push(partition);
        }
        self.version += 1;
    }

    fn added(&self) -> usize {
        self.added
    }

    /// Ends a producer's transaction in one partition, and checks the fetches that wait for it. Returns the marker's offset.
    pub(crate) fn append_marker(
        &mut self,
        now: Time,
        (topic, index): (&str, i32),
        producer: (i64, i16),
        coordinator_epoch: i32,
        commit: bool,
    ) -> Result<i64, ResponseError> {
        let missing = ResponseError::UnknownTopicOrPartition;
        let topic = self.by_name.get_mut(topic).ok_or(missing)?;
        let leader = topic.partition(index).ok_or(missing)?.leader;
        let timestamp = topic.settings.on(leader).timestamp(now.0, now);
        let partition = topic.partition_mut(index).ok_or(missing)?;
        let offset = partition.append_marker(timestamp, producer, coordinator_epoch, commit)?;
        let id = topic.id;
        self.touch(id, index);
        Ok(offset)
    }

    /// Changes the id of a topic. Returns whether there is such a topic.
    pub(crate) fn set_id(&mut self, name: &str, id: Uuid) -> bool {
        let Some(topic) = self.by_name.get_mut(name) else { return false };
        self.names.remove(&std::mem::replace(&mut topic.id, id));
        self.names.insert(id, name.to_owned());
        self.version += 1;
        true
    }

    /// Limits the size of all logs.
    pub(crate) fn bound(&mut self, most_bytes: usize) {
        self.most_bytes = most_bytes;
    }

    /// Reserves space for this many bytes. If there is not enough space, returns the limit as the error.
    pub(crate) fn reserve(&mut self, bytes: usize) -> Result<(), usize> {
        if self.counted_bytes.saturating_add(bytes) > self.most_bytes {
            // Count again, because deletions since the last count have freed space.
            let partitions = self.by_name.values().flat_map(|topic| &topic.partitions);
            self.counted_bytes = partitions.map(|partition| partition.log.bytes()).sum();
        }
        if self.counted_bytes.saturating_add(bytes) > self.most_bytes {
            return Err(self.most_bytes);
        }
        self.counted_bytes += bytes;
        Ok(())
    }

    /// Schedules a check of the fetches that wait for this partition.
    pub(crate) fn touch(&mut self, id: Uuid, index: i32) {
        self.touched.push((id, index));
    }

    pub(crate) fn take_touched(&mut self) -> Vec<(Uuid, i32)> {
        std::mem::take(&mut self.touched)
    }
}
