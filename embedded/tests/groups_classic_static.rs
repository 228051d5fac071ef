//! Classic groups: static members, which keep their assignments when they restart.

mod common;

use common::groups::*;
use common::*;
use kafka_protocol::ResponseError;

/// A stable group of two static members; the first leads. They are assigned "one" and "two".
fn two_static(kafka: &Kafka, group: &str) -> [Member; 2] {
    let mut one = Member::new(kafka, group).instance("first");
    let mut two = Member::new(kafka, group).instance("second");
    one.join_alone();
    rebalance(&mut one, &mut two);
    [one, two]
}

#[test]
fn a_static_member_joins_without_asking_for_an_id() {
    let kafka = Kafka::start();
    let group = unique("static");
    let mut member = Member::new(&kafka, &group).instance("first");
    let joined = member.join();
    assert_error(joined.error_code, None);
    assert!(joined.member_id.starts_with("first-"), "{}", &*joined.member_id);
    assert_eq!(joined.members[0].group_instance_id.as_deref(), Some("first"));
}

#[test]
fn a_static_member_that_starts_again_has_its_assignment_and_nobody_rebalances() {
    let kafka = Kafka::start();
    let group = unique("again");
    let [mut one, mut two] = two_static(&kafka, &group);
    let mut again = Member::new(&kafka, &group).instance("second");
    let joined = again.join();
    assert_eq!((joined.error_code, joined.generation_id, joined.skip_assignment), (0, 2, false));
    assert_ne!(again.id, two.id);
    assert_eq!((&*joined.leader, joined.members.len()), (&*one.id, 0));
    assert_eq!(&again.sync(&[]).assignment[..], b"two");
    assert_error(one.heartbeat(), None);
    assert_error(again.heartbeat(), None);
    // The previous member is fenced, whatever request it sends.
    let fenced = Some(ResponseError::FencedInstanceId);
    assert_error(two.heartbeat(), fenced);
    assert_error(two.sync(&[]).error_code, fenced);
    assert_error(two.join().error_code, fenced);
    let topic = kafka.topic("fenced", 1);
    assert_error(two.commit(&topic.name, 0, 5), fenced);
    let id = two.id.clone();
    assert_eq!(leave(&mut two.raw, &group, &[(&id, Some("second"))]), [ResponseError::FencedInstanceId.code()]);
    // Without its instance id, it is unknown.
    two.instance = None;
    assert_error(two.heartbeat(), Some(ResponseError::UnknownMemberId));
}

#[test]
fn a_leader_that_starts_again_assigns_nothing_anew() {
    let kafka = Kafka::start();
    let group = unique("leader");
    let [one, mut two] = two_static(&kafka, &group);
    let mut again = Member::new(&kafka, &group).instance("first");
    let joined = again.join();
    assert_eq!((joined.error_code, joined.generation_id, joined.skip_assignment), (0, 2, true));
    assert_eq!((&*joined.leader, joined.members.len()), (&*again.id, 2));
    assert_eq!(&again.sync(&[]).assignment[..], b"one");
    assert_error(two.heartbeat(), None);
    // For a client that does not support this, the response names another leader: the previous member.
    let mut old_client = Member::new(&kafka, &group).instance("first");
    let joined = old_client.raw.call(&old_client.join.clone(), 8);
    assert_eq!((joined.error_code, joined.generation_id, joined.members.len()), (0, 2, 0));
    assert_eq!(&*joined.leader, &*again.id);
    assert_ne!(&*joined.member_id, &*again.id);
    assert_ne!(one.id, again.id);
}

#[test]
fn a_static_member_that_starts_again_with_other_protocols_changes_the_group_if_it_changes_the_choice() {
    let kafka = Kafka::start();
    let group = unique("protocols");
    let mut one = Member::new(&kafka, &group).instance("first").protocols(&["range", "roundrobin"]);
    one.join_alone();
    let mut two = Member::new(&kafka, &group).instance("second").protocols(&["range", "roundrobin"]);
    rebalance(&mut one, &mut two);
    assert_eq!(one.protocol, "range");
    let mut same_choice = Member::new(&kafka, &group).instance("second").protocols(&["range", "roundrobin", "new"]);
    assert_eq!(same_choice.join().generation_id, 2);
    assert_error(one.heartbeat(), None);
    let mut other_choice = Member::new(&kafka, &group).instance("second").protocols(&["roundrobin"]);
    other_choice.send_join();
    one.hears_of_a_rebalance();
    one.send_join();
    let (first, second) = (one.joined(), other_choice.joined());
    assert_eq!((first.error_code, second.error_code, first.generation_id), (0, 0, 3));
    assert_eq!((&*one.protocol, &*other_choice.protocol), ("roundrobin", "roundrobin"));
}

#[test]
fn a_static_member_whose_double_comes_while_it_waits_is_fenced() {
    let kafka = Kafka::start();
    let group = unique("double");
    let [mut one, mut two] = two_static(&kafka, &group);
    one.send_join();
    let mut double = Member::new(&kafka, &group).instance("first");
    two.hears_of_a_rebalance();
    double.send_join();
    let fenced = one.joined();
    assert_error(fenced.error_code, Some(ResponseError::FencedInstanceId));
    assert_eq!(&*fenced.member_id, &*one.id);
    two.send_join();
    assert_eq!((double.joined().generation_id, two.joined().generation_id), (3, 3));
    // Now while it waits for its assignment: the group begins again.
    let (mut follower, leader) = if two.leads() { (double, two) } else { (two, double) };
    follower.send_sync(&[]);
    let mut double = Member::new(&kafka, &group).instance(follower.instance.as_deref().unwrap());
    double.send_join();
    assert_error(follower.synced().error_code, Some(ResponseError::FencedInstanceId));
    let mut leader = leader;
    leader.hears_of_a_rebalance();
}

#[test]
fn a_static_member_leaves_by_its_instance_id() {
    let kafka = Kafka::start();
    let group = unique("leave");
    let [mut one, two] = two_static(&kafka, &group);
    let unknown = ResponseError::UnknownMemberId.code();
    let fenced = ResponseError::FencedInstanceId.code();
    let members = [("", Some("nobody")), ("", None), (&*two.id, Some("nobody")), (&*two.id, Some("first"))];
    assert_eq!(leave(&mut one.raw, &group, &members), [unknown, unknown, unknown, fenced]);
    assert_error(one.heartbeat(), None);
    assert_eq!(leave(&mut one.raw, &group, &[("", Some("second")), ("", Some("second"))]), [0, unknown]);
    one.hears_of_a_rebalance();
    assert_eq!(one.join().generation_id, 3);
}

#[test]
fn an_instance_id_that_nobody_has_is_unknown() {
    let kafka = Kafka::start();
    let group = unique("unknown");
    let mut member = Member::new(&kafka, &group);
    member.join_alone();
    member.instance = Some("first".to_owned());
    let unknown = Some(ResponseError::UnknownMemberId);
    assert_error(member.heartbeat(), unknown);
    assert_error(member.sync(&[]).error_code, unknown);
    member.join.group_instance_id = Some(text("first"));
    assert_error(member.join().error_code, unknown);
}
