//! The code of the README and of the crate's first page: every block of theirs stands here too, and runs as a test.
//!
//! As doctests they only compile, because rstest leaves tests out of everything that is not a test build.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use rstest::rstest;
use rstest_kafka::rdkafka::ClientConfig;
use rstest_kafka::rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rstest_kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rstest_kafka::{Kafka, ProducerRecord, TestResult, TopicNames, TopicSpec, kafka, topic_names};

#[rstest]
#[case::json("json", br#"{"id":1}"#)]
#[case::text("text", b"one")]
fn ingest_forwards(kafka: Kafka, #[case] kind: &str, #[case] payload: &[u8]) {
    let events = kafka.topic("events"); // exists, and begins here for this test
    let consumer = kafka.consumer(&events); // from the pool, connected
    kafka.send(&events, kind, payload); // returns once the broker has it
    let message = consumer.recv(); // waits 5 seconds at most
    assert_eq!(message.payload(), Some(payload));
    consumer.assert_empty(); // asks the broker, does not sleep
}

#[rstest]
fn both_get_it(kafka: Kafka) {
    let (one, other) = (kafka.consumer("events"), kafka.consumer("events"));
    kafka.send("events", "key", "value");
    assert_eq!(one.recv().text(), "value");
    assert_eq!(other.recv().text(), "value");
}

#[rstest]
#[tokio::test]
async fn async_case(kafka: Kafka) {
    let consumer = kafka.consumer("events");
    kafka.send_async("events", "key", "value").await;
    assert_eq!(consumer.recv_async().await.text(), "value");
}

#[rstest]
fn a_key_stays_on_its_partition(kafka: Kafka) {
    let wide = kafka.topic(TopicSpec::new("wide").partitions(6));
    let consumer = kafka.consumer(&wide);
    let first = kafka.send(&wide, "ada", "1");
    let second = kafka.send(&wide, "ada", "2");
    assert_eq!(first.partition, second.partition);
    assert_eq!(consumer.recv_n(2).len(), 2);
}

#[rstest]
fn a_deleted_customer_is_forgotten(kafka: Kafka) {
    let customers = kafka.topic("customers");
    let consumer = kafka.consumer(&customers);
    kafka.send_record(&customers, ProducerRecord::new("ada", "1").header("trace", "a1").partition(0));
    kafka.send_record(&customers, ProducerRecord::tombstone("ada"));
    assert_eq!(consumer.recv().header("trace"), Some(&b"a1"[..]));
    assert_eq!(consumer.recv().payload(), None);
}

#[rstest]
fn nobody_else_gets_it(kafka: Kafka) {
    let scratch = kafka.topic(TopicSpec::new("scratch").exclusive());
    kafka.send(&scratch, "key", "left behind");
}

#[rstest]
fn service_consumes_what_we_send(kafka: Kafka) {
    let orders = kafka.topic("orders");
    let group = kafka.group("billing", [&orders]);
    let service = start_service(kafka.consumer_config(&group), &orders);
    kafka.send(&orders, "key", "value");
    group.wait_until_consumed(); // its committed offsets have reached the topic's end
    service.stop();
}

#[rstest]
fn service_makes_its_topic(kafka: Kafka, topic_names: TopicNames) {
    let audit = topic_names.name("audit");
    let consumer = kafka.consumer(&audit);
    write_audit_log(kafka.producer_config(), &audit); // the broker makes the topic at the first write
    assert_eq!(consumer.recv().text(), "service started");
}

#[rstest]
fn parses(kafka: Kafka) -> TestResult {
    let consumer = kafka.consumer("numbers");
    kafka.try_send("numbers", "key", "42")?;
    let number: u32 = consumer.try_recv()?.try_text()?.parse()?;
    assert_eq!(number, 42);
    Ok(())
}

mod own_harness {
    use std::sync::LazyLock;

    use rstest::{fixture, rstest};
    use rstest_kafka::{Harness, Kafka};

    static RELAY: LazyLock<Harness> =
        LazyLock::new(|| Harness::builder().topic_prefix("relay-test").partitions(3).build());

    #[fixture]
    fn kafka() -> Kafka {
        RELAY.lease()
    }

    #[rstest]
    fn has_three_partitions(kafka: Kafka) {
        let events = kafka.topic("events");
        assert!(events.starts_with("relay-test-events-"));
        assert_eq!(events.partitions(), Some(3));
    }
}

mod faults {
    use std::sync::LazyLock;

    use rstest::{fixture, rstest};
    use rstest_kafka::{ErrorCode, Harness, Kafka, Request};

    use super::start_service;

    static EMBEDDED: LazyLock<Harness> = LazyLock::new(|| Harness::builder().embedded_brokers(1).build());

    #[fixture]
    fn kafka() -> Kafka {
        EMBEDDED.lease()
    }

    #[rstest]
    fn service_tries_a_refused_commit_again(kafka: Kafka) {
        let faults = kafka.faults(); // before the first topic
        let orders = kafka.topic("orders");
        let group = kafka.group("billing", [&orders]);
        kafka.send(&orders, "key", "value");
        let commits = faults.requests(Request::OffsetCommit); // the group's fence was one
        faults.fail_next(Request::OffsetCommit, 2, ErrorCode::RequestTimedOut);
        let service = start_service(kafka.consumer_config(&group), &orders);
        group.wait_until_consumed();
        assert_eq!(faults.requests(Request::OffsetCommit) - commits, 3); // two refused, one taken
        service.stop();
    }
}

/// Reads one message and commits it; the least that can be called a service.
struct Service(JoinHandle<()>);

fn start_service(mut config: ClientConfig, topic: &str) -> Service {
    config.set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.subscribe(&[topic]).unwrap();
    Service(thread::spawn(move || {
        let message = loop {
            if let Some(message) = consumer.poll(Duration::from_millis(100)) {
                break message.unwrap();
            }
        };
        while consumer.commit_message(&message, CommitMode::Sync).is_err() {}
    }))
}

impl Service {
    fn stop(self) {
        self.0.join().unwrap();
    }
}

fn write_audit_log(config: ClientConfig, topic: &str) {
    let producer: BaseProducer = config.create().unwrap();
    producer.send(BaseRecord::to(topic).key("service").payload("service started")).map_err(|(error, _)| error).unwrap();
    producer.flush(Duration::from_secs(5)).unwrap();
}

/// The lines that count: without those that only import, without indentation and empty lines.
fn lines(code: &str) -> String {
    let counts = |line: &&str| !line.is_empty() && !line.starts_with("use ");
    code.lines().map(str::trim).filter(counts).collect::<Vec<_>>().join("\n")
}

#[rstest]
#[case::readme(include_str!("../README.md"), 10)]
#[case::first_page(include_str!("../src/lib.rs"), 1)]
fn what_is_documented_runs_here(#[case] page: &str, #[case] least: usize) {
    let here = lines(include_str!("newcomer.rs"));
    let page: String = page.lines().map(|line| format!("{}\n", line.trim_start_matches("//!").trim_start())).collect();
    let blocks: Vec<&str> =
        page.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect();
    assert!(blocks.len() >= least, "{} blocks", blocks.len());
    for block in blocks {
        assert!(here.contains(&lines(block)), "not in tests/newcomer.rs:\n{block}");
    }
}
