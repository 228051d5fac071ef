//! Static members of consumer groups: a restart that other members do not notice.

mod common;

use common::consumers::*;
use common::*;
use kafka_protocol::ResponseError::*;
use kafka_protocol::messages::ConsumerGroupHeartbeatRequest;

fn as_one(request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatRequest {
    request.with_instance_id(Some(text("one")))
}

#[test]
fn a_static_member_that_comes_back_has_what_it_had() {
    let kafka = Kafka::start();
    let topic = kafka.topic("back", 2);
    let group = unique("back");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    assert_eq!(beat(&mut raw, &as_one(join_request(&group, "s1", &[&topic.name]))), (1, of(&topic, &[0, 1])));
    assert_eq!(beat(&mut raw, &as_one(beat_request(&group, "s1", -2))), (-2, None));
    assert_eq!(state(&mut raw, &group), ("Reconciling".to_owned(), 1, 1));
    let described = describe(&mut raw, &group);
    assert_eq!((&*described.members[0].member_id, described.members[0].member_epoch), ("s1", -2));
    assert_eq!(described.members[0].instance_id.as_deref(), Some("one"));
    let message = "The consumer group member has a greater member epoch (1) than the one known by the group coordinator \
                   (-2). The member must abandon all its partitions and rejoin.";
    let late = as_one(beat_request(&group, "s1", 1));
    assert_eq!(refused(&mut raw, &late, 1), (Some(FencedMemberEpoch), message.to_owned()));

    assert_eq!(beat(&mut raw, &as_one(join_request(&group, "s2", &[&topic.name]))), (1, of(&topic, &[0, 1])));
    assert_eq!(state(&mut raw, &group), ("Stable".to_owned(), 1, 1));
    let described = describe(&mut raw, &group);
    assert_eq!(described.members.len(), 1);
    assert_eq!((&*described.members[0].member_id, described.members[0].member_epoch), ("s2", 1));
    assert_eq!(beat(&mut raw, &as_one(beat_request(&group, "s2", -1))), (-1, None));
    assert_eq!(state(&mut raw, &group).0, "Empty");
    let unknown = (Some(UnknownMemberId), "Instance id one is unknown.".to_owned());
    assert_eq!(refused(&mut raw, &as_one(beat_request(&group, "s2", -1)), 1), unknown);
}

#[test]
fn nobody_takes_the_place_of_a_static_member_that_is_there() {
    let kafka = Kafka::start();
    let topic = kafka.topic("place", 1);
    let group = unique("place");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    beat(&mut raw, &as_one(join_request(&group, "s1", &[&topic.name])));
    let message =
        "Static member s2 with instance id one cannot join the group because the instance id is owned by s1 member.";
    let other = as_one(join_request(&group, "s2", &[&topic.name]));
    assert_eq!(refused(&mut raw, &other, 1), (Some(UnreleasedInstanceId), message.to_owned()));
    let fenced = (Some(FencedInstanceId), "Static member s2 with instance id one was fenced by member s1.".to_owned());
    assert_eq!(refused(&mut raw, &as_one(beat_request(&group, "s2", 1)), 1), fenced);
    assert_eq!(refused(&mut raw, &as_one(beat_request(&group, "s2", -1)), 1), fenced);
    assert_eq!(refused(&mut raw, &as_one(beat_request(&group, "s2", -2)), 1), fenced);
    let unknown = (Some(UnknownMemberId), "Instance id two is unknown.".to_owned());
    let request = beat_request(&group, "s1", 1).with_instance_id(Some(text("two")));
    assert_eq!(refused(&mut raw, &request, 1), unknown);
    // Its id is enough for a heartbeat.
    assert_eq!(beat(&mut raw, &beat_request(&group, "s1", 1)), (1, None));
}

#[test]
fn others_do_not_get_the_partitions_of_a_static_member_that_is_away() {
    let kafka = Kafka::start();
    let topic = kafka.topic("away", 2);
    let group = unique("away");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    beat(&mut raw, &as_one(join_request(&group, "s1", &[&topic.name])));
    beat(&mut raw, &as_one(beat_request(&group, "s1", -2)));
    assert_eq!(beat(&mut raw, &join_request(&group, "m2", &[&topic.name])), (2, of(&topic, &[])));
    assert_eq!(beat(&mut raw, &beat_request(&group, "m2", 2)), (2, None));
    // It comes back to what it is to have now: it says itself that it has nothing.
    assert_eq!(beat(&mut raw, &as_one(join_request(&group, "s2", &[&topic.name]))), (2, of(&topic, &[0])));
    assert_eq!(beat(&mut raw, &beat_request(&group, "m2", 2)), (2, of(&topic, &[1])));
    assert_eq!(state(&mut raw, &group), ("Stable".to_owned(), 2, 2));
}
