//! Consumer groups as an admin client sees them, and the offsets that their members commit.

mod common;

use common::consumers::*;
use common::groups::*;
use common::*;
use kafka_protocol::ResponseError::*;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::*;

/// A commit by a member.
fn commit_by(group: &str, topic: &Topic, member: &str, epoch: i32) -> OffsetCommitRequest {
    commit_request(group, &topic.name, 0, 5).with_member_id(text(member)).with_generation_id_or_member_epoch(epoch)
}

#[test]
fn members_commit_with_their_epochs() {
    let kafka = Kafka::start();
    let topic = kafka.topic("commits", 2);
    let group = unique("commits");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    beat(&mut raw, &join_request(&group, "m1", &[&topic.name]));
    let mut code =
        |member: &str, epoch: i32, version: i16| commit(&mut raw, &commit_by(&group, &topic, member, epoch), version);
    assert_error(code("m1", 1, 9), None);
    assert_error(code("m1", 2, 9), Some(StaleMemberEpoch));
    assert_error(code("m1", 0, 9), Some(StaleMemberEpoch));
    assert_error(code("m1", -1, 9), Some(StaleMemberEpoch));
    assert_error(code("m2", 1, 9), Some(UnknownMemberId));
    // Nobody in particular commits to a group that has members.
    assert_error(code("", -1, 9), Some(UnknownMemberId));
    // Before version 9 there is no error for a stale epoch.
    assert_error(code("m1", 1, 8), Some(UnsupportedVersion));
    assert_error(code("m2", 1, 8), Some(UnknownMemberId));

    // A member that has to revoke partitions is still in its epoch.
    beat(&mut raw, &join_request(&group, "m2", &[&topic.name]));
    beat(&mut raw, &beat_request(&group, "m1", 1));
    let mut code = |member: &str, epoch: i32| commit(&mut raw, &commit_by(&group, &topic, member, epoch), 9);
    assert_error(code("m1", 1), None);
    assert_error(code("m2", 2), None);
    assert_eq!(committed(&mut raw, &group, &topic.name, 0), 5);
    beat(&mut raw, &beat_request(&group, "m1", -1));
    beat(&mut raw, &beat_request(&group, "m2", -1));
    let mut code = |member: &str, epoch: i32| commit(&mut raw, &commit_by(&group, &topic, member, epoch), 9);
    assert_error(code("m1", 1), Some(UnknownMemberId));
    assert_error(code("", -1), None);
}

#[test]
fn members_read_their_offsets_with_their_epochs() {
    let kafka = Kafka::start();
    let topic = kafka.topic("reads", 1);
    let group = unique("reads");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    beat(&mut raw, &join_request(&group, "m1", &[&topic.name]));
    assert_error(commit(&mut raw, &commit_by(&group, &topic, "m1", 1), 9), None);
    let mut code = |member: Option<&str>, epoch: i32| {
        let mut request = fetch_offsets_request(&group, Some(&[(&topic.name, 0)]));
        request.groups[0] = request.groups[0].clone().with_member_id(member.map(text)).with_member_epoch(epoch);
        let group = raw.call(&request, 9).groups.remove(0);
        if group.error_code == 0 {
            assert_eq!(group.topics[0].partitions[0].committed_offset, 5);
        }
        group.error_code
    };
    assert_error(code(None, -1), None);
    assert_error(code(Some("m1"), 1), None);
    assert_error(code(Some("m1"), 2), Some(StaleMemberEpoch));
    assert_error(code(Some("m1"), -1), Some(StaleMemberEpoch));
    assert_error(code(Some("m2"), 1), Some(UnknownMemberId));
    assert_error(code(Some(""), -1), Some(UnknownMemberId));
    assert_error(code(None, 1), Some(UnknownServerError));
}

#[test]
fn consumer_groups_are_listed_by_their_type_and_state() {
    let kafka = Kafka::start();
    let topic = kafka.topic("list", 1);
    let group = unique("list");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    beat(&mut raw, &join_request(&group, "m1", &[&topic.name]));
    let mut list = |states: &[&str], types: &[&str]| -> Option<(String, String, String)> {
        let request = ListGroupsRequest::default()
            .with_states_filter(states.iter().map(|state| text(state)).collect())
            .with_types_filter(types.iter().map(|kind| text(kind)).collect());
        let listed = raw.call(&request, 5).groups.into_iter().find(|listed| **listed.group_id == *group)?;
        Some((listed.group_type.to_string(), listed.group_state.to_string(), listed.protocol_type.to_string()))
    };
    let expected = Some(("consumer".to_owned(), "Stable".to_owned(), "consumer".to_owned()));
    assert_eq!(list(&[], &[]), expected);
    assert_eq!(list(&["STABLE", "Empty"], &["Consumer"]), expected);
    assert_eq!(list(&["Reconciling"], &[]), None);
    assert_eq!(list(&[], &["classic"]), None);
    beat(&mut raw, &join_request(&group, "m2", &[&topic.name]));
    let mut list = |states: &[&str]| {
        let request = ListGroupsRequest::default().with_states_filter(states.iter().map(|state| text(state)).collect());
        raw.call(&request, 5).groups.into_iter().any(|listed| **listed.group_id == *group)
    };
    assert!(list(&["reconciling"]) && !list(&["stable"]));
}

#[test]
fn a_consumer_group_is_no_classic_one_and_is_deleted_once_it_is_empty() {
    let kafka = Kafka::start();
    let topic = kafka.topic("deleted", 1);
    let group = unique("deleted");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    beat(&mut raw, &join_request(&group, "m1", &[&topic.name]));
    let request = DescribeGroupsRequest::default().with_groups(vec![group_id(&group)]);
    let described = raw.call(&request, 6).groups.remove(0);
    assert_error(described.error_code, Some(GroupIdNotFound));
    assert_eq!(described.error_message.as_deref(), Some(&*format!("Group {group} is not a classic group.")));
    assert_eq!(&*raw.call(&request, 5).groups[0].group_state, "Dead");

    let request = DeleteGroupsRequest::default().with_groups_names(vec![group_id(&group)]);
    let delete = |raw: &mut Raw| raw.call(&request, 2).results[0].error_code;
    assert_error(delete(&mut raw), Some(NonEmptyGroup));
    beat(&mut raw, &beat_request(&group, "m1", -1));
    assert_error(delete(&mut raw), None);
    assert_error(describe(&mut raw, &group).error_code, Some(GroupIdNotFound));
    assert_error(delete(&mut raw), Some(GroupIdNotFound));
    // It starts again.
    assert_eq!(beat(&mut raw, &join_request(&group, "m1", &[&topic.name])), (1, of(&topic, &[0])));
}

#[test]
fn a_group_that_is_not_a_consumer_group_is_not_described_as_one() {
    let kafka = Kafka::start();
    let group = unique("classic");
    let mut member = Member::new(&kafka, &group);
    member.join_alone();
    let mut raw = kafka.coordinator(&group, 0);
    let described = describe(&mut raw, &group);
    assert_error(described.error_code, Some(GroupIdNotFound));
    assert_eq!(described.error_message.as_deref(), Some(&*format!("Group {group} is not a consumer group.")));
    assert_error(describe(&mut raw, "").error_code, Some(InvalidGroupId));
}

#[test]
fn what_a_client_may_do_to_a_consumer_group_is_told_if_it_asks() {
    let kafka = Kafka::start();
    let topic = kafka.topic("operations", 1);
    let group = unique("operations");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    beat(&mut raw, &join_request(&group, "m1", &[&topic.name]));
    let asks = ConsumerGroupDescribeRequest::default()
        .with_group_ids(vec![group_id(&group)])
        .with_include_authorized_operations(true);
    assert_eq!(raw.call(&asks, 0).groups[0].authorized_operations, 3400);
    assert_eq!(raw.call(&asks, 1).groups[0].authorized_operations, 3400);
}

#[test]
fn a_group_may_have_its_own_heartbeat_interval() {
    let kafka = Kafka::start();
    let topic = kafka.topic("interval", 1);
    let group = unique("interval");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    let change = AlterableConfig::default()
        .with_name(text("consumer.heartbeat.interval.ms"))
        .with_config_operation(0)
        .with_value(Some(text("7000")));
    let resource = AlterConfigsResource::default()
        .with_resource_type(32)
        .with_resource_name(text(&group))
        .with_configs(vec![change]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    assert_error(kafka.controller().call(&request, 1).responses[0].error_code, None);
    // The coordinator hears of it from the controller.
    beat(&mut raw, &join_request(&group, "m1", &[&topic.name]));
    eventually(|| {
        let response = raw.call(&beat_request(&group, "m1", 1), 1);
        assert_error(response.error_code, None);
        (response.heartbeat_interval_ms == 7000).then_some(())
    });
}

#[test]
fn members_commit_within_transactions_with_their_epochs() {
    let kafka = Kafka::start();
    let topic = kafka.topic("within", 1);
    let (group, transactional_id) = (unique("within"), unique("within"));
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    beat(&mut raw, &join_request(&group, "m1", &[&topic.name]));
    let id = TransactionalId(text(&transactional_id));
    let mut transactions = kafka.coordinator(&transactional_id, 1);
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(id.clone()))
        .with_transaction_timeout_ms(60_000)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    let producer = eventually(|| Some(transactions.call(&request, 4)).filter(|producer| producer.error_code == 0));
    let request = AddOffsetsToTxnRequest::default()
        .with_transactional_id(id.clone())
        .with_producer_id(producer.producer_id)
        .with_producer_epoch(producer.producer_epoch)
        .with_group_id(group_id(&group));
    assert_error(transactions.call(&request, 3).error_code, None);
    let mut code = |member: &str, epoch: i32| {
        let partition = txn_offset_commit_request::TxnOffsetCommitRequestPartition::default().with_committed_offset(7);
        let topic = txn_offset_commit_request::TxnOffsetCommitRequestTopic::default()
            .with_name(topic_name(&topic.name))
            .with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(id.clone())
            .with_group_id(group_id(&group))
            .with_producer_id(producer.producer_id)
            .with_producer_epoch(producer.producer_epoch)
            .with_member_id(text(member))
            .with_generation_id(epoch)
            .with_topics(vec![topic]);
        raw.call(&request, 4).topics[0].partitions[0].error_code
    };
    assert_error(code("m1", 1), None);
    assert_error(code("m1", 0), Some(IllegalGeneration));
    assert_error(code("m1", 2), Some(IllegalGeneration));
    assert_error(code("m2", 1), Some(UnknownMemberId));
    assert_error(code("m1", -1), Some(IllegalGeneration));
    assert_error(code("m2", -1), Some(UnknownMemberId));
    assert_error(code("", 1), Some(UnknownMemberId));
    // A producer need not say for which member it commits.
    assert_error(code("", -1), None);
}
