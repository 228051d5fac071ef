//! Classic groups: members join, sync and leave.

mod common;

use common::groups::*;
use common::*;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::{HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest};

#[test]
fn a_member_is_given_its_id_and_leads_the_group_that_it_is_alone_in() {
    let kafka = Kafka::start();
    let group = unique("alone");
    let mut member = Member::new(&kafka, &group);
    let refused = member.raw.call(&member.join.clone(), JOIN);
    assert_error(refused.error_code, Some(ResponseError::MemberIdRequired));
    assert!(refused.member_id.starts_with("conformance-"), "{}", &*refused.member_id);
    assert_eq!(
        (refused.generation_id, refused.protocol_type.as_deref(), refused.protocol_name.as_deref(), &*refused.leader),
        (-1, None, None, "")
    );
    member.id = refused.member_id.to_string();
    let joined = member.join();
    assert_error(joined.error_code, None);
    assert_eq!(
        (joined.generation_id, joined.protocol_type.as_deref(), joined.protocol_name.as_deref(), &*joined.leader),
        (1, Some("consumer"), Some("range"), &*member.id)
    );
    assert_eq!((joined.members.len(), &*joined.members[0].member_id), (1, &*member.id));
    assert_eq!(joined.members[0].metadata, subscription(&["t"]));
    assert!(!joined.skip_assignment);
    let id = member.id.clone();
    let synced = member.sync(&[(&id, "mine")]);
    assert_eq!(
        (synced.error_code, synced.protocol_type.as_deref(), synced.protocol_name.as_deref(), &synced.assignment[..]),
        (0, Some("consumer"), Some("range"), &b"mine"[..])
    );
    assert_error(member.heartbeat(), None);
    // It may ask again for its assignment.
    assert_eq!(&member.sync(&[]).assignment[..], b"mine");
}

#[test]
fn members_join_in_every_version() {
    let kafka = Kafka::start();
    for version in 0..=9 {
        let group = unique("versions");
        let mut member = Member::new(&kafka, &group);
        let mut request = member.join.clone();
        if version >= 4 {
            let refused = member.raw.call(&request, version);
            assert_error(refused.error_code, Some(ResponseError::MemberIdRequired));
            request.member_id = refused.member_id;
        }
        let joined = member.raw.call(&request, version);
        assert_error(joined.error_code, None);
        assert_eq!((joined.generation_id, joined.protocol_name.as_deref()), (1, Some("range")), "{version}");
        let sync = SyncGroupRequest::default()
            .with_group_id(group_id(&group))
            .with_generation_id(1)
            .with_member_id(joined.member_id);
        let synced = member.raw.call(&sync, version.min(4));
        assert_error(synced.error_code, None);
    }
}

#[test]
fn a_second_member_joins_and_both_have_a_share() {
    let kafka = Kafka::start();
    let group = unique("two");
    let [mut one, mut two] = two_members(&kafka, &group);
    assert_eq!((one.generation, two.generation), (2, 2));
    assert_error(one.heartbeat(), None);
    assert_error(two.heartbeat(), None);
}

#[test]
fn only_the_leader_is_told_the_members() {
    let kafka = Kafka::start();
    let group = unique("leader");
    let [mut one, mut two] = two_members(&kafka, &group);
    // The leader joins again: all have to.
    one.send_join();
    two.hears_of_a_rebalance();
    two.send_join();
    let (first, second) = (one.joined(), two.joined());
    assert_eq!((first.members.len(), second.members.len()), (2, 0));
    assert_eq!((first.generation_id, second.generation_id), (3, 3));
    // While the leader assigns, a member that rejoins unchanged gets the same response, and heartbeats succeed.
    assert_error(two.heartbeat(), None);
    let again = two.join();
    assert_eq!((again.error_code, again.generation_id, again.members.len()), (0, 3, 0));
    let again = one.join();
    assert_eq!((again.error_code, again.generation_id, again.members.len()), (0, 3, 2));
    let ids = (one.id.clone(), two.id.clone());
    assert_error(one.sync(&[(&ids.0, "a"), (&ids.1, "b")]).error_code, None);
    assert_eq!(&two.sync(&[]).assignment[..], b"b");
    // A follower that joins a stable group as it was changes nothing.
    let again = two.join();
    assert_eq!((again.error_code, again.generation_id), (0, 3));
    assert_error(one.heartbeat(), None);
}

#[test]
fn a_member_leaves_and_the_others_share_anew() {
    let kafka = Kafka::start();
    let group = unique("leave");
    let [mut one, mut two] = two_members(&kafka, &group);
    assert_error(two.leave(), None);
    assert_error(two.heartbeat(), Some(ResponseError::UnknownMemberId));
    assert_error(one.heartbeat(), Some(ResponseError::RebalanceInProgress));
    let joined = one.join();
    assert_eq!((joined.error_code, joined.generation_id, joined.members.len()), (0, 3, 1));
    let id = one.id.clone();
    assert_error(one.sync(&[(&id, "all")]).error_code, None);
    assert_error(one.leave(), None);
    assert_error(one.leave(), Some(ResponseError::UnknownMemberId));
    // Another joins the group that is empty now: at once.
    let mut three = Member::new(&kafka, &group);
    three.join_alone();
    assert_eq!(three.generation, 5);
}

#[test]
fn the_last_one_that_all_wait_for_leaves() {
    let kafka = Kafka::start();
    let group = unique("leaves-late");
    let [mut one, mut two] = two_members(&kafka, &group);
    let mut three = Member::new(&kafka, &group);
    three.send_join();
    two.hears_of_a_rebalance();
    two.send_join();
    // The rebalance waits for the first member only, which leads.
    assert_error(one.leave(), None);
    let (second, third) = (two.joined(), three.joined());
    assert_eq!((second.error_code, third.error_code), (0, 0));
    assert_eq!(second.members.len() + third.members.len(), 2);
    assert_eq!(second.leader, third.leader);
}

#[test]
fn nobody_waits_for_one_who_was_given_an_id_and_left() {
    let kafka = Kafka::start();
    let group = unique("pending");
    let [mut one, mut two] = two_members(&kafka, &group);
    let mut three = Member::new(&kafka, &group);
    three.take_id();
    one.send_join();
    two.hears_of_a_rebalance();
    two.send_join();
    assert!(!two.raw.has_answer_within(std::time::Duration::from_millis(50)), "the third is waited for");
    assert_error(three.leave(), None);
    assert_eq!((one.joined().error_code, two.joined().error_code), (0, 0));
    assert_error(three.heartbeat(), Some(ResponseError::UnknownMemberId));
}

#[test]
fn those_who_sync_while_a_rebalance_begins_are_sent_back() {
    let kafka = Kafka::start();
    let group = unique("sync");
    let [mut one, mut two] = two_members(&kafka, &group);
    one.send_join();
    two.hears_of_a_rebalance();
    assert_error(two.sync(&[]).error_code, Some(ResponseError::RebalanceInProgress));
    two.send_join();
    one.joined();
    two.joined();
    two.send_sync(&[]);
    // The third comes while the second waits for the leader's assignment.
    let mut three = Member::new(&kafka, &group);
    three.send_join();
    assert_error(two.synced().error_code, Some(ResponseError::RebalanceInProgress));
    assert_error(one.heartbeat(), Some(ResponseError::RebalanceInProgress));
}

#[test]
fn protocols_that_do_not_go_together_are_refused() {
    let kafka = Kafka::start();
    let group = unique("mixed");
    let mut one = Member::new(&kafka, &group).protocols(&["range", "roundrobin"]);
    one.join_alone();
    let mut other = Member::new(&kafka, &group).protocols(&["cooperative-sticky"]);
    let refused = other.raw.call(&other.join.clone(), JOIN);
    assert_error(refused.error_code, Some(ResponseError::InconsistentGroupProtocol));
    assert_eq!(&*refused.member_id, "");
    let mut connect = Member::new(&kafka, &group);
    connect.join.protocol_type = text("connect");
    let refused = connect.raw.call(&connect.join.clone(), JOIN);
    assert_error(refused.error_code, Some(ResponseError::InconsistentGroupProtocol));
    // A protocol that both know is taken.
    let mut two = Member::new(&kafka, &group).protocols(&["cooperative-sticky", "roundrobin"]);
    rebalance(&mut one, &mut two);
    assert_eq!((&*one.protocol, &*two.protocol), ("roundrobin", "roundrobin"));
}

#[test]
fn a_group_of_nobody_wants_a_protocol() {
    let kafka = Kafka::start();
    let mut without_protocols = Member::new(&kafka, &unique("none")).protocols(&[]);
    let refused = without_protocols.raw.call(&without_protocols.join.clone(), JOIN);
    assert_error(refused.error_code, Some(ResponseError::InconsistentGroupProtocol));
    let mut without_type = Member::new(&kafka, &unique("none"));
    without_type.join.protocol_type = text("");
    let refused = without_type.raw.call(&without_type.join.clone(), JOIN);
    assert_error(refused.error_code, Some(ResponseError::InconsistentGroupProtocol));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let kafka = Kafka::start();
    let group = unique("refused");
    let mut member = Member::new(&kafka, &group);
    let call = |member: &mut Member, request: JoinGroupRequest| member.raw.call(&request, JOIN).error_code;
    let join = member.join.clone();
    let timeout = |milliseconds| join.clone().with_session_timeout_ms(milliseconds);
    assert_error(call(&mut member, timeout(5_999)), Some(ResponseError::InvalidSessionTimeout));
    assert_error(call(&mut member, timeout(1_800_001)), Some(ResponseError::InvalidSessionTimeout));
    assert_error(call(&mut member, timeout(0).with_group_id(group_id(""))), Some(ResponseError::InvalidGroupId));
    assert_error(call(&mut member, join.clone().with_member_id(text("who"))), Some(ResponseError::UnknownMemberId));
    (member.id, member.generation) = ("who".to_owned(), 1);
    assert_error(member.heartbeat(), Some(ResponseError::UnknownMemberId));
    assert_error(member.sync(&[]).error_code, Some(ResponseError::UnknownMemberId));
    assert_error(member.leave(), Some(ResponseError::UnknownMemberId));
    let mut one = Member::new(&kafka, &group);
    one.join_alone();
    assert_error(member.heartbeat(), Some(ResponseError::UnknownMemberId));
    assert_error(member.join().error_code, Some(ResponseError::UnknownMemberId));
    assert_error(member.leave(), Some(ResponseError::UnknownMemberId));
    for generation in [0, 2] {
        one.generation = generation;
        assert_error(one.heartbeat(), Some(ResponseError::IllegalGeneration));
        assert_error(one.sync(&[]).error_code, Some(ResponseError::IllegalGeneration));
    }
    one.generation = 1;
    one.protocol = "other".to_owned();
    assert_error(one.sync(&[]).error_code, Some(ResponseError::InconsistentGroupProtocol));
    let without_names = SyncGroupRequest::default().with_group_id(group_id(&group)).with_generation_id(1);
    let refused = one.raw.call(&without_names, 5);
    assert_error(refused.error_code, Some(ResponseError::InconsistentGroupProtocol));
}

#[test]
fn who_hangs_up_while_it_waits_is_a_member_still() {
    let kafka = Kafka::start();
    let group = unique("hangs-up");
    let mut one = Member::new(&kafka, &group);
    one.join_alone();
    let mut two = Member::new(&kafka, &group);
    two.send_join();
    one.hears_of_a_rebalance();
    two.raw = kafka.coordinator(&group, 0);
    let joined = one.join();
    assert_eq!((joined.error_code, joined.generation_id, joined.members.len()), (0, 2, 2));
    // It may rejoin, and gets the assignment that it missed.
    let joined = two.join();
    assert_eq!((joined.error_code, joined.generation_id, joined.members.len()), (0, 2, 0));
    two.send_sync(&[]);
    let ids = (one.id.clone(), two.id.clone());
    assert_error(one.sync(&[(&ids.0, "one"), (&ids.1, "two")]).error_code, None);
    assert_eq!(&two.synced().assignment[..], b"two");
}

#[test]
fn members_sync_live_and_leave_in_every_version() {
    let kafka = Kafka::start();
    let group = unique("versions");
    let mut member = Member::new(&kafka, &group);
    assert_error(member.join().error_code, None);
    let sync = SyncGroupRequest::default()
        .with_group_id(group_id(&group))
        .with_generation_id(1)
        .with_member_id(text(&member.id))
        .with_protocol_type(Some(text("consumer")))
        .with_protocol_name(Some(text("range")));
    for version in 0..=5 {
        let request =
            if version >= 5 { sync.clone() } else { sync.clone().with_protocol_type(None).with_protocol_name(None) };
        let synced = member.raw.call(&request, version);
        assert_error(synced.error_code, None);
        assert_eq!(synced.protocol_name.as_deref(), (version >= 5).then_some("range"), "{version}");
    }
    for version in 0..=4 {
        let request = HeartbeatRequest::default().with_group_id(group_id(&group)).with_generation_id(1);
        assert_error(member.raw.call(&request, version).error_code, Some(ResponseError::UnknownMemberId));
        let request = request.with_member_id(text(&member.id));
        assert_error(member.raw.call(&request, version).error_code, None);
    }
    for version in 0..=5 {
        let request = LeaveGroupRequest::default().with_group_id(group_id(&group));
        for (id, expected) in [(&*member.id.clone(), None), ("who", Some(ResponseError::UnknownMemberId))] {
            let leaving = MemberIdentity::default().with_member_id(text(id));
            let response = if version >= 3 {
                member.raw.call(&request.clone().with_members(vec![leaving]), version)
            } else {
                member.raw.call(&request.clone().with_member_id(text(id)), version)
            };
            let error = response.members.first().map_or(response.error_code, |member| member.error_code);
            assert_error(error, expected);
        }
        member.id.clear();
        member.join_alone();
    }
    let response = member.raw.call(&LeaveGroupRequest::default().with_group_id(group_id("")), 5);
    assert_error(response.error_code, Some(ResponseError::InvalidGroupId));
}
