//! Groups that change from one protocol to the other, empty and with their members.

mod common;

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use common::consumers::*;
use common::groups::*;
use common::*;
use kafka_protocol::ResponseError::*;
use kafka_protocol::messages::{ConsumerProtocolAssignment, DescribeGroupsRequest};
use kafka_protocol::protocol::Decodable;

/// A member that speaks the classic protocol and wants these topics.
fn classic(kafka: &Kafka, group: &str, topic: &Topic) -> Member {
    let mut member = Member::new(kafka, group);
    for protocol in &mut member.join.protocols {
        protocol.metadata = subscription(&[&topic.name]);
    }
    member
}

/// The partitions in an assignment that a member of the classic protocol gets.
fn partitions(mut assignment: Bytes) -> BTreeMap<String, Vec<i32>> {
    let version = assignment.get_i16();
    let decoded = ConsumerProtocolAssignment::decode(&mut assignment, version).unwrap();
    decoded.assigned_partitions.into_iter().map(|assigned| (assigned.topic.to_string(), assigned.partitions)).collect()
}

fn of_name(topic: &Topic, partitions: &[i32]) -> BTreeMap<String, Vec<i32>> {
    [(topic.name.clone(), partitions.to_vec())].into()
}

/// What a leader of a classic group gives to a member.
fn assignment(topic: &Topic, partitions: &[i32]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    put_partitions(&mut bytes, topic, partitions);
    bytes.put_i32(-1);
    bytes.freeze()
}

/// The subscription of a member that has these partitions.
fn subscription_owning(topic: &Topic, partitions: &[i32]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(1);
    bytes.put(subscription(&[&topic.name]).slice(2..));
    put_partitions(&mut bytes, topic, partitions);
    bytes.freeze()
}

fn put_partitions(bytes: &mut BytesMut, topic: &Topic, partitions: &[i32]) {
    bytes.put_i32(1);
    bytes.put_i16(topic.name.len() as i16);
    bytes.put_slice(topic.name.as_bytes());
    bytes.put_i32(partitions.len() as i32);
    partitions.iter().for_each(|index| bytes.put_i32(*index));
}

/// Has a classic member be the only one of its group, with these partitions.
fn alone(member: &mut Member, topic: &Topic, partitions: &[i32]) {
    assert_error(member.join().error_code, None);
    member.send_sync_of(vec![(member.id.clone(), assignment(topic, partitions))]);
    assert_error(member.synced().error_code, None);
}

/// Returns the state and the protocol type of a group from DescribeGroups.
fn describe_classic(raw: &mut Raw, group: &str) -> (String, String, usize) {
    let request = DescribeGroupsRequest::default().with_groups(vec![group_id(group)]);
    let group = raw.call(&request, 5).groups.remove(0);
    (group.group_state.to_string(), group.protocol_type.to_string(), group.members.len())
}

#[test]
fn an_empty_group_is_of_the_kind_of_who_comes_next() {
    let kafka = Kafka::start();
    let topic = kafka.topic("empty", 1);
    let group = unique("empty");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    assert_error(commit(&mut raw, &commit_request(&group, &topic.name, 0, 7), 9), None);
    // A group that only has offsets is a classic one.
    assert_error(describe(&mut raw, &group).error_code, Some(GroupIdNotFound));
    assert_eq!(beat(&mut raw, &join_request(&group, "m1", &[&topic.name])), (1, of(&topic, &[0])));
    assert_eq!(describe_classic(&mut raw, &group).0, "Dead");
    assert_eq!(committed(&mut raw, &group, &topic.name, 0), 7);
    beat(&mut raw, &beat_request(&group, "m1", -1));

    let mut member = classic(&kafka, &group, &topic);
    alone(&mut member, &topic, &[0]);
    assert_eq!(describe_classic(&mut raw, &group), ("Stable".to_owned(), "consumer".to_owned(), 1));
    let message = format!("Group {group} is not a consumer group.");
    assert_eq!(refused(&mut raw, &beat_request(&group, "m1", 1), 1), (Some(GroupIdNotFound), message.clone()));
    assert_eq!(refused(&mut raw, &beat_request(&group, "m1", -1), 1), (Some(GroupIdNotFound), message));
    assert_error(member.leave(), None);
    assert_eq!(beat(&mut raw, &join_request(&group, "m2", &[&topic.name])), (1, of(&topic, &[0])));
    assert_eq!(committed(&mut raw, &group, &topic.name, 0), 7);
}

#[test]
fn a_classic_group_goes_over_to_the_new_protocol_member_by_member() {
    let kafka = Kafka::start();
    let topic = kafka.topic("upgrade", 2);
    let group = unique("upgrade");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    let mut old = classic(&kafka, &group, &topic);
    alone(&mut old, &topic, &[0, 1]);
    assert_eq!(old.generation, 1);

    // The one of the new protocol waits until the other has revoked.
    assert_eq!(beat(&mut raw, &join_request(&group, "m1", &[&topic.name])), (2, of(&topic, &[])));
    let described = describe(&mut raw, &group);
    let kinds: BTreeMap<_, _> =
        described.members.iter().map(|member| (member.member_type, member.member_epoch)).collect();
    assert_eq!((&*described.group_state, kinds), ("Reconciling", [(0, 1), (1, 2)].into()));
    assert_error(old.heartbeat(), Some(RebalanceInProgress));
    // Its JoinGroup reports its partitions. The response is for the epoch in which it revokes.
    let mut owning = classic(&kafka, &group, &topic).join.protocols;
    owning[0].metadata = subscription_owning(&topic, &[0, 1]);
    old.join.protocols = owning;
    let joined = old.join();
    assert_error(joined.error_code, None);
    assert_eq!((joined.generation_id, joined.protocol_name.as_deref(), &*joined.leader), (1, Some("range"), ""));
    assert_eq!((joined.members.len(), joined.skip_assignment), (0, false));
    let synced = old.sync(&[]);
    assert_error(synced.error_code, None);
    let kept = partitions(synced.assignment);
    assert_eq!(kept.values().map(Vec::len).sum::<usize>(), 1);
    assert_error(old.heartbeat(), Some(RebalanceInProgress));
    let kept = &kept[&topic.name];
    old.join.protocols[0].metadata = subscription_owning(&topic, kept);
    assert_eq!(old.join().generation_id, 2);
    assert_eq!(partitions(old.sync(&[]).assignment), of_name(&topic, kept));
    assert_error(old.heartbeat(), None);
    let other = [1 - kept[0]];
    assert_eq!(beat(&mut raw, &beat_request(&group, "m1", 2)), (2, of(&topic, &other)));
    assert_eq!(state(&mut raw, &group), ("Stable".to_owned(), 2, 2));

    // It commits in its generation, and comes back with the new protocol.
    assert_error(old.commit(&topic.name, 0, 3), None);
    assert_error(old.leave(), None);
    assert_eq!(beat(&mut raw, &beat_request(&group, "m1", 2)), (3, of(&topic, &[0, 1])));
}

#[test]
fn the_last_member_of_the_new_protocol_leaves_a_classic_group_behind() {
    let kafka = Kafka::start();
    let topic = kafka.topic("downgrade", 2);
    let group = unique("downgrade");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    beat(&mut raw, &join_request(&group, "m1", &[&topic.name]));
    let mut old = classic(&kafka, &group, &topic);
    assert_eq!(old.join().generation_id, 2);
    assert!(partitions(old.sync(&[]).assignment).is_empty());
    assert_error(old.heartbeat(), None);
    assert_eq!(state(&mut raw, &group), ("Reconciling".to_owned(), 2, 2));
    beat(&mut raw, &beat_request(&group, "m1", -1));
    assert_error(describe(&mut raw, &group).error_code, Some(GroupIdNotFound));
    assert_eq!(describe_classic(&mut raw, &group), ("PreparingRebalance".to_owned(), "consumer".to_owned(), 1));
    assert_error(old.heartbeat(), Some(RebalanceInProgress));
    alone(&mut old, &topic, &[0, 1]);
    assert_eq!(old.generation, 3);
    assert_eq!(describe_classic(&mut raw, &group), ("Stable".to_owned(), "consumer".to_owned(), 1));
}

#[test]
fn a_classic_member_is_told_what_a_consumer_group_does_not_take() {
    let kafka = Kafka::start();
    let topic = kafka.topic("told", 1);
    let group = unique("told");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    beat(&mut raw, &join_request(&group, "m1", &[&topic.name]));
    let mut connect = classic(&kafka, &group, &topic);
    connect.id = "x".to_owned();
    connect.join.protocol_type = text("connect");
    assert_error(connect.join().error_code, Some(InconsistentGroupProtocol));
    let mut old = classic(&kafka, &group, &topic);
    (old.id, old.generation) = ("m1".to_owned(), 1);
    // Members of the new protocol are not members of the old one.
    assert_error(old.heartbeat(), Some(UnknownMemberId));
    old.protocol = "range".to_owned();
    assert_error(old.sync(&[]).error_code, Some(UnknownMemberId));
    old.id = "nobody".to_owned();
    assert_error(old.heartbeat(), Some(UnknownMemberId));
    assert_error(old.leave(), Some(UnknownMemberId));
    old.id.clear();
    assert_eq!(old.join().generation_id, 2);
    old.generation = 1;
    assert_error(old.heartbeat(), Some(IllegalGeneration));
    assert_error(old.sync(&[]).error_code, Some(IllegalGeneration));
    old.generation = 2;
    old.protocol = "roundrobin".to_owned();
    assert_error(old.sync(&[]).error_code, Some(InconsistentGroupProtocol));
    // Another one has to know an assignor that it knows.
    let mut other = classic(&kafka, &group, &topic).protocols(&["roundrobin"]);
    assert_error(
        other.raw.call(&other.join.clone().with_member_id(text("y")), JOIN).error_code,
        Some(InconsistentGroupProtocol),
    );
    other.id.clear();
    let refused = other.raw.call(&other.join.clone(), JOIN);
    assert_error(refused.error_code, Some(InconsistentGroupProtocol));
}

#[test]
fn a_leave_group_takes_members_of_either_protocol_out() {
    let kafka = Kafka::start();
    let topic = kafka.topic("either", 1);
    let group = unique("either");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    beat(&mut raw, &join_request(&group, "m1", &[&topic.name]));
    beat(&mut raw, &join_request(&group, "m2", &[&topic.name]));
    let as_one = join_request(&group, "s1", &[&topic.name]).with_instance_id(Some(text("one")));
    beat(&mut raw, &as_one);
    let results = leave(
        &mut raw,
        &group,
        &[("m1", None), ("m1", None), ("m1", Some("one")), ("", Some("two")), ("", Some("one"))],
    );
    let expected = [None, None, Some(FencedInstanceId), Some(UnknownMemberId), None];
    results.iter().zip(expected).for_each(|(code, error)| assert_error(*code, error));
    let described = describe(&mut raw, &group);
    assert_eq!((described.group_epoch, described.members.len()), (4, 1));

    // With the last one of the new protocol the group is a classic one.
    let mut old = classic(&kafka, &group, &topic);
    assert_error(old.join().error_code, None);
    assert_eq!(leave(&mut raw, &group, &[("m2", None)]), [0]);
    assert_error(describe(&mut raw, &group).error_code, Some(GroupIdNotFound));
    assert_error(old.heartbeat(), Some(RebalanceInProgress));
}

#[test]
fn a_group_that_goes_over_with_a_member_that_wants_nothing_stays_in_its_generation() {
    let kafka = Kafka::start();
    let topic = kafka.topic("nothing", 1);
    let group = unique("nothing");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    let mut old = classic(&kafka, &group, &topic);
    alone(&mut old, &topic, &[0]);
    assert_eq!(beat(&mut raw, &join_request(&group, "m1", &[])), (1, of(&topic, &[])));
    assert_eq!(state(&mut raw, &group), ("Stable".to_owned(), 1, 1));
    assert_error(old.heartbeat(), None);
}
