//! The configurations for a service's clients: no client ignores a part of them with a warning, and none makes a test wait.

mod common;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use common::{alone, comes_true, lease};
use embedded_kafka::EmbeddedKafka;
use rstest::rstest;
use rstest_kafka::rdkafka::client::ClientContext;
use rstest_kafka::rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rstest_kafka::rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rstest_kafka::rdkafka::message::DeliveryResult;
use rstest_kafka::rdkafka::producer::{BaseProducer, ProducerContext};
use rstest_kafka::rdkafka::{ClientConfig, Message};
use rstest_kafka::{Harness, HarnessBuilder, Kafka, TopicSpec, pairs};

const LONG: Duration = Duration::from_secs(30);

/// Keeps what librdkafka logs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl ClientContext for Log {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.lock().unwrap().push(format!("{facility}: {message}"));
    }
}

impl ConsumerContext for Log {}

impl ProducerContext for Log {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// What librdkafka says of a configuration when a client is made of it, which comes out when the client is polled.
fn warnings<T: FromClientConfigAndContext<Log>>(mut config: ClientConfig, poll: impl FnOnce(&T)) -> Vec<String> {
    let log = Log::default();
    poll(&config.set_log_level(RDKafkaLogLevel::Warning).create_with_context(log.clone()).unwrap());
    let mut logged = log.0.lock().unwrap().clone();
    logged.retain(|line| line.starts_with("CONFWARN"));
    logged
}

fn of_consumer(config: ClientConfig) -> Vec<String> {
    warnings(config, |client: &BaseConsumer<Log>| while client.poll(Duration::ZERO).is_some() {})
}

/// An admin client is one of these, too.
fn of_producer(config: ClientConfig) -> Vec<String> {
    warnings(config, |client: &BaseProducer<Log>| client.poll(Duration::ZERO))
}

/// Properties for each kind of client, which one file has for all.
const GIVEN: &[(&str, &str)] = &[
    ("socket.keepalive.enable", "true"),
    ("fetch.wait.max.ms", "77"),
    ("isolation.level", "read_committed"),
    ("max.poll.interval.ms", "200000"),
    ("acks", "all"),
    ("linger.ms", "7"),
    ("delivery.timeout.ms", "40000"),
    ("compression.codec", "none"),
];

fn given(builder: HarnessBuilder) -> HarnessBuilder {
    GIVEN.iter().fold(builder, |builder, (key, value)| builder.property(*key, *value))
}

#[test]
fn each_kind_of_client_gets_what_it_takes() {
    // Alive at exit, when what was made on it is deleted.
    static BROKER: LazyLock<EmbeddedKafka> = LazyLock::new(|| EmbeddedKafka::builder().start().unwrap());
    let state = tempfile::tempdir().unwrap();
    let harness = Harness::builder().bootstrap_servers(BROKER.bootstrap_servers()).state_dir(state.path());
    lease(&given(harness).topic_prefix("configs").timeout(LONG).build(), |kafka| {
        let group = kafka.group("billing", ["orders"]);
        let none: [String; 0] = [];
        assert_eq!(of_consumer(kafka.client_config()), none);
        assert_eq!(of_producer(kafka.client_config()), none);
        assert_eq!(of_consumer(kafka.consumer_config(&group)), none);
        assert_eq!(of_producer(kafka.producer_config()), none);
        // They are looked for in the right place.
        assert_ne!(of_producer(kafka.consumer_config(&group)), none);
        assert_ne!(of_consumer(kafka.producer_config()), none);

        let (consumer, producer) = (kafka.consumer_config(&group), kafka.producer_config());
        assert_eq!(consumer.get("group.id"), Some(group.id()));
        assert_eq!([consumer.get("fetch.wait.max.ms"), producer.get("linger.ms")], [Some("77"), Some("7")]);
        assert_eq!(producer.get("message.timeout.ms"), Some("40000"), "what the harness was given wins");
        let shared = [&kafka.client_config(), &consumer, &producer]
            .map(|config| config.get("socket.keepalive.enable").is_some());
        assert_eq!(shared, [true; 3]);
    });
}

#[test]
fn pairs_are_all_of_a_configuration() {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", "b:1").set("sasl.password", "secret");
    let plain: HashMap<String, String> = pairs(&config).collect();
    assert_eq!(
        (plain.len(), plain["bootstrap.servers"].as_str(), plain["sasl.password"].as_str()),
        (2, "b:1", "secret")
    );
    // As another version's would.
    let collected: ClientConfig = pairs(&config).collect();
    assert_eq!(collected.get("sasl.password"), Some("secret"));
}

/// Reads on until it is stopped, and commits as its configuration says.
fn serve<T>(config: &ClientConfig, topic: &str, meanwhile: impl FnOnce() -> T) -> T {
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.subscribe(&[topic]).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                if let Some(Ok(message)) = consumer.poll(Duration::from_millis(20)) {
                    assert!(message.payload().is_some());
                }
            }
        });
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(meanwhile));
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn has_member(kafka: &Kafka, group: &str) -> bool {
    let client: BaseConsumer = kafka.client_config().create().unwrap();
    let groups = client.fetch_group_list(Some(group), LONG);
    groups.is_ok_and(|groups| groups.groups().iter().any(|group| !group.members().is_empty()))
}

#[rstest]
fn a_service_with_automatic_commits_has_committed_within_the_timeout() {
    let _alone = alone();
    let harness = Harness::builder().topic_prefix("configs-auto").timeout(LONG).build();
    lease(&harness, |kafka| {
        let orders = kafka.topic(TopicSpec::new("orders").partitions(3));
        let group = kafka.group("billing", [&orders]);
        let config = kafka.consumer_config(&group);
        let joined = serve(&config, &orders, || {
            kafka.send(&orders, "k", "joins");
            group.wait_until_consumed();
            for n in 0..5 {
                kafka.send(&orders, format!("{n}"), "v");
                // At librdkafka's 5 s the second one would fail.
                group.within(Duration::from_secs(3)).wait_until_consumed().unwrap();
            }
            has_member(&kafka, &group)
        });
        assert!(joined);
    });
}

#[rstest]
fn a_service_that_commits_too_seldom_is_told_from_one_that_does_not_read() {
    let _alone = alone();
    let harness = Harness::builder().topic_prefix("configs-late").timeout(LONG).build();
    lease(&harness, |kafka| {
        let orders = kafka.topic("orders");
        let group = kafka.group("billing", [&orders]);
        kafka.send(&orders, "k", "v");
        let mut config = kafka.client_config();
        // Such as librdkafka's 5 s, and longer than this test takes.
        config.set("group.id", group.id()).set("auto.commit.interval.ms", "3600000");
        let error = serve(&config, &orders, || {
            assert!(comes_true(|| has_member(&kafka, &group)));
            group.within(Duration::from_millis(100)).wait_until_consumed().unwrap_err().to_string()
        });
        assert!(error.contains("auto.commit.interval.ms") && error.contains("consumer_config"), "{error}");
        let gone = kafka.group("nobody", [&orders]);
        let error = gone.within(Duration::from_millis(100)).wait_until_consumed().unwrap_err().to_string();
        assert!(error.contains("check that the service is running") && !error.contains("auto.commit"), "{error}");
    });
}
