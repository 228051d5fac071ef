//! Transactions across a fence, and those that are aborted.

use rstest::rstest;
use rstest_kafka::Kafka;
use rstest_kafka::rdkafka::consumer::Consumer;
use rstest_kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::{LONG, builder};
use crate::common::{alone, in_order, lease, put};

/// A transaction's producer, and what it does to a topic.
fn writer(kafka: &Kafka, id: &str) -> BaseProducer {
    let mut config = kafka.client_config();
    let unique = format!("{id}-{}", kafka.topic_names().name("events"));
    let writer: BaseProducer = config.set("transactional.id", unique).create().unwrap();
    writer.init_transactions(LONG).unwrap();
    writer
}

fn write(writer: &BaseProducer, topic: &str, text: &str) {
    writer.begin_transaction().unwrap();
    writer.send(BaseRecord::<str, str>::to(topic).partition(0).payload(text)).unwrap();
    writer.flush(LONG).unwrap();
}

#[rstest]
#[case::committed(true)]
#[case::aborted(false)]
fn a_transaction_that_was_open_at_the_fence_is_before_it(#[case] commits: bool) {
    let _alone = alone();
    let harness = builder().build();
    let service = lease(&harness, |kafka| {
        let events = kafka.topic("events");
        put(&kafka, &events, 0, "left");
        let service = writer(&kafka, "service");
        write(&service, &events, "open");
        service
    });
    lease(&harness, |kafka| {
        let events = kafka.topic("events");
        assert_eq!(events.fence(0), 2, "the open transaction's message stands before it");
        let consumer = kafka.consumer(&events);
        put(&kafka, &events, 0, "mine");
        if commits { service.commit_transaction(LONG) } else { service.abort_transaction(LONG) }.unwrap();
        put(&kafka, &events, 0, "mine too");
        assert_eq!(in_order(&consumer.recv_n(2)), ["mine", "mine too"]);
        consumer.assert_empty();
    });
    lease(&harness, |kafka| kafka.consumer("events").assert_empty());
}

#[rstest]
fn what_a_transaction_aborted_is_no_message_where_the_broker_has_markers() {
    let _alone = alone();
    let harness = builder().build();
    lease(&harness, |kafka| {
        let events = kafka.topic("events");
        let service = writer(&kafka, "service");
        write(&service, &events, "aborted");
        service.abort_transaction(LONG).unwrap();
        // Asked of the broker, not guessed: its log has grown by a marker beyond the message, or it has not.
        let (_, end) = kafka.consumer(&events).client().fetch_watermarks(&events, 0, LONG).unwrap();
        let has_markers = end == 2;
        println!("the broker writes {}", if has_markers { "abort markers" } else { "no abort markers" });
        let consumer = kafka.consumer(&events);
        let seen = in_order(&consumer.drain());
        assert_eq!(seen, if has_markers { vec![] } else { vec!["aborted"] });
        put(&kafka, &events, 0, "mine");
        assert_eq!(consumer.recv().text(), "mine");
        write(&service, &events, "aborted again");
        service.abort_transaction(LONG).unwrap();
        assert_eq!(consumer.checked().assert_empty().is_ok(), has_markers);
    });
    // The end of the topic is a marker, or an aborted message.
    lease(&harness, |kafka| {
        let consumer = kafka.consumer("events");
        consumer.assert_empty();
        kafka.send("events", "k", "mine");
        assert_eq!(consumer.recv().text(), "mine");
        consumer.assert_empty();
    });
}
