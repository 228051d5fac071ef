//! Consumer groups with broker properties that differ from Kafka's defaults. Only for the embedded broker.

mod common;

use common::consumers::*;
use common::groups::*;
use common::*;
use embedded_kafka::EmbeddedKafka;
use kafka_protocol::ResponseError::*;

fn with(config: &[(&str, &str)]) -> Kafka {
    let builder = config.iter().fold(EmbeddedKafka::builder(), |builder, (name, value)| builder.config(*name, *value));
    let embedded = builder.start().unwrap();
    Kafka { bootstrap_servers: embedded.bootstrap_servers().to_owned(), embedded: Some(embedded) }
}

/// A member of the classic protocol that has joined and wants this topic.
fn classic(kafka: &Kafka, group: &str, topic: &Topic) -> Member {
    let mut member = Member::new(kafka, group);
    member.join.protocols[0].metadata = subscription(&[&topic.name]);
    member
}

#[test]
fn a_group_takes_no_more_members_than_it_may_have() {
    let kafka = with(&[("group.consumer.max.size", "1")]);
    let topic = kafka.topic("full", 1);
    let mut raw = kafka.coordinator("full", 0);
    beat(&mut raw, &join_request("full", "m1", &[&topic.name]));
    let full =
        (Some(GroupMaxSizeReached), "The consumer group has reached its maximum capacity of 1 members.".to_owned());
    assert_eq!(refused(&mut raw, &join_request("full", "m2", &[&topic.name]), 1), full);
    assert_eq!(beat(&mut raw, &beat_request("full", "m1", 1)), (1, None));
    let mut old = classic(&kafka, "full", &topic);
    assert_error(old.raw.call(&old.join, JOIN).error_code, Some(GroupMaxSizeReached));
    beat(&mut raw, &beat_request("full", "m1", -1));
    beat(&mut raw, &join_request("full", "m2", &[&topic.name]));
}

#[test]
fn a_group_with_members_keeps_its_protocol_if_that_is_asked_for() {
    let kafka = with(&[("group.consumer.migration.policy", "disabled")]);
    let topic = kafka.topic("kept", 1);
    let mut raw = kafka.coordinator("old", 0);
    let mut old = classic(&kafka, "old", &topic);
    old.join_alone();
    let message = "Cannot upgrade classic group old to consumer group because online upgrade is disabled.";
    let expected = (Some(GroupIdNotFound), message.to_owned());
    assert_eq!(refused(&mut raw, &join_request("old", "m1", &[&topic.name]), 1), expected);
    assert_error(old.heartbeat(), None);
    // Members of the classic protocol may come into a consumer group, and it stays one without the others.
    beat(&mut raw, &join_request("new", "m1", &[&topic.name]));
    let mut old = classic(&kafka, "new", &topic);
    assert_error(old.join().error_code, None);
    beat(&mut raw, &beat_request("new", "m1", -1));
    assert_eq!(state(&mut raw, "new").0, "Assigning");
    // An empty group is of the kind of who comes next all the same.
    assert_error(old.leave(), None);
    let mut old = classic(&kafka, "new", &topic);
    old.join_alone();
    assert_error(describe(&mut raw, "new").error_code, Some(GroupIdNotFound));
}

#[test]
fn the_first_assignor_of_the_list_is_the_default() {
    let kafka = with(&[("group.consumer.assignors", "range,uniform")]);
    let topic = kafka.topic("first", 1);
    let mut raw = kafka.coordinator("first", 0);
    beat(&mut raw, &join_request("first", "m1", &[&topic.name]));
    assert_eq!(&*describe(&mut raw, "first").assignor_name, "range");
}

#[test]
fn a_classic_member_that_does_not_join_or_sync_in_time_is_fenced() {
    let kafka = with(&[]);
    let embedded = kafka.embedded.as_ref().unwrap();
    let topic = kafka.topic("intime", 1);
    let mut raw = kafka.coordinator("intime", 0);
    embedded.pause_time();
    beat(&mut raw, &join_request("intime", "m1", &[&topic.name]));
    let mut old = classic(&kafka, "intime", &topic).rebalance_timeout(10_000);
    assert_error(old.join().error_code, None);
    embedded.advance(std::time::Duration::from_secs(9));
    assert_eq!(describe(&mut raw, "intime").members.len(), 2);
    assert_error(old.sync(&[]).error_code, None);
    embedded.advance(std::time::Duration::from_secs(5));
    // Its sync was in time. Now it has to rejoin.
    beat(&mut raw, &join_request("intime", "m2", &[&topic.name]));
    assert_error(old.heartbeat(), Some(RebalanceInProgress));
    embedded.advance(std::time::Duration::from_secs(9));
    assert_error(old.heartbeat(), Some(RebalanceInProgress));
    embedded.advance(std::time::Duration::from_secs(1));
    assert_error(old.heartbeat(), Some(UnknownMemberId));
    // One that joins and never syncs.
    let mut old = classic(&kafka, "intime", &topic).rebalance_timeout(10_000);
    assert_error(old.join().error_code, None);
    embedded.advance(std::time::Duration::from_secs(10));
    assert_error(old.sync(&[]).error_code, Some(UnknownMemberId));
}

#[test]
fn a_broker_that_does_not_coordinate_the_group_says_so() {
    let kafka = Kafka::embedded(|builder| builder.brokers(2));
    let group = unique("elsewhere");
    let embedded = kafka.embedded.as_ref().unwrap();
    let topic = kafka.topic("elsewhere", 1);
    let codes: Vec<i16> = embedded
        .bootstrap_servers()
        .split(',')
        .map(|address| {
            let mut raw = Raw::connect(address);
            raw.call(&join_request(&group, "m1", &[&topic.name]), 1).error_code
        })
        .collect();
    assert!(codes.contains(&0) && codes.contains(&NotCoordinator.code()), "{codes:?}");
}

#[test]
fn a_classic_group_that_is_too_large_for_a_consumer_group_stays_what_it_is() {
    let kafka = with(&[("group.consumer.max.size", "1")]);
    let topic = kafka.topic("large", 1);
    let mut raw = kafka.coordinator("large", 0);
    let [mut one, _two] = two_members(&kafka, "large");
    let message = "Cannot upgrade classic group large to consumer group because the group size exceeds the consumer group \
                   maximum size.";
    let expected = (Some(GroupIdNotFound), message.to_owned());
    assert_eq!(refused(&mut raw, &join_request("large", "m1", &[&topic.name]), 1), expected);
    assert_error(one.heartbeat(), None);
}
