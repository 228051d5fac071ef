//! What users expect of the public types: to send, share, clone, compare and hash them, and to spawn the futures.

use std::collections::{HashMap, HashSet};

use rstest::rstest;
use rstest_kafka::{
    Checked, Consumers, Delivery, Error, Group, Harness, HarnessBuilder, Kafka, Nonblocking, PooledConsumer,
    ProducerRecord, Record, RunId, TestError, TestResult, Topic, TopicNames, TopicSpec, WorkerId, kafka,
};

fn is_send_and_sync<T: Send + Sync>() {}
fn is_clone<T: Clone>() {}

#[rstest]
fn public_types_can_be_shared_between_threads() {
    is_send_and_sync::<Kafka>();
    is_send_and_sync::<Kafka<Nonblocking>>();
    is_send_and_sync::<PooledConsumer<Checked>>();
    is_send_and_sync::<Group>();
    is_send_and_sync::<TopicNames>();
    is_send_and_sync::<Consumers>();
    is_send_and_sync::<(Harness, HarnessBuilder)>();
    is_send_and_sync::<(Topic, TopicSpec, Record, ProducerRecord, Delivery)>();
    is_send_and_sync::<(Error, TestError, WorkerId, RunId)>();
}

#[rstest]
fn handles_can_be_cloned() {
    is_clone::<(Kafka, Group, TopicNames, Consumers, Harness, HarnessBuilder)>();
    is_clone::<(Topic, TopicSpec, Record, ProducerRecord, Delivery, Error)>();
}

/// A clone belongs to the same lease, which ends with the last of them.
#[rstest]
fn a_clone_is_of_the_same_lease(kafka: Kafka) {
    let clone = kafka.clone();
    assert_eq!(clone.topic("events"), kafka.topic("events"));
    drop(kafka);
    clone.send("events", "k", "v");
    assert_eq!(clone.consumer("events").recv().text(), "v");
}

#[rstest]
fn a_topic_is_compared_and_hashed(kafka: Kafka) {
    let (events, audit) = (kafka.topic("events"), kafka.topic("audit"));
    assert_eq!(HashSet::from([events.clone(), audit.clone(), events.clone()]).len(), 2);
    assert_eq!(HashMap::from([(events.clone(), 1)])[&events], 1);
    let name = events.name();
    assert!(events == name && events == *name && audit != name);
    assert_eq!(events.fences().collect::<Vec<_>>(), [(0, events.fence(0))]);
}

#[rstest]
fn a_topic_is_given_in_many_ways(kafka: Kafka) {
    let spec = TopicSpec::new("events");
    let (names, owned) = (["events"], "events".to_owned());
    let topics = [
        kafka.topic("events"),
        kafka.topic(owned.clone()),
        kafka.topic(&owned),
        kafka.topic(&spec),
        kafka.topic(spec.clone()),
        names.iter().map(|name| kafka.topic(name)).next().unwrap(),
    ];
    assert!(topics.iter().all(|topic| *topic == topics[0]));
    let consumers = [
        kafka.consumer(&topics[0]),
        kafka.consumer(&spec),
        names.iter().map(|name| kafka.consumer(name)).next().unwrap(),
    ];
    assert!(consumers.iter().all(|consumer| *consumer.topic() == topics[0]));
}

#[rstest]
fn records_are_equal_if_they_are_one_message(kafka: Kafka) {
    let (one, other) = (kafka.consumer("events"), kafka.consumer("events"));
    kafka.send_all("events", [("k", "v"), ("k", "v")]);
    let (first, second) = (one.recv(), one.recv());
    assert_eq!(first, other.recv());
    assert_ne!(first, second);
}

/// The futures own what they need.
#[rstest]
#[tokio::test]
async fn futures_can_be_kept_and_spawned(kafka: Kafka) -> TestResult {
    let kafka = kafka.nonblocking();
    let consumer = kafka.consumer("events")?;
    let received = tokio::spawn(consumer.recv());
    let sent = tokio::spawn(kafka.send("events", "k", "v"));
    sent.await??;
    assert_eq!(received.await??.text(), "v");
    let nothing = consumer.checked();
    tokio::task::spawn_blocking(move || nothing.assert_empty()).await??;
    Ok(())
}

/// The caller's line, not one of this crate's.
#[rstest]
fn a_panic_names_the_line_of_the_call() {
    let harness = Harness::builder().embedded_brokers(1).timeout(std::time::Duration::from_millis(50)).build();
    let place = std::sync::Arc::new(std::sync::Mutex::new(None));
    let noted = std::sync::Arc::clone(&place);
    let failed = std::thread::spawn(move || {
        let kafka = harness.lease();
        let consumer = kafka.consumer("events");
        // The crate's own hook calls this one.
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            *noted.lock().unwrap() = info.location().map(|location| (location.file().to_owned(), location.line()));
            previous(info);
        }));
        consumer.recv() // this line
    });
    assert!(failed.join().is_err());
    let line = include_str!("api.rs").lines().position(|line| line.ends_with("// this line")).unwrap() + 1;
    assert_eq!(place.lock().unwrap().clone(), Some((file!().to_owned(), line as u32)));
}
