//! Several brokers and their leaders. `scripts/with-kafka --brokers 3` starts a Kafka for these tests. If the Kafka has a
//! single broker, they start embedded brokers.

mod common;

use common::*;
use kafka_protocol::ResponseError::*;
use kafka_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::metadata_response::MetadataResponsePartition;
use kafka_protocol::messages::*;

/// Three brokers or more, by their ids.
fn three() -> (Kafka, Vec<i32>) {
    let kafka = Kafka::of_several();
    let told = kafka.connect().call(&MetadataRequest::default().with_topics(Some(vec![])), 12);
    let mut ids: Vec<i32> = told.brokers.iter().map(|broker| broker.node_id.0).collect();
    ids.sort_unstable();
    assert_eq!(ids.len(), 3, "this suite takes one broker or three");
    (kafka, ids)
}

fn make(kafka: &Kafka, broker: i32, partitions: i32, replication: i16) -> String {
    let name = unique("spread");
    let topic = CreatableTopic::default()
        .with_name(topic_name(&name))
        .with_num_partitions(partitions)
        .with_replication_factor(replication);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
    let made = kafka.broker(broker).call(&request, 7).topics.remove(0);
    assert_error(made.error_code, None);
    name
}

/// The partitions in their order, once all have a leader.
fn partitions(kafka: &Kafka, name: &str, count: usize) -> Vec<MetadataResponsePartition> {
    eventually(|| {
        let mut partitions = metadata(&mut kafka.connect(), name).partitions;
        partitions.sort_by_key(|partition| partition.partition_index);
        (partitions.len() == count && partitions.iter().all(|partition| partition.error_code == 0))
            .then_some(partitions)
    })
}

#[test]
fn leaders_and_replicas_are_spread_over_the_brokers() {
    let (kafka, brokers) = three();
    let name = make(&kafka, brokers[1], 6, 2);
    let partitions = partitions(&kafka, &name, 6);
    for broker in brokers {
        let leads = partitions.iter().filter(|partition| partition.leader_id.0 == broker).count();
        assert_eq!(leads, 2, "{partitions:?}");
    }
    for partition in &partitions {
        assert_eq!(partition.replica_nodes.len(), 2);
        assert_ne!(partition.replica_nodes[0], partition.replica_nodes[1]);
        assert_eq!(partition.leader_id, partition.replica_nodes[0]);
        assert_eq!(partition.isr_nodes.len(), 2);
    }
}

#[test]
fn any_broker_makes_and_deletes_topics() {
    let (kafka, brokers) = three();
    for broker in &brokers {
        let name = make(&kafka, *broker, 1, 3);
        partitions(&kafka, &name, 1);
        let request = DeleteTopicsRequest::default().with_topic_names(vec![topic_name(&name)]).with_timeout_ms(30_000);
        let deleted = kafka.broker(brokers[0]).call(&request, 5).responses.remove(0);
        assert_error(deleted.error_code, None);
    }
    let topic = CreatableTopic::default()
        .with_name(topic_name(&unique("too-many")))
        .with_num_partitions(1)
        .with_replication_factor(4);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
    let refused = kafka.connect().call(&request, 7).topics.remove(0);
    assert_error(refused.error_code, Some(InvalidReplicationFactor));
    assert_eq!(
        refused.error_message.as_deref(),
        Some(
            "Unable to replicate the partition 4 time(s): The target replication factor of 4 cannot be reached because \
             only 3 broker(s) are registered."
        )
    );
}

#[test]
fn a_broker_takes_records_of_what_it_leads_only() {
    let (kafka, brokers) = three();
    let name = make(&kafka, brokers[0], 1, 2);
    let partition = partitions(&kafka, &name, 1).remove(0);
    for broker in brokers {
        let answer = eventually(|| {
            let answer = produce(&mut kafka.broker(broker), &name, 0, &Batch::of(&["x"]));
            // A broker that holds no replica may not have heard of the topic yet.
            (answer.error_code != UnknownTopicOrPartition.code()).then_some(answer)
        });
        let leads = partition.leader_id.0 == broker;
        assert_error(answer.error_code, (!leads).then_some(NotLeaderOrFollower));
    }
}

#[test]
fn the_preferred_replica_is_elected() {
    let (kafka, brokers) = three();
    let name = make(&kafka, brokers[0], 1, 2);
    let before = partitions(&kafka, &name, 1).remove(0);
    let mut swapped = before.replica_nodes.clone();
    swapped.reverse();
    let partition = ReassignablePartition::default().with_partition_index(0).with_replicas(Some(swapped.clone()));
    let topic = ReassignableTopic::default().with_name(topic_name(&name)).with_partitions(vec![partition]);
    let request = AlterPartitionReassignmentsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
    let answer = kafka.connect().call(&request, 0);
    assert_error(answer.responses[0].partitions[0].error_code, None);
    let after = eventually(|| {
        let partition = partitions(&kafka, &name, 1).remove(0);
        (partition.replica_nodes == swapped).then_some(partition)
    });
    assert_eq!(after.leader_id, before.leader_id, "the leader stays as long as it is a replica");

    let wanted = TopicPartitions::default().with_topic(topic_name(&name)).with_partitions(vec![0]);
    let request = ElectLeadersRequest::default().with_topic_partitions(Some(vec![wanted])).with_timeout_ms(30_000);
    let elected = kafka.connect().call(&request, 2).replica_election_results.remove(0).partition_result.remove(0);
    assert_error(elected.error_code, None);
    let elected = eventually(|| {
        let partition = partitions(&kafka, &name, 1).remove(0);
        (partition.leader_id == swapped[0]).then_some(partition)
    });
    assert_eq!(elected.leader_epoch, after.leader_epoch + 1);
}

#[test]
fn a_partition_moves_to_another_broker() {
    let (kafka, brokers) = three();
    let name = make(&kafka, brokers[0], 1, 1);
    let before = partitions(&kafka, &name, 1).remove(0);
    produce(&mut kafka.leader(&name, 0), &name, 0, &Batch::of(&["kept"]));
    let target = brokers.iter().copied().map(BrokerId).find(|id| *id != before.leader_id).unwrap();
    let partition = ReassignablePartition::default().with_partition_index(0).with_replicas(Some(vec![target]));
    let topic = ReassignableTopic::default().with_name(topic_name(&name)).with_partitions(vec![partition]);
    let request = AlterPartitionReassignmentsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
    kafka.connect().call(&request, 1);
    let moved = eventually(|| {
        let partition = partitions(&kafka, &name, 1).remove(0);
        (partition.replica_nodes == [target] && partition.isr_nodes == [target]).then_some(partition)
    });
    assert_eq!(moved.leader_id, target);
    assert!(moved.leader_epoch > before.leader_epoch);
    let fetched = eventually(|| {
        let fetched = fetch(&mut kafka.broker(target.0), &name, 0, 0);
        (fetched.error_code == 0 && fetched.high_watermark == 1).then_some(fetched)
    });
    assert_eq!(values(&fetched.records.unwrap()), [(0, "kept".to_owned())]);
    let old = fetch(&mut kafka.broker(before.leader_id.0), &name, 0, 0);
    assert!([NotLeaderOrFollower.code(), UnknownTopicOrPartition.code()].contains(&old.error_code));
}

#[test]
fn a_broker_describes_its_own_settings_only() {
    let (kafka, brokers) = three();
    let resource = DescribeConfigsResource::default()
        .with_resource_type(4)
        .with_resource_name(text(&brokers[1].to_string()))
        .with_configuration_keys(Some(vec![text("node.id")]));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let own = kafka.broker(brokers[1]).call(&request, 4).results.remove(0);
    assert_error(own.error_code, None);
    assert_eq!(own.configs[0].value.as_deref(), Some(&*brokers[1].to_string()));
    let other = kafka.broker(brokers[0]).call(&request, 4).results.remove(0);
    assert_error(other.error_code, Some(InvalidRequest));
}

/// Sets a setting of one broker, or has it have none of its own.
fn set(raw: &mut Raw, broker: i32, name: &str, value: Option<&str>) {
    let config = AlterableConfig::default()
        .with_name(text(name))
        .with_config_operation(if value.is_some() { 0 } else { 1 })
        .with_value(value.map(text));
    let resource = AlterConfigsResource::default()
        .with_resource_type(4)
        .with_resource_name(text(&broker.to_string()))
        .with_configs(vec![config]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    assert_error(raw.call(&request, 1).responses[0].error_code, None);
}

/// What a broker says of a setting of a topic: the value, and where it comes from.
fn setting(raw: &mut Raw, topic: &str, name: &str) -> (String, i8) {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text(topic))
        .with_configuration_keys(Some(vec![text(name)]));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let config = raw.call(&request, 4).results.remove(0).configs.remove(0);
    (config.value.as_deref().unwrap_or_default().to_owned(), config.config_source)
}

#[test]
fn a_setting_of_one_broker_is_its_own() {
    let (kafka, brokers) = three();
    let name = make(&kafka, brokers[0], 3, 1);
    let partitions = partitions(&kafka, &name, 3);
    let (own, other) = (&partitions[0], &partitions[1]);
    assert_ne!(own.leader_id, other.leader_id);
    let (mut leader, mut others) = (kafka.leader(&name, 0), kafka.leader(&name, 1));
    let large = Batch::of(&["0123456789".repeat(100).as_str()]);
    let send = |raw: &mut Raw, partition| produce(raw, &name, partition, &large).error_code;
    assert_error(send(&mut leader, 0), None);
    set(&mut leader, own.leader_id.0, "message.max.bytes", Some("500"));
    let (of_broker, by_default) = (("500".to_owned(), 2), ("1048588".to_owned(), 5));
    eventually(|| (setting(&mut leader, &name, "max.message.bytes") == of_broker).then_some(()));
    eventually(|| (send(&mut leader, 0) == MessageTooLarge.code()).then_some(()));
    assert_error(send(&mut others, 1), None);
    assert_eq!(setting(&mut others, &name, "max.message.bytes"), by_default);
    set(&mut leader, own.leader_id.0, "message.max.bytes", None);
    eventually(|| (setting(&mut leader, &name, "max.message.bytes") == by_default).then_some(()));
    eventually(|| (send(&mut leader, 0) == 0).then_some(()));
}
