//! DeleteRecords and OffsetForLeaderEpoch: the start offset of a log, and the end offsets of leader epochs.

mod common;

use common::*;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::offset_for_leader_epoch_response::EpochEndOffset;
use kafka_protocol::messages::{BrokerId, DeleteRecordsRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest};

/// Deletes the records before an offset; where the log begins then.
fn delete(raw: &mut Raw, topic: &str, partition: i32, offset: i64, version: i16) -> Result<i64, ResponseError> {
    let partition = DeleteRecordsPartition::default().with_partition_index(partition).with_offset(offset);
    let topic = DeleteRecordsTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
    let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
    let result = raw.call(&request, version).topics.remove(0).partitions.remove(0);
    match ResponseError::try_from_code(result.error_code) {
        None => Ok(result.low_watermark),
        Some(error) => {
            assert_eq!(result.low_watermark, -1);
            Err(error)
        }
    }
}

fn filled(kafka: &Kafka, name: &str, batches: &[&[&str]]) -> (String, Raw) {
    let topic = kafka.topic(name, 1).name;
    let mut leader = kafka.leader(&topic, 0);
    for (n, values) in batches.iter().enumerate() {
        let batch = Batch::of(values).timestamp(1000 * (n as i64 + 1));
        assert_error(produce(&mut leader, &topic, 0, &batch).error_code, None);
    }
    (topic, leader)
}

/// The first offset of a time or later.
fn since(raw: &mut Raw, topic: &str, timestamp: i64) -> i64 {
    let partition = ListOffsetsPartition::default().with_timestamp(timestamp).with_current_leader_epoch(-1);
    let topic = ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
    raw.call(&request, 8).topics[0].partitions[0].offset
}

#[test]
fn a_log_begins_where_it_was_cut() {
    let kafka = Kafka::start();
    let (topic, mut leader) = filled(&kafka, "cut", &[&["a", "b", "c"], &["d"], &["e"]]);
    assert_eq!(delete(&mut leader, &topic, 0, 1, 2), Ok(1));
    assert_eq!(since(&mut leader, &topic, -2), 1);
    let answer = fetch(&mut leader, &topic, 0, 0);
    assert_error(answer.error_code, Some(ResponseError::OffsetOutOfRange));
    // The batch that holds the first offset still comes whole.
    let answer = fetch(&mut leader, &topic, 0, 1);
    assert_eq!((answer.log_start_offset, answer.high_watermark), (1, 5));
    assert_eq!(values(&answer.records.unwrap()).len(), 5);
    assert_eq!(since(&mut leader, &topic, 0), 1);
    assert_eq!(delete(&mut leader, &topic, 0, 3, 2), Ok(3));
    assert_eq!(values(&fetch(&mut leader, &topic, 0, 3).records.unwrap())[0], (3, "d".to_owned()));
    // It does not begin earlier again.
    assert_eq!(delete(&mut leader, &topic, 0, 2, 0), Ok(3));
    let answer = produce(&mut leader, &topic, 0, &Batch::of(&["f"]));
    assert_eq!((answer.base_offset, answer.log_start_offset), (5, 3));
    assert_eq!(since(&mut leader, &topic, 1500), 3);
}

#[test]
fn all_records_are_deleted_by_the_high_watermark() {
    let kafka = Kafka::start();
    let (topic, mut leader) = filled(&kafka, "all", &[&["a", "b"]]);
    assert_eq!(delete(&mut leader, &topic, 0, -1, 1), Ok(2));
    let answer = fetch(&mut leader, &topic, 0, 2);
    assert_eq!((answer.log_start_offset, answer.high_watermark), (2, 2));
    assert_eq!(values(&answer.records.unwrap()), []);
    assert_eq!(
        (since(&mut leader, &topic, -2), since(&mut leader, &topic, -1), since(&mut leader, &topic, 0)),
        (2, 2, -1)
    );
}

#[test]
fn what_cannot_be_deleted_is_refused() {
    let kafka = Kafka::start();
    let (topic, mut leader) = filled(&kafka, "refused", &[&["a"]]);
    assert_eq!(delete(&mut leader, &topic, 0, 2, 2), Err(ResponseError::OffsetOutOfRange));
    assert_eq!(delete(&mut leader, &topic, 0, -2, 2), Err(ResponseError::OffsetOutOfRange));
    assert_eq!(delete(&mut leader, &topic, 1, 0, 2), Err(ResponseError::UnknownTopicOrPartition));
    assert_eq!(delete(&mut leader, &unique("missing"), 0, 0, 2), Err(ResponseError::UnknownTopicOrPartition));
    let compacted = kafka.topic_with("compacted", 1, &[("cleanup.policy", "compact")]).name;
    assert_eq!(delete(&mut leader, &compacted, 0, 0, 2), Err(ResponseError::PolicyViolation));
    let both = kafka.topic_with("both", 1, &[("cleanup.policy", "compact,delete")]).name;
    assert_eq!(delete(&mut leader, &both, 0, 0, 2), Ok(0));
}

fn epoch_end(raw: &mut Raw, topic: &str, partition: i32, current: i32, epoch: i32, version: i16) -> EpochEndOffset {
    let partition = OffsetForLeaderPartition::default()
        .with_partition(partition)
        .with_current_leader_epoch(current)
        .with_leader_epoch(epoch);
    let topic = OffsetForLeaderTopic::default().with_topic(topic_name(topic)).with_partitions(vec![partition]);
    let replica = BrokerId(if version >= 3 { -1 } else { -2 });
    let request = OffsetForLeaderEpochRequest::default().with_replica_id(replica).with_topics(vec![topic]);
    raw.call(&request, version).topics.remove(0).partitions.remove(0)
}

#[test]
fn an_epoch_ends_where_the_log_does_as_long_as_it_lasts() {
    let kafka = Kafka::start();
    let (topic, mut leader) = filled(&kafka, "ends", &[&["a", "b"]]);
    let mut ask = |partition, current, epoch, version| {
        let end = epoch_end(&mut leader, &topic, partition, current, epoch, version);
        assert_eq!(end.partition, partition);
        (ResponseError::try_from_code(end.error_code), end.leader_epoch, end.end_offset)
    };
    for version in 2..=4 {
        assert_eq!(ask(0, -1, 0, version), (None, 0, 2), "version {version}");
    }
    assert_eq!(ask(0, 0, 0, 4), (None, 0, 2));
    // There is no such epoch yet.
    assert_eq!(ask(0, -1, 1, 4), (None, -1, -1));
    assert_eq!(ask(0, -1, -1, 4), (None, -1, -1));
    assert_eq!(ask(0, 1, 0, 4), (Some(ResponseError::UnknownLeaderEpoch), -1, -1));
    assert_eq!(ask(7, -1, 0, 4), (Some(ResponseError::UnknownTopicOrPartition), -1, -1));
}

#[test]
fn a_partition_without_records_has_an_epoch_too() {
    let kafka = Kafka::start();
    let (topic, mut leader) = filled(&kafka, "none", &[]);
    let end = epoch_end(&mut leader, &topic, 0, -1, 0, 4);
    assert_eq!((end.error_code, end.leader_epoch, end.end_offset), (0, 0, 0));
}
