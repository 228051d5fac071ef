//! Classic groups that migrate to the new protocol during a rebalance, and groups that cannot migrate.

mod common;

use bytes::Bytes;
use common::consumers::*;
use common::groups::*;
use common::*;
use kafka_protocol::ResponseError::{self, *};

fn classic(kafka: &Kafka, group: &str, topic: &Topic) -> Member {
    let mut member = Member::new(kafka, group);
    member.join.protocols[0].metadata = subscription(&[&topic.name]);
    member
}

/// Two members, of which the first leads a group that is stable.
fn two(kafka: &Kafka, group: &str, topic: &Topic) -> [Member; 2] {
    let [mut one, two] = [(); 2].map(|()| classic(kafka, group, topic));
    assert_error(one.join().error_code, None);
    assert_error(one.sync(&[]).error_code, None);
    [one, two]
}

#[test]
fn who_waits_for_the_others_to_join_joins_again() {
    let kafka = Kafka::start();
    let topic = kafka.topic("joining", 1);
    let group = unique("joining");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    let [mut one, mut two] = two(&kafka, &group, &topic);
    two.send_join();
    one.hears_of_a_rebalance();
    assert_eq!(beat(&mut raw, &join_request(&group, "m1", &[&topic.name])).0, 2);
    let told = two.joined();
    assert_error(told.error_code, Some(RebalanceInProgress));
    assert_eq!((&*told.member_id, told.generation_id), (&*two.id, -1));
    assert_error(one.heartbeat(), Some(RebalanceInProgress));
    let described = describe(&mut raw, &group);
    let kinds: Vec<(i8, i32)> =
        described.members.iter().map(|member| (member.member_type, member.member_epoch)).collect();
    assert_eq!(kinds, [(0, 1), (0, 1), (1, 2)]);
    assert_eq!(two.join().generation_id, 2);
    assert_error(two.sync(&[]).error_code, None);
}

#[test]
fn who_waits_for_its_assignment_joins_again() {
    let kafka = Kafka::start();
    let topic = kafka.topic("syncing", 1);
    let group = unique("syncing");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    let [mut one, mut two] = two(&kafka, &group, &topic);
    two.send_join();
    one.hears_of_a_rebalance();
    one.send_join();
    assert_eq!((one.joined().generation_id, two.joined().generation_id), (2, 2));
    two.send_sync(&[]);
    // The response is the same before and after the heartbeat.
    assert_eq!(beat(&mut raw, &join_request(&group, "m1", &[&topic.name])).0, 3);
    assert_error(two.synced().error_code, Some(RebalanceInProgress));
    assert_error(one.heartbeat(), Some(RebalanceInProgress));
    assert_eq!(state(&mut raw, &group), ("Reconciling".to_owned(), 3, 3));
}

#[test]
fn a_group_whose_subscriptions_or_assignments_cannot_be_read_stays_what_it_is() {
    let kafka = Kafka::start();
    let topic = kafka.topic("malformed", 1);
    let check = |member: &mut Member| {
        let mut raw = kafka.coordinator_that_knows(&member.group, &[&topic]);
        let message = format!(
            "Cannot upgrade classic group {} to consumer group because the embedded consumer protocol is malformed.",
            member.group
        );
        let join = join_request(&member.group, "m1", &[&topic.name]);
        assert_eq!(refused(&mut raw, &join, 1), (Some(GroupIdNotFound), message));
        assert_error(member.heartbeat(), None);
    };
    for metadata in [&b""[..], b"\xff\xff\0\0"] {
        let mut member = classic(&kafka, &unique("malformed"), &topic);
        member.join.protocols[0].metadata = Bytes::copy_from_slice(metadata);
        assert_error(member.join().error_code, None);
        assert_error(member.sync(&[]).error_code, None);
        check(&mut member);
    }
    let mut member = classic(&kafka, &unique("malformed"), &topic);
    member.join_alone();
    check(&mut member);
}

#[test]
fn a_group_whose_leader_tells_members_more_than_partitions_stays_what_it_is() {
    let kafka = Kafka::start();
    let topic = kafka.topic("custom", 1);
    let mut member = classic(&kafka, &unique("custom"), &topic);
    let mut raw = kafka.coordinator_that_knows(&member.group, &[&topic]);
    // Version 0, no partitions, and the assignor's own data.
    let assign = |member: &mut Member, data: &[u8]| {
        assert_error(member.join().error_code, None);
        let assignment = Bytes::from([&b"\0\0\0\0\0\0"[..], data].concat());
        member.send_sync_of(vec![(member.id.clone(), assignment)]);
        assert_error(member.synced().error_code, None);
    };
    assign(&mut member, b"\0\0\0\x04data");
    let join = join_request(&member.group, "m1", &[&topic.name]);
    let message = format!(
        "Cannot upgrade classic group {} to consumer group because an unsupported custom assignor is in use. Please \
         refer to the documentation or switch to a default assignor before re-attempting the upgrade.",
        member.group
    );
    assert_eq!(refused(&mut raw, &join, 1), (Some(GroupIdNotFound), message));
    assert_error(member.heartbeat(), None);
    // Data of no bytes is none.
    assign(&mut member, b"\0\0\0\0");
    assert_eq!(beat(&mut raw, &join).0, 3);
}

#[test]
fn a_group_of_other_clients_than_consumers_stays_what_it_is() {
    let kafka = Kafka::start();
    let group = unique("connect");
    let mut raw = kafka.coordinator(&group, 0);
    let mut member = Member::new(&kafka, &group);
    member.join.protocol_type = text("connect");
    assert_error(member.join().error_code, None);
    let message = format!(
        "Cannot upgrade classic group {group} to consumer group because the group does not use the consumer embedded protocol."
    );
    assert_eq!(refused(&mut raw, &join_request(&group, "m1", &["t"]), 1), (Some(GroupIdNotFound), message));
    let message = format!("Group {group} is not a consumer group.");
    assert_eq!(refused(&mut raw, &beat_request(&group, "m1", 1), 1), (Some(GroupIdNotFound), message));
}

#[test]
fn a_join_that_a_consumer_group_refuses_is_told_no_id() {
    let kafka = Kafka::start();
    let topic = kafka.topic("id", 1);
    let group = unique("id");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    beat(&mut raw, &join_request(&group, "m1", &[&topic.name]));
    let refuse = |change: fn(&mut Member), version: i16| {
        let mut member = classic(&kafka, &group, &topic);
        member.id = "k".to_owned();
        change(&mut member);
        let response = member.raw.call(&member.join.clone().with_member_id(text(&member.id)), version);
        (ResponseError::try_from_code(response.error_code), response.member_id.len())
    };
    assert_eq!(refuse(|member| member.join.protocols[0].metadata = Bytes::new(), 9), (Some(UnknownServerError), 0));
    assert_eq!(refuse(|member| member.join.protocol_type = text("x"), 9), (Some(InconsistentGroupProtocol), 0));
    assert_eq!(refuse(|member| member.join.protocol_type = text("x"), 5), (Some(InconsistentGroupProtocol), 0));
    assert_eq!(refuse(|member| member.join.group_instance_id = Some(text("i")), 9), (Some(UnknownMemberId), 0));
    // But for the one that it makes.
    assert_eq!(refuse(|member| member.id.clear(), 9), (Some(MemberIdRequired), 22));
}
