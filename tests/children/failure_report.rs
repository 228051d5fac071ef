//! Tests that fail, and some that do not, for the account of what each had on its broker.

use std::panic::{self, AssertUnwindSafe};
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use rstest::rstest;
use rstest_kafka::{Harness, Kafka, PooledConsumer, ProducerRecord, TestResult, TopicSpec, kafka};

use crate::common::embedded::Embedded;
use crate::common::{foreign, lease};
static ACCOUNT: LazyLock<Harness> = LazyLock::new(|| Harness::builder().topic_prefix("account").build());

fn sent(kafka: &Kafka) -> PooledConsumer {
    let consumer = kafka.consumer("events");
    kafka.send("events", "k", "what was sent");
    consumer
}

#[rstest]
fn asserts_on_much() {
    let spec = || TopicSpec::new("orders").partitions(3);
    let before = |kafka: Kafka| {
        let orders = kafka.topic(spec());
        kafka.send_record(&orders, ProducerRecord::value("left").partition(1));
    };
    lease(&ACCOUNT, before);
    let kafka = ACCOUNT.lease();
    let (orders, _quiet) = (kafka.topic(spec()), kafka.topic("quiet"));
    let consumer = kafka.consumer(&orders);
    let group = kafka.group("billing", [&orders]);
    let put = |partition, record: ProducerRecord| {
        kafka.send_record(&orders, record.partition(partition));
    };
    for n in ["1", "2", "3"] {
        put(1, ProducerRecord::new("k", n));
    }
    assert_eq!(consumer.recv_n(2).len(), 2);
    put(1, ProducerRecord::tombstone("k"));
    put(1, ProducerRecord::new([0xff, 0], [0xff, 0xfe]).header("trace", "a1").null_header("span"));
    put(2, ProducerRecord::new("", ""));
    put(2, ProducerRecord::new("k", "\x1b[2Jgone\r\n"));
    put(2, ProducerRecord::value("x".repeat(1_000)));
    assert_eq!(group.lag(), 0);
}

#[rstest]
fn gets_a_header_of_other_bytes() {
    let kafka = ACCOUNT.lease();
    foreign::send_with_header(&kafka, &kafka.topic("events"), b"\xfftrace\x1b");
    panic!("as it must");
}

#[cfg(not(feature = "zstd"))]
#[rstest]
fn gets_a_record_compressed_with_zstd() {
    let kafka = ACCOUNT.lease();
    foreign::send_zstd(&kafka, &kafka.topic("events"));
    panic!("as it must");
}

#[rstest]
fn panics(kafka: Kafka) {
    let _consumer = sent(&kafka);
    panic!("as it must");
}

#[rstest]
fn returns_an_err(kafka: Kafka) -> TestResult {
    let _: u32 = sent(&kafka).recv().text().parse()?;
    Ok(())
}

#[rstest]
fn returns_an_err_on_a_broker_of_its_own() -> TestResult {
    let harness = Harness::builder().topic_prefix("own").embedded_brokers(1).build();
    let kafka = harness.lease();
    let _faults = kafka.faults();
    let _: u32 = sent(&kafka).recv().text().parse()?;
    Ok(())
}

#[rstest]
fn drops_its_fixture_first(kafka: Kafka) {
    drop(sent(&kafka));
    drop(kafka);
    panic!("as it must");
}

#[rstest]
fn moves_its_fixture_away(kafka: Kafka) {
    let moved = thread::spawn(move || {
        let consumer = sent(&kafka);
        (kafka, consumer)
    });
    std::mem::forget(moved.join().unwrap());
    panic!("as it must");
}

#[rstest]
#[timeout(Duration::from_millis(500))]
fn is_timed_out(kafka: Kafka) {
    let _consumer = sent(&kafka);
    loop {
        thread::park();
    }
}

#[rstest]
#[timeout(Duration::from_millis(500))]
#[tokio::test]
async fn is_timed_out_async(kafka: Kafka) {
    let _consumer = sent(&kafka);
    std::future::pending::<()>().await;
}

#[rstest]
fn panics_in_a_thread_that_it_joins(kafka: Kafka) {
    let _consumer = sent(&kafka);
    thread::spawn(|| panic!("as it must")).join().unwrap();
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn panics_in_a_task(kafka: Kafka) {
    let _consumer = sent(&kafka);
    tokio::spawn(async { panic!("as it must") }).await.unwrap();
}

#[rstest]
fn is_marked(kafka: Kafka) {
    let _consumer = sent(&kafka);
    kafka.mark_failed();
    drop(_consumer);
    drop(kafka);
    // So that libtest shows what it has kept; the account stands there by then.
    panic!("as it must");
}

#[rstest]
fn passes(kafka: Kafka) {
    let _consumer = sent(&kafka);
}

#[rstest]
fn catches_a_panic(kafka: Kafka) {
    let consumer = sent(&kafka);
    panic::catch_unwind(AssertUnwindSafe(|| panic!("as it must"))).unwrap_err();
    assert_eq!(consumer.recv().text(), "what was sent");
}

#[rstest]
fn handles_an_err(kafka: Kafka) -> TestResult {
    let parsed = || -> TestResult<u32> { Ok(sent(&kafka).recv().text().parse()?) };
    println!("{:?}", parsed().unwrap_err());
    Ok(())
}

#[rstest]
#[should_panic(expected = "as it must")]
fn is_to_panic(kafka: Kafka) {
    let _consumer = sent(&kafka);
    panic!("as it must");
}

#[rstest]
fn sends_twenty_to_each_of_twenty_partitions(kafka: Kafka) {
    let wide = kafka.topic(TopicSpec::new("wide").partitions(20));
    for partition in 0..20 {
        kafka.send_all(&wide, (0..20).map(|n| (format!("{partition}-{n}"), "v")));
    }
    panic!("as it must");
}

#[rstest]
fn loses_its_broker() {
    let lost = Harness::builder().topic_prefix("lost").embedded_brokers(1).timeout(Duration::from_secs(60));
    let harness = lost.exit_deadline(Duration::from_secs(1)).build();
    let kafka = harness.lease();
    let _consumer = sent(&kafka);
    Embedded::of(&kafka).take_down(1);
    panic!("as it must");
}
