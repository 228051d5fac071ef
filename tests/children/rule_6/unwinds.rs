//! Tests that panic with a consumer in their hands.

use std::panic::{self, AssertUnwindSafe};
use std::thread;

use rstest::rstest;
use rstest_kafka::rdkafka::consumer::Consumer;
use rstest_kafka::{Kafka, PooledConsumer, kafka};

use super::leave_something;

#[rstest]
fn idle(kafka: Kafka) {
    leave_something(&kafka);
    let _consumer = kafka.consumer("events");
    panic!("as it must");
}

#[rstest]
fn paused(kafka: Kafka) {
    leave_something(&kafka);
    let consumer = kafka.consumer("events");
    consumer.client().pause(&consumer.client().assignment().unwrap()).unwrap();
    panic!("as it must");
}

#[rstest]
fn subscribed(kafka: Kafka) {
    leave_something(&kafka);
    let consumer = kafka.consumer("events");
    consumer.client().unassign().unwrap();
    consumer.client().subscribe(&[consumer.topic().name()]).unwrap();
    panic!("as it must");
}

#[rstest]
fn assigned_elsewhere(kafka: Kafka) {
    leave_something(&kafka);
    let consumer = kafka.consumer("events");
    let mut list = rstest_kafka::rdkafka::TopicPartitionList::new();
    list.add_partition(kafka.topic("audit").name(), 0);
    consumer.client().assign(&list).unwrap();
    panic!("as it must");
}

#[rstest]
fn read_halfway(kafka: Kafka) {
    leave_something(&kafka);
    let consumer = kafka.consumer("events");
    kafka.send_all("events", (0..100).map(|n| (n.to_string(), "v")));
    consumer.recv_matching(|record| record.key() == Some(b"10"));
    panic!("as it must");
}

#[rstest]
fn several(kafka: Kafka) {
    leave_something(&kafka);
    let _consumers: Vec<PooledConsumer> = (0..4).map(|_| kafka.consumer("events")).collect();
    // Caught once on the way, with one more.
    let unwinds = || {
        let _one_more = kafka.consumer("events");
        panic!("as it must")
    };
    let payload = panic::catch_unwind(AssertUnwindSafe(unwinds)).unwrap_err();
    panic::resume_unwind(payload);
}

#[rstest]
fn in_a_thread(kafka: Kafka) {
    leave_something(&kafka);
    let consumer = kafka.consumer("events");
    let unwinds = move || {
        let _consumer = consumer;
        panic!("as it must")
    };
    let payload = thread::spawn(unwinds).join().unwrap_err();
    panic::resume_unwind(payload);
}

#[rstest]
fn zz_the_next_test(kafka: Kafka) {
    leave_something(&kafka);
}
