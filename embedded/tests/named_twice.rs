//! Requests that name a topic, or a partition of it, more than once.

mod common;

use bytes::Bytes;
use common::groups::*;
use common::*;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::*;

/// A Produce of these values, each as a batch of its own; without a value it is bytes that are no batch.
fn produce_of(topic: &Topic, entries: &[(i32, Option<&str>)]) -> ProduceRequest {
    let mut request = produce_request(&topic.name, 0, Batch::of(&[]).encode());
    let partitions = entries.iter().map(|(index, value)| {
        let records = value.map_or(Bytes::from_static(b"no batch"), |value| Batch::of(&[value]).encode());
        PartitionProduceData::default().with_index(*index).with_records(Some(records))
    });
    request.topic_data[0].partition_data = partitions.collect();
    request
}

/// The answer for each partition: its number, its error and the offset of its records.
fn produced(response: &ProduceResponse) -> Vec<(i32, i16, i64)> {
    let partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
    let mut found: Vec<_> = partitions.map(|p| (p.index, p.error_code, p.base_offset)).collect();
    found.sort();
    found
}

fn held(leader: &mut Raw, topic: &Topic, partition: i32) -> Vec<String> {
    let records = fetch(leader, &topic.name, partition, 0).records.unwrap();
    values(&records).into_iter().map(|(_, value)| value).collect()
}

#[test]
fn of_a_partition_that_is_produced_to_twice_the_last_batch_counts() {
    let kafka = Kafka::start();
    let topic = kafka.topic("twice", 2);
    let mut leader = kafka.leader(&topic.name, 0);
    let request = produce_of(&topic, &[(0, Some("a")), (1, Some("b")), (0, Some("c"))]);
    assert_eq!(produced(&leader.call(&request, 9)), [(0, 0, 0), (1, 0, 0)]);

    // The same when it is the topic that comes twice.
    let mut split = produce_of(&topic, &[(0, Some("d")), (1, Some("e"))]);
    split.topic_data.extend(produce_of(&topic, &[(1, Some("f"))]).topic_data);
    let response = leader.call(&split, 9);
    assert_eq!(response.responses.len(), 1);
    assert_eq!(produced(&response), [(0, 0, 1), (1, 0, 1)]);

    let mut by_id = split.clone();
    for data in &mut by_id.topic_data {
        (data.name, data.topic_id) = (Default::default(), topic.id);
    }
    let response = leader.call(&by_id, 13);
    assert_eq!(response.responses.len(), 1);
    assert_eq!(produced(&response), [(0, 0, 2), (1, 0, 2)]);
    assert_eq!(held(&mut leader, &topic, 0), ["c", "d", "d"]);
    assert_eq!(held(&mut leader, &topic, 1), ["b", "f", "f"]);
}

#[test]
fn a_batch_that_is_refused_decides_the_answer_and_the_other_is_appended() {
    let kafka = Kafka::start();
    let topic = kafka.topic("refused", 2);
    let mut leader = kafka.leader(&topic.name, 0);
    let invalid = ResponseError::InvalidRecord.code();
    for (n, entries) in [[Some("a"), None], [None, Some("b")]].into_iter().enumerate() {
        let request = produce_of(&topic, &entries.map(|value| (0, value)));
        assert_eq!(produced(&leader.call(&request, 9)), [(0, invalid, -1)]);
        assert_eq!(held(&mut leader, &topic, 0).len(), n + 1);
    }
    assert_eq!(held(&mut leader, &topic, 0), ["a", "b"]);
    // A refusal of all that is asked for names each partition once, too.
    let mut request = produce_of(&topic, &[(0, Some("c")), (1, Some("c")), (0, Some("c"))]);
    let batch = Batch::of(&["c"]).producer(7, 0, 0).transactional().encode();
    request.topic_data[0].partition_data[1].records = Some(batch);
    let denied = ResponseError::TransactionalIdAuthorizationFailed.code();
    assert_eq!(produced(&leader.call(&request, 9)), [(0, denied, -1), (1, denied, -1)]);
}

#[test]
fn of_a_partition_that_is_fetched_twice_the_last_offset_counts() {
    let kafka = Kafka::start();
    let (topic, other) = (kafka.topic("fetched", 2), kafka.topic("other", 1));
    let mut leader = kafka.leader(&topic.name, 0);
    for value in ["a", "b", "c"] {
        produce(&mut leader, &topic.name, 0, &Batch::of(&[value]));
    }
    let mut request = fetch_request(&topic.name, 0, 0);
    request.topics.extend(fetch_request(&other.name, 0, 0).topics);
    request.topics.extend(fetch_request(&topic.name, 0, 2).topics);
    request.topics.extend(fetch_request(&topic.name, 1, 0).topics);
    let expected = [(&*topic.name, 0, 1), (&*other.name, 0, 0), (&*topic.name, 1, 0)];
    // Without a session, and as the first of a session.
    for epoch in [-1, 0] {
        let response = leader.call(&request.clone().with_session_epoch(epoch), 12);
        let found: Vec<_> = response
            .responses
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|partition| (&**topic.topic, partition)))
            .map(|(topic, p)| (topic, p.partition_index, values(p.records.as_ref().unwrap()).len()))
            .collect();
        assert_eq!(found, expected, "{epoch}");
    }
}

#[test]
fn offsets_of_a_topic_that_is_asked_for_twice_are_answered_together() {
    let kafka = Kafka::start();
    let topic = kafka.topic("asked", 2);
    let mut leader = kafka.leader(&topic.name, 0);
    let asked = [0, 1, 0].map(|index| {
        let partition = ListOffsetsPartition::default()
            .with_partition_index(index)
            .with_timestamp(-1)
            .with_current_leader_epoch(-1);
        ListOffsetsTopic::default().with_name(topic_name(&topic.name)).with_partitions(vec![partition])
    });
    let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(asked.to_vec());
    let mut topics = leader.call(&request, 8).topics;
    assert_eq!(topics.len(), 1);
    let partitions = &mut topics[0].partitions;
    partitions.sort_by_key(|partition| partition.partition_index);
    let found: Vec<_> = partitions.iter().map(|p| (p.partition_index, p.error_code, p.offset)).collect();
    assert_eq!(found, [(0, ResponseError::InvalidRequest.code(), -1), (1, 0, 0)]);
}

#[test]
fn of_a_partition_whose_records_are_deleted_twice_the_last_offset_counts() {
    let kafka = Kafka::start();
    let topic = kafka.topic("deleted", 2);
    let mut leader = kafka.leader(&topic.name, 0);
    produce(&mut leader, &topic.name, 0, &Batch::of(&["a", "b", "c"]));
    let delete = |entries: &[(i32, i64)]| {
        let topics = entries.iter().map(|(index, offset)| {
            let partition = DeleteRecordsPartition::default().with_partition_index(*index).with_offset(*offset);
            DeleteRecordsTopic::default().with_name(topic_name(&topic.name)).with_partitions(vec![partition])
        });
        DeleteRecordsRequest::default().with_topics(topics.collect()).with_timeout_ms(30_000)
    };
    let mut ask = |entries: &[(i32, i64)]| {
        let mut topics = leader.call(&delete(entries), 2).topics;
        assert_eq!(topics.len(), 1);
        let mut found: Vec<_> =
            topics.remove(0).partitions.iter().map(|p| (p.partition_index, p.error_code, p.low_watermark)).collect();
        found.sort();
        found
    };
    assert_eq!(ask(&[(0, 2), (1, 0), (0, 1)]), [(0, 0, 1), (1, 0, 0)]);
    assert_eq!(ask(&[(0, 7), (0, 2)]), [(0, 0, 2)]);
    let missing = ResponseError::UnknownTopicOrPartition.code();
    assert_eq!(ask(&[(5, 0), (0, 2), (5, 0)]), [(0, 0, 2), (5, missing, -1)]);
}

/// The topics of an answer about offsets, each with its partitions and their errors.
type Committed<'a> = Vec<(&'a str, Vec<(i32, i16)>)>;

fn committed_topics(response: &OffsetCommitResponse) -> Committed<'_> {
    let topics = response
        .topics
        .iter()
        .map(|topic| (&**topic.name, topic.partitions.iter().map(|p| (p.partition_index, p.error_code)).collect()));
    topics.collect()
}

#[test]
fn of_a_partition_that_is_committed_twice_the_last_offset_counts() {
    let kafka = Kafka::start();
    let (topic, other, group) = (kafka.topic("committed", 2), kafka.topic("other", 1), unique("group"));
    let (missing, unknown) = (unique("missing"), ResponseError::UnknownTopicOrPartition.code());
    let (topic, other) = (&*topic.name, &*other.name);
    let mut raw = kafka.coordinator(&group, 0);
    let commits = |entries: &[(&str, i32, i64)]| {
        let mut request = commit_request(&group, "", 0, 0);
        let topics =
            entries.iter().flat_map(|(topic, index, offset)| commit_request("", topic, *index, *offset).topics);
        request.topics = topics.collect();
        request
    };
    // Each entry has its answer.
    let response = raw.call(&commits(&[(topic, 0, 1), (other, 0, 2), (topic, 0, 3), (topic, 1, 4)]), 9);
    let expected = vec![(topic, vec![(0, 0)]), (other, vec![(0, 0)]), (topic, vec![(0, 0)]), (topic, vec![(1, 0)])];
    assert_eq!(committed_topics(&response), expected);
    assert_eq!(committed(&mut raw, &group, topic, 0), 3);
    // What is refused comes first, and then there is one answer for a topic.
    let entries = [(other, 0, 5), (topic, 0, 6), (topic, 7, 6), (&*missing, 0, 6), (topic, 0, 7), (topic, 7, 7)];
    let response = raw.call(&commits(&entries), 9);
    let expected = vec![
        (topic, vec![(7, unknown), (7, unknown), (0, 0), (0, 0)]),
        (&*missing, vec![(0, unknown)]),
        (other, vec![(0, 0)]),
    ];
    assert_eq!(committed_topics(&response), expected);
    assert_eq!((committed(&mut raw, &group, topic, 0), committed(&mut raw, &group, other, 0)), (7, 5));

    // They are fetched as they are asked for.
    let mut request = fetch_offsets_request(&group, Some(&[(topic, 0), (topic, 0)]));
    let again = request.groups[0].topics.clone().unwrap();
    request.groups[0].topics.as_mut().unwrap().extend(again);
    let response = raw.call(&request, 9);
    let found: Vec<Vec<i64>> = response.groups[0]
        .topics
        .iter()
        .map(|topic| topic.partitions.iter().map(|p| p.committed_offset).collect())
        .collect();
    assert_eq!(found, [[7, 7], [7, 7]]);

    let deletes = |entries: &[(&str, i32)]| {
        let topics = entries.iter().map(|(topic, index)| {
            let partition = OffsetDeleteRequestPartition::default().with_partition_index(*index);
            OffsetDeleteRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition])
        });
        OffsetDeleteRequest::default().with_group_id(group_id(&group)).with_topics(topics.collect())
    };
    let response = raw.call(&deletes(&[(topic, 0), (other, 0), (topic, 7), (topic, 0)]), 0);
    let found: Committed<'_> = response
        .topics
        .iter()
        .map(|topic| (&**topic.name, topic.partitions.iter().map(|p| (p.partition_index, p.error_code)).collect()))
        .collect();
    assert_eq!(found, [(topic, vec![(7, unknown), (0, 0), (0, 0)]), (other, vec![(0, 0)])]);
    assert_eq!(all_committed(&mut raw, &group).into_values().collect::<Vec<_>>(), [4]);
}
