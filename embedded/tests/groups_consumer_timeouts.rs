//! Members of consumer groups whose session expires, or that do not revoke partitions in time.

mod common;

use common::consumers::*;
use common::*;
use kafka_protocol::ResponseError::*;

#[test]
fn a_member_that_does_not_give_back_its_partitions_in_time_is_fenced() {
    let kafka = Kafka::start();
    let topic = kafka.topic("slow", 2);
    let group = unique("slow");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    beat(&mut raw, &join_request(&group, "m1", &[&topic.name]).with_rebalance_timeout_ms(300));
    beat(&mut raw, &join_request(&group, "m2", &[&topic.name]));
    // The timeout starts when the member learns that it has to revoke. Heartbeats do not extend it.
    assert_eq!(beat(&mut raw, &beat_request(&group, "m1", 1)), (1, of(&topic, &[0])));
    eventually(|| {
        let response = raw.call(&beat_request(&group, "m1", 1), 1);
        (response.error_code == UnknownMemberId.code()).then_some(())
    });
    // Kafka tells only what its log has, a few milliseconds later.
    eventually(|| (describe(&mut raw, &group).members.len() == 1).then_some(()));
    assert_eq!(beat(&mut raw, &beat_request(&group, "m2", 2)), (3, of(&topic, &[0, 1])));
}

#[test]
fn a_member_that_is_not_heard_of_is_fenced() {
    let kafka = Kafka::embedded(|builder| builder);
    // Kafka's session timeout is 45 s, and its clock cannot be set.
    let embedded = kafka.embedded.as_ref().unwrap();
    let topic = kafka.topic("silent", 2);
    let group = unique("silent");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    embedded.pause_time();
    beat(&mut raw, &join_request(&group, "m1", &[&topic.name]));
    embedded.advance(std::time::Duration::from_secs(44));
    beat(&mut raw, &join_request(&group, "m2", &[&topic.name]));
    assert_eq!(describe(&mut raw, &group).members.len(), 2);
    embedded.advance(std::time::Duration::from_secs(1));
    let described = describe(&mut raw, &group);
    assert_eq!((&*described.group_state, described.group_epoch, described.members.len()), ("Assigning", 3, 1));
    assert_eq!(beat(&mut raw, &beat_request(&group, "m2", 2)), (3, of(&topic, &[0, 1])));
    embedded.advance(std::time::Duration::from_secs(45));
    assert_eq!(state(&mut raw, &group), ("Empty".to_owned(), 4, 3));
}

#[test]
fn a_static_member_that_does_not_come_back_in_time_is_fenced() {
    let kafka = Kafka::embedded(|builder| builder);
    let embedded = kafka.embedded.as_ref().unwrap();
    let topic = kafka.topic("never", 1);
    let group = unique("never");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    embedded.pause_time();
    let as_one =
        |request: kafka_protocol::messages::ConsumerGroupHeartbeatRequest| request.with_instance_id(Some(text("one")));
    beat(&mut raw, &as_one(join_request(&group, "s1", &[&topic.name])));
    beat(&mut raw, &as_one(beat_request(&group, "s1", -2)));
    embedded.advance(std::time::Duration::from_secs(45));
    assert_eq!(state(&mut raw, &group), ("Empty".to_owned(), 2, 1));
}
