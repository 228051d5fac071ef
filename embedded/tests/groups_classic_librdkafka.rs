//! Classic groups with librdkafka, as a service uses them.

mod common;

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};
use std::time::Duration;

use common::*;
use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;

fn config(kafka: &Kafka, group: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &kafka.bootstrap_servers)
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        // A member learns of a rebalance by a heartbeat.
        .set("heartbeat.interval.ms", "100");
    config
}

/// A consumer that reads and notes what it has read.
struct Reader {
    consumer: BaseConsumer,
    values: Vec<String>,
    errors: Vec<KafkaError>,
}

impl Reader {
    fn new(config: &ClientConfig, topic: &str) -> Self {
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.subscribe(&[topic]).unwrap();
        Self { consumer, values: Vec::new(), errors: Vec::new() }
    }

    /// Reads what there is; the partitions that it has.
    fn partitions(&mut self) -> BTreeSet<i32> {
        while let Some(message) = self.consumer.poll(Duration::from_millis(1)) {
            match message {
                Ok(message) => self.values.push(String::from_utf8_lossy(message.payload().unwrap()).into_owned()),
                Err(error) => self.errors.push(error),
            }
        }
        self.consumer.assignment().unwrap().elements().iter().map(|element| element.partition()).collect()
    }
}

/// Waits for what librdkafka answers.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

fn write(kafka: &Kafka, topic: &Topic, partition: i32, value: &str) {
    let mut leader = kafka.leader(&topic.name, partition as usize);
    assert_error(produce(&mut leader, &topic.name, partition, &Batch::of(&[value])).error_code, None);
}

/// The second member comes later, and the first one goes: what is written is read by one of them, once.
fn share(assignor: &str) {
    let kafka = Kafka::start();
    let topic = kafka.topic("share", 4);
    let mut config = config(&kafka, &unique("share"));
    config.set("partition.assignment.strategy", assignor);
    (0..4).for_each(|partition| write(&kafka, &topic, partition, &format!("before-{partition}")));
    let mut first = Reader::new(&config, &topic.name);
    eventually(|| (first.partitions().len() == 4 && first.values.len() == 4).then_some(()));
    first.consumer.commit_consumer_state(CommitMode::Sync).unwrap();

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
    first.consumer.commit_consumer_state(CommitMode::Sync).unwrap();

    // One goes, and another comes at once.
    drop(first);
    let mut third = Reader::new(&config, &topic.name);
    eventually(|| ((second.partitions().len(), third.partitions().len()) == (2, 2)).then_some(()));
    drop(third);
    eventually(|| (second.partitions().len() == 4).then_some(()));
    (0..4).for_each(|partition| write(&kafka, &topic, partition, &format!("after-{partition}")));
    eventually(|| {
        second.partitions();
        (second.values.iter().filter(|value| value.starts_with("after")).count() == 4).then_some(())
    });
    assert_eq!(second.values.iter().filter(|value| value.starts_with("before")).count(), 0);
}

#[test]
fn members_with_an_eager_assignor_share_the_partitions_as_they_come_and_go() {
    share("range,roundrobin");
}

#[test]
fn members_with_the_cooperative_assignor_share_the_partitions_as_they_come_and_go() {
    share("cooperative-sticky");
}

#[test]
fn a_static_member_that_starts_again_has_the_same_partitions_and_nobody_rebalances() {
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
    let (had, stays) = (two.partitions(), one.partitions());
    let generation = |raw: &mut Raw| {
        let mut member = common::groups::Member::new(&kafka, &group).instance("two");
        std::mem::swap(&mut member.raw, raw);
        let joined = member.join();
        std::mem::swap(&mut member.raw, raw);
        joined.generation_id
    };
    drop(two);
    let mut two = Reader::new(&config("two"), &topic.name);
    eventually(|| (two.partitions() == had).then_some(()));
    assert_eq!(one.partitions(), stays);
    drop(two);
    // Still the generation that came with the second member.
    assert_eq!(generation(&mut kafka.coordinator(&group, 0)), 2);
}

#[test]
fn assignors_that_do_not_go_together_are_refused() {
    let kafka = Kafka::start();
    let topic = kafka.topic("mixed", 2);
    let mut config = config(&kafka, &unique("mixed"));
    let mut first = Reader::new(&config, &topic.name);
    eventually(|| (first.partitions().len() == 2).then_some(()));
    config.set("partition.assignment.strategy", "cooperative-sticky");
    let mut second = Reader::new(&config, &topic.name);
    let refused = eventually(|| {
        second.partitions();
        second.errors.iter().find_map(KafkaError::rdkafka_error_code)
    });
    assert_eq!(refused, RDKafkaErrorCode::InconsistentGroupProtocol);
    assert_eq!((first.partitions().len(), second.partitions().len()), (2, 0));
}

#[test]
fn what_is_committed_is_there_for_the_next() {
    let kafka = Kafka::start();
    let topic = kafka.topic("committed", 1);
    let config = config(&kafka, &unique("committed"));
    write(&kafka, &topic, 0, "a");
    let mut first = Reader::new(&config, &topic.name);
    eventually(|| {
        first.partitions();
        (first.values == ["a"]).then_some(())
    });
    first.consumer.commit_consumer_state(CommitMode::Sync).unwrap();
    let mut wanted = TopicPartitionList::new();
    wanted.add_partition(&topic.name, 0);
    let committed = first.consumer.committed_offsets(wanted, DEADLINE).unwrap();
    assert_eq!(committed.elements()[0].offset(), rdkafka::Offset::Offset(1));
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
fn a_group_of_any_name_is_asked_to_be_deleted() {
    let kafka = Kafka::start();
    let topic = kafka.topic("deleted", 1);
    let (group, unknown) = (unique("deleted"), unique("unknown"));
    let mut reader = Reader::new(&config(&kafka, &group), &topic.name);
    eventually(|| (reader.partitions().len() == 1).then_some(()));
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &kafka.bootstrap_servers).create().unwrap();
    let delete = |group: &str| {
        let options = AdminOptions::new().request_timeout(Some(DEADLINE));
        let results = block_on(admin.delete_groups(&[group], &options)).unwrap();
        results.into_iter().next().unwrap().map_err(|(_, error)| error)
    };
    assert_eq!(delete(&unknown), Err(RDKafkaErrorCode::GroupIdNotFound));
    assert_eq!(delete(&group), Err(RDKafkaErrorCode::NonEmptyGroup));
    drop(reader);
    assert_eq!(delete(&group), Ok(group));
}
