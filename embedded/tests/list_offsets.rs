//! ListOffsets: the first and the last offset, and offsets by time.

mod common;

use common::*;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::list_offsets_response::ListOffsetsPartitionResponse;
use kafka_protocol::messages::{BrokerId, ListOffsetsRequest};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

fn request(topic: &str, partition: i32, timestamp: i64) -> ListOffsetsRequest {
    let partition = ListOffsetsPartition::default()
        .with_partition_index(partition)
        .with_timestamp(timestamp)
        .with_current_leader_epoch(-1);
    let topic = ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
    ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic])
}

fn ask(raw: &mut Raw, topic: &str, timestamp: i64) -> ListOffsetsPartitionResponse {
    let version = if timestamp == LATEST_TIERED { 9 } else { 8 };
    raw.call(&request(topic, 0, timestamp), version).topics.remove(0).partitions.remove(0)
}

/// The offset, the timestamp and the leader's epoch that are answered.
fn find(raw: &mut Raw, topic: &str, timestamp: i64) -> (i64, i64, i32) {
    let found = ask(raw, topic, timestamp);
    assert_error(found.error_code, None);
    (found.offset, found.timestamp, found.leader_epoch)
}

/// A batch whose records have these timestamps.
fn batch(timestamps: &[i64], attributes: i16) -> bytes::Bytes {
    let mut records = Vec::new();
    for (delta, timestamp) in timestamps.iter().enumerate() {
        let mut record = vec![0];
        put_varint(&mut record, timestamp - timestamps[0]);
        put_varint(&mut record, delta as i64);
        put_varint(&mut record, -1);
        put_varint(&mut record, 1);
        record.extend_from_slice(b"v\0");
        put_varint(&mut records, record.len() as i64);
        records.extend_from_slice(&record);
    }
    let values = vec!["v"; timestamps.len()];
    let batch = Batch { attributes, ..Batch::of(&values) }.timestamp(timestamps[0]);
    let records = match attributes & 7 {
        1 => gzip(&records),
        2 => snappy(&records),
        3 => lz4(&records),
        4 => zstd(&records),
        _ => records,
    };
    batch.encode_with(&records)
}

// Each of these holds the bytes as they are, in the frame of the codec.

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 1];
    let length = bytes.len() as u16;
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&(!length).to_le_bytes());
    frame.extend_from_slice(bytes);
    let checksum = bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
    });
    frame.extend_from_slice(&(!checksum).to_le_bytes());
    frame.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    frame
}

fn snappy(bytes: &[u8]) -> Vec<u8> {
    assert!(bytes.len() <= 60);
    let mut block = vec![bytes.len() as u8, (bytes.len() as u8 - 1) << 2];
    block.extend_from_slice(bytes);
    block
}

fn lz4(bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
    frame.extend_from_slice(&(bytes.len() as u32 | 1 << 31).to_le_bytes());
    frame.extend_from_slice(bytes);
    frame.extend_from_slice(&[0; 4]);
    frame
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x20, bytes.len() as u8];
    frame.extend_from_slice(&((bytes.len() as u32) << 3 | 1).to_le_bytes()[..3]);
    frame.extend_from_slice(bytes);
    frame
}

fn send(raw: &mut Raw, topic: &str, batch: bytes::Bytes) {
    let answer = raw.call(&produce_request(topic, 0, batch), 9);
    assert_error(answer.responses[0].partition_responses[0].error_code, None);
}

#[test]
fn an_empty_partition_begins_and_ends_at_0() {
    let kafka = Kafka::start();
    let topic = kafka.topic("empty", 1).name;
    let mut leader = kafka.leader(&topic, 0);
    for timestamp in [LATEST, EARLIEST, EARLIEST_LOCAL] {
        assert_eq!(find(&mut leader, &topic, timestamp), (0, -1, 0), "{timestamp}");
    }
    for timestamp in [MAX_TIMESTAMP, LATEST_TIERED, 0, 1000, i64::MAX] {
        assert_eq!(find(&mut leader, &topic, timestamp), (-1, -1, -1), "{timestamp}");
    }
}

#[test]
fn every_version_answers() {
    let kafka = Kafka::start();
    let topic = kafka.topic("versions", 1).name;
    let mut leader = kafka.leader(&topic, 0);
    send(&mut leader, &topic, batch(&[1000, 2000], 0));
    for version in 1..=10 {
        let answer = leader.call(&request(&topic, 0, 1500), version).topics.remove(0).partitions.remove(0);
        assert_error(answer.error_code, None);
        let epoch = if version >= 4 { 0 } else { -1 };
        assert_eq!((answer.offset, answer.timestamp, answer.leader_epoch), (1, 2000, epoch), "version {version}");
    }
    let new = [(MAX_TIMESTAMP, 7), (EARLIEST_LOCAL, 8), (LATEST_TIERED, 9), (-6, i16::MAX), (i64::MIN, i16::MAX)];
    for (timestamp, since) in new {
        for version in 6..=10 {
            let answer = leader.call(&request(&topic, 0, timestamp), version).topics.remove(0).partitions.remove(0);
            assert_error(answer.error_code, (version < since).then_some(ResponseError::UnsupportedVersion));
        }
    }
}

#[test]
fn the_first_record_of_a_time_or_later_is_found_in_batches_of_every_codec() {
    let kafka = Kafka::start();
    for codec in 0..=4 {
        let topic = kafka.topic("time", 1).name;
        let mut leader = kafka.leader(&topic, 0);
        send(&mut leader, &topic, batch(&[1000, 3000, 2000], codec));
        send(&mut leader, &topic, batch(&[500, 600], codec));
        send(&mut leader, &topic, batch(&[5000, 4000], codec));
        let mut find = |timestamp| find(&mut leader, &topic, timestamp);
        assert_eq!(find(0), (0, 1000, 0), "codec {codec}");
        assert_eq!(find(1000), (0, 1000, 0));
        assert_eq!(find(1001), (1, 3000, 0));
        assert_eq!(find(2500), (1, 3000, 0));
        assert_eq!(find(3001), (5, 5000, 0));
        assert_eq!(find(5000), (5, 5000, 0));
        assert_eq!(find(5001), (-1, -1, -1));
        assert_eq!(find(MAX_TIMESTAMP), (5, 5000, 0));
        assert_eq!(find(LATEST), (7, -1, 0));
    }
}

#[test]
fn the_first_of_the_records_with_the_largest_timestamp_is_found() {
    let kafka = Kafka::start();
    let topic = kafka.topic("largest", 1).name;
    let mut leader = kafka.leader(&topic, 0);
    for timestamps in [&[1000, 9000, 9000][..], &[9000], &[2000]] {
        send(&mut leader, &topic, batch(timestamps, 0));
    }
    assert_eq!(find(&mut leader, &topic, MAX_TIMESTAMP), (1, 9000, 0));
}

#[test]
fn the_time_of_the_append_counts_where_it_is_the_timestamp() {
    let kafka = Kafka::start();
    let topic = kafka.topic_with("append-time", 1, &[("message.timestamp.type", "LogAppendTime")]).name;
    let mut leader = kafka.leader(&topic, 0);
    let answer = produce(&mut leader, &topic, 0, &Batch::of(&["a", "b"]).timestamp(1000));
    let time = answer.log_append_time_ms;
    assert_eq!(find(&mut leader, &topic, 2000), (0, time, 0));
    assert_eq!(find(&mut leader, &topic, MAX_TIMESTAMP), (0, time, 0));
    assert_eq!(find(&mut leader, &topic, time + 1), (-1, -1, -1));
}

#[test]
fn what_is_not_there_is_refused() {
    let kafka = Kafka::start();
    let topic = kafka.topic("there", 1).name;
    let mut leader = kafka.leader(&topic, 0);
    for (name, partition) in [(unique("missing"), 0), (topic.clone(), 1), (topic.clone(), -1)] {
        let answer = leader.call(&request(&name, partition, LATEST), 8).topics.remove(0).partitions.remove(0);
        assert_error(answer.error_code, Some(ResponseError::UnknownTopicOrPartition));
        assert_eq!((answer.offset, answer.timestamp, answer.leader_epoch), (-1, -1, -1));
    }
    let mut request = request(&topic, 0, LATEST);
    request.topics[0].partitions[0].current_leader_epoch = 1;
    let answer = leader.call(&request, 8).topics.remove(0).partitions.remove(0);
    assert_error(answer.error_code, Some(ResponseError::UnknownLeaderEpoch));
}

#[test]
fn a_partition_that_is_asked_for_twice_is_refused_once() {
    let kafka = Kafka::start();
    let topic = kafka.topic("twice", 2).name;
    let mut leader = kafka.leader(&topic, 0);
    let mut request = request(&topic, 0, LATEST);
    let first = request.topics[0].partitions[0].clone();
    request.topics[0].partitions.push(first.clone().with_timestamp(EARLIEST));
    request.topics[0].partitions.push(first.with_partition_index(1));
    let mut partitions = leader.call(&request, 8).topics.remove(0).partitions;
    partitions.sort_by_key(|partition| partition.partition_index);
    assert_eq!(partitions.len(), 2);
    assert_error(partitions[0].error_code, Some(ResponseError::InvalidRequest));
    assert_error(partitions[1].error_code, None);
}
