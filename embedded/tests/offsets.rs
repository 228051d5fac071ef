//! Offsets that are committed by a group without members.

mod common;

use common::groups::*;
use common::*;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopic};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetFetchRequest};

#[test]
fn what_is_committed_is_fetched_in_every_version() {
    let kafka = Kafka::start();
    let (topic, group) = (kafka.topic("offsets", 2), unique("group"));
    let mut raw = kafka.coordinator(&group, 0);
    for version in 2..=9 {
        let mut request = commit_request(&group, &topic.name, 1, i64::from(version));
        request.topics[0].partitions[0].committed_metadata = Some(text("meta"));
        if version >= 6 {
            request.topics[0].partitions[0].committed_leader_epoch = 0;
        }
        assert_error(commit(&mut raw, &request, version), None);
        assert_eq!(committed(&mut raw, &group, &topic.name, 1), i64::from(version));
    }
    let fetched = fetch_offsets(&mut raw, &group, Some(&[(&topic.name, 1), (&topic.name, 0)]));
    let partitions: Vec<_> = fetched.topics[0]
        .partitions
        .iter()
        .map(|p| (p.partition_index, p.committed_offset, p.committed_leader_epoch, p.metadata.as_deref(), p.error_code))
        .collect();
    assert_eq!(partitions, [(1, 9, 0, Some("meta"), 0), (0, -1, -1, Some(""), 0)]);
    for version in 1..=7 {
        let wanted =
            OffsetFetchRequestTopic::default().with_name(topic_name(&topic.name)).with_partition_indexes(vec![1]);
        let request = OffsetFetchRequest::default().with_group_id(group_id(&group)).with_topics(Some(vec![wanted]));
        let response = raw.call(&request, version);
        let partition = &response.topics[0].partitions[0];
        assert_eq!((response.error_code, partition.error_code, partition.committed_offset), (0, 0, 9), "{version}");
    }
}

#[test]
fn all_offsets_of_several_groups_are_fetched_at_once() {
    let kafka = Kafka::start();
    let (a, b) = (kafka.topic("a", 1), kafka.topic("b", 2));
    let (one, other, unknown) = (unique("one"), unique("other"), unique("unknown"));
    let mut raw = kafka.coordinator(&one, 0);
    for (group, topic, partition, offset) in [(&one, &a, 0, 1), (&one, &b, 1, 2), (&other, &b, 0, 3)] {
        assert_error(commit(&mut raw, &commit_request(group, &topic.name, partition, offset), 9), None);
    }
    let groups = [&one, &other, &unknown].map(|group| {
        OffsetFetchRequestGroup::default().with_group_id(group_id(group)).with_member_epoch(-1).with_topics(None)
    });
    let response = raw.call(&OffsetFetchRequest::default().with_groups(groups.to_vec()), 9);
    let mut found: Vec<_> = response
        .groups
        .iter()
        .flat_map(|group| group.topics.iter().map(move |topic| (group, topic)))
        .flat_map(|(group, topic)| topic.partitions.iter().map(move |p| (&*group.group_id.0, &*topic.name.0, p)))
        .map(|(group, topic, p)| (group, topic, p.partition_index, p.committed_offset))
        .collect();
    found.sort();
    let mut expected = vec![(&*one, &*a.name, 0, 1), (&*one, &*b.name, 1, 2), (&*other, &*b.name, 0, 3)];
    expected.sort();
    assert_eq!(found, expected);
    let ids: Vec<&str> = response.groups.iter().map(|group| &*group.group_id.0).collect();
    assert_eq!(ids, [&one, &other, &unknown]);
    assert!(response.groups.iter().all(|group| group.error_code == 0));
}

#[test]
fn offsets_of_a_partition_that_is_not_there_are_refused() {
    let kafka = Kafka::start();
    let (topic, group) = (kafka.topic("there", 1), unique("group"));
    let mut raw = kafka.coordinator(&group, 0);
    let mut request = commit_request(&group, &topic.name, 1, 5);
    let there = request.topics[0].partitions[0].clone().with_partition_index(0);
    request.topics[0].partitions.push(there);
    request.topics.extend(commit_request(&group, &unique("nowhere"), 0, 5).topics);
    let response = raw.call(&request, 9);
    let mut results: Vec<_> = response
        .topics
        .iter()
        .flat_map(|found| {
            found.partitions.iter().map(|p| (*found.name.0 == *topic.name, p.partition_index, p.error_code))
        })
        .collect();
    results.sort();
    let unknown = ResponseError::UnknownTopicOrPartition.code();
    assert_eq!(results, [(false, 0, unknown), (true, 0, 0), (true, 1, unknown)]);
    assert_eq!(all_committed(&mut raw, &group).into_values().collect::<Vec<_>>(), [5]);
}

#[test]
fn metadata_has_a_largest_size() {
    let kafka = Kafka::start();
    let (topic, group) = (kafka.topic("metadata", 1), unique("group"));
    let mut raw = kafka.coordinator(&group, 0);
    let with = |metadata: Option<String>| {
        let mut request = commit_request(&group, &topic.name, 0, 5);
        request.topics[0].partitions[0].committed_metadata = metadata.map(|metadata| text(&metadata));
        request
    };
    assert_error(commit(&mut raw, &with(Some("m".repeat(4096))), 9), None);
    assert_error(commit(&mut raw, &with(Some("ü".repeat(4096))), 9), None);
    let too_large = Some(ResponseError::OffsetMetadataTooLarge);
    assert_error(commit(&mut raw, &with(Some("m".repeat(4097))), 9), too_large);
    assert_error(commit(&mut raw, &with(None), 9), None);
    let fetched = fetch_offsets(&mut raw, &group, None);
    assert_eq!(fetched.topics[0].partitions[0].metadata.as_deref(), Some(""));
}

#[test]
fn a_member_of_an_unknown_group_commits_nothing() {
    let kafka = Kafka::start();
    let (topic, group) = (kafka.topic("stranger", 1), unique("group"));
    let mut raw = kafka.coordinator(&group, 0);
    let by = |generation, member: &str| -> OffsetCommitRequest {
        commit_request(&group, &topic.name, 0, 5)
            .with_generation_id_or_member_epoch(generation)
            .with_member_id(text(member))
    };
    assert_error(commit(&mut raw, &by(0, "m"), 8), Some(ResponseError::IllegalGeneration));
    assert_error(commit(&mut raw, &by(3, "m"), 9), Some(ResponseError::GroupIdNotFound));
    assert!(all_committed(&mut raw, &group).is_empty());
    // A group that has no members takes offsets from anybody who claims no generation.
    assert_error(commit(&mut raw, &by(-1, "m"), 9), None);
    assert_error(commit(&mut raw, &by(0, "m"), 9), Some(ResponseError::UnknownMemberId));
    assert_error(commit(&mut raw, &by(0, ""), 9), Some(ResponseError::UnknownMemberId));
}
