//! Topics that change during a test: partitions are added, beginnings deleted, the whole is deleted and created again. Whatever
//! passes then has looked at everything that there was.

mod common;

use std::collections::HashMap;
use std::time::Duration;

use common::{alone, in_order, lease, put, sorted};
use rstest::rstest;
use rstest_kafka::rdkafka::ClientConfig;
use rstest_kafka::rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rstest_kafka::rdkafka::client::DefaultClientContext;
use rstest_kafka::rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rstest_kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rstest_kafka::rdkafka::{Message, Offset, TopicPartitionList};
use rstest_kafka::{Error, Harness, HarnessBuilder, Kafka, PooledConsumer, ProducerRecord, Topic, TopicSpec};

const LONG: Duration = Duration::from_secs(20);

fn builder() -> HarnessBuilder {
    Harness::builder().topic_prefix("changes").group_prefix("changes").timeout(LONG)
}

fn admin(kafka: &Kafka) -> AdminClient<DefaultClientContext> {
    kafka.client_config().create().unwrap()
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn grow(kafka: &Kafka, topic: &str, partitions: usize) {
    let grown = wait(admin(kafka).create_partitions(&[NewPartitions::new(topic, partitions)], &AdminOptions::new()));
    grown.unwrap().into_iter().next().unwrap().unwrap();
    eventually(|| partitions_of(kafka, topic) == partitions);
}

fn partitions_of(kafka: &Kafka, topic: &str) -> usize {
    let client: BaseConsumer = kafka.client_config().create().unwrap();
    client.fetch_metadata(Some(topic), LONG).unwrap().topics()[0].partitions().len()
}

#[track_caller]
fn eventually(condition: impl FnMut() -> bool) {
    assert!(common::comes_true(condition));
}

fn delete(kafka: &Kafka, topic: &str) {
    wait(admin(kafka).delete_topics(&[topic], &AdminOptions::new())).unwrap().into_iter().next().unwrap().unwrap();
}

/// Deletes the topic and creates it again, with these records in its first partition, written by a client that never knew the
/// one before.
fn create_again(kafka: &Kafka, topic: &str, partitions: i32, records: usize) {
    delete(kafka, topic);
    eventually(|| {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        wait(admin(kafka).create_topics(&[new], &AdminOptions::new())).unwrap().into_iter().next().unwrap().is_ok()
    });
    eventually(|| partitions_of(kafka, topic) == partitions as usize);
    write(kafka, topic, 0, records);
}

/// Writes by a client of the test's own.
fn write(kafka: &Kafka, topic: &str, partition: i32, records: usize) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", kafka.bootstrap_servers())
        .set("allow.auto.create.topics", "false")
        .create()
        .unwrap();
    for n in 0..records {
        let text = format!("new {n}");
        producer.send(BaseRecord::<str, str>::to(topic).partition(partition).payload(&text)).unwrap();
    }
    producer.flush(LONG).unwrap();
}

fn delete_records(kafka: &Kafka, topic: &str, before: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(before)).unwrap();
    let deleted = wait(admin(kafka).delete_records(&list, &AdminOptions::new())).unwrap();
    deleted.elements()[0].error().unwrap();
}

fn exclusive(kafka: &Kafka, partitions: i32) -> Topic {
    kafka.topic(TopicSpec::new("events").partitions(partitions).exclusive())
}

#[track_caller]
fn is_created_again<T: std::fmt::Debug>(outcome: Result<T, Error>) {
    let error = outcome.expect_err("it passed where it must not").to_string();
    assert!(error.contains("was deleted and created again"), "{error}");
}

fn drained_async(consumer: &PooledConsumer) -> Vec<String> {
    sorted(&wait(consumer.nonblocking().drain()).unwrap())
}

#[rstest]
#[case::fresh(false)]
#[case::that_has_read(true)]
fn a_consumer_sees_the_partitions_that_were_added(#[case] has_read: bool) {
    let _alone = alone();
    let harness = builder().build();
    lease(&harness, |kafka| {
        let events = exclusive(&kafka, 2);
        let before = kafka.consumer(&events);
        if has_read {
            put(&kafka, &events, 0, "old");
            before.recv();
            before.assert_empty();
        }
        let others = [kafka.consumer(&events), kafka.consumer(&events), kafka.consumer(&events)];
        if has_read {
            others.iter().for_each(|consumer| assert_eq!(consumer.recv().text(), "old"));
        }
        grow(&kafka, &events, 4);
        write(&kafka, &events, 3, 1);
        let error = before.checked().assert_empty().unwrap_err();
        assert!(matches!(&error, Error::NotEmpty { records, .. } if records.len() == 1), "{error}");
        let [received, drained, drained_late] = others;
        assert_eq!(received.recv().text(), "new 0");
        received.assert_empty();
        assert_eq!(sorted(&drained.drain()), ["new 0"]);
        assert_eq!(drained_async(&drained_late), ["new 0"]);
        let fresh = kafka.consumer(&events);
        write(&kafka, &events, 2, 1);
        let expected: &[&str] = if has_read { &["new 0", "new 0", "old"] } else { &["new 0", "new 0"] };
        assert_eq!(sorted(&fresh.recv_n(expected.len())), expected);
    });
}

/// Also the crate's own producer, which has heard of two.
#[rstest]
fn a_record_is_sent_to_a_partition_that_was_added() {
    let _alone = alone();
    let harness = builder().build();
    lease(&harness, |kafka| {
        let events = exclusive(&kafka, 2);
        put(&kafka, &events, 1, "before");
        grow(&kafka, &events, 4);
        assert_eq!(put(&kafka, &events, 3, "after"), 0);
        let error = kafka.checked().send_record(&events, ProducerRecord::value("no such").partition(4)).unwrap_err();
        assert!(error.to_string().contains("the topic has no partition 4"), "{error}");
    });
}

/// A member of the group that reads all that it is assigned.
fn service(kafka: &Kafka, group: &str, topic: &str) -> BaseConsumer {
    let service: BaseConsumer = kafka
        .client_config()
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("topic.metadata.refresh.interval.ms", "200")
        .create()
        .unwrap();
    service.subscribe(&[topic]).unwrap();
    service
}

#[rstest]
fn a_group_is_waited_for_on_the_partitions_that_were_added() {
    let _alone = alone();
    let harness = builder().timeout(Duration::from_secs(2)).build();
    lease(&harness, |kafka| {
        let events = exclusive(&kafka, 2);
        let group = kafka.group("before", [&events]);
        grow(&kafka, &events, 4);
        write(&kafka, &events, 3, 1);
        let after = kafka.group("after", [&events]);
        assert_eq!(after.committed(&events, 3), Some(0), "what was written before the group is still this test's");
        for group in [group, after] {
            assert_eq!(group.lag(), 1);
            for outcome in
                [group.checked().wait_until_consumed(), group.checked().wait_until_consumed_past(&events, 3, 0)]
            {
                let error = outcome.unwrap_err();
                assert!(
                    matches!(&error, Error::Lag(lag) if lag.partitions.iter().any(|of| of.partition == 3)),
                    "{error}"
                );
            }
            let service = service(&kafka, &group, &events);
            eventually(|| match service.poll(Duration::from_millis(50)) {
                Some(message) => message.unwrap().payload() == Some(b"new 0"),
                None => false,
            });
            service.commit_consumer_state(CommitMode::Sync).unwrap();
            group.wait_until_consumed();
            group.wait_until_consumed_past(&events, 3, 0);
            assert_eq!(group.lag(), 0);
            let error = group.checked().wait_until_consumed_past(&events, 4, 0).unwrap_err();
            assert!(error.to_string().contains("has no partition 4"), "{error}");
        }
    });
}

/// Shared topics: in the harness's shape, and one that the worker's tests only name.
#[rstest]
fn the_next_test_sees_its_own_records_on_a_topic_that_grew() {
    let _alone = alone();
    let harness = builder().partitions(2).build();
    let case = |kafka: &Kafka, events: &Topic, grows: bool| {
        let consumer = kafka.consumer(events);
        let group = kafka.group("billing", [events]);
        let sent = kafka.send_all(events, (0..8).map(|n| (n.to_string(), n.to_string())));
        assert_eq!(sorted(&consumer.recv_n(8)), (0..8).map(|n| n.to_string()).collect::<Vec<_>>());
        consumer.assert_empty();
        let mut written: HashMap<i32, i64> = HashMap::new();
        for delivery in sent {
            *written.entry(delivery.partition).or_default() += 1;
        }
        let partitions = partitions_of(kafka, events) as i32;
        for partition in 0..partitions {
            let of_test = written.get(&partition).copied().unwrap_or(0);
            assert_eq!(events.fence(partition), group.committed(events, partition).unwrap());
            let end = events.fence(partition) + of_test;
            group.checked().committed(events, partition).unwrap();
            // Its client learns of the leader of an added partition a moment later.
            let watermarks = || consumer.client().fetch_watermarks(events, partition, LONG);
            eventually(|| watermarks().is_ok());
            assert_eq!(watermarks().unwrap().1, end);
        }
        if grows {
            grow(kafka, events, 4);
            (0..4).for_each(|partition| write(kafka, events, partition, 3));
        }
    };
    for grows in [true, false, true, false] {
        lease(&harness, |kafka| {
            let events = kafka.topic("events");
            case(&kafka, &events, grows && partitions_of(&kafka, &events) < 4);
        });
    }
    for number in 0..3 {
        lease(&harness, |kafka| {
            let named = kafka.topic_names().name("audit");
            if number == 0 {
                let new = NewTopic::new(&named, 2, TopicReplication::Fixed(1));
                wait(admin(&kafka).create_topics(&[new], &AdminOptions::new())).unwrap();
                eventually(|| partitions_of(&kafka, &named) == 2);
            }
            case(&kafka, &named, number == 0);
        });
    }
}

#[rstest]
#[case::fewer_than_were_read(1)]
#[case::as_many(2)]
#[case::more(3)]
fn a_topic_that_was_created_again_is_an_error_to_who_has_read_it(#[case] records: usize) {
    let _alone = alone();
    let harness = builder().build();
    lease(&harness, |kafka| {
        let events = exclusive(&kafka, 1);
        let consumers = [(); 5].map(|()| kafka.consumer(&events));
        let unread = [(); 3].map(|()| kafka.consumer(&events));
        let group = kafka.group("billing", [&events]);
        kafka.send_all(&events, [("k", "1"), ("k", "2")]);
        for consumer in &consumers {
            assert_eq!(sorted(&consumer.recv_n(2)), ["1", "2"]);
            consumer.assert_empty();
        }
        create_again(&kafka, &events, 1, records);
        let expected: Vec<_> = (0..records).map(|n| format!("new {n}")).collect();
        assert_eq!(sorted(&kafka.consumer(&events).drain()), expected);
        let [drained, empty, drained_async, received, streamed] = consumers;
        is_created_again(drained.checked().drain());
        is_created_again(drained.checked().drain());
        is_created_again(empty.checked().assert_empty());
        is_created_again(wait(drained_async.nonblocking().drain()));
        is_created_again(received.checked().recv());
        is_created_again(wait(streamed.nonblocking().recv_n(2)));
        is_created_again(group.checked().lag());
        is_created_again(group.checked().wait_until_consumed());
        is_created_again(group.checked().wait_until_consumed_past(&events, 0, 0));
        // Nothing of the topic before was missed by who has not read of it.
        let [drained, received, received_async] = unread;
        // A client that has not yet learned of it may still give out what it had fetched of the one before, and fail then.
        for consumer in [&received, &received_async] {
            consumer.client().fetch_metadata(Some(&events), LONG).unwrap();
        }
        assert_eq!(sorted(&drained.drain()), expected);
        assert_eq!(sorted(&received.recv_n(records)), expected);
        assert_eq!(sorted(&wait(received_async.nonblocking().recv_n(records)).unwrap()), expected);
        let after = kafka.group("after", [&events]);
        assert_eq!((after.committed(&events, 0), after.lag()), (Some(0), records as i64));
    });
}

#[rstest]
#[case::fewer_partitions(3, 1)]
#[case::more_partitions(1, 3)]
fn a_topic_that_was_created_again_in_another_shape_is_read_as_it_is(#[case] before: i32, #[case] after: i32) {
    let _alone = alone();
    let harness = builder().build();
    lease(&harness, |kafka| {
        let events = exclusive(&kafka, before);
        let unread = kafka.consumer(&events);
        create_again(&kafka, &events, after, 2);
        write(&kafka, &events, after - 1, 1);
        for consumer in [unread, kafka.consumer(&events)] {
            assert_eq!(consumer.recv_n(3).len(), 3);
            consumer.assert_empty();
        }
    });
}

/// What a test before has deleted is the next one's from its new beginning on.
#[rstest]
#[case::fewer(1)]
#[case::as_many(2)]
#[case::more(5)]
fn the_next_test_begins_at_the_end_of_a_topic_that_was_created_again(#[case] records: usize) {
    let _alone = alone();
    let harness = builder().build();
    lease(&harness, |kafka| {
        let events = kafka.topic("again");
        let consumer = kafka.consumer(&events);
        kafka.send_all(&events, [("k", "1"), ("k", "2")]);
        consumer.recv_n(2);
        create_again(&kafka, &events, 1, records);
    });
    for text in ["first", "second"] {
        lease(&harness, |kafka| {
            let events = kafka.topic("again");
            let (consumer, group) = (kafka.consumer(&events), kafka.group("billing", [&events]));
            assert_eq!(group.lag(), 0);
            kafka.send(&events, "k", text);
            assert_eq!(consumer.recv().text(), text);
            consumer.assert_empty();
            assert_eq!(group.lag(), 1);
        });
    }
}

#[rstest]
fn reading_goes_on_at_the_first_record_that_was_not_deleted() {
    let _alone = alone();
    let harness = builder().build();
    lease(&harness, |kafka| {
        let events = exclusive(&kafka, 1);
        kafka.send_all(&events, (1..=6).map(|n| ("k", n.to_string())));
        delete_records(&kafka, &events, 5);
        let [received, drained, drained_async, kept] = [(); 4].map(|()| kafka.consumer(&events));
        assert_eq!(received.recv().text(), "6");
        received.assert_empty();
        assert_eq!(sorted(&drained.drain()), ["6"]);
        assert_eq!(sorted(&wait(drained_async.nonblocking().drain()).unwrap()), ["6"]);
        assert_eq!(sorted(&kept.recv_n(1)), ["6"]);
        kafka.send(&events, "k", "7");
        delete_records(&kafka, &events, 7);
        kafka.consumer(&events).assert_empty();
        kafka.send(&events, "k", "8");
        assert_eq!(kafka.consumer(&events).recv().text(), "8");
    });
}

/// The next test's fence is at the end also where nothing is left before it.
#[rstest]
fn a_pooled_consumer_reads_on_where_an_earlier_test_has_deleted() {
    let _alone = alone();
    let harness = builder().build();
    for _ in 0..3 {
        lease(&harness, |kafka| {
            let events = kafka.topic("trimmed");
            let last = kafka.send_all(&events, (1..=6).map(|n| ("k", n.to_string())))[5].offset;
            delete_records(&kafka, &events, last);
            let consumer = kafka.consumer(&events);
            assert_eq!(consumer.recv().text(), "6");
            consumer.assert_empty();
        });
    }
}

/// Records of what the test has assigned beside are its own to receive, and are not counted for the consumer's topic.
#[rstest]
#[case::another_topic(false)]
#[case::a_partition_beyond_its_own(true)]
fn what_a_test_assigns_beside_is_received_and_not_counted(#[case] beyond: bool) {
    let _alone = alone();
    let harness = builder().build();
    lease(&harness, |kafka| {
        let events = exclusive(&kafka, 1);
        let wide = kafka.topic(TopicSpec::new("wide").partitions(5).exclusive());
        let of_other = if beyond { 4 } else { 0 };
        let assigned = |starts: &[(&str, i32)]| {
            let mut list = TopicPartitionList::new();
            for (topic, partition) in starts {
                list.add_partition_offset(topic, *partition, Offset::Beginning).unwrap();
            }
            list
        };
        let consumer = kafka.consumer(&events);
        consumer.client().assign(&assigned(&[(&events, 0), (&wide, of_other)])).unwrap();
        for n in 0..3 {
            put(&kafka, &wide, of_other, &format!("beside {n}"));
        }
        // What it skips is kept.
        consumer.recv_matching(|record| record.text() == "beside 1");
        consumer.assert_empty();
        put(&kafka, &events, 0, "own");
        assert_eq!(sorted(&consumer.drain()), ["own"]);
        consumer.assert_empty();
        assert_eq!(sorted(&consumer.recv_n(2)), ["beside 0", "beside 2"]);
        put(&kafka, &wide, of_other, "beside 3");
        assert_eq!(consumer.recv().text(), "beside 3");
        consumer.assert_empty();
        let error = consumer.within(Duration::from_millis(200)).recv().unwrap_err().to_string();
        assert!(
            error.contains("everything that was written to it after its fence (1) was already received"),
            "{error}"
        );
    });
}

/// An end that is reported does not say of which topic: where both have the partition's number, it tells nothing.
#[rstest]
fn the_end_of_a_topic_that_was_assigned_beside_is_not_the_consumers() {
    let _alone = alone();
    let harness = builder().timeout(Duration::from_secs(3)).build();
    lease(&harness, |kafka| {
        let [events, other] = kafka.topics(["events", "other"].map(|name| TopicSpec::new(name).exclusive()));
        let consumer = kafka.consumer(&events);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&other, 0, Offset::Beginning).unwrap();
        list.add_partition_offset(&events, 0, Offset::Beginning).unwrap();
        consumer.client().assign(&list).unwrap();
        // It fetches nothing of its own topic, and comes to the end of the other one.
        let mut own = TopicPartitionList::new();
        own.add_partition(&events, 0);
        consumer.client().pause(&own).unwrap();
        put(&kafka, &other, 0, "beside");
        put(&kafka, &events, 0, "unread");
        let error = consumer.checked().assert_empty().unwrap_err();
        assert!(matches!(error, Error::Timeout(_)), "{error}");
    });
}

fn exists(kafka: &Kafka, topic: &str) -> bool {
    let client: BaseConsumer = kafka.client_config().create().unwrap();
    let metadata = client.fetch_metadata(Some(topic), LONG).unwrap();
    metadata.topics().iter().any(|found| found.error().is_none() && !found.partitions().is_empty())
}

/// Also where the crate's own producer has used it, and asks for it again.
#[rstest]
fn a_topic_that_a_test_has_deleted_does_not_come_back_by_a_send() {
    let _alone = alone();
    let harness = builder().timeout(Duration::from_secs(3)).build();
    lease(&harness, |kafka| {
        let events = exclusive(&kafka, 1);
        kafka.send(&events, "k", "before");
        delete(&kafka, &events);
        eventually(|| !exists(&kafka, &events));
        kafka.checked().send(&events, "k", "after").unwrap_err();
        assert!(!exists(&kafka, &events));
    });
}

#[rstest]
fn a_topic_that_was_only_named_is_created_by_the_first_send() {
    let _alone = alone();
    let harness = builder().build();
    for first in [true, false] {
        lease(&harness, |kafka| {
            let audit = kafka.topic_names().name("first-write");
            let consumer = kafka.consumer(&audit);
            // The second one may be on another lane.
            assert!(!first || !exists(&kafka, &audit));
            kafka.send_all(&audit, ["1", "2", "3"].map(|n| (n, n)));
            assert_eq!(in_order(&consumer.recv_n(3)), ["1", "2", "3"], "it has the broker's default of one partition");
            kafka.send(&audit, "k", "4");
            assert_eq!(consumer.recv().text(), "4");
        });
    }
}
