//! Members of classic groups whose timeouts expire.

mod common;

use std::time::Duration;

use common::groups::*;
use common::*;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{DescribeGroupsRequest, JoinGroupRequest};

/// The state of a group, and how many members it has.
fn look(raw: &mut Raw, group: &str) -> (String, usize) {
    let described = raw.call(&DescribeGroupsRequest::default().with_groups(vec![group_id(group)]), 5).groups.remove(0);
    (described.group_state.to_string(), described.members.len())
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_member_that_does_not_join_again_in_time_is_out() {
    let kafka = Kafka::start();
    let group = unique("slow");
    let [mut one, mut two] = {
        let mut one = Member::new(&kafka, &group).rebalance_timeout(400);
        let mut two = Member::new(&kafka, &group).rebalance_timeout(400);
        one.join_alone();
        rebalance(&mut one, &mut two);
        [one, two]
    };
    let mut three = Member::new(&kafka, &group).rebalance_timeout(400);
    three.send_join();
    two.hears_of_a_rebalance();
    two.send_join();
    // The leader does not come: another leads.
    let (second, third) = (two.joined(), three.joined());
    assert_eq!((second.error_code, third.error_code, second.generation_id), (0, 0, 3));
    assert_eq!(second.members.len() + third.members.len(), 2);
    assert_ne!(&*second.leader, &*one.id);
    assert_error(one.heartbeat(), Some(ResponseError::UnknownMemberId));
    assert_error(one.join().error_code, Some(ResponseError::UnknownMemberId));
}

#[test]
fn a_member_that_does_not_ask_for_its_assignment_in_time_is_out() {
    let kafka = Kafka::start();
    let group = unique("no-sync");
    let mut one = Member::new(&kafka, &group).rebalance_timeout(300);
    let mut two = Member::new(&kafka, &group).rebalance_timeout(300);
    one.join_alone();
    two.send_join();
    one.hears_of_a_rebalance();
    one.send_join();
    one.joined();
    two.joined();
    let id = one.id.clone();
    assert_error(one.sync(&[(&id, "all")]).error_code, None);
    one.hears_of_a_rebalance();
    let joined = one.join();
    assert_eq!((joined.error_code, joined.generation_id, joined.members.len()), (0, 3, 1));
    assert_error(two.heartbeat(), Some(ResponseError::UnknownMemberId));
}

#[test]
fn a_static_member_that_does_not_join_again_stays() {
    let kafka = Kafka::start();
    let group = unique("static");
    let mut one = Member::new(&kafka, &group).instance("first").rebalance_timeout(300);
    let mut two = Member::new(&kafka, &group).instance("second").rebalance_timeout(300);
    one.join_alone();
    rebalance(&mut one, &mut two);
    let joined = one.join();
    assert_eq!((joined.error_code, joined.generation_id, joined.members.len()), (0, 3, 2));
    let (first, second) = (one.id.clone(), two.id.clone());
    assert_error(one.sync(&[(&first, "one"), (&second, "two")]).error_code, None);
    // It has not heard of this generation.
    assert_error(two.heartbeat(), Some(ResponseError::IllegalGeneration));
    let joined = two.join();
    assert_eq!((joined.error_code, joined.generation_id), (0, 3));
    assert_eq!(&two.sync(&[]).assignment[..], b"two");
}

#[test]
fn a_member_that_is_not_heard_of_is_out() {
    let kafka = Kafka::embedded(|builder| builder);
    // The shortest session is 6 s, and Kafka's clock cannot be set.
    let embedded = kafka.embedded.as_ref().unwrap();
    embedded.pause_time();
    let group = unique("silent");
    let [mut one, mut two] = two_members(&kafka, &group);
    let mut raw = kafka.coordinator(&group, 0);
    embedded.advance(seconds(29));
    assert_error(one.heartbeat(), None);
    embedded.advance(seconds(1));
    assert_error(two.heartbeat(), Some(ResponseError::UnknownMemberId));
    assert_error(one.heartbeat(), Some(ResponseError::RebalanceInProgress));
    assert_eq!(look(&mut raw, &group), ("PreparingRebalance".to_owned(), 1));
    // Who waits for the others to join is not missed.
    let mut three = Member::new(&kafka, &group);
    three.send_join();
    eventually(|| (look(&mut raw, &group).1 == 2).then_some(()));
    embedded.advance(seconds(29));
    assert_eq!(look(&mut raw, &group), ("PreparingRebalance".to_owned(), 2));
    embedded.advance(seconds(1));
    let joined = three.joined();
    assert_eq!((joined.error_code, joined.members.len()), (0, 1));
    embedded.advance(seconds(30));
    assert_eq!(look(&mut raw, &group), ("Empty".to_owned(), 0));
}

#[test]
fn a_commit_is_a_sign_of_life() {
    let kafka = Kafka::embedded(|builder| builder);
    let embedded = kafka.embedded.as_ref().unwrap();
    embedded.pause_time();
    let (group, topic) = (unique("commits"), kafka.topic("commits", 1));
    let mut member = Member::new(&kafka, &group);
    member.join_alone();
    for offset in 0..3 {
        embedded.advance(seconds(29));
        assert_error(member.commit(&topic.name, 0, offset), None);
    }
    assert_error(member.heartbeat(), None);
}

#[test]
fn an_id_that_was_given_out_is_kept_for_a_session() {
    let kafka = Kafka::embedded(|builder| builder);
    let embedded = kafka.embedded.as_ref().unwrap();
    embedded.pause_time();
    let group = unique("pending");
    let mut member = Member::new(&kafka, &group);
    member.take_id();
    embedded.advance(seconds(30));
    assert_error(member.join().error_code, Some(ResponseError::UnknownMemberId));
    member.take_id();
    embedded.advance(seconds(29));
    member.join_alone();
}

#[test]
fn the_first_members_are_waited_for_as_long_as_the_broker_is_told() {
    let kafka = Kafka::embedded(|builder| builder.config("group.initial.rebalance.delay.ms", "3000"));
    let embedded = kafka.embedded.as_ref().unwrap();
    embedded.pause_time();
    let group = unique("delay");
    let mut raw = kafka.coordinator(&group, 0);
    let mut members: Vec<Member> = (0..3).map(|_| Member::new(&kafka, &group)).collect();
    for (n, member) in members.iter_mut().enumerate() {
        member.send_join();
        eventually(|| (look(&mut raw, &group) == ("PreparingRebalance".to_owned(), n + 1)).then_some(()));
        embedded.advance(Duration::from_millis(2000));
    }
    // The wait was drawn out for those who came after 2 and 4 s: it ends after 9 s, 3 s after the last one.
    embedded.advance(Duration::from_millis(2999));
    assert_eq!(look(&mut raw, &group), ("PreparingRebalance".to_owned(), 3));
    embedded.advance(Duration::from_millis(1));
    let shares: Vec<usize> = members.iter_mut().map(|member| member.joined().members.len()).collect();
    assert_eq!(shares.iter().sum::<usize>(), 3);
}

#[test]
fn a_group_takes_no_more_members_than_the_broker_is_told() {
    let kafka = Kafka::embedded(|builder| builder.config("group.max.size", "2"));
    let group = unique("full");
    let [mut one, _two] = two_members(&kafka, &group);
    let mut three = Member::new(&kafka, &group);
    let refused = three.raw.call::<JoinGroupRequest>(&three.join.clone(), JOIN);
    assert_error(refused.error_code, Some(ResponseError::GroupMaxSizeReached));
    assert_error(one.heartbeat(), None);
    assert_error(one.leave(), None);
    three.send_join();
    assert_error(one.heartbeat(), Some(ResponseError::UnknownMemberId));
}

#[test]
fn offsets_are_kept_for_seven_days_after_the_last_member_has_left() {
    let kafka = Kafka::embedded(|builder| builder);
    let embedded = kafka.embedded.as_ref().unwrap();
    embedded.pause_time();
    let day = seconds(24 * 60 * 60);
    let topic = kafka.topic("expires", 1);
    let (group, simple) = (unique("members"), unique("simple"));
    let mut member = Member::new(&kafka, &group);
    member.join_alone();
    assert_error(member.commit(&topic.name, 0, 5), None);
    let mut raw = kafka.coordinator(&simple, 0);
    assert_error(commit(&mut raw, &commit_request(&simple, &topic.name, 0, 6), 9), None);
    let keeps = commit_request(&simple, &topic.name, 0, 6).with_retention_time_ms(1000);
    // An old client says itself how long.
    let short = unique("short");
    assert_error(commit(&mut raw, &keeps.with_group_id(group_id(&short)), 4), None);
    embedded.advance(seconds(600));
    assert_eq!(look(&mut raw, &short).0, "Dead");
    embedded.advance(day * 7 - seconds(600));
    // The member's session has ended after 30 s, and the offsets of its group are in use since then no more.
    assert_eq!((look(&mut raw, &simple).0, look(&mut raw, &group).0), ("Dead".to_owned(), "Empty".to_owned()));
    assert_eq!(committed(&mut raw, &group, &topic.name, 0), 5);
    embedded.advance(seconds(600));
    assert_eq!(look(&mut raw, &group).0, "Dead");
    assert_eq!(committed(&mut raw, &group, &topic.name, 0), -1);
}
