//! The cluster, as an AdminClient sees it: brokers, pages of topics, log directories and leaders.

mod common;

use common::*;
use kafka_protocol::ResponseError::*;
use kafka_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_quorum_request;
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::*;

#[test]
fn the_brokers_are_described() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    let told = raw.call(&MetadataRequest::default().with_topics(Some(vec![])), 12);
    for version in 0..=2 {
        let request = DescribeClusterRequest::default().with_include_cluster_authorized_operations(version == 1);
        let response = raw.call(&request, version);
        assert_error(response.error_code, None);
        assert_eq!(Some(response.cluster_id), told.cluster_id);
        assert_eq!(response.brokers.len(), told.brokers.len());
        assert!(response.brokers.iter().all(|broker| !broker.is_fenced && broker.rack.is_none()));
        assert!(response.brokers.iter().any(|broker| broker.broker_id == response.controller_id));
        let rights = if version == 1 { 0b1_1111_1010_0000 } else { i32::MIN };
        assert_eq!(response.cluster_authorized_operations, rights);
    }
}

#[test]
fn controllers_are_not_described_by_a_broker() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    for (endpoint, error, message) in [
        (
            2,
            MismatchedEndpointType,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER",
        ),
        (9, UnsupportedEndpointType, "Unsupported endpoint type 9"),
    ] {
        let response = raw.call(&DescribeClusterRequest::default().with_endpoint_type(endpoint), 1);
        assert_error(response.error_code, Some(error));
        assert_eq!(response.error_message.as_deref(), Some(message));
    }
}

fn page(raw: &mut Raw, topics: &[&str], limit: i32, cursor: Option<Cursor>) -> DescribeTopicPartitionsResponse {
    let topics = topics.iter().map(|name| TopicRequest::default().with_name(topic_name(name))).collect();
    let request = DescribeTopicPartitionsRequest::default()
        .with_topics(topics)
        .with_response_partition_limit(limit)
        .with_cursor(cursor);
    raw.call(&request, 0)
}

fn cursor(name: &str, partition: i32) -> Cursor {
    Cursor::default().with_topic_name(topic_name(name)).with_partition_index(partition)
}

#[test]
fn topics_are_told_page_by_page() {
    let kafka = Kafka::start();
    let (one, two) = (kafka.topic("a-page", 3), kafka.topic("b-page", 2));
    let mut raw = kafka.connect();
    let all = page(&mut raw, &[&two.name, &one.name, "no-such-page"], 100, None);
    let told: Vec<_> = all
        .topics
        .iter()
        .map(|topic| (topic.name.as_ref().unwrap().to_string(), topic.partitions.len(), topic.error_code))
        .collect();
    let missing = UnknownTopicOrPartition.code();
    assert_eq!(told, [(one.name.clone(), 3, 0), (two.name.clone(), 2, 0), ("no-such-page".to_owned(), 0, missing)]);
    assert_eq!(all.next_cursor, None);
    assert_eq!(all.topics[0].topic_id, one.id);
    assert_eq!(all.topics[0].topic_authorized_operations, 0b1101_1111_1000);
    let partition = &all.topics[0].partitions[1];
    assert_eq!((partition.partition_index, partition.leader_epoch, partition.error_code), (1, 0, 0));
    assert_eq!(partition.isr_nodes, partition.replica_nodes);
    assert_eq!(partition.eligible_leader_replicas.as_deref(), Some(&[][..]));

    let first = page(&mut raw, &[&one.name, &two.name], 2, None);
    assert_eq!(first.topics.len(), 1);
    assert_eq!(first.topics[0].partitions.len(), 2);
    let next = first.next_cursor.unwrap();
    assert_eq!((&**next.topic_name, next.partition_index), (&*one.name, 2));
    let rest = page(&mut raw, &[&one.name, &two.name], 2, Some(cursor(&one.name, 2)));
    let told: Vec<_> = rest.topics.iter().map(|topic| topic.partitions.len()).collect();
    assert_eq!(told, [1, 1]);
    let next = rest.next_cursor.unwrap();
    assert_eq!((&**next.topic_name, next.partition_index), (&*two.name, 1));
    // A page that ends with a topic leads to the next one.
    let whole = page(&mut raw, &[&one.name, &two.name], 3, None);
    let next = whole.next_cursor.unwrap();
    assert_eq!((whole.topics.len(), &**next.topic_name, next.partition_index), (1, &*two.name, 0));
}

#[test]
fn a_cursor_that_is_none_is_refused() {
    let kafka = Kafka::start();
    let topic = kafka.topic("cursor", 1);
    let mut raw = kafka.connect();
    for cursor in [cursor("zzz-not-asked-for", 0), cursor(&topic.name, -1)] {
        let response = page(&mut raw, &[&topic.name], 10, Some(cursor));
        assert_eq!(response.topics.len(), 1);
        assert_error(response.topics[0].error_code, Some(InvalidRequest));
    }
}

#[test]
fn log_directories_tell_how_large_partitions_are() {
    let kafka = Kafka::start();
    let topic = kafka.topic("measured", 2);
    let batch = Batch::of(&["some bytes"]);
    let mut leader = kafka.leader(&topic.name, 1);
    assert_error(produce(&mut leader, &topic.name, 1, &batch).error_code, None);
    for version in 1..=4 {
        let wanted =
            DescribableLogDirTopic::default().with_topic(topic_name(&topic.name)).with_partitions(vec![0, 1, 7]);
        let request = DescribeLogDirsRequest::default().with_topics(Some(vec![wanted]));
        let response = leader.call(&request, version);
        assert_error(response.error_code, None);
        let directory = &response.results[0];
        assert_error(directory.error_code, None);
        assert!(!directory.log_dir.is_empty());
        let mut partitions = directory.topics[0].partitions.clone();
        partitions.sort_by_key(|partition| partition.partition_index);
        let told: Vec<_> = partitions.iter().map(|p| (p.partition_index, p.partition_size, p.offset_lag)).collect();
        assert_eq!(told, [(0, 0, 0), (1, batch.encode().len() as i64, 0)]);
        assert!(partitions.iter().all(|partition| !partition.is_future_key));
    }
    let all = leader.call(&DescribeLogDirsRequest::default().with_topics(None), 4);
    assert!(all.results[0].topics.iter().any(|told| **told.name == *topic.name));
    let none = leader.call(&DescribeLogDirsRequest::default().with_topics(Some(vec![])), 4);
    assert!(none.results[0].topics.is_empty());
}

#[test]
fn the_preferred_leader_leads_already() {
    let kafka = Kafka::start();
    let topic = kafka.topic("elected", 1);
    let mut raw = kafka.controller();
    let wanted = |name: &str, partition: i32| {
        TopicPartitions::default().with_topic(topic_name(name)).with_partitions(vec![partition])
    };
    for version in 0..=2 {
        for election in if version == 0 { 0..=0 } else { 0..=1 } {
            let request = ElectLeadersRequest::default()
                .with_election_type(election)
                .with_topic_partitions(Some(vec![wanted(&topic.name, 0)]))
                .with_timeout_ms(30_000);
            let response = raw.call(&request, version);
            assert_error(response.error_code, None);
            let result = &response.replica_election_results[0].partition_result[0];
            assert_error(result.error_code, Some(ElectionNotNeeded));
            assert_eq!(result.error_message.as_deref(), Some("Leader election not needed for topic partition."));
        }
    }
    let request = ElectLeadersRequest::default()
        .with_topic_partitions(Some(vec![wanted(&topic.name, 9), wanted("no-such-topic", 0)]))
        .with_timeout_ms(30_000);
    let mut results = raw.call(&request, 2).replica_election_results;
    results.sort_by_key(|result| (*result.topic != *topic_name(&topic.name)) as i32);
    let told: Vec<_> = results
        .iter()
        .map(|result| (result.partition_result[0].error_code, result.partition_result[0].error_message.as_deref()))
        .collect();
    let missing = UnknownTopicOrPartition.code();
    let message = format!("No such partition as {}-9", topic.name);
    assert_eq!(told, [(missing, Some(&*message)), (missing, Some("No such topic as no-such-topic"))]);
    // For all topics, only elected partitions are returned.
    let request = ElectLeadersRequest::default().with_topic_partitions(None).with_timeout_ms(30_000);
    let results = raw.call(&request, 2).replica_election_results;
    assert!(results.iter().any(|result| **result.topic == *topic.name));
    assert!(results.iter().all(|result| result.partition_result.is_empty()));
}

#[test]
fn replicas_are_reassigned_to_brokers_that_are_there() {
    let kafka = Kafka::start();
    let topic = kafka.topic("reassigned", 1);
    let mut raw = kafka.controller();
    let broker = metadata(&mut raw, &topic.name).partitions[0].leader_id.0;
    let mut reassign = |name: &str, partition: i32, replicas: Option<&[i32]>| {
        let replicas = replicas.map(|ids| ids.iter().copied().map(BrokerId).collect());
        let partition = ReassignablePartition::default().with_partition_index(partition).with_replicas(replicas);
        let topic = ReassignableTopic::default().with_name(topic_name(name)).with_partitions(vec![partition]);
        let request = AlterPartitionReassignmentsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
        let mut response = raw.call(&request, 1);
        assert_error(response.error_code, None);
        let result = response.responses.remove(0).partitions.remove(0);
        (result.error_code, result.error_message.map(|message| message.to_string()))
    };
    assert_eq!(reassign(&topic.name, 0, Some(&[broker])), (0, None));
    let told = |error: kafka_protocol::ResponseError, message: String| (error.code(), Some(message));
    assert_eq!(
        reassign(&topic.name, 0, Some(&[77_777])),
        told(
            InvalidReplicaAssignment,
            "The manual partition assignment includes broker 77777, but no such broker is registered.".to_owned()
        )
    );
    assert_eq!(
        reassign(&topic.name, 0, Some(&[])),
        told(InvalidReplicaAssignment, "The manual partition assignment includes an empty replica list.".to_owned())
    );
    assert_eq!(
        reassign(&topic.name, 5, Some(&[broker])),
        told(UnknownTopicOrPartition, format!("Unable to find partition {}:5.", topic.name))
    );
    assert_eq!(
        reassign("no-such-topic", 0, Some(&[broker])),
        told(UnknownTopicOrPartition, "Unable to find a topic named no-such-topic.".to_owned())
    );
    assert_eq!(reassign(&topic.name, 0, None), (NoReassignmentInProgress.code(), None));
    let ongoing = raw.call(&ListPartitionReassignmentsRequest::default().with_topics(None).with_timeout_ms(30_000), 0);
    assert_error(ongoing.error_code, None);
    assert_eq!(ongoing.topics, []);
}

#[test]
fn the_controllers_are_described_by_their_log() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    for version in 0..=2 {
        let partition = describe_quorum_request::PartitionData::default().with_partition_index(0);
        let topic = describe_quorum_request::TopicData::default()
            .with_topic_name(topic_name("__cluster_metadata"))
            .with_partitions(vec![partition]);
        let response = raw.call(&DescribeQuorumRequest::default().with_topics(vec![topic]), version);
        assert_error(response.error_code, None);
        let partition = &response.topics[0].partitions[0];
        assert_error(partition.error_code, None);
        assert!(partition.current_voters.iter().any(|voter| voter.replica_id == partition.leader_id));
        assert!(partition.high_watermark > 0);
        assert_eq!(response.nodes.is_empty(), version < 2);
    }
}

#[test]
fn tokens_are_refused_over_a_plain_connection() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    for version in 1..=3 {
        let response = raw.call(&DescribeDelegationTokenRequest::default().with_owners(None), version);
        assert_error(response.error_code, Some(DelegationTokenRequestNotAllowed));
        let response = raw.call(&CreateDelegationTokenRequest::default(), version);
        assert_error(response.error_code, Some(DelegationTokenRequestNotAllowed));
    }
    for version in 1..=2 {
        let response = raw.call(&RenewDelegationTokenRequest::default(), version);
        assert_error(response.error_code, Some(DelegationTokenRequestNotAllowed));
        let response = raw.call(&ExpireDelegationTokenRequest::default(), version);
        assert_error(response.error_code, Some(DelegationTokenRequestNotAllowed));
    }
}

#[test]
fn what_has_settings_is_listed() {
    let kafka = Kafka::start();
    let topic = kafka.topic("listed", 1);
    let mut raw = kafka.connect();
    let mut list = |kinds: &[i8], version| {
        let response = raw.call(&ListConfigResourcesRequest::default().with_resource_types(kinds.to_vec()), version);
        assert_error(response.error_code, None);
        response.config_resources
    };
    let has = |found: &[list_config_resources_response::ConfigResource], kind: i8, name: &str| {
        found.iter().any(|resource| resource.resource_type == kind && &*resource.resource_name == name)
    };
    assert!(has(&list(&[2], 1), 2, &topic.name));
    assert!(list(&[2], 1).iter().all(|resource| resource.resource_type == 2));
    assert!(has(&list(&[], 1), 2, &topic.name));
    assert!(list(&[4, 8], 1).iter().any(|resource| resource.resource_type == 8));
    assert!(list(&[], 0).iter().all(|resource| resource.resource_type == 0 || resource.resource_type == 16));
    let response = raw.call(&ListConfigResourcesRequest::default().with_resource_types(vec![3]), 1);
    assert_error(response.error_code, Some(UnsupportedVersion));
}
