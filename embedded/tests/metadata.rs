//! Metadata: topics and brokers, as clients see them.

mod common;

use common::*;
use kafka_protocol::ResponseError::*;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::*;
use uuid::Uuid;

fn named(name: &str) -> MetadataRequestTopic {
    MetadataRequestTopic::default().with_name(Some(topic_name(name)))
}

fn numbered(id: Uuid) -> MetadataRequestTopic {
    MetadataRequestTopic::default().with_name(None).with_topic_id(id)
}

fn ask(raw: &mut Raw, topics: Vec<MetadataRequestTopic>, create: bool, version: i16) -> Vec<MetadataResponseTopic> {
    let request = MetadataRequest::default().with_topics(Some(topics)).with_allow_auto_topic_creation(create);
    raw.call(&request, version).topics
}

fn name_of(topic: &MetadataResponseTopic) -> Option<&str> {
    topic.name.as_ref().map(|name| &***name)
}

#[test]
fn every_version_tells_brokers_and_topics() {
    let kafka = Kafka::start();
    let topic = kafka.topic("versions", 3);
    let mut raw = kafka.connect();
    for version in 0..=13 {
        let request = MetadataRequest::default()
            .with_topics(Some(vec![named(&topic.name)]))
            .with_allow_auto_topic_creation(version < 4 || version % 2 == 0);
        let response = raw.call(&request, version);
        assert!(!response.brokers.is_empty());
        if version >= 1 {
            assert!(response.brokers.iter().any(|broker| broker.node_id == response.controller_id));
            assert_eq!(response.brokers[0].rack, None);
        }
        if version >= 2 {
            assert_eq!(response.cluster_id.map(|id| id.len()), Some(22));
        }
        let [described] = &response.topics[..] else { panic!("{:?}", response.topics) };
        assert_error(described.error_code, None);
        assert_eq!(name_of(described), Some(&*topic.name));
        let mut partitions = described.partitions.clone();
        partitions.sort_by_key(|partition| partition.partition_index);
        assert_eq!(partitions.iter().map(|p| p.partition_index).collect::<Vec<_>>(), [0, 1, 2]);
        for partition in partitions {
            assert_error(partition.error_code, None);
            assert!(partition.leader_id.0 >= 0);
            assert_eq!(partition.isr_nodes, partition.replica_nodes);
            assert_eq!(partition.leader_epoch, if version >= 7 { 0 } else { -1 });
            assert!(partition.offline_replicas.is_empty());
        }
        if version >= 10 {
            assert_eq!(described.topic_id, topic.id);
        }
    }
}

#[test]
fn all_topics_no_topics_and_some() {
    let kafka = Kafka::start();
    let topic = kafka.topic("some", 1);
    let mut raw = kafka.connect();
    let mut ask = |topics: Option<Vec<MetadataRequestTopic>>, version| {
        raw.call(&MetadataRequest::default().with_topics(topics), version).topics
    };
    let has = |topics: Vec<MetadataResponseTopic>| topics.iter().any(|found| name_of(found) == Some(&*topic.name));
    assert!(has(ask(Some(vec![]), 0)), "version 0 asks for all with an empty list");
    for version in [1, 8, 12, 13] {
        assert!(has(ask(None, version)));
        assert!(ask(Some(vec![]), version).is_empty());
    }
    // A topic that is named twice is returned once.
    assert_eq!(ask(Some(vec![named(&topic.name), named(&topic.name)]), 12).len(), 1);
}

#[test]
fn a_topic_is_asked_for_by_its_id() {
    let kafka = Kafka::start();
    let topic = kafka.topic("by-id", 1);
    let mut raw = kafka.connect();
    let unknown = Uuid::new_v4();
    let topics = ask(&mut raw, vec![numbered(topic.id), numbered(unknown), named("not-looked-at")], true, 12);
    let [missing, found] = &topics[..] else { panic!("{topics:?}") };
    assert_error(missing.error_code, Some(UnknownTopicId));
    assert_eq!((name_of(missing), missing.topic_id), (None, unknown));
    assert_error(found.error_code, None);
    assert_eq!((name_of(found), found.topic_id), (Some(&*topic.name), topic.id));
}

#[test]
fn an_id_or_no_name_is_refused_in_the_versions_before_12() {
    let kafka = Kafka::start();
    let topic = kafka.topic("too-early", 1);
    let mut raw = kafka.connect();
    for version in [10, 11] {
        let topics = ask(&mut raw, vec![named(&topic.name).with_topic_id(topic.id)], true, version);
        assert_error(topics[0].error_code, Some(InvalidRequest));
    }
}

#[test]
fn a_topic_that_is_not_there_is_made_only_if_the_client_lets_it() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    let name = unique("automatic");
    for _ in 0..2 {
        let topics = ask(&mut raw, vec![named(&name)], false, 12);
        assert_error(topics[0].error_code, Some(UnknownTopicOrPartition));
        assert!(topics[0].partitions.is_empty());
        assert!(topics[0].topic_id.is_nil());
    }
    let first = ask(&mut raw, vec![named(&name)], true, 12).remove(0);
    // Kafka makes it afterwards, and the embedded broker at once.
    assert!([0, UnknownTopicOrPartition.code()].contains(&first.error_code), "{first:?}");
    let made = eventually(|| Some(metadata(&mut raw, &name)).filter(|topic| topic.error_code == 0));
    assert_eq!(made.partitions.len(), 1);
    let again = ask(&mut raw, vec![named(&name)], true, 12).remove(0);
    assert_eq!(again.topic_id, made.topic_id);
}

#[test]
fn the_versions_before_4_make_a_topic_unasked() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    let name = unique("unasked");
    ask(&mut raw, vec![named(&name)], true, 1);
    eventually(|| (metadata(&mut raw, &name).error_code == 0).then_some(()));
}

#[test]
fn a_name_that_is_none_is_said_to_be_so() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    for name in ["a b", "", "..", &"x".repeat(250)] {
        for create in [false, true] {
            let topics = ask(&mut raw, vec![named(name)], create, 12);
            assert_error(topics[0].error_code, Some(InvalidTopicException));
            assert_eq!(name_of(&topics[0]), Some(name));
        }
    }
}

#[test]
fn a_topic_whose_name_collides_is_not_made() {
    let kafka = Kafka::start();
    let topic = kafka.topic("made.by_hand", 1);
    let mut raw = kafka.connect();
    let other = topic.name.replace('.', "_");
    let topics = ask(&mut raw, vec![named(&other)], true, 12);
    assert_error(topics[0].error_code, Some(UnknownTopicOrPartition));
    assert_error(metadata(&mut raw, &other).error_code, Some(UnknownTopicOrPartition));
}

#[test]
fn rights_are_told_where_they_are_asked_for() {
    let kafka = Kafka::start();
    let topic = kafka.topic("rights", 1);
    let mut raw = kafka.connect();
    let request = MetadataRequest::default().with_topics(Some(vec![named(&topic.name)]));
    let plain = raw.call(&request, 8);
    assert_eq!(plain.cluster_authorized_operations, i32::MIN);
    assert_eq!(plain.topics[0].topic_authorized_operations, i32::MIN);
    let asked = request.with_include_topic_authorized_operations(true).with_include_cluster_authorized_operations(true);
    let response = raw.call(&asked, 8);
    // Read, Write, Create, Delete, Alter, Describe, DescribeConfigs, AlterConfigs.
    assert_eq!(response.topics[0].topic_authorized_operations, 0b1101_1111_1000);
    // Create, Alter, Describe, ClusterAction, DescribeConfigs, AlterConfigs, IdempotentWrite.
    assert_eq!(response.cluster_authorized_operations, 0b1_1111_1010_0000);
}

#[test]
fn the_topic_of_offsets_is_there_once_a_group_is_looked_for() {
    let kafka = Kafka::start();
    kafka.coordinator(&unique("group"), 0);
    let topic = eventually(|| {
        let topic = metadata(&mut kafka.connect(), "__consumer_offsets");
        (topic.error_code == 0).then_some(topic)
    });
    assert!(topic.is_internal);
    assert!(!topic.partitions.is_empty());
}
