//! Asks the broker for the picture, within a deadline; what it does not tell is a line of the picture.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::Offset;

use super::{Facts, LeasedGroup, Read};
use crate::broker::{PartitionOffset, Partitions};
use crate::config::FailureAccount;
use crate::error::Result;
use crate::pool::{self, PoolClient};
use crate::record::Record;
use crate::topic::Topic;
use crate::wait::{self, Deadline};

/// What the last records are read of, over all topics: a client can be assigned to more than a reader wants to see.
const MOST_PARTITIONS: usize = 200;

/// The state of a lease's topics and groups after its test has failed.
pub(super) struct Picture {
    pub(super) topics: Vec<TopicPicture>,
    pub(super) groups: Vec<GroupPicture>,
}

pub(super) struct TopicPicture {
    pub(super) name: String,
    pub(super) partitions: Result<Vec<PartitionPicture>, String>,
    pub(super) reads: Vec<Read>,
}

pub(super) struct PartitionPicture {
    pub(super) partition: i32,
    pub(super) fence: i64,
    pub(super) end: i64,
    /// The last ones since the fence, in their order.
    pub(super) records: Vec<Record>,
    /// Whether the last records could be read up to the end.
    pub(super) read_to_end: bool,
}

pub(super) struct GroupPicture {
    pub(super) id: String,
    pub(super) partitions: Result<Vec<CommittedPicture>, String>,
}

pub(super) struct CommittedPicture {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) committed: Option<i64>,
    pub(super) fence: i64,
    pub(super) end: i64,
}

/// How many records of each partition are shown.
fn last_records(detail: FailureAccount) -> i64 {
    if detail == FailureAccount::Long { 50 } else { 3 }
}

pub(super) fn picture(facts: &Facts, deadline: Deadline) -> Picture {
    let mut topics: Vec<TopicPicture> = facts.topics.iter().map(|topic| of_topic(facts, topic, deadline)).collect();
    topics.sort_by(|one, other| one.name.cmp(&other.name));
    read_last_records(facts, &mut topics, deadline);
    let groups = facts.groups.iter().map(|group| of_group(facts, group, &topics, deadline)).collect();
    Picture { topics, groups }
}

fn of_topic(facts: &Facts, topic: &Topic, deadline: Deadline) -> TopicPicture {
    let ends = ends(facts, topic, deadline);
    let partitions = ends.map(|ends| {
        let partition = |(partition, end): (i32, i64)| {
            let fence = if partition < topic.partitions().unwrap_or(0) { topic.fence(partition) } else { 0 };
            PartitionPicture { partition, fence, end, records: Vec::new(), read_to_end: end <= fence }
        };
        (0..).zip(ends).map(partition).collect()
    });
    let reads = facts.reads.iter().filter(|read| read.topic == topic.name()).cloned().collect();
    TopicPicture { name: topic.name().to_owned(), partitions, reads }
}

fn ends(facts: &Facts, topic: &Topic, deadline: Deadline) -> Result<Vec<i64>, String> {
    let control = facts.connection.broker().control();
    let partitions = match topic.partitions() {
        Some(partitions) => partitions,
        // One that was only named: whether somebody has made it meanwhile is for the broker to say.
        None => match control.partitions(topic.name(), deadline).map_err(|error| error.to_string())? {
            Partitions::Ready(partitions) => partitions,
            Partitions::Electing => return Err("it has partitions without a leader".to_owned()),
            Partitions::Unknown => {
                return Err("there is no such topic: it was named, and nobody has made it".to_owned());
            }
        },
    };
    match control.end_offsets(topic.name(), partitions, deadline) {
        Ok(Some(ends)) => Ok(ends),
        Ok(None) => Err("there is no such topic any more".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads with a client of its own: those of the test are what it has left them as.
fn read_last_records(facts: &Facts, topics: &mut [TopicPicture], deadline: Deadline) {
    let last = last_records(facts.detail);
    let mut wanted: Vec<(String, i32, i64)> = Vec::new();
    for topic in topics.iter() {
        for partition in topic.partitions.iter().flatten().filter(|partition| partition.end > partition.fence) {
            let from = partition.fence.max(partition.end - last);
            wanted.push((topic.name.clone(), partition.partition, from));
        }
    }
    wanted.truncate(MOST_PARTITIONS);
    if wanted.is_empty() {
        return;
    }
    let Ok(group) = facts.names.group("account", 0) else { return };
    let Ok(reader) = pool::make_reader(facts.connection.broker(), &group, wanted.len()) else { return };
    let reader = Arc::new(reader);
    let (records, read) = read_from(&reader, &wanted, topics, deadline);
    facts.connection.close_soon(reader);
    for topic in topics {
        for partition in topic.partitions.iter_mut().flatten() {
            let key = (topic.name.clone(), partition.partition);
            partition.read_to_end |= read.contains(&key);
            partition.records = records.get(&key).cloned().unwrap_or_default();
        }
    }
}

type ByPartition<T> = HashMap<(String, i32), T>;

/// The records from there on, and the partitions that were read to their end.
fn read_from(
    reader: &PoolClient,
    wanted: &[(String, i32, i64)],
    topics: &[TopicPicture],
    deadline: Deadline,
) -> (ByPartition<Vec<Record>>, HashSet<(String, i32)>) {
    let (mut records, mut read) = (ByPartition::<Vec<Record>>::new(), HashSet::new());
    let mut list = TopicPartitionList::with_capacity(wanted.len());
    for (topic, partition, from) in wanted {
        let _ = list.add_partition_offset(topic, *partition, Offset::Offset(*from));
    }
    if reader.assign(&list).is_err() {
        return (records, read);
    }
    for topic in wanted.iter().map(|(topic, ..)| topic.as_str()).collect::<HashSet<_>>() {
        // Without it the leader is looked for only up to a second later.
        let _ = reader.fetch_metadata(Some(topic), deadline.remaining());
    }
    let ends: ByPartition<i64> = topics
        .iter()
        .flat_map(|topic| {
            let of_topic = |partition: &PartitionPicture| ((topic.name.clone(), partition.partition), partition.end);
            topic.partitions.iter().flatten().map(of_topic).collect::<Vec<_>>()
        })
        .collect();
    let mut ended = 0;
    // The end of a partition is told once each, without the topic's name: the last offsets may hold no record.
    while read.len() < wanted.len() && ended < wanted.len() {
        match wait::block_on(reader.recv(), deadline) {
            Some(Ok(message)) => {
                let record = Record::new(message.detach());
                let key = (record.topic().to_owned(), record.partition());
                let end = ends.get(&key).copied().unwrap_or(i64::MAX);
                if record.offset() + 1 >= end {
                    read.insert(key.clone());
                }
                if record.offset() < end {
                    records.entry(key).or_default().push(record);
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            // librdkafka goes on by itself; if it does not get there, the picture says so.
            Some(Err(_)) => {}
            None => return (records, read),
        }
    }
    if ended >= wanted.len() {
        read.extend(wanted.iter().map(|(topic, partition, _)| (topic.clone(), *partition)));
    }
    (records, read)
}

fn of_group(facts: &Facts, group: &LeasedGroup, topics: &[TopicPicture], deadline: Deadline) -> GroupPicture {
    let of_group = |topic: &&TopicPicture| group.topics.iter().any(|of_group| of_group.name() == topic.name);
    let (mut asked, mut pictures) = (Vec::new(), Vec::new());
    for topic in topics.iter().filter(of_group) {
        for &PartitionPicture { partition, fence, end, .. } in topic.partitions.iter().flatten() {
            asked.push(PartitionOffset { topic: topic.name.clone(), partition, offset: None });
            pictures.push(CommittedPicture { topic: topic.name.clone(), partition, committed: None, fence, end });
        }
    }
    let control = facts.connection.broker().control();
    let committed = match asked.is_empty() {
        true => Ok(Vec::new()),
        false => control.committed(&group.id, &asked, deadline),
    };
    let partitions = committed.map_err(|error| error.to_string()).map(|committed| {
        pictures.iter_mut().zip(committed).for_each(|(picture, committed)| picture.committed = committed.offset);
        pictures
    });
    GroupPicture { id: group.id.clone(), partitions }
}
