//! Partitions that are added.

use std::collections::HashMap;
use std::time::Duration;

use rstest::rstest;
use rstest_kafka::rdkafka::Message;
use rstest_kafka::rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rstest_kafka::rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rstest_kafka::{Error, Kafka, PooledConsumer, ProducerRecord, Topic};

use super::{LONG, admin, builder, eventually, exclusive, grow, partitions_of, wait, write};
use crate::common::{alone, lease, put, sorted};

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
