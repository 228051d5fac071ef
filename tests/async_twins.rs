//! What blocks in a sync test has a twin that does not: same results, same errors, and the runtime's tasks go on.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{in_order, put};
use rstest::{fixture, rstest};
use rstest_kafka::rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rstest_kafka::rdkafka::{Offset, TopicPartitionList};
use rstest_kafka::{Error, Harness, Kafka, ProducerRecord, Topic};

#[fixture]
fn kafka() -> Kafka {
    Harness::builder().topic_prefix("twins").build().lease()
}

#[fixture]
fn impatient() -> Kafka {
    Harness::builder().topic_prefix("twins").timeout(Duration::from_millis(300)).build().lease()
}

#[rstest]
#[tokio::test]
async fn they_send_and_receive(kafka: Kafka) {
    let events = kafka.topic("events");
    let consumer = kafka.consumer(&events);
    consumer.nonblocking().assert_empty().await.unwrap();
    assert!(consumer.nonblocking().drain().await.unwrap().is_empty());
    let delivery = kafka.nonblocking().send(&events, "k", "1").await.unwrap();
    assert_eq!((delivery.partition, delivery.offset), (0, events.fence(0)));
    kafka.nonblocking().send_record(&events, ProducerRecord::value("2")).await.unwrap();
    assert_eq!(kafka.nonblocking().send_all(&events, [("k", "3"), ("k", "4"), ("k", "5")]).await.unwrap().len(), 3);

    assert_eq!(consumer.nonblocking().recv_matching(|record| record.text() == "3").await.unwrap().text(), "3");
    assert_eq!(consumer.nonblocking().recv().await.unwrap().text(), "1");
    assert_eq!(in_order(&consumer.nonblocking().recv_n(1).await.unwrap()), ["2"]);
    assert_eq!(in_order(&consumer.nonblocking().drain().await.unwrap()), ["4", "5"]);
    consumer.nonblocking().assert_empty().await.unwrap();
    consumer.nonblocking().assert_no_more_within(Duration::from_millis(20)).await.unwrap();
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_fail_as_their_twins_do(#[from(impatient)] kafka: Kafka) {
    let consumer = kafka.consumer("events");
    let one = consumer.nonblocking().recv().await.unwrap_err();
    let two = consumer.nonblocking().recv_n(2).await.unwrap_err();
    let other = consumer.nonblocking().recv_matching(|_| true).await.unwrap_err();
    for error in [one, two, other] {
        let Error::Timeout(timeout) = &error else { panic!("{error}") };
        assert!(timeout.partitions[0].end.is_some() && !timeout.blocked_runtime, "{error}");
        assert!(error.to_string().contains("nothing was written to it after its fence"), "{error}");
    }
    kafka.nonblocking().send("events", "k", "here").await.unwrap();
    for error in [
        consumer.nonblocking().assert_empty().await.unwrap_err(),
        {
            kafka.nonblocking().send("events", "k", "here").await.unwrap();
            consumer.nonblocking().assert_no_more_within(Duration::from_secs(5)).await.unwrap_err()
        },
        {
            kafka.nonblocking().send("events", "k", "here").await.unwrap();
            consumer.checked().assert_no_more_within(Duration::from_secs(5)).unwrap_err()
        },
    ] {
        let Error::NotEmpty { records, .. } = &error else { panic!("{error}") };
        assert_eq!(in_order(records), ["here"]);
    }
    assert!(matches!(kafka.nonblocking().send("two words", "k", "v").await, Err(Error::Name { .. })));
    assert!(matches!(kafka.nonblocking().send_all("two words", [("k", "v")]).await, Err(Error::Name { .. })));
    let nowhere = ProducerRecord::value("x").partition(99);
    assert!(kafka.nonblocking().send_record(consumer.topic(), nowhere).await.is_err());

    let group = kafka.group("billing", ["events"]);
    put(&kafka, consumer.topic(), 0, "unread");
    for error in [
        group.nonblocking().wait_until_consumed().await.unwrap_err(),
        group.nonblocking().wait_until_consumed_past(consumer.topic(), 0, 1_000_000).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Lag(_)), "{error}");
    }
}

fn commit(kafka: &Kafka, group: &str, topic: &Topic, offset: i64) {
    let service: BaseConsumer = kafka.client_config().set("group.id", group).create().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, 0, Offset::Offset(offset)).unwrap();
    service.commit(&offsets, CommitMode::Sync).unwrap();
}

#[rstest]
#[tokio::test]
async fn a_groups_too(kafka: Kafka) {
    let events = kafka.topic("events");
    let group = kafka.group("billing", [&events]);
    let fence = events.fence(0);
    assert_eq!(group.nonblocking().committed(&events, 0).await.unwrap(), Some(fence));
    kafka.nonblocking().send_all(&events, [("k", "1"), ("k", "2")]).await.unwrap();
    assert_eq!(group.nonblocking().lag().await.unwrap(), 2);
    commit(&kafka, &group, &events, fence + 1);
    group.nonblocking().wait_until_consumed_past(&events, 0, fence).await.unwrap();
    assert_eq!(group.nonblocking().lag().await.unwrap(), 1);
    commit(&kafka, &group, &events, fence + 2);
    group.nonblocking().wait_until_consumed().await.unwrap();
    assert_eq!((group.nonblocking().lag().await.unwrap(), group.nonblocking().lag().await.unwrap()), (0, 0));
    assert_eq!(group.nonblocking().committed(&events, 0).await.unwrap(), Some(fence + 2));
}

/// On a runtime of one thread, with a broker that answers late: a task beside them is not kept waiting.
#[rstest]
#[tokio::test(flavor = "current_thread")]
async fn while_they_wait_other_tasks_go_on() {
    let kafka = Harness::builder().embedded_brokers(1).timeout(Duration::from_secs(20)).build().lease();
    let faults = kafka.faults();
    let events = kafka.topic("events");
    let (consumer, group) = (kafka.consumer(&events), kafka.group("billing", [&events]));
    consumer.nonblocking().drain().await.unwrap();
    faults.latency(Duration::from_millis(300));
    let ticks = Arc::new(AtomicUsize::new(0));
    let ticking = Arc::clone(&ticks);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            ticking.fetch_add(1, Ordering::SeqCst);
        }
    });
    let mut seen = 0;
    let mut went_on = |what: &str| {
        let now = ticks.load(Ordering::SeqCst);
        assert!(now - seen >= 10, "{} ticks during {what}", now - seen);
        seen = now;
    };
    consumer.nonblocking().assert_empty().await.unwrap();
    went_on("assert_empty");
    assert_eq!(group.nonblocking().lag().await.unwrap(), 0);
    went_on("lag");
    group.nonblocking().committed(&events, 0).await.unwrap();
    went_on("committed");
    group.nonblocking().wait_until_consumed().await.unwrap();
    went_on("wait_until_consumed");
    kafka.nonblocking().send_all(&events, [("k", "1")]).await.unwrap();
    went_on("send_all");
    assert_eq!(consumer.nonblocking().recv_matching(|_| true).await.unwrap().text(), "1");
}

/// A receive that is cancelled half way loses nothing of what it had read.
#[rstest]
#[tokio::test]
async fn cancelled_they_lose_no_message(kafka: Kafka) {
    let consumer = kafka.consumer("events");
    kafka.nonblocking().send_all("events", [("k", "1"), ("k", "2"), ("k", "3")]).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(100), consumer.nonblocking().recv_n(4)).await.is_err());
    let none = consumer.nonblocking().recv_matching(|record| record.text() == "none");
    assert!(tokio::time::timeout(Duration::from_millis(100), none).await.is_err());
    assert_eq!(in_order(&consumer.nonblocking().drain().await.unwrap()), ["1", "2", "3"]);
}

/// The predicate is the test's own code: it may use the consumer, and it may panic.
#[rstest]
fn a_predicate_may_use_the_consumer_and_may_panic(kafka: Kafka) {
    let consumer = kafka.consumer("events");
    kafka.send_all("events", [("k", "1"), ("k", "2"), ("k", "3")]);
    assert_eq!(consumer.recv_matching(|record| record.text() == "2").text(), "2");
    let mut others = Vec::new();
    let with_consumer = consumer.recv_matching(|record| {
        others.extend(consumer.within(Duration::ZERO).recv().ok());
        record.text() == "1"
    });
    assert_eq!(with_consumer.text(), "1");
    others.extend(others.is_empty().then(|| consumer.recv()));
    assert_eq!(in_order(&others), ["3"]);
    kafka.send("events", "k", "3");
    kafka.send("events", "k", "4");
    assert_eq!(consumer.recv_matching(|record| record.text() == "4").text(), "4");
    let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| consumer.recv_matching(|_| panic!("mine"))));
    assert!(panics.is_err());
    assert_eq!(in_order(&consumer.drain()), ["3"]);
}

#[cfg(feature = "json")]
mod json {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Order {
        id: u64,
        items: Vec<u64>,
    }

    #[rstest]
    #[tokio::test]
    async fn values_are_typed_and_say_where_they_are_not(#[from(impatient)] kafka: Kafka) {
        let orders = kafka.topic("orders");
        let consumer = kafka.consumer(&orders);
        let text = r#"{"id":1,"items":[7]}"#;
        kafka
            .nonblocking()
            .send_all(&orders, [("k", text), ("k", text), ("k", "[]"), ("k", r#"{"id":2,"items":[7,-8]}"#)])
            .await
            .unwrap();
        let expected = Order { id: 1, items: vec![7] };
        assert_eq!(
            (consumer.recv_json::<Order>(), consumer.nonblocking().recv_json::<Order>().await.unwrap()),
            (expected, Order { id: 1, items: vec![7] })
        );
        let whole = consumer.checked().recv_json::<Order>().unwrap_err();
        assert!(matches!(&whole, Error::Value { path: None, .. }), "{whole:?}");
        let error = consumer.nonblocking().recv_json::<Order>().await.unwrap_err();
        let message = error.to_string();
        let Error::Value { path, record, .. } = error else { panic!("{message}") };
        assert_eq!(
            (path.as_deref(), record.offset(), record.topic()),
            (Some("items[1]"), orders.fence(0) + 3, orders.name())
        );
        for part in ["items[1]: invalid value: integer `-8`", "0@", orders.name(), r#"{\"id\":2"#] {
            assert!(message.contains(part), "{part:?} in {message}");
        }
        assert!(
            matches!(consumer.checked().recv_json::<Order>(), Err(Error::Timeout(_))),
            "the others count as received"
        );
        assert!(matches!(consumer.nonblocking().recv_json::<Order>().await, Err(Error::Timeout(_))));
    }
}
