//! Fetch: the limits of a read, the wait for records, and refusals.

mod common;

use std::time::Duration;

use common::*;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{BrokerId, DeleteTopicsRequest, FetchRequest, FetchResponse};

/// A partition with this many batches of one record of 100 bytes; the size of a batch.
fn filled(kafka: &Kafka, name: &str, batches: usize) -> (Topic, Raw, i32) {
    let topic = kafka.topic(name, 1);
    let mut leader = kafka.leader(&topic.name, 0);
    let batch = Batch::of(&[&"x".repeat(100)]);
    for _ in 0..batches {
        assert_error(produce(&mut leader, &topic.name, 0, &batch).error_code, None);
    }
    (topic, leader, batch.encode().len() as i32)
}

fn one(response: FetchResponse) -> PartitionData {
    assert_error(response.error_code, None);
    response.responses.into_iter().next().unwrap().partitions.remove(0)
}

fn with_max_bytes(mut request: FetchRequest, max_bytes: i32) -> FetchRequest {
    request.topics[0].partitions[0].partition_max_bytes = max_bytes;
    request
}

fn offsets(partition: &PartitionData) -> Vec<i64> {
    values(partition.records.as_ref().unwrap()).into_iter().map(|(offset, _)| offset).collect()
}

#[track_caller]
fn assert_refused(partition: &PartitionData, error: ResponseError) {
    assert_error(partition.error_code, Some(error));
    let offsets = (partition.high_watermark, partition.last_stable_offset, partition.log_start_offset);
    assert_eq!(offsets, (-1, -1, -1));
    assert_eq!(partition.records.as_ref().map(|records| records.len()), Some(0));
    let unknown = [ResponseError::UnknownTopicOrPartition, ResponseError::UnknownTopicId].contains(&error);
    assert_eq!(partition.aborted_transactions, unknown.then(Vec::new));
}

#[test]
fn every_version_reads() {
    let kafka = Kafka::start();
    let (topic, mut leader, _) = filled(&kafka, "versions", 2);
    for version in 4..=18 {
        let mut request = fetch_request(&topic.name, 0, 1);
        if version >= 13 {
            request.topics[0].topic = Default::default();
            request.topics[0].topic_id = topic.id;
        }
        let response = leader.call(&request, version);
        assert_eq!(response.session_id, 0);
        if version >= 13 {
            assert_eq!(response.responses[0].topic_id, topic.id);
        } else {
            assert_eq!(&**response.responses[0].topic, topic.name);
        }
        let partition = one(response);
        assert_eq!((partition.high_watermark, partition.last_stable_offset), (2, 2), "version {version}");
        assert_eq!((offsets(&partition), partition.aborted_transactions), (vec![1], None), "version {version}");
        assert_eq!(partition.log_start_offset, if version >= 5 { 0 } else { -1 });
    }
}

#[test]
fn limits_cut_after_the_first_batch() {
    let kafka = Kafka::start();
    let (topic, mut leader, size) = filled(&kafka, "limits", 5);
    let mut read = |offset, partition_max: i32, max: i32| {
        let request = with_max_bytes(fetch_request(&topic.name, 0, offset), partition_max).with_max_bytes(max);
        offsets(&one(leader.call(&request, 12)))
    };
    assert_eq!(read(0, 1 << 20, 1 << 20), [0, 1, 2, 3, 4]);
    assert_eq!(read(0, 3 * size, 1 << 20), [0, 1, 2]);
    assert_eq!(read(0, 3 * size - 1, 1 << 20), [0, 1]);
    assert_eq!(read(1, 1 << 20, 2 * size), [1, 2]);
    // The first batch comes whatever its size.
    assert_eq!(read(2, 1, 1 << 20), [2]);
    assert_eq!(read(2, 1 << 20, 1), [2]);
    assert_eq!(read(2, 0, 0), [2]);
    assert!(read(5, 1 << 20, 1 << 20).is_empty());
}

#[test]
fn only_the_first_partition_with_records_may_be_larger_than_the_limit() {
    let kafka = Kafka::start();
    let topic = kafka.topic("first", 3);
    let mut leader = kafka.leader(&topic.name, 0);
    let batch = Batch::of(&["a"]);
    for partition in [1, 2] {
        produce(&mut leader, &topic.name, partition, &batch);
    }
    let mut request = with_max_bytes(fetch_request(&topic.name, 0, 0), 1);
    for partition in [1, 2] {
        let mut other = request.topics[0].partitions[0].clone();
        other.partition = partition;
        request.topics[0].partitions.push(other);
    }
    let response = leader.call(&request, 12);
    let found: Vec<usize> = response.responses[0].partitions.iter().map(|partition| offsets(partition).len()).collect();
    assert_eq!(found, [0, 1, 0]);
}

#[test]
fn a_fetch_waits_for_as_many_bytes_as_it_wants() {
    let kafka = Kafka::start();
    let (topic, mut leader, size) = filled(&kafka, "min-bytes", 1);
    let mut writer = kafka.leader(&topic.name, 0);
    let request = fetch_request(&topic.name, 0, 0).with_max_wait_ms(50_000).with_min_bytes(3 * size);
    leader.send(&request, 12);
    produce(&mut writer, &topic.name, 0, &Batch::of(&[&"x".repeat(100)]));
    assert!(!leader.has_answer_within(Duration::from_millis(50)));
    produce(&mut writer, &topic.name, 0, &Batch::of(&[&"x".repeat(100)]));
    assert_eq!(offsets(&one(leader.receive::<FetchRequest>(12))), [0, 1, 2]);
    // What a limit cuts off counts as far as the limit.
    let request = with_max_bytes(request, 2 * size + 1).with_min_bytes(2 * size + 1);
    assert_eq!(offsets(&one(leader.call(&request, 12))), [0, 1]);
    // More than the largest answer is not waited for.
    let request = fetch_request(&topic.name, 0, 0).with_max_wait_ms(50_000);
    let request = request.with_min_bytes(1 << 30).with_max_bytes(size);
    assert_eq!(offsets(&one(leader.call(&request, 12))), [0]);
}

#[test]
fn bytes_of_several_partitions_are_counted_together() {
    let kafka = Kafka::start();
    let topic = kafka.topic("together", 2);
    let (mut reader, mut writer) = (kafka.leader(&topic.name, 0), kafka.leader(&topic.name, 0));
    let batch = Batch::of(&["a"]);
    let size = batch.encode().len() as i32;
    let mut request = fetch_request(&topic.name, 0, 0).with_max_wait_ms(50_000).with_min_bytes(2 * size);
    let mut other = request.topics[0].partitions[0].clone();
    other.partition = 1;
    request.topics[0].partitions.push(other);
    reader.send(&request, 12);
    produce(&mut writer, &topic.name, 0, &batch);
    assert!(!reader.has_answer_within(Duration::from_millis(50)));
    produce(&mut writer, &topic.name, 1, &batch);
    let response = reader.receive::<FetchRequest>(12);
    let found: Vec<usize> = response.responses[0].partitions.iter().map(|partition| offsets(partition).len()).collect();
    assert_eq!(found, [1, 1]);
}

#[test]
fn a_fetch_that_has_waited_long_enough_is_answered_with_what_there_is() {
    let kafka = Kafka::start();
    let (topic, mut leader, _) = filled(&kafka, "wait", 1);
    let request = fetch_request(&topic.name, 0, 0).with_min_bytes(1 << 20);
    assert_eq!(offsets(&one(leader.call(&request.clone().with_max_wait_ms(20), 12))), [0]);
    assert_eq!(offsets(&one(leader.call(&request.clone().with_max_wait_ms(0), 12))), [0]);
    assert_eq!(offsets(&one(leader.call(&request.with_max_wait_ms(-1), 12))), [0]);
}

#[test]
fn an_offset_outside_the_log_is_refused_at_once() {
    let kafka = Kafka::start();
    let (topic, mut leader, _) = filled(&kafka, "range", 2);
    for offset in [3, i64::MAX, -1, i64::MIN] {
        let request = fetch_request(&topic.name, 0, offset).with_max_wait_ms(50_000).with_min_bytes(1);
        assert_refused(&one(leader.call(&request, 12)), ResponseError::OffsetOutOfRange);
    }
}

#[test]
fn what_is_not_there_is_refused_at_once() {
    let kafka = Kafka::start();
    let topic = kafka.topic("there", 1);
    let mut leader = kafka.leader(&topic.name, 0);
    for (name, partition) in [(unique("missing"), 0), (topic.name.clone(), 1), (topic.name.clone(), -1)] {
        let request = fetch_request(&name, partition, 0).with_max_wait_ms(50_000).with_min_bytes(1);
        assert_refused(&one(leader.call(&request, 12)), ResponseError::UnknownTopicOrPartition);
    }
    let mut request = fetch_request("", 0, 0).with_max_wait_ms(50_000).with_min_bytes(1);
    request.topics[0].topic_id = uuid::Uuid::new_v4();
    let response = leader.call(&request, 13);
    assert_eq!(response.responses[0].topic_id, request.topics[0].topic_id);
    assert_refused(&one(response), ResponseError::UnknownTopicId);
    let response = leader.call(&FetchRequest::default().with_session_epoch(-1).with_max_wait_ms(50_000), 12);
    assert_eq!(response.responses.len(), 0);
}

#[test]
fn the_epoch_of_the_leader_is_checked() {
    let kafka = Kafka::start();
    let (topic, mut leader, _) = filled(&kafka, "epoch", 1);
    for (epoch, error) in [(0, None), (1, Some(ResponseError::UnknownLeaderEpoch))] {
        let mut request = fetch_request(&topic.name, 0, 0).with_max_wait_ms(50_000).with_min_bytes(1);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        let partition = one(leader.call(&request, 12));
        assert_error(partition.error_code, error);
    }
}

#[test]
fn a_log_that_parts_from_the_clients_is_told() {
    let kafka = Kafka::start();
    let (topic, mut leader, _) = filled(&kafka, "diverging", 2);
    let mut request = fetch_request(&topic.name, 0, 2).with_max_wait_ms(50_000).with_min_bytes(1);
    // The last record that the client has is of an epoch that there was not.
    request.topics[0].partitions[0].last_fetched_epoch = 5;
    assert_refused(&one(leader.call(&request, 12)), ResponseError::OffsetOutOfRange);
    request.topics[0].partitions[0].last_fetched_epoch = 0;
    request.topics[0].partitions[0].fetch_offset = 7;
    let partition = one(leader.call(&request, 12));
    assert_error(partition.error_code, None);
    assert_eq!((partition.diverging_epoch.epoch, partition.diverging_epoch.end_offset), (0, 2));
    assert_eq!((partition.high_watermark, partition.log_start_offset), (2, 0));
}

#[test]
fn a_topic_that_is_deleted_wakes_the_fetch() {
    let kafka = Kafka::start();
    let (topic, mut leader, _) = filled(&kafka, "deleted", 1);
    leader.send(&fetch_request(&topic.name, 0, 1).with_max_wait_ms(50_000).with_min_bytes(1), 12);
    assert!(!leader.has_answer_within(Duration::from_millis(20)));
    let request =
        DeleteTopicsRequest::default().with_topic_names(vec![topic_name(&topic.name)]).with_timeout_ms(30_000);
    assert_error(kafka.controller().call(&request, 5).responses[0].error_code, None);
    let partition = one(leader.receive::<FetchRequest>(12));
    let expected = [ResponseError::UnknownTopicOrPartition, ResponseError::NotLeaderOrFollower];
    assert!(expected.iter().any(|error| error.code() == partition.error_code), "{partition:?}");
}

#[test]
fn one_connection_that_waits_keeps_no_other_waiting() {
    let kafka = Kafka::start();
    let topic = kafka.topic("others", 1);
    let mut readers: Vec<Raw> = (0..10).map(|_| kafka.leader(&topic.name, 0)).collect();
    for reader in &mut readers {
        reader.send(&fetch_request(&topic.name, 0, 0).with_max_wait_ms(50_000).with_min_bytes(1), 12);
    }
    produce(&mut kafka.leader(&topic.name, 0), &topic.name, 0, &Batch::of(&["a"]));
    for reader in &mut readers {
        assert_eq!(offsets(&one(reader.receive::<FetchRequest>(12))), [0]);
    }
}

#[test]
fn a_batch_that_holds_the_offset_comes_whole() {
    let kafka = Kafka::start();
    let topic = kafka.topic("whole", 1);
    let mut leader = kafka.leader(&topic.name, 0);
    produce(&mut leader, &topic.name, 0, &Batch::of(&["a", "b", "c"]));
    assert_eq!(offsets(&fetch(&mut leader, &topic.name, 0, 2)), [0, 1, 2]);
}

#[test]
fn a_broker_that_poses_as_a_replica_is_refused() {
    let kafka = Kafka::start();
    let (topic, mut leader, _) = filled(&kafka, "replica", 1);
    let request = fetch_request(&topic.name, 0, 0).with_replica_id(BrokerId(77));
    let response = leader.call(&request, 12);
    assert_error(response.responses[0].partitions[0].error_code, Some(ResponseError::NotLeaderOrFollower));
}

#[test]
fn a_broker_that_does_not_lead_names_the_one_that_does() {
    let kafka = Kafka::of_several();
    let topic = kafka.topic("leader", 2);
    let mut other = kafka.leader(&topic.name, 1);
    let mut request = fetch_request("", 0, 0).with_max_wait_ms(50_000).with_min_bytes(1);
    request.topics[0].topic_id = topic.id;
    let response = other.call(&request, 16);
    assert_eq!(response.node_endpoints.len(), 1);
    let leader = metadata(&mut other, &topic.name).partitions[0].leader_id;
    assert_eq!(response.node_endpoints[0].node_id, leader);
    let partition = one(response);
    assert_refused(&partition, ResponseError::NotLeaderOrFollower);
    assert_eq!((partition.current_leader.leader_id, partition.current_leader.leader_epoch), (leader, 0));
    let response = other.call(&request, 15);
    assert_eq!(response.node_endpoints.len(), 0);
    assert_refused(&one(response), ResponseError::NotLeaderOrFollower);
}
