//! The code of the README and of the crate documentation: each of their Rust blocks is repeated here and runs as a test.
//!
//! A doctest would not run them, because rstest compiles tests only in test builds.

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
    let events = kafka.topic("events"); // exists; older messages are hidden from this test
    let consumer = kafka.consumer(&events); // from the pool, already connected
    kafka.send(&events, kind, payload); // returns when the broker has acknowledged the message
    let message = consumer.recv(); // waits at most 5 seconds
    assert_eq!(message.payload(), Some(payload));
    consumer.assert_empty(); // asks the broker instead of sleeping
}

#[rstest]
fn every_consumer_receives_every_message(kafka: Kafka) {
    let (first, second) = (kafka.consumer("events"), kafka.consumer("events"));
    kafka.send("events", "key", "value");
    assert_eq!(first.recv().text(), "value");
    assert_eq!(second.recv().text(), "value");
}

#[rstest]
#[tokio::test]
async fn async_case(kafka: Kafka) -> TestResult {
    let kafka = kafka.nonblocking();
    let consumer = kafka.consumer("events")?;
    kafka.send("events", "key", "value").await?;
    assert_eq!(consumer.recv().await?.text(), "value");
    Ok(())
}

#[rstest]
fn partitions_keys_and_headers(kafka: Kafka) {
    let customers = kafka.topic(TopicSpec::new("customers").partitions(6));
    let scratch = kafka.topic(TopicSpec::new("scratch").exclusive()); // no other test ever gets this topic
    kafka.send_record(&customers, ProducerRecord::new("ada", "1").header("trace", "a1").partition(5));
    kafka.send_record(&customers, ProducerRecord::tombstone("ada").partition(5));

    let consumer = kafka.consumer(&customers);
    let (created, deleted) = (consumer.recv(), consumer.recv());
    assert_eq!((created.partition(), created.header("trace")), (5, Some(&b"a1"[..])));
    assert_eq!((deleted.key(), deleted.payload()), (Some(&b"ada"[..]), None));
    kafka.consumer(&scratch).assert_empty();
}

#[rstest]
fn service_consumes_what_we_send(kafka: Kafka) {
    let orders = kafka.topic("orders");
    let group = kafka.group("billing", [&orders]);
    let service = start_service(kafka.consumer_config(&group), &orders);
    kafka.send(&orders, "key", "value");
    group.wait_until_consumed(); // until the committed offsets reach the end of the topic
    service.stop();
}

#[rstest]
fn service_creates_its_topic(kafka: Kafka, topic_names: TopicNames) {
    let audit = topic_names.name("audit");
    let consumer = kafka.consumer(&audit);
    write_audit_log(kafka.producer_config(), &audit); // the first write creates the topic
    assert_eq!(consumer.recv().text(), "service started");
}

#[rstest]
fn parses(kafka: Kafka) -> TestResult {
    let consumer = kafka.consumer("numbers");
    kafka.checked().send("numbers", "key", "42")?;
    let number: u32 = consumer.checked().recv()?.try_text()?.parse()?;
    assert_eq!(number, 42);
    Ok(())
}

mod own_harness {
    use std::sync::LazyLock;

    use rstest::{fixture, rstest};
    use rstest_kafka::{ErrorCode, Harness, Kafka, Request};

    use super::start_service;

    static EMBEDDED: LazyLock<Harness> = LazyLock::new(|| Harness::builder().embedded_brokers(1).partitions(3).build());

    #[fixture]
    fn kafka() -> Kafka {
        EMBEDDED.lease()
    }

    #[rstest]
    fn has_three_partitions(kafka: Kafka) {
        assert_eq!(kafka.topic("events").partitions(), Some(3));
    }

    #[rstest]
    fn scenarios_on_one_thread_do_not_share_topics() {
        let (one, other) = (EMBEDDED.detached_lease(), EMBEDDED.detached_lease());
        assert_ne!(one.topic("events").name(), other.topic("events").name());
    }

    #[rstest]
    fn service_retries_a_refused_commit(kafka: Kafka) {
        let faults = kafka.faults(); // before the first topic
        let orders = kafka.topic("orders");
        let group = kafka.group("billing", [&orders]);
        kafka.send(&orders, "key", "value");
        let before = faults.requests(Request::OffsetCommit); // kafka.group has committed the fences
        faults.fail_next(Request::OffsetCommit, 2, ErrorCode::RequestTimedOut);
        let service = start_service(kafka.consumer_config(&group), &orders);
        group.wait_until_consumed();
        assert_eq!(faults.requests(Request::OffsetCommit) - before, 3); // two failed, one succeeded
        service.stop();
    }
}

/// A service that reads one message and commits its offset.
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

/// The lines to compare: without imports, indentation and empty lines.
fn lines(code: &str) -> String {
    let counts = |line: &&str| !line.is_empty() && !line.starts_with("use ");
    code.lines().map(str::trim).filter(counts).collect::<Vec<_>>().join("\n")
}

#[rstest]
#[case::readme(include_str!("../README.md"), 6)]
#[case::crate_documentation(include_str!("../src/lib.rs"), 1)]
fn documented_code_runs_here(#[case] page: &str, #[case] least: usize) {
    let here = lines(include_str!("newcomer.rs"));
    let page: String = page.lines().map(|line| format!("{}\n", line.trim_start_matches("//!").trim_start())).collect();
    let fenced = page.split("\n```").skip(1).step_by(2);
    // What follows `rust` up to the end of the line are rustdoc's attributes, such as `ignore`.
    let blocks: Vec<&str> =
        fenced.filter_map(|fenced| Some(fenced.strip_prefix("rust")?.split_once('\n')?.1)).collect();
    assert!(blocks.len() >= least, "{} blocks", blocks.len());
    for block in blocks {
        assert!(here.contains(&lines(block)), "not in tests/newcomer.rs:\n{block}");
    }
}
