//! Offsets that are committed by members of a classic group, and by other clients.

mod common;

use common::groups::*;
use common::*;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequest;

#[test]
fn a_member_commits_in_its_generation() {
    let kafka = Kafka::start();
    let (topic, group) = (kafka.topic("offsets", 1), unique("member"));
    let [mut one, mut two] = two_members(&kafka, &group);
    assert_error(one.commit(&topic.name, 0, 5), None);
    assert_error(two.commit(&topic.name, 0, 6), None);
    assert_eq!(committed(&mut one.raw, &group, &topic.name, 0), 6);
    for generation in [1, 3] {
        one.generation = generation;
        assert_error(one.commit(&topic.name, 0, 7), Some(ResponseError::IllegalGeneration));
    }
    one.generation = -1;
    assert_error(one.commit(&topic.name, 0, 7), Some(ResponseError::IllegalGeneration));
    one.generation = 2;
    let id = std::mem::replace(&mut one.id, "who".to_owned());
    assert_error(one.commit(&topic.name, 0, 7), Some(ResponseError::UnknownMemberId));
    one.id = id;
    one.instance = Some("nobody".to_owned());
    assert_error(one.commit(&topic.name, 0, 7), Some(ResponseError::UnknownMemberId));
    assert_eq!(committed(&mut one.raw, &group, &topic.name, 0), 6);
}

#[test]
fn nobody_else_commits_while_there_are_members() {
    let kafka = Kafka::start();
    let (topic, group) = (kafka.topic("offsets", 1), unique("others"));
    let mut member = Member::new(&kafka, &group);
    member.join_alone();
    let mut raw = kafka.coordinator(&group, 0);
    let request = commit_request(&group, &topic.name, 0, 5);
    assert_error(commit(&mut raw, &request, 9), Some(ResponseError::UnknownMemberId));
    assert_error(member.leave(), None);
    assert_error(commit(&mut raw, &request, 9), None);
    // In the generation that is over, it may not.
    assert_error(member.commit(&topic.name, 0, 7), Some(ResponseError::UnknownMemberId));
    member.generation = -1;
    assert_error(member.commit(&topic.name, 0, 7), None);
}

#[test]
fn a_member_commits_while_it_is_to_join_again_but_not_while_the_leader_assigns() {
    let kafka = Kafka::start();
    let (topic, group) = (kafka.topic("offsets", 1), unique("rebalance"));
    let [mut one, mut two] = two_members(&kafka, &group);
    one.send_join();
    two.hears_of_a_rebalance();
    assert_error(two.commit(&topic.name, 0, 5), None);
    two.send_join();
    one.joined();
    two.joined();
    assert_error(two.commit(&topic.name, 0, 6), Some(ResponseError::RebalanceInProgress));
    two.generation = 2;
    assert_error(two.commit(&topic.name, 0, 6), Some(ResponseError::IllegalGeneration));
    two.generation = 3;
    let id = one.id.clone();
    assert_error(one.sync(&[(&id, "all")]).error_code, None);
    assert_error(two.commit(&topic.name, 0, 6), None);
    assert_eq!(committed(&mut one.raw, &group, &topic.name, 0), 6);
}

#[test]
fn offsets_are_fetched_by_anybody() {
    let kafka = Kafka::start();
    let (topic, group) = (kafka.topic("offsets", 1), unique("fetch"));
    let mut member = Member::new(&kafka, &group);
    member.join_alone();
    assert_error(member.commit(&topic.name, 0, 5), None);
    let mut raw = kafka.coordinator(&group, 0);
    for (id, epoch) in [(None, -1), (Some("who"), 7), (Some(&*member.id), 1)] {
        let mut request: OffsetFetchRequest = fetch_offsets_request(&group, None);
        (request.groups[0].member_id, request.groups[0].member_epoch) = (id.map(text), epoch);
        let response = eventually(|| {
            let response = raw.call(&request, 9).groups.remove(0);
            (!response.topics.is_empty()).then_some(response)
        });
        assert_error(response.error_code, None);
        assert_eq!(response.topics[0].partitions[0].committed_offset, 5);
    }
}
