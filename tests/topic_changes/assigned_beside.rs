//! A consumer that the test has assigned more than its topic.

use std::time::Duration;

use rstest::rstest;
use rstest_kafka::rdkafka::consumer::Consumer;
use rstest_kafka::rdkafka::{Offset, TopicPartitionList};
use rstest_kafka::{Error, TopicSpec};

use super::{builder, exclusive};
use crate::common::{alone, lease, put, sorted};

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
