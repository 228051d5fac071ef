//! Groups as an admin client sees and deletes them.

mod common;

use std::collections::BTreeMap;

use common::groups::*;
use common::*;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_groups_request::DeleteGroupsRequest;
use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::*;

fn describe(raw: &mut Raw, group: &str, version: i16) -> DescribedGroup {
    let request = DescribeGroupsRequest::default().with_groups(vec![group_id(group)]);
    raw.call(&request, version).groups.remove(0)
}

fn delete(raw: &mut Raw, groups: &[&str]) -> BTreeMap<String, i16> {
    let request = DeleteGroupsRequest::default().with_groups_names(groups.iter().map(|id| group_id(id)).collect());
    let response = raw.call(&request, 2);
    response.results.iter().map(|result| (result.group_id.to_string(), result.error_code)).collect()
}

/// Deletes an offset; the code for all and the code of the partition.
fn delete_offset(raw: &mut Raw, group: &str, topic: &str, partition: i32) -> (i16, Option<i16>) {
    let partition = OffsetDeleteRequestPartition::default().with_partition_index(partition);
    let topic = OffsetDeleteRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
    let request = OffsetDeleteRequest::default().with_group_id(group_id(group)).with_topics(vec![topic]);
    let response = raw.call(&request, 0);
    (response.error_code, response.topics.first().map(|topic| topic.partitions[0].error_code))
}

#[test]
fn a_group_that_is_not_there_is_dead_or_not_found() {
    let kafka = Kafka::start();
    let group = unique("nobody");
    let mut raw = kafka.coordinator(&group, 0);
    for version in 0..=6 {
        let described = describe(&mut raw, &group, version);
        assert_eq!((&*described.group_id.0, &*described.group_state), (&*group, "Dead"));
        if version >= 6 {
            assert_error(described.error_code, Some(ResponseError::GroupIdNotFound));
            assert_eq!(described.error_message.as_deref(), Some(&*format!("Group {group} not found.")));
        } else {
            assert_error(described.error_code, None);
        }
    }
}

#[test]
fn a_group_is_described_by_its_state_and_members() {
    let kafka = Kafka::start();
    let group = unique("described");
    let mut one = Member::new(&kafka, &group).instance("first");
    let mut raw = kafka.coordinator(&group, 0);
    assert_error(one.join().error_code, None);
    let described = eventually(|| Some(describe(&mut raw, &group, 6)).filter(|group| group.error_code == 0));
    let all = (&*described.group_state, &*described.protocol_type, &*described.protocol_data);
    assert_eq!(all, ("CompletingRebalance", "consumer", ""));
    let member = &described.members[0];
    assert_eq!((&*member.member_id, member.member_metadata.len()), (&*one.id, 0));
    let id = one.id.clone();
    assert_error(one.sync(&[(&id, "mine")]).error_code, None);
    let described = describe(&mut raw, &group, 6);
    let all = (&*described.group_state, &*described.protocol_type, &*described.protocol_data);
    assert_eq!(all, ("Stable", "consumer", "range"));
    let member = &described.members[0];
    assert_eq!(member.group_instance_id.as_deref(), Some("first"));
    assert_eq!((&*member.client_id, &*member.client_host), ("conformance", "/127.0.0.1"));
    assert_eq!((&member.member_metadata, &member.member_assignment[..]), (&subscription(&["t"]), &b"mine"[..]));
    let mut two = Member::new(&kafka, &group);
    two.send_join();
    one.hears_of_a_rebalance();
    assert_eq!(&*describe(&mut raw, &group, 6).group_state, "PreparingRebalance");
    assert_eq!(leave(&mut raw, &group, &[(&two.id, None), ("", Some("first"))]), [0, 0]);
    let described = describe(&mut raw, &group, 6);
    let all = (&*described.group_state, &*described.protocol_type, described.members.len());
    assert_eq!(all, ("Empty", "consumer", 0));
}

#[test]
fn what_a_client_may_do_to_a_group_is_told_if_it_asks() {
    let kafka = Kafka::start();
    let group = unique("operations");
    let mut raw = kafka.coordinator(&group, 0);
    for (version, asks, expected) in [(3, true, 3400), (5, true, 3400), (5, false, i32::MIN), (6, true, i32::MIN)] {
        let request = DescribeGroupsRequest::default()
            .with_groups(vec![group_id(&group)])
            .with_include_authorized_operations(asks);
        let described = raw.call(&request, version).groups.remove(0);
        assert_eq!(described.authorized_operations, expected, "{version} {asks}");
    }
}

#[test]
fn groups_are_listed_by_state_and_type() {
    let kafka = Kafka::start();
    let (stable, simple) = (unique("stable"), unique("simple"));
    let topic = kafka.topic("listed", 1);
    let mut member = Member::new(&kafka, &stable);
    member.join_alone();
    let mut raw = kafka.coordinator(&simple, 0);
    assert_error(commit(&mut raw, &commit_request(&simple, &topic.name, 0, 5), 9), None);
    let mut list = |version: i16, states: &[&str], types: &[&str]| -> Vec<(String, String, String, String)> {
        let request = ListGroupsRequest::default()
            .with_states_filter(states.iter().map(|state| text(state)).collect())
            .with_types_filter(types.iter().map(|kind| text(kind)).collect());
        let response = raw.call(&request, version);
        assert_error(response.error_code, None);
        let ours = response.groups.iter().filter(|group| [&stable, &simple].contains(&&group.group_id.to_string()));
        let mut ours: Vec<_> = ours
            .map(|group| {
                let texts = [&group.protocol_type, &group.group_state, &group.group_type].map(ToString::to_string);
                let [protocol_type, state, kind] = texts;
                (group.group_id.to_string(), protocol_type, state, kind)
            })
            .collect();
        ours.sort();
        ours
    };
    let line = |id: &str, protocol: &str, state: &str, kind: &str| {
        (id.to_owned(), protocol.to_owned(), state.to_owned(), kind.to_owned())
    };
    let both = |kind: &str, states: [&str; 2]| {
        let mut both = vec![line(&stable, "consumer", states[0], kind), line(&simple, "", states[1], kind)];
        both.sort();
        both
    };
    for version in 0..=5 {
        let states = if version >= 4 { ["Stable", "Empty"] } else { ["", ""] };
        let kind = if version >= 5 { "classic" } else { "" };
        assert_eq!(list(version, &[], &[]), both(kind, states), "{version}");
    }
    assert_eq!(list(5, &["stable"], &["Classic"]), [line(&stable, "consumer", "Stable", "classic")]);
    assert_eq!(list(4, &["Empty "], &[]), [line(&simple, "", "Empty", "")]);
    assert_eq!(list(5, &["Empty", "Stable", "Dead"], &[]).len(), 2);
    for (states, types) in [(&["nonsense"][..], &[][..]), (&[], &["nonsense"]), (&[], &["consumer"])] {
        assert_eq!(list(5, states, types), []);
    }
}

#[test]
fn a_group_is_deleted_with_its_offsets_once_it_has_no_members() {
    let kafka = Kafka::start();
    let (group, unknown) = (unique("deleted"), unique("unknown"));
    let topic = kafka.topic("deleted", 1);
    let mut member = Member::new(&kafka, &group);
    member.join_alone();
    assert_error(member.commit(&topic.name, 0, 5), None);
    let mut raw = kafka.coordinator(&group, 0);
    let (not_found, not_empty) = (ResponseError::GroupIdNotFound.code(), ResponseError::NonEmptyGroup.code());
    let results = delete(&mut raw, &[&group, &unknown, &group]);
    let expected = [(&group, not_empty), (&unknown, not_found)];
    assert_eq!(results, expected.map(|(id, code)| (id.clone(), code)).into());
    assert_error(member.leave(), None);
    assert_eq!(committed(&mut raw, &group, &topic.name, 0), 5);
    assert_eq!(delete(&mut raw, &[&group]), [(group.clone(), 0)].into());
    assert_eq!(committed(&mut raw, &group, &topic.name, 0), -1);
    assert_error(describe(&mut raw, &group, 6).error_code, Some(ResponseError::GroupIdNotFound));
    assert_eq!(delete(&mut raw, &[&group]), [(group.clone(), not_found)].into());
    // It starts again.
    member.id.clear();
    member.join_alone();
    assert_eq!(member.generation, 1);
}

#[test]
fn offsets_of_topics_that_nobody_reads_are_deleted() {
    let kafka = Kafka::start();
    let (group, simple) = (unique("reads"), unique("simple"));
    let (read, other) = (kafka.topic("read", 1), kafka.topic("other", 1));
    let mut member = Member::new(&kafka, &group);
    member.join.protocols[0].metadata = subscription(&[&read.name]);
    member.join_alone();
    assert_error(member.commit(&read.name, 0, 5), None);
    assert_error(member.commit(&other.name, 0, 6), None);
    let mut raw = kafka.coordinator(&group, 0);
    let subscribed = Some(ResponseError::GroupSubscribedToTopic.code());
    assert_eq!(delete_offset(&mut raw, &group, &read.name, 0), (0, subscribed));
    assert_eq!(delete_offset(&mut raw, &group, &other.name, 0), (0, Some(0)));
    let unknown = Some(ResponseError::UnknownTopicOrPartition.code());
    assert_eq!(delete_offset(&mut raw, &group, &other.name, 1), (0, unknown));
    assert_eq!(delete_offset(&mut raw, &group, &unique("nowhere"), 0), (0, unknown));
    assert_eq!(all_committed(&mut raw, &group), [((read.name.clone(), 0), 5)].into());
    assert_error(member.leave(), None);
    assert_eq!(delete_offset(&mut raw, &group, &read.name, 0), (0, Some(0)));
    assert!(all_committed(&mut raw, &group).is_empty());

    let not_found = ResponseError::GroupIdNotFound.code();
    assert_eq!(delete_offset(&mut raw, &simple, &read.name, 0), (not_found, None));
    assert_eq!(delete_offset(&mut raw, "", &read.name, 0), (ResponseError::InvalidGroupId.code(), None));
    assert_error(commit(&mut raw, &commit_request(&simple, &read.name, 0, 7), 9), None);
    assert_eq!(delete_offset(&mut raw, &simple, &read.name, 0), (0, Some(0)));
    assert_eq!(committed(&mut raw, &simple, &read.name, 0), -1);
}

#[test]
fn offsets_of_a_group_that_does_not_consume_are_deleted_once_it_is_empty() {
    let kafka = Kafka::start();
    let (group, topic) = (unique("connect"), kafka.topic("connect", 1));
    let mut member = Member::new(&kafka, &group);
    member.join.protocol_type = text("connect");
    assert_error(member.join().error_code, None);
    let mut raw = kafka.coordinator(&group, 0);
    let refused = (ResponseError::NonEmptyGroup.code(), None);
    assert_eq!(delete_offset(&mut raw, &group, &topic.name, 0), refused);
    assert_error(member.leave(), None);
    assert_eq!(delete_offset(&mut raw, &group, &topic.name, 0), (0, Some(0)));
}

#[test]
fn offsets_go_with_their_topic() {
    let kafka = Kafka::start();
    let (group, topic, kept) = (unique("group"), kafka.topic("gone", 2), kafka.topic("kept", 1));
    let mut raw = kafka.coordinator(&group, 0);
    for (topic, partition) in [(&topic, 0), (&topic, 1), (&kept, 0)] {
        assert_error(commit(&mut raw, &commit_request(&group, &topic.name, partition, 5), 9), None);
    }
    let request =
        DeleteTopicsRequest::default().with_topic_names(vec![topic_name(&topic.name)]).with_timeout_ms(30_000);
    assert_error(kafka.controller().call(&request, 5).responses[0].error_code, None);
    let left = eventually(|| Some(all_committed(&mut raw, &group)).filter(|offsets| offsets.len() == 1));
    assert_eq!(left, [((kept.name.clone(), 0), 5)].into());
}

#[test]
fn a_coordinator_is_found_in_every_version() {
    let kafka = Kafka::start();
    let group = unique("found");
    let mut raw = kafka.coordinator(&group, 0);
    kafka.coordinator(&group, 1);
    for version in 0..=6 {
        for key_type in 0..=if version == 0 { 0 } else { 1 } {
            for key in [&*group, ""] {
                let request = FindCoordinatorRequest::default().with_key_type(key_type);
                let response = if version >= 4 {
                    let coordinator =
                        raw.call(&request.with_coordinator_keys(vec![text(key)]), version).coordinators.remove(0);
                    assert_eq!((&*coordinator.key, coordinator.error_message.as_deref()), (key, Some("")));
                    (coordinator.error_code, coordinator.node_id.0, coordinator.port)
                } else {
                    let response = raw.call(&request.with_key(text(key)), version);
                    let message = if version >= 1 { "NONE" } else { "" };
                    assert_eq!(response.error_message.as_deref(), Some(message));
                    (response.error_code, response.node_id.0, response.port)
                };
                let (error_code, node, port) = response;
                assert_error(error_code, None);
                assert!(node >= 0 && port > 0, "{node} {port}");
            }
        }
    }
}

#[test]
fn what_has_no_coordinator_is_an_invalid_request() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    let message = "This most likely occurs because of a request being malformed by the client library or the message \
                   was sent to an incompatible broker. See the broker logs for more details.";
    for (version, key_type, expected) in [(3, 2, message), (3, 7, message), (5, 2, ""), (5, 7, message), (6, 2, "")] {
        let request = FindCoordinatorRequest::default().with_key_type(key_type);
        let (code, node, found) = if version >= 4 {
            let found = raw.call(&request.with_coordinator_keys(vec![text("key")]), version).coordinators.remove(0);
            (found.error_code, found.node_id, found.error_message)
        } else {
            let response = raw.call(&request.with_key(text("key")), version);
            (response.error_code, response.node_id, response.error_message)
        };
        assert_error(code, Some(ResponseError::InvalidRequest));
        assert_eq!((node.0, found.as_deref()), (-1, Some(expected)), "{version} {key_type}");
    }
}
