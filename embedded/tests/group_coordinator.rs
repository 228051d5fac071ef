//! Each group has one coordinator, and the other brokers redirect clients.

mod common;

use common::groups::*;
use common::*;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::*;

#[test]
fn only_the_coordinator_serves_a_group() {
    let kafka = Kafka::with(|builder| builder.brokers(3));
    let brokers = kafka.connect().call(&MetadataRequest::default().with_topics(Some(vec![])), 12).brokers;
    let topic = kafka.topic("coordinated", 1);
    let not_coordinator = Some(ResponseError::NotCoordinator);
    let mut coordinators = std::collections::BTreeSet::new();
    for _ in 0..12 {
        let group = unique("group");
        let mut raw = kafka.coordinator(&group, 0);
        let find = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(&group)]);
        let coordinator = raw.call(&find, 4).coordinators[0].node_id;
        coordinators.insert(coordinator.0);
        // Kafka takes a moment to begin.
        eventually(|| (commit(&mut raw, &commit_request(&group, &topic.name, 0, 5), 9) == 0).then_some(()));
        for broker in brokers.iter().filter(|broker| broker.node_id != coordinator) {
            let mut other = kafka.broker(broker.node_id.0);
            let mut member = Member::new(&kafka, &group);
            member.raw = kafka.broker(broker.node_id.0);
            assert_error(member.raw.call(&member.join.clone(), JOIN).error_code, not_coordinator);
            assert_error(member.heartbeat(), not_coordinator);
            assert_error(member.sync(&[]).error_code, not_coordinator);
            let leave = LeaveGroupRequest::default().with_group_id(group_id(&group));
            assert_error(other.call(&leave, 5).error_code, not_coordinator);
            assert_error(commit(&mut other, &commit_request(&group, &topic.name, 0, 5), 9), not_coordinator);
            assert_error(fetch_offsets(&mut other, &group, None).error_code, not_coordinator);
            let describe = DescribeGroupsRequest::default().with_groups(vec![group_id(&group)]);
            assert_error(other.call(&describe, 6).groups[0].error_code, not_coordinator);
            let delete = DeleteGroupsRequest::default().with_groups_names(vec![group_id(&group)]);
            assert_error(other.call(&delete, 2).results[0].error_code, not_coordinator);
            let delete = OffsetDeleteRequest::default().with_group_id(group_id(&group));
            assert_error(other.call(&delete, 0).error_code, not_coordinator);
            let listed = other.call(&ListGroupsRequest::default(), 5).groups;
            assert!(listed.iter().all(|listed| *listed.group_id.0 != *group), "{group}: {listed:?}");
        }
        let listed = raw.call(&ListGroupsRequest::default(), 5).groups;
        assert!(listed.iter().any(|listed| *listed.group_id.0 == *group), "{group}");
    }
    assert!(brokers.len() == 1 || coordinators.len() > 1, "{coordinators:?}");
}
