//! Static members that return with the other protocol.

mod common;

use common::consumers::*;
use common::groups::*;
use common::*;
use kafka_protocol::ResponseError::*;
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, DescribeGroupsRequest};

fn as_one(request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatRequest {
    request.with_instance_id(Some(text("one")))
}

/// A member that speaks the classic protocol and wants this topic.
fn classic(kafka: &Kafka, group: &str, topic: &Topic) -> Member {
    let mut member = Member::new(kafka, group);
    member.join.protocols[0].metadata = subscription(&[&topic.name]);
    member
}

/// Two members of the new protocol, one of them static, each with a partition.
fn two(raw: &mut Raw, group: &str, topic: &Topic) {
    beat(raw, &join_request(group, "m0", &[&topic.name]));
    beat(raw, &as_one(join_request(group, "s1", &[&topic.name])));
    beat(raw, &beat_request(group, "m0", 1));
    beat(raw, &owning(group, "m0", 1, &[(topic.id, &[0])]));
    assert_eq!(beat(raw, &as_one(beat_request(group, "s1", 2))), (2, of(topic, &[1])));
    assert_eq!(state(raw, group), ("Stable".to_owned(), 2, 2));
}

#[test]
fn a_static_member_goes_over_and_back_with_its_partitions() {
    let kafka = Kafka::start();
    let topic = kafka.topic("over", 2);
    let group = unique("over");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    two(&mut raw, &group, &topic);
    let mut old = classic(&kafka, &group, &topic).instance("one");
    // It need not have left, as two of the new protocol would.
    assert_eq!(old.join().generation_id, 2);
    assert_error(old.sync(&[]).error_code, None);
    assert_error(old.heartbeat(), None);
    assert_eq!(state(&mut raw, &group), ("Stable".to_owned(), 2, 2));
    let described = describe(&mut raw, &group);
    let it = described.members.iter().find(|member| member.instance_id.is_some()).unwrap();
    assert_eq!((&*it.member_id, it.member_type, partitions_of(it).0), (&*old.id, 0, of(&topic, &[1]).unwrap()));
    let fenced = refused(&mut raw, &as_one(beat_request(&group, "s1", 2)), 1);
    assert_eq!(fenced.0, Some(FencedInstanceId));

    assert_eq!(beat(&mut raw, &as_one(join_request(&group, "s2", &[&topic.name]))), (2, of(&topic, &[1])));
    assert_eq!(state(&mut raw, &group), ("Stable".to_owned(), 2, 2));
    assert_error(old.heartbeat(), Some(FencedInstanceId));
}

#[test]
fn a_group_is_classic_once_its_last_member_of_the_new_protocol_is_back_with_the_old_one() {
    let kafka = Kafka::start();
    let topic = kafka.topic("back", 2);
    let group = unique("back");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    two(&mut raw, &group, &topic);
    beat(&mut raw, &beat_request(&group, "m0", -1));
    let mut other = classic(&kafka, &group, &topic);
    assert_eq!(other.join().generation_id, 4);
    let assigned = other.sync(&[]).assignment;
    let mut old = classic(&kafka, &group, &topic).instance("one");
    assert_eq!(old.join().generation_id, 4);
    assert_error(describe(&mut raw, &group).error_code, Some(GroupIdNotFound));
    // Nobody has to join again.
    let synced = old.sync(&[]);
    assert_error(synced.error_code, None);
    assert_ne!(synced.assignment, assigned);
    assert_error(old.heartbeat(), None);
    assert_error(other.heartbeat(), None);
    let request = DescribeGroupsRequest::default().with_groups(vec![group_id(&group)]);
    let described = raw.call(&request, 5).groups.remove(0);
    let all = (&*described.group_state, &*described.protocol_type, &*described.protocol_data, described.members.len());
    assert_eq!(all, ("Stable", "consumer", "range", 2));
    for member in described.members {
        let expected = if *member.member_id == *old.id { &synced.assignment } else { &assigned };
        assert_eq!(member.member_assignment, *expected);
    }
}
