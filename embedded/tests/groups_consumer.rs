//! Consumer groups (KIP-848): members, epochs, and partitions that move between members.

mod common;

use common::consumers::*;
use common::groups::group_id;
use common::*;
use kafka_protocol::ResponseError::*;
use kafka_protocol::messages::*;

#[test]
fn the_first_member_has_all_partitions_at_once() {
    let kafka = Kafka::start();
    let topic = kafka.topic("first", 3);
    let group = unique("first");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    assert_eq!(beat(&mut raw, &join_request(&group, "m1", &[&topic.name])), (1, of(&topic, &[0, 1, 2])));
    assert_eq!(state(&mut raw, &group), ("Stable".to_owned(), 1, 1));
    // Unchanged assignments are not sent again, except to a member that sends all fields.
    assert_eq!(beat(&mut raw, &beat_request(&group, "m1", 1)), (1, None));
    assert_eq!(beat(&mut raw, &owning(&group, "m1", 1, &[(topic.id, &[0, 1, 2])])), (1, None));
    let full = join_request(&group, "m1", &[&topic.name]).with_member_epoch(1);
    assert_eq!(beat(&mut raw, &full), (1, of(&topic, &[0, 1, 2])));

    let described = describe(&mut raw, &group);
    assert_eq!((&*described.assignor_name, described.authorized_operations), ("uniform", i32::MIN));
    let [member] = &described.members[..] else { panic!("{described:?}") };
    assert_eq!((&*member.member_id, member.member_epoch, member.member_type), ("m1", 1, 1));
    assert_eq!((&*member.client_id, &*member.client_host), ("conformance", "/127.0.0.1"));
    assert_eq!((&member.instance_id, &member.rack_id), (&None, &None));
    assert_eq!(member.subscribed_topic_names, [topic_name(&topic.name)]);
    assert_eq!(member.subscribed_topic_regex.as_deref(), Some(""));
    assert_eq!(partitions_of(member), (of(&topic, &[0, 1, 2]).unwrap(), of(&topic, &[0, 1, 2]).unwrap()));
    assert_eq!(&**member.assignment.topic_partitions[0].topic_name, topic.name);
}

#[test]
fn a_partition_goes_to_the_second_member_once_the_first_has_given_it_back() {
    let kafka = Kafka::start();
    let topic = kafka.topic("second", 3);
    let group = unique("second");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    beat(&mut raw, &join_request(&group, "m1", &[&topic.name]));
    assert_eq!(beat(&mut raw, &join_request(&group, "m2", &[&topic.name])), (2, of(&topic, &[])));
    assert_eq!(state(&mut raw, &group), ("Reconciling".to_owned(), 2, 2));
    assert_eq!(beat(&mut raw, &beat_request(&group, "m2", 2)), (2, None));

    // The first member learns which partitions it keeps. It stays in its epoch until it reports only those partitions.
    assert_eq!(beat(&mut raw, &beat_request(&group, "m1", 1)), (1, of(&topic, &[0, 1])));
    let described = describe(&mut raw, &group);
    assert_eq!(partitions_of(&described.members[0]), (of(&topic, &[0, 1]).unwrap(), of(&topic, &[0, 1]).unwrap()));
    assert_eq!(partitions_of(&described.members[1]), (of(&topic, &[]).unwrap(), of(&topic, &[2]).unwrap()));
    assert_eq!(beat(&mut raw, &beat_request(&group, "m1", 1)), (1, None));
    assert_eq!(beat(&mut raw, &owning(&group, "m1", 1, &[(topic.id, &[0, 1, 2])])), (1, None));
    assert_eq!(beat(&mut raw, &beat_request(&group, "m2", 2)), (2, None));
    assert_eq!(beat(&mut raw, &owning(&group, "m1", 1, &[(topic.id, &[0, 1])])), (2, None));
    assert_eq!(beat(&mut raw, &beat_request(&group, "m2", 2)), (2, of(&topic, &[2])));
    assert_eq!(state(&mut raw, &group), ("Stable".to_owned(), 2, 2));
}

#[test]
fn who_stays_has_the_partitions_of_who_leaves() {
    let kafka = Kafka::start();
    let topic = kafka.topic("leaves", 2);
    let group = unique("leaves");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    beat(&mut raw, &join_request(&group, "m1", &[&topic.name]));
    beat(&mut raw, &join_request(&group, "m2", &[&topic.name]));
    beat(&mut raw, &beat_request(&group, "m1", 1));
    beat(&mut raw, &owning(&group, "m1", 1, &[(topic.id, &[0])]));
    assert_eq!(beat(&mut raw, &beat_request(&group, "m2", 2)), (2, of(&topic, &[1])));
    assert_eq!(beat(&mut raw, &beat_request(&group, "m2", -1)), (-1, None));
    assert_eq!(state(&mut raw, &group), ("Assigning".to_owned(), 3, 2));
    let gone = format!("Member m2 is not a member of group {group}.");
    assert_eq!(refused(&mut raw, &beat_request(&group, "m2", 2), 1), (Some(UnknownMemberId), gone.clone()));
    assert_eq!(refused(&mut raw, &beat_request(&group, "m2", -1), 1), (Some(UnknownMemberId), gone));
    assert_eq!(beat(&mut raw, &beat_request(&group, "m1", 2)), (3, of(&topic, &[0, 1])));
    beat(&mut raw, &beat_request(&group, "m1", -1));
    assert_eq!(state(&mut raw, &group), ("Empty".to_owned(), 4, 3));
    // The group goes on where it was.
    assert_eq!(beat(&mut raw, &join_request(&group, "m3", &[&topic.name])), (5, of(&topic, &[0, 1])));
}

#[test]
fn a_member_is_fenced_unless_it_knows_its_epoch_or_missed_the_last_answer() {
    let kafka = Kafka::start();
    let topic = kafka.topic("fenced", 2);
    let group = unique("fenced");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    beat(&mut raw, &join_request(&group, "m1", &[&topic.name]));
    // Its first answer may have been lost too.
    assert_eq!(beat(&mut raw, &join_request(&group, "m1", &[&topic.name])), (1, of(&topic, &[0, 1])));
    beat(&mut raw, &join_request(&group, "m2", &[&topic.name]));
    beat(&mut raw, &beat_request(&group, "m1", 1));
    assert_eq!(beat(&mut raw, &owning(&group, "m1", 1, &[(topic.id, &[0])])), (2, None));

    assert_eq!(beat(&mut raw, &owning(&group, "m1", 1, &[(topic.id, &[0])])), (2, None));
    let fenced = |than: &str, told: i32| {
        let message = format!(
            "The consumer group member has a {than} member epoch ({told}) than the one known by the group coordinator (2). \
             The member must abandon all its partitions and rejoin."
        );
        (Some(FencedMemberEpoch), message)
    };
    assert_eq!(refused(&mut raw, &owning(&group, "m1", 1, &[(topic.id, &[0, 1])]), 1), fenced("smaller", 1));
    assert_eq!(refused(&mut raw, &beat_request(&group, "m1", 1), 1), fenced("smaller", 1));
    assert_eq!(refused(&mut raw, &join_request(&group, "m1", &[&topic.name]), 1), fenced("smaller", 0));
    assert_eq!(refused(&mut raw, &beat_request(&group, "m1", 3), 1), fenced("greater", 3));
    // It is a member all the same.
    assert_eq!(beat(&mut raw, &beat_request(&group, "m1", 2)), (2, None));
}

#[test]
fn a_member_that_wants_other_topics_is_given_them() {
    let kafka = Kafka::start();
    let (one, two) = (kafka.topic("one", 2), kafka.topic("two", 1));
    let group = unique("wants");
    let mut raw = kafka.coordinator_that_knows(&group, &[&one, &two]);
    beat(&mut raw, &join_request(&group, "m1", &[&one.name]));
    let other = beat_request(&group, "m1", 1).with_subscribed_topic_names(Some(vec![topic_name(&two.name)]));
    // It has to give back what it does not want any more, and stays where it is until then.
    assert_eq!(beat(&mut raw, &other), (1, of(&one, &[])));
    assert_eq!(state(&mut raw, &group), ("Reconciling".to_owned(), 2, 2));
    assert_eq!(beat(&mut raw, &owning(&group, "m1", 1, &[])), (2, of(&two, &[0])));
    // A topic that is not there counts for nothing.
    let missing = vec![topic_name(&two.name), topic_name(&unique("missing"))];
    let both = beat_request(&group, "m1", 2).with_subscribed_topic_names(Some(missing));
    assert_eq!(beat(&mut raw, &both), (3, None));
    // Nothing at all is a subscription too.
    let none = beat_request(&group, "m1", 3).with_subscribed_topic_names(Some(vec![]));
    assert_eq!(beat(&mut raw, &none), (3, of(&two, &[])));
    assert_eq!(beat(&mut raw, &owning(&group, "m1", 3, &[])), (4, None));
}

#[test]
fn before_version_1_the_broker_makes_the_members_id() {
    let kafka = Kafka::start();
    let topic = kafka.topic("made", 1);
    let group = unique("made");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    let response = raw.call(&join_request(&group, "", &[&topic.name]), 0);
    assert_error(response.error_code, None);
    assert_eq!((response.member_id.as_ref().unwrap().len(), response.member_epoch), (22, 1));
    let id = response.member_id.unwrap();
    assert_error(raw.call(&beat_request(&group, &id, 1), 0).error_code, None);
}

#[test]
fn a_group_that_is_not_there_is_not_described() {
    let kafka = Kafka::start();
    let group = unique("nowhere");
    let mut raw = kafka.coordinator(&group, 0);
    let described = describe(&mut raw, &group);
    assert_error(described.error_code, Some(GroupIdNotFound));
    assert_eq!(described.error_message.as_deref(), Some(&*format!("Group {group} not found.")));
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group_id(&group)]);
    assert_error(raw.call(&request, 0).groups[0].error_code, Some(GroupIdNotFound));
    let message = format!("Consumer group {group} not found.");
    assert_eq!(refused(&mut raw, &beat_request(&group, "m1", 1), 1), (Some(GroupIdNotFound), message));
    let message = format!("Group {group} not found.");
    assert_eq!(refused(&mut raw, &beat_request(&group, "m1", -1), 1), (Some(GroupIdNotFound), message));
}
