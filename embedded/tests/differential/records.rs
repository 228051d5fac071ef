//! What is read: records, offsets, epochs, and the producers of a partition.

use bytes::Bytes;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::list_offsets_response::ListOffsetsPartitionResponse;
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::*;

use super::case::AHEAD;
use super::random::Random;
use super::side::Side;
use super::topics::TOPICS;
use crate::common::values;

#[derive(Debug, Clone)]
pub enum Op {
    Fetch { topic: u8, partition: u8, offset: i64, committed: bool, epoch: i32, version: u8 },
    Offset { topic: u8, partition: u8, time: i64, committed: bool, version: u8 },
    Epoch { topic: u8, partition: u8, epoch: i32, version: u8 },
    Delete { topic: u8, partition: u8, offset: i64, version: u8 },
    Producers { topic: u8, partition: u8 },
}

impl Op {
    pub fn random(random: &mut Random) -> Self {
        let (topic, partition, version) = (random.below(TOPICS), random.pick(&[0, 0, 0, 1, 1, 2, 3]), random.below(20));
        let committed = random.chance(50);
        let epoch = if random.chance(10) { random.pick(&[0, 1]) } else { -1 };
        match random.below(12) {
            0..5 => {
                let offset = random.pick(&[0, 0, 0, 1, 2, 3, 4, 6, 9, 14, -1]);
                Self::Fetch { topic, partition, offset, committed, epoch, version }
            }
            5..8 => {
                let time = random.pick(&[-1, -1, -2, -3, -4, -5, 0, 1000, 2000, -1000, -2000, 5000, -5000, 9000]);
                Self::Offset { topic, partition, time, committed, version }
            }
            8 => Self::Epoch { topic, partition, epoch: random.pick(&[0, 0, 1, -1]), version },
            9 => Self::Delete { topic, partition, offset: random.pick(&[-1, 0, 1, 2, 3, 5, 9, 40, -2]), version },
            _ => Self::Producers { topic, partition },
        }
    }

    pub fn reads(&self) -> bool {
        !matches!(self, Self::Delete { .. })
    }

    pub fn apply(&self, side: &mut Side) -> Result<String, String> {
        match *self {
            Self::Fetch { topic, partition, offset, committed, epoch, version } => {
                let version = side.version::<FetchRequest>(version);
                fetch(side, topic, partition, offset, committed, epoch, version)
            }
            Self::Offset { topic, partition, time, committed, version } => {
                // Small negative numbers are Kafka's own.
                let appended = side.append_times.contains(&topic);
                if appended && (time > 0 || time == -3) {
                    return Ok("it depends on the clock".to_owned());
                }
                if time == -3 && side.truncated.contains(&topic) {
                    // Kafka goes on telling of a record that is deleted while its segment is there.
                    return Ok("it depends on the segments".to_owned());
                }
                let time = if (-5..0).contains(&time) { time } else { side.time + time };
                let lowest = match time {
                    -3 => 7,
                    -4 => 8,
                    -5 => 9,
                    _ => 1,
                };
                let version = side.version::<ListOffsetsRequest>(version).max(lowest);
                let mut found = list_offset(side, topic, partition.into(), time, committed, version)?;
                if of_a_marker(side, found.timestamp) || appended && found.timestamp > 0 {
                    found.timestamp = 0;
                }
                Ok(side.show(&found))
            }
            Self::Epoch { topic, partition, epoch, version } => {
                let version = side.version::<OffsetForLeaderEpochRequest>(version);
                let asked =
                    OffsetForLeaderPartition::default().with_partition(partition.into()).with_leader_epoch(epoch);
                let asked = OffsetForLeaderTopic::default()
                    .with_topic(side.topic(topic))
                    .with_partitions(vec![asked.with_current_leader_epoch(-1)]);
                let mut request = OffsetForLeaderEpochRequest::default().with_topics(vec![asked]);
                if version >= 3 {
                    request.replica_id = BrokerId(-1);
                }
                let response = side.call(&request, version)?;
                Ok(side.show(&response))
            }
            Self::Delete { topic, partition, offset, version } => {
                let version = side.version::<DeleteRecordsRequest>(version);
                let wanted =
                    DeleteRecordsPartition::default().with_partition_index(partition.into()).with_offset(offset);
                let wanted = DeleteRecordsTopic::default().with_name(side.topic(topic)).with_partitions(vec![wanted]);
                side.truncated.push(topic);
                let request = DeleteRecordsRequest::default().with_topics(vec![wanted]).with_timeout_ms(20_000);
                let response = side.call(&request, version)?;
                Ok(side.show(&response))
            }
            Self::Producers { topic, partition } => {
                let wanted =
                    TopicRequest::default().with_name(side.topic(topic)).with_partition_indexes(vec![partition.into()]);
                let mut response = side.call(&DescribeProducersRequest::default().with_topics(vec![wanted]), 0)?;
                let found = &mut response.topics[0].partitions[0];
                let mut producers = std::mem::take(&mut found.active_producers);
                for producer in &mut producers {
                    // That of a marker, or of a record that was stamped as it was appended.
                    let of_a_marker = producer.last_sequence == -1 || of_a_marker(side, producer.last_timestamp);
                    if of_a_marker || side.append_times.contains(&topic) {
                        producer.last_timestamp = 0;
                    }
                }
                let mut shown: Vec<String> = producers.iter().map(|producer| side.show(producer)).collect();
                shown.sort();
                Ok(format!("{} {shown:#?}", side.show(&response)))
            }
        }
    }
}

/// Whether a time is the broker's own: records that have the client's are earlier or later.
fn of_a_marker(side: &Side, timestamp: i64) -> bool {
    (side.time - AHEAD..side.time - 6_000).contains(&timestamp)
}

fn fetch(
    side: &mut Side,
    topic: u8,
    partition: u8,
    offset: i64,
    committed: bool,
    epoch: i32,
    version: i16,
) -> Result<String, String> {
    let asked = FetchPartition::default()
        .with_partition(partition.into())
        .with_fetch_offset(offset)
        .with_current_leader_epoch(if version >= 9 { epoch } else { -1 })
        .with_partition_max_bytes(1 << 20);
    let mut asked = FetchTopic::default().with_partitions(vec![asked]);
    if version >= 13 {
        asked.topic_id = side.topic_id(topic);
    } else {
        asked.topic = side.topic(topic);
    }
    let mut request = FetchRequest::default()
        .with_max_wait_ms(0)
        .with_min_bytes(0)
        .with_max_bytes(1 << 20)
        .with_isolation_level(committed.into())
        .with_topics(vec![asked]);
    if version >= 7 {
        request.session_epoch = -1;
    }
    let mut response = side.call(&request, version)?;
    let mut shown = Vec::new();
    for partition in response.responses.iter_mut().flat_map(|topic| &mut topic.partitions) {
        if let Some(records) = partition.records.take() {
            shown.push(batches(side, &records));
        }
        if let Some(aborted) = &mut partition.aborted_transactions {
            aborted.sort_by_key(|aborted| (aborted.first_offset, aborted.producer_id));
        }
    }
    Ok(format!("{} {shown:#?}", side.show(&response)))
}

/// The batches of an answer, with all that they say.
fn batches(side: &Side, records: &Bytes) -> Vec<String> {
    let mut shown = Vec::new();
    let mut rest = records.clone();
    while rest.len() >= 61 {
        let length = i32::from_be_bytes(rest[8..12].try_into().unwrap()) as usize + 12;
        if length > rest.len() {
            break;
        }
        let batch = rest.split_to(length);
        let long = |at: usize| i64::from_be_bytes(batch[at..at + 8].try_into().unwrap());
        let int = |at: usize| i32::from_be_bytes(batch[at..at + 4].try_into().unwrap());
        let short = |at: usize| i16::from_be_bytes(batch[at..at + 2].try_into().unwrap());
        let attributes = short(21);
        let checksum = u32::from_be_bytes(batch[17..21].try_into().unwrap()) == crc32c::crc32c(&batch[21..]);
        let times = match attributes & 0b10_1000 {
            0 => format!("{} {}", long(27) - side.time, long(35) - side.time),
            _ => "now".to_owned(),
        };
        let content = match attributes & 1 << 5 {
            0 => format!("{:?}", values(&batch)),
            // The version and the type in the key of the only record.
            _ => format!("marker {:?}", &batch[61..batch.len().min(61 + 9)]),
        };
        shown.push(format!(
            "{}+{} of {} leader epoch {} magic {} attributes {attributes:#b} checksum {checksum} {times} producer {} {} {} {content}",
            long(0),
            int(23),
            int(57),
            int(12),
            batch[16],
            side.producer_shown(long(43)),
            short(51),
            int(53),
        ));
    }
    if !rest.is_empty() {
        shown.push("and a part".to_owned());
    }
    shown
}

pub fn list_offset(
    side: &mut Side,
    topic: u8,
    partition: i32,
    time: i64,
    committed: bool,
    version: i16,
) -> Result<ListOffsetsPartitionResponse, String> {
    let asked = ListOffsetsPartition::default()
        .with_partition_index(partition)
        .with_timestamp(time)
        .with_current_leader_epoch(-1);
    let asked = ListOffsetsTopic::default().with_name(side.topic(topic)).with_partitions(vec![asked]);
    let request = ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_isolation_level(if version >= 2 { committed.into() } else { 0 })
        .with_topics(vec![asked]);
    Ok(side.call(&request, version)?.topics.remove(0).partitions.remove(0))
}
