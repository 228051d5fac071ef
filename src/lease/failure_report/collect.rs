//! Asks the broker for the picture, within a deadline; what it does not tell is a line of the picture.

use std::collections::HashSet;
use std::sync::Arc;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;

use super::{Facts, LeasedGroup, Read};
use crate::broker::{PartitionOffset, advice};
use crate::cluster::pool::{self, PoolClient};
use crate::config::FailureReport;
use crate::model::error::Result;
use crate::model::error::codes::code_of;
use crate::model::record::Record;
use crate::model::topic::TopicNow;
use crate::model::topic::{Fence, Topic};
use crate::sync::wait::{self, Deadline};

/// Of how many partitions the last records are read, over all topics.
const MOST_PARTITIONS: usize = 200;

/// The state of a lease's topics and groups after its test has failed.
pub(super) struct Picture {
    pub(super) topics: Vec<TopicPicture>,
    pub(super) groups: Vec<GroupPicture>,
}

pub(super) struct TopicPicture {
    pub(super) name: String,
    /// Whether it has taken the place of one that the test began with.
    pub(super) is_another: bool,
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
    /// Why not, where the reader was told; it may have been of another partition.
    pub(super) unreadable: Option<&'static str>,
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
fn last_records(detail: FailureReport) -> i64 {
    if detail == FailureReport::Long { 50 } else { 3 }
}

pub(super) fn picture(facts: &Facts, deadline: Deadline) -> Picture {
    let mut topics: Vec<TopicPicture> = facts.topics.iter().map(|topic| of_topic(facts, topic, deadline)).collect();
    topics.sort_by(|one, other| one.name.cmp(&other.name));
    read_last_records(facts, &mut topics, deadline);
    let groups = facts.groups.iter().map(|group| of_group(facts, group, &topics, deadline)).collect();
    Picture { topics, groups }
}

fn of_topic(facts: &Facts, topic: &Topic, deadline: Deadline) -> TopicPicture {
    let now = now(facts, topic, deadline);
    let is_another = match (&topic.0.fence, &now) {
        (Fence::Ends(then), Ok(now)) => then.id != now.id,
        _ => false,
    };
    let partitions = now.map(|now| {
        let fences = topic.0.fence.on(&now);
        let partition = |(partition, (end, fence)): (i32, (i64, i64))| PartitionPicture {
            partition,
            fence,
            end,
            records: Vec::new(),
            read_to_end: end <= fence,
            unreadable: None,
        };
        (0..).zip(now.ends.into_iter().zip(fences)).map(partition).collect()
    });
    let reads = facts.reads.iter().filter(|read| read.topic == topic.name()).cloned().collect();
    TopicPicture { name: topic.name().to_owned(), is_another, partitions, reads }
}

fn now(facts: &Facts, topic: &Topic, deadline: Deadline) -> Result<TopicNow, String> {
    match facts.cluster.broker().control().topic_now(topic.name(), deadline) {
        Ok(Some(now)) => Ok(now),
        Ok(None) if topic.0.fence == Fence::Beginning => {
            Err("there is no such topic: it was named, and nobody has made it".to_owned())
        }
        Ok(None) => Err("there is no such topic any more".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads with a client of its own: those of the test are what it has left them as.
fn read_last_records(facts: &Facts, topics: &mut [TopicPicture], deadline: Deadline) {
    let last = last_records(facts.detail);
    let mut left = MOST_PARTITIONS;
    let mut wanted: Vec<(&mut TopicPicture, Vec<(i32, i64)>)> = Vec::new();
    for topic in topics {
        let written = topic.partitions.iter().flatten().filter(|partition| partition.end > partition.fence);
        let from = |partition: &PartitionPicture| partition.fence.max(partition.end - last);
        let starts: Vec<_> = written.take(left).map(|partition| (partition.partition, from(partition))).collect();
        left -= starts.len();
        if !starts.is_empty() {
            wanted.push((topic, starts));
        }
    }
    let Some(most) = wanted.iter().map(|(_, starts)| starts.len()).max() else { return };
    let Ok(group) = facts.names.group("account", 0) else { return };
    let Ok(reader) = pool::make_reader(facts.cluster.broker(), &group, most) else { return };
    let reader = Arc::new(reader);
    for (topic, starts) in wanted {
        read_topic(&reader, topic, &starts, deadline);
    }
    facts.cluster.close_soon(reader);
}

/// Reads one topic from there on: the end of a partition is reported without the name of its topic.
fn read_topic(reader: &PoolClient, topic: &mut TopicPicture, starts: &[(i32, i64)], deadline: Deadline) {
    let Ok(partitions) = &mut topic.partitions else { return };
    if reader.unassign().is_err() || pool::assign(reader, &topic.name, starts).is_err() {
        return;
    }
    // Without it the leader is looked for only up to a second later.
    let _ = reader.fetch_metadata(Some(&topic.name), deadline.remaining());
    let mut unread: HashSet<i32> = starts.iter().map(|(partition, _)| *partition).collect();
    while !unread.is_empty() {
        // The last offsets may hold no record. A partition to which more is written has several ends.
        let at_its_end = match wait::block_on(reader.recv(), deadline) {
            Some(Ok(message)) => {
                let record = Record::of(&message);
                let place = usize::try_from(record.partition()).ok().and_then(|at| partitions.get_mut(at));
                let Some(partition) = place.filter(|_| record.topic() == topic.name) else { continue };
                let (of, is_last) = (record.partition(), record.offset() + 1 >= partition.end);
                if record.offset() < partition.end {
                    partition.records.push(record);
                }
                is_last.then_some(of)
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => Some(partition),
            // librdkafka goes on by itself; if it does not get there, the picture says so.
            Some(Err(error)) => {
                let advice = code_of(&error).map(advice).filter(|advice| !advice.is_empty());
                partitions.iter_mut().for_each(|partition| partition.unreadable = advice.or(partition.unreadable));
                None
            }
            None => return,
        };
        if let Some(of) = at_its_end.filter(|of| unread.remove(of))
            && let Some(partition) = partitions.get_mut(of as usize)
        {
            partition.read_to_end = true;
        }
    }
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
    let control = facts.cluster.broker().control();
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
