//! Topics that are created, grow and are deleted while a consumer group reads them, and subscriptions with a regular
//! expression.

mod common;

use common::consumers::*;
use common::*;
use kafka_protocol::ResponseError::*;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::*;

fn grow(kafka: &Kafka, topic: &Topic, count: i32) {
    let topic =
        CreatePartitionsTopic::default().with_name(topic_name(&topic.name)).with_count(count).with_assignments(None);
    let request = CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
    assert_error(kafka.controller().call(&request, 3).results[0].error_code, None);
}

fn delete(kafka: &Kafka, topic: &Topic) {
    let topic = DeleteTopicState::default().with_name(Some(topic_name(&topic.name)));
    let request = DeleteTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
    assert_error(kafka.controller().call(&request, 6).responses[0].error_code, None);
}

/// Heartbeats of a member that gives back at once what it is asked for, until it has these partitions; its epoch.
fn until(raw: &mut Raw, group: &str, member: &str, mut epoch: i32, wanted: &Partitions) -> i32 {
    eventually(|| {
        let assigned;
        (epoch, assigned) = beat(raw, &beat_request(group, member, epoch));
        let assigned = assigned?;
        let mut owned: Vec<(uuid::Uuid, Vec<i32>)> = Vec::new();
        for (topic, index) in &assigned {
            match owned.last_mut() {
                Some((last, partitions)) if last == topic => partitions.push(*index),
                _ => owned.push((*topic, vec![*index])),
            }
        }
        let owned: Vec<(uuid::Uuid, &[i32])> = owned.iter().map(|(topic, list)| (*topic, &list[..])).collect();
        let (next, more) = beat(raw, &owning(group, member, epoch, &owned));
        epoch = next;
        (more.unwrap_or(assigned) == *wanted).then_some(epoch)
    })
}

#[test]
fn a_topic_that_grows_goes_to_the_next_epoch() {
    let kafka = Kafka::start();
    let topic = kafka.topic("grows", 1);
    let group = unique("grows");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    beat(&mut raw, &join_request(&group, "m1", &[&topic.name]));
    grow(&kafka, &topic, 3);
    assert_eq!(until(&mut raw, &group, "m1", 1, &of(&topic, &[0, 1, 2]).unwrap()), 2);
    assert_eq!(state(&mut raw, &group), ("Stable".to_owned(), 2, 2));
}

#[test]
fn a_topic_that_is_made_later_is_taken_and_one_that_is_deleted_is_given_back() {
    let kafka = Kafka::start();
    let (one, name) = (kafka.topic("one", 1), unique("later"));
    let group = unique("later");
    let mut raw = kafka.coordinator_that_knows(&group, &[&one]);
    assert_eq!(beat(&mut raw, &join_request(&group, "m1", &[&one.name, &name])), (1, of(&one, &[0])));
    let later = kafka.topic_named(&name, 2, &[]);
    let both: Partitions = [(one.id, 0), (later.id, 0), (later.id, 1)].into();
    assert_eq!(until(&mut raw, &group, "m1", 1, &both), 2);
    delete(&kafka, &one);
    assert_eq!(until(&mut raw, &group, "m1", 2, &of(&later, &[0, 1]).unwrap()), 3);
    let described = describe(&mut raw, &group);
    assert_eq!(partitions_of(&described.members[0]).0, of(&later, &[0, 1]).unwrap());
}

#[test]
fn a_regular_expression_stands_for_the_topics_whose_whole_names_match() {
    let kafka = Kafka::start();
    let prefix = unique("match");
    let topics = [".a", ".b", ".ab"].map(|suffix| kafka.topic_named(&format!("{prefix}{suffix}"), 1, &[]));
    let group = unique("regex");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topics[0], &topics[1], &topics[2]]);
    let regex = format!(r"{prefix}\.[ab]");
    let both: Partitions = [(topics[0].id, 0), (topics[1].id, 0)].into();
    // Kafka resolves it after the answer; here it is done with the answer.
    let (epoch, assigned) = beat(&mut raw, &join_by_regex(&group, "m1", &regex));
    let epoch = match assigned.unwrap() {
        assigned if assigned.is_empty() => until(&mut raw, &group, "m1", epoch, &both),
        assigned => {
            assert_eq!(assigned, both);
            epoch
        }
    };
    assert_eq!(state(&mut raw, &group), ("Stable".to_owned(), epoch, epoch));
    let described = describe(&mut raw, &group);
    assert_eq!(described.members[0].subscribed_topic_regex.as_deref(), Some(&*regex));
    assert!(described.members[0].subscribed_topic_names.is_empty());
    // Names and an expression add up.
    let more = beat_request(&group, "m1", epoch).with_subscribed_topic_names(Some(vec![topic_name(&topics[2].name)]));
    let (epoch, assigned) = beat(&mut raw, &more);
    assert_eq!(assigned.unwrap().len(), 3);
    // To take the expression back changes nothing before something else does.
    assert_eq!(
        beat(&mut raw, &beat_request(&group, "m1", epoch).with_subscribed_topic_regex(Some(text("")))),
        (epoch, None)
    );
    assert_eq!(describe(&mut raw, &group).members[0].subscribed_topic_regex.as_deref(), Some(""));
    let fewer = beat_request(&group, "m1", epoch).with_subscribed_topic_names(Some(vec![topic_name(&topics[1].name)]));
    assert_eq!(beat(&mut raw, &fewer), (epoch, of(&topics[1], &[0])));
}

#[test]
fn a_new_topic_that_matches_is_found() {
    let kafka = Kafka::start();
    let prefix = unique("found");
    let first = kafka.topic_named(&format!("{prefix}-1"), 1, &[]);
    let group = unique("found");
    let mut raw = kafka.coordinator_that_knows(&group, &[&first]);
    let (epoch, assigned) = beat(&mut raw, &join_by_regex(&group, "m1", &format!("^{prefix}.*")));
    let epoch = if assigned == of(&first, &[0]) {
        epoch
    } else {
        until(&mut raw, &group, "m1", epoch, &of(&first, &[0]).unwrap())
    };
    let second = kafka.topic_named(&format!("{prefix}-2"), 1, &[]);
    let both: Partitions = [(first.id, 0), (second.id, 0)].into();
    assert_eq!(until(&mut raw, &group, "m1", epoch, &both), epoch + 1);
}

#[test]
fn what_is_no_regular_expression_is_refused_and_makes_no_group() {
    let kafka = Kafka::start();
    let group = unique("bad");
    let mut raw = kafka.coordinator(&group, 0);
    for regex in ["a(", "[", "*a", "(?!a)", "a)(b"] {
        let (error, message) = refused(&mut raw, &join_by_regex(&group, "m1", regex), 1);
        assert_eq!(error, Some(InvalidRegularExpression), "{regex}");
        let expected = format!("SubscribedTopicRegex `{regex}` is not a valid regular expression: ");
        assert!(message.starts_with(&expected) && message.ends_with('.'), "{message}");
    }
    assert_error(describe(&mut raw, &group).error_code, Some(GroupIdNotFound));
    // None at all is a subscription to nothing.
    assert_eq!(beat(&mut raw, &join_by_regex(&group, "m1", "")), (1, Some(Partitions::new())));
}

#[test]
fn a_regular_expression_stands_for_internal_topics_too() {
    let kafka = Kafka::start();
    let group = unique("internal");
    let mut raw = kafka.coordinator(&group, 0);
    let offsets = metadata(&mut raw, "__consumer_offsets");
    let all: Partitions = (0..offsets.partitions.len() as i32).map(|index| (offsets.topic_id, index)).collect();
    let (epoch, assigned) = beat(&mut raw, &join_by_regex(&group, "m1", "__consumer_offset."));
    if assigned.unwrap() != all {
        until(&mut raw, &group, "m1", epoch, &all);
    }
}
