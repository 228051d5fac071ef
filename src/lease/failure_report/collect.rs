//! Takes a snapshot of the broker's state, within a deadline. If a request fails, the snapshot contains the error.

use std::collections::HashSet;
use std::sync::Arc;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;

use super::{ConsumerPositions, LeasedGroup, ReportInput};
use crate::broker::{PartitionOffset, advice};
use crate::cluster::pool::{self, PoolClient};
use crate::config::FailureReport;
use crate::model::error::Result;
use crate::model::error::codes::code_of;
use crate::model::record::Record;
use crate::model::topic::TopicNow;
use crate::model::topic::{Fence, Topic};
use crate::sync::wait::{self, Deadline};

/// The number of partitions whose last messages are read, over all topics.
const MAX_PARTITIONS: usize = 200;

/// The state of a lease's topics and groups after its test has failed.
pub(super) struct Snapshot {
    pub(super) topics: Vec<TopicSnapshot>,
    pub(super) groups: Vec<GroupSnapshot>,
}

pub(super) struct TopicSnapshot {
    pub(super) name: String,
    /// Whether the topic was deleted and created again during the test.
    pub(super) is_recreated: bool,
    pub(super) partitions: Result<Vec<PartitionSnapshot>, String>,
    pub(super) positions: Vec<ConsumerPositions>,
}

pub(super) struct PartitionSnapshot {
    pub(super) partition: i32,
    pub(super) fence: i64,
    pub(super) end: i64,
    /// The last messages after the fence, in order.
    pub(super) records: Vec<Record>,
    /// Whether the last messages were read up to the end offset.
    pub(super) read_to_end: bool,
    /// The cause if they were not, as far as it is known. It may belong to another partition.
    pub(super) unreadable: Option<&'static str>,
}

pub(super) struct GroupSnapshot {
    pub(super) id: String,
    pub(super) partitions: Result<Vec<GroupPartition>, String>,
}

pub(super) struct GroupPartition {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) committed: Option<i64>,
    pub(super) fence: i64,
    pub(super) end: i64,
}

/// The number of messages that are shown per partition.
fn last_records(detail: FailureReport) -> i64 {
    if detail == FailureReport::Long { 50 } else { 3 }
}

pub(super) fn snapshot(input: &ReportInput, deadline: Deadline) -> Snapshot {
    let mut topics: Vec<TopicSnapshot> =
        input.topics.iter().map(|topic| topic_snapshot(input, topic, deadline)).collect();
    topics.sort_by(|one, other| one.name.cmp(&other.name));
    read_last_records(input, &mut topics, deadline);
    let groups = input.groups.iter().map(|group| group_snapshot(input, group, &topics, deadline)).collect();
    Snapshot { topics, groups }
}

fn topic_snapshot(input: &ReportInput, topic: &Topic, deadline: Deadline) -> TopicSnapshot {
    let now = now(input, topic, deadline);
    let is_recreated = match (&topic.0.fence, &now) {
        (Fence::Ends(then), Ok(now)) => then.id != now.id,
        _ => false,
    };
    let partitions = now.map(|now| {
        let fences = topic.0.fence.on(&now);
        let partition = |(partition, (end, fence)): (i32, (i64, i64))| PartitionSnapshot {
            partition,
            fence,
            end,
            records: Vec::new(),
            read_to_end: end <= fence,
            unreadable: None,
        };
        (0..).zip(now.ends.into_iter().zip(fences)).map(partition).collect()
    });
    let positions = input.positions.iter().filter(|consumer| consumer.topic == topic.name()).cloned().collect();
    TopicSnapshot { name: topic.name().to_owned(), is_recreated, partitions, positions }
}

fn now(input: &ReportInput, topic: &Topic, deadline: Deadline) -> Result<TopicNow, String> {
    match input.cluster.broker().control().topic_now(topic.name(), deadline) {
        Ok(Some(now)) => Ok(now),
        Ok(None) if topic.0.fence == Fence::Beginning => {
            Err("the topic does not exist: the test has named it, and no service has created it".to_owned())
        }
        Ok(None) => Err("the topic does not exist any more".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads the last messages with a new client, because the test may have left its own clients in any state.
fn read_last_records(input: &ReportInput, topics: &mut [TopicSnapshot], deadline: Deadline) {
    let last = last_records(input.detail);
    let mut left = MAX_PARTITIONS;
    let mut to_read: Vec<(&mut TopicSnapshot, Vec<(i32, i64)>)> = Vec::new();
    for topic in topics {
        let written = topic.partitions.iter().flatten().filter(|partition| partition.end > partition.fence);
        let from = |partition: &PartitionSnapshot| partition.fence.max(partition.end - last);
        let starts: Vec<_> = written.take(left).map(|partition| (partition.partition, from(partition))).collect();
        left -= starts.len();
        if !starts.is_empty() {
            to_read.push((topic, starts));
        }
    }
    let Some(max) = to_read.iter().map(|(_, starts)| starts.len()).max() else { return };
    let Ok(group) = input.names.group("report", 0) else { return };
    let Ok(reader) = pool::create_reader(input.cluster.broker(), &group, max) else { return };
    let reader = Arc::new(reader);
    for (topic, starts) in to_read {
        read_topic(&reader, topic, &starts, deadline);
    }
    input.cluster.close_in_background(reader);
}

/// Reads one topic at a time, because the end of a partition is reported without the name of its topic.
fn read_topic(reader: &PoolClient, topic: &mut TopicSnapshot, starts: &[(i32, i64)], deadline: Deadline) {
    let Ok(partitions) = &mut topic.partitions else { return };
    if reader.unassign().is_err() || pool::assign(reader, &topic.name, starts).is_err() {
        return;
    }
    // Fetch the metadata now, because otherwise the client looks for the leader up to a second later.
    let _ = reader.fetch_metadata(Some(&topic.name), deadline.remaining());
    let mut unread: HashSet<i32> = starts.iter().map(|(partition, _)| *partition).collect();
    while !unread.is_empty() {
        // The last offsets might contain no record. If more records are written to a partition, its end is reported
        // several times.
        let read_to_end_of = match wait::block_on(reader.recv(), deadline) {
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
            // librdkafka retries. If it does not succeed in time, the snapshot contains the reason.
            Some(Err(error)) => {
                let advice = code_of(&error).map(advice).filter(|advice| !advice.is_empty());
                partitions.iter_mut().for_each(|partition| partition.unreadable = advice.or(partition.unreadable));
                None
            }
            None => return,
        };
        if let Some(of) = read_to_end_of.filter(|of| unread.remove(of))
            && let Some(partition) = partitions.get_mut(of as usize)
        {
            partition.read_to_end = true;
        }
    }
}

fn group_snapshot(
    input: &ReportInput,
    group: &LeasedGroup,
    topics: &[TopicSnapshot],
    deadline: Deadline,
) -> GroupSnapshot {
    let of_group = |topic: &&TopicSnapshot| group.topics.iter().any(|of_group| of_group.name() == topic.name);
    let (mut requests, mut group_partitions) = (Vec::new(), Vec::new());
    for topic in topics.iter().filter(of_group) {
        for &PartitionSnapshot { partition, fence, end, .. } in topic.partitions.iter().flatten() {
            requests.push(PartitionOffset { topic: topic.name.clone(), partition, offset: None });
            group_partitions.push(GroupPartition { topic: topic.name.clone(), partition, committed: None, fence, end });
        }
    }
    let control = input.cluster.broker().control();
    let committed = match requests.is_empty() {
        true => Ok(Vec::new()),
        false => control.committed(&group.id, &requests, deadline),
    };
    let partitions = committed.map_err(|error| error.to_string()).map(|committed| {
        group_partitions
            .iter_mut()
            .zip(committed)
            .for_each(|(snapshot, committed)| snapshot.committed = committed.offset);
        group_partitions
    });
    GroupSnapshot { id: group.id.clone(), partitions }
}
