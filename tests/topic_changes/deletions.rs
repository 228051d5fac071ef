//! Records that are deleted from the beginning, and topics that are deleted or not there yet.

use std::time::Duration;

use rstest::rstest;
use rstest_kafka::Kafka;
use rstest_kafka::rdkafka::consumer::{BaseConsumer, Consumer};

use super::{LONG, builder, delete, delete_records, eventually, exclusive, wait};
use crate::common::{alone, in_order, lease, sorted};

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
