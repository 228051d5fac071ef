//! Consumer groups with librdkafka and `group.protocol=consumer`, as a service uses them.

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::consumers::*;
use common::*;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;

fn config(kafka: &Kafka, group: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &kafka.bootstrap_servers)
        .set("group.id", group)
        .set("group.protocol", "consumer")
        .set("auto.offset.reset", "earliest");
    config
}

/// A consumer that reads and notes what it has read.
struct Reader {
    consumer: BaseConsumer,
    values: Vec<String>,
}

impl Reader {
    fn new(config: &ClientConfig, topic: &str) -> Self {
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.subscribe(&[topic]).unwrap();
        Self { consumer, values: Vec::new() }
    }

    /// Reads what there is; the partitions that it has.
    fn partitions(&mut self) -> BTreeSet<(String, i32)> {
        while let Some(message) = self.consumer.poll(Duration::from_millis(1)) {
            self.values.push(String::from_utf8_lossy(message.unwrap().payload().unwrap()).into_owned());
        }
        let assignment = self.consumer.assignment().unwrap();
        assignment.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect()
    }
}

fn write(kafka: &Kafka, topic: &Topic, partition: i32, value: &str) {
    let answer =
        produce(&mut kafka.leader(&topic.name, partition as usize), &topic.name, partition, &Batch::of(&[value]));
    assert_error(answer.error_code, None);
}

#[test]
fn members_share_the_partitions_as_they_come_and_go() {
    let kafka = Kafka::start();
    let topic = kafka.topic("share", 4);
    let group = unique("share");
    let config = config(&kafka, &group);
    (0..4).for_each(|partition| write(&kafka, &topic, partition, &format!("before-{partition}")));
    let mut first = Reader::new(&config, &topic.name);
    eventually(|| (first.partitions().len() == 4 && first.values.len() == 4).then_some(()));

    let mut second = Reader::new(&config, &topic.name);
    eventually(|| ((first.partitions().len(), second.partitions().len()) == (2, 2)).then_some(()));
    assert!(first.partitions().is_disjoint(&second.partitions()));
    (0..4).for_each(|partition| write(&kafka, &topic, partition, &format!("shared-{partition}")));
    eventually(|| {
        first.partitions();
        second.partitions();
        (first.values.len() + second.values.len() == 8).then_some(())
    });
    assert_eq!((first.values.len(), second.values.len()), (6, 2));

    // One leaves, and comes back at once.
    drop(first);
    let mut third = Reader::new(&config, &topic.name);
    eventually(|| ((second.partitions().len(), third.partitions().len()) == (2, 2)).then_some(()));
    drop(third);
    eventually(|| (second.partitions().len() == 4).then_some(()));
    let mut raw = kafka.coordinator(&group, 0);
    assert_eq!(describe(&mut raw, &group).members.len(), 1);
}

#[test]
fn a_pattern_is_resolved_by_the_broker() {
    let kafka = Kafka::start();
    let prefix = unique("pattern");
    let first = kafka.topic_named(&format!("{prefix}.a"), 1, &[]);
    kafka.topic_named(&format!("other-{prefix}"), 1, &[]);
    let group = unique("pattern");
    let mut reader = Reader::new(&config(&kafka, &group), &format!("^{prefix}.*"));
    let wanted: BTreeSet<_> = [(first.name.clone(), 0)].into();
    eventually(|| (reader.partitions() == wanted).then_some(()));
    let second = kafka.topic_named(&format!("{prefix}.b"), 2, &[]);
    let wanted: BTreeSet<_> = [(first.name, 0), (second.name.clone(), 0), (second.name, 1)].into();
    eventually(|| (reader.partitions() == wanted).then_some(()));
}

#[test]
fn a_static_member_that_restarts_has_the_same_partitions() {
    let kafka = Kafka::start();
    let topic = kafka.topic("restart", 4);
    let group = unique("restart");
    let config = |name: &str| {
        let mut config = config(&kafka, &group);
        config.set("group.instance.id", name);
        config
    };
    let mut one = Reader::new(&config("one"), &topic.name);
    eventually(|| (one.partitions().len() == 4).then_some(()));
    let mut two = Reader::new(&config("two"), &topic.name);
    eventually(|| ((one.partitions().len(), two.partitions().len()) == (2, 2)).then_some(()));
    let mut raw = kafka.coordinator(&group, 0);
    let (had, stays) = (two.partitions(), one.partitions());
    let epoch = eventually(|| match state(&mut raw, &group) {
        (state, epoch, _) if state == "Stable" => Some(epoch),
        _ => None,
    });
    drop(two);
    let mut two = Reader::new(&config("two"), &topic.name);
    eventually(|| (two.partitions() == had).then_some(()));
    assert_eq!(one.partitions(), stays);
    assert_eq!(describe(&mut raw, &group).group_epoch, epoch);
}

#[test]
fn offsets_that_a_member_commits_are_there_for_the_next() {
    let kafka = Kafka::start();
    let topic = kafka.topic("committed", 1);
    let group = unique("committed");
    let config = config(&kafka, &group);
    write(&kafka, &topic, 0, "a");
    let mut first = Reader::new(&config, &topic.name);
    eventually(|| {
        first.partitions();
        (first.values == ["a"]).then_some(())
    });
    first.consumer.commit_consumer_state(CommitMode::Sync).unwrap();
    drop(first);
    write(&kafka, &topic, 0, "b");
    let mut second = Reader::new(&config, &topic.name);
    eventually(|| {
        second.partitions();
        (!second.values.is_empty()).then_some(())
    });
    assert_eq!(second.values, ["b"]);
}

#[test]
fn a_service_goes_over_to_the_new_protocol_instance_by_instance() {
    let kafka = Kafka::start();
    let topic = kafka.topic("instances", 4);
    let group = unique("instances");
    let new = config(&kafka, &group);
    // Not cooperative-sticky: librdkafka's leader repeats a member's own data beside its partitions, which bars Kafka from
    // taking the group over, as does any data of an assignor's own.
    let mut old = ClientConfig::new();
    old.set("bootstrap.servers", &kafka.bootstrap_servers)
        .set("group.id", &group)
        .set("heartbeat.interval.ms", "100")
        .set("auto.offset.reset", "earliest")
        .set("partition.assignment.strategy", "range");
    let shared = |one: &mut Reader, other: &mut Reader| {
        eventually(|| ((one.partitions().len(), other.partitions().len()) == (2, 2)).then_some(()));
        assert!(one.partitions().is_disjoint(&other.partitions()));
    };
    let mut first = Reader::new(&old, &topic.name);
    let mut second = Reader::new(&old, &topic.name);
    shared(&mut first, &mut second);
    drop(second);
    let mut third = Reader::new(&new, &topic.name);
    shared(&mut first, &mut third);
    drop(first);
    let mut fourth = Reader::new(&new, &topic.name);
    shared(&mut third, &mut fourth);
    let mut raw = kafka.coordinator(&group, 0);
    assert!(describe(&mut raw, &group).members.iter().all(|member| member.member_type == 1));
    // And back, where the assignment is the broker's, without such data.
    old.set("partition.assignment.strategy", "cooperative-sticky");
    drop(third);
    let mut fifth = Reader::new(&old, &topic.name);
    shared(&mut fourth, &mut fifth);
    drop(fourth);
    eventually(|| (fifth.partitions().len() == 4).then_some(()));
    assert_error(describe(&mut raw, &group).error_code, Some(kafka_protocol::ResponseError::GroupIdNotFound));
}
