//! A service's group: it begins at the lease's fences and is waited for, whatever the service is configured like.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use common::embedded::Embedded;
use common::{alone, comes_true, lease, put};
use rstest::rstest;
use rstest_kafka::rdkafka::ClientConfig;
use rstest_kafka::rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rstest_kafka::rdkafka::message::Message;
use rstest_kafka::{Error, Harness, Kafka, TopicSpec};

/// A service with a group: keeps what it reads, commits after each message, leaves its group when it is stopped.
struct Service {
    seen: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    fn start(config: &ClientConfig, topic: &str) -> Self {
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.subscribe(&[topic]).unwrap();
        let (seen, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (sees, stops) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            while !stops.load(Ordering::SeqCst) {
                let Some(Ok(message)) = consumer.poll(Duration::from_millis(20)) else { continue };
                let value = String::from_utf8(message.payload().unwrap_or_default().to_vec()).unwrap();
                sees.lock().unwrap().push(value);
                consumer.commit_message(&message, CommitMode::Sync).unwrap();
            }
        });
        Self { seen, stop, thread: Some(thread) }
    }

    fn stop(mut self) -> Vec<String> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
        let mut seen = std::mem::take(&mut *self.seen.lock().unwrap());
        seen.sort();
        seen
    }
}

fn builder() -> Harness {
    // A classic group's join waits for the broker's group.initial.rebalance.delay.ms, 3 s at its default.
    Harness::builder().topic_prefix("group").timeout(Duration::from_secs(30)).build()
}

fn config(kafka: &Kafka, group: &str, reset: &str, protocol: &str) -> ClientConfig {
    let mut config = kafka.client_config();
    config
        .set("group.id", group)
        .set("auto.offset.reset", reset)
        .set("group.protocol", protocol)
        .set("enable.auto.commit", "false");
    config
}

fn put_each(kafka: &Kafka, topic: &str, partitions: i32, text: impl Fn(i32) -> String) {
    for partition in 0..partitions {
        put(kafka, topic, partition, &text(partition));
    }
}

#[rstest]
fn a_service_sees_exactly_the_tests_messages(
    #[values("earliest", "latest")] reset: &str,
    #[values("classic", "consumer")] protocol: &str,
    #[values(1, 6)] partitions: i32,
) {
    let _alone = alone();
    let harness = builder();
    let spec = || TopicSpec::new("orders").partitions(partitions);
    for round in 0..2 {
        lease(&harness, |kafka| {
            let orders = kafka.topic(spec());
            // Before the group, and so before the service: it is this test's all the same.
            put(&kafka, &orders, 0, "before");
            let group = kafka.group("billing", [&orders]);
            for partition in 0..partitions {
                assert_eq!(group.committed(&orders, partition), Some(orders.fence(partition)));
            }
            let service = Service::start(&config(&kafka, &group, reset, protocol), &orders);
            put_each(&kafka, &orders, partitions, |partition| format!("{round}-{partition}"));
            group.wait_until_consumed();
            assert_eq!(group.lag(), 0);
            let mut expected: Vec<String> = (0..partitions).map(|partition| format!("{round}-{partition}")).collect();
            expected.push("before".to_owned());
            assert_eq!(service.stop(), expected);
            // What the next test's service must not see.
            put_each(&kafka, &orders, partitions, |_| "left".to_owned());
            assert_eq!(group.lag(), i64::from(partitions));
        });
    }
}

#[rstest]
fn a_service_that_is_restarted_goes_on_where_it_was(
    #[values(1, 6)] partitions: i32,
    #[values("classic", "consumer")] protocol: &str,
) {
    let _alone = alone();
    let harness = builder();
    lease(&harness, |kafka| {
        let orders = kafka.topic(TopicSpec::new("orders").partitions(partitions));
        put_each(&kafka, &orders, partitions, |_| "left".to_owned());
    });
    lease(&harness, |kafka| {
        let orders = kafka.topic(TopicSpec::new("orders").partitions(partitions));
        let group = kafka.group("billing", [&orders]);
        let config = config(&kafka, &group, "earliest", protocol);
        for run in ["first", "second"] {
            let service = Service::start(&config, &orders);
            put_each(&kafka, &orders, partitions, |_| run.to_owned());
            group.wait_until_consumed();
            assert_eq!(service.stop(), vec![run; partitions as usize]);
        }
    });
}

#[rstest]
fn waiting_in_vain_shows_the_lag_of_each_partition() {
    let _alone = alone();
    let harness = Harness::builder().topic_prefix("group").timeout(Duration::from_secs(2)).build();
    lease(&harness, |kafka| {
        let orders = kafka.topic(TopicSpec::new("orders").partitions(2));
        let group = kafka.group("billing", [&orders]);
        let sent = put(&kafka, &orders, 1, "unread");
        assert_eq!(group.lag(), 1);
        let error = group.checked().wait_until_consumed().unwrap_err();
        let Error::Lag(lag) = &error else { panic!("{error}") };
        assert_eq!(lag.partitions.iter().map(|partition| partition.lag()).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(lag.state.as_deref(), Some("Empty"));
        let message = error.to_string();
        assert!(message.contains(&*group) && message.contains("committed nothing after its fence"), "{message}");
        assert!(message.contains(&format!("{orders} [1]: fence {}", orders.fence(1))), "{message}");
        assert!(
            group.checked().wait_until_consumed_past(&orders, 0, orders.fence(0) - 1).is_ok(),
            "nothing to wait for"
        );
        assert!(group.checked().wait_until_consumed_past(&orders, 1, sent).is_err());
    });
}

/// Where a service with `auto.offset.reset=latest` begins, too.
#[rstest]
fn a_topic_that_was_named_and_then_made_is_fenced_at_its_beginning() {
    let _alone = alone();
    let harness = Harness::builder().topic_prefix("named-group").build();
    lease(&harness, |kafka| {
        kafka.topic_names().name("orders");
        let orders = kafka.topic(TopicSpec::new("orders").partitions(2));
        let group = kafka.group("billing", [&orders]);
        assert_eq!([0, 1].map(|partition| group.committed(&orders, partition)), [Some(0), Some(0)]);
    });
}

/// An offset that nobody has written is one that nobody has consumed.
#[rstest]
fn a_message_that_is_still_to_be_written_is_waited_for() {
    let _alone = alone();
    let harness = Harness::builder().topic_prefix("group").timeout(Duration::from_secs(2)).build();
    lease(&harness, |kafka| {
        let [orders, other] = ["orders", "other"].map(|logical| kafka.topic(logical));
        let group = kafka.group("billing", [&orders]);
        let (fence, waiting) = (orders.fence(0), group.clone());
        let error = group.checked().wait_until_consumed_past(&orders, 0, fence).unwrap_err();
        assert!(matches!(error, Error::Lag(_)), "{error}");

        let service = Service::start(&config(&kafka, &group, "earliest", "consumer"), &orders);
        std::thread::scope(|scope| {
            let past = scope.spawn(|| waiting.checked().wait_until_consumed_past(&orders, 0, fence));
            put(&kafka, &orders, 0, "written meanwhile");
            past.join().unwrap().unwrap();
        });
        assert_eq!(service.stop(), ["written meanwhile"]);

        for (topic, partition) in [(&other, 0), (&orders, 1), (&orders, -1)] {
            let error = group.checked().wait_until_consumed_past(topic, partition, 0).unwrap_err();
            assert!(matches!(error, Error::Misuse { .. }), "{error}");
        }
    });
}

#[rstest]
fn waiting_in_vain_shows_the_groups_state_and_its_members(#[values("classic", "consumer")] protocol: &str) {
    let _alone = alone();
    let harness = Harness::builder().topic_prefix("group").timeout(Duration::from_millis(500)).build();
    lease(&harness, |kafka| {
        let orders = kafka.topic(TopicSpec::new("orders").partitions(2));
        let group = kafka.group("billing", [&orders]);
        put(&kafka, &orders, 1, "never committed");
        let told = || match group.checked().wait_until_consumed().unwrap_err() {
            Error::Lag(lag) => lag,
            other => panic!("{other}"),
        };
        let lag = told();
        assert_eq!((lag.state.as_deref(), lag.members.len()), (Some("Empty"), 0), "{lag}");
        assert!(lag.to_string().contains("the group has no members: check that the service is running"), "{lag}");

        // It reads and does not commit.
        let config = config(&kafka, &group, "earliest", protocol);
        let service: BaseConsumer = { config }.set("client.id", "billing-service").create().unwrap();
        service.subscribe(&[&orders]).unwrap();
        assert!(comes_true(|| service.poll(Duration::from_millis(100)).is_some()), "it has the message");
        let lag = told();
        let text = lag.to_string();
        assert!(text.contains(&format!("{orders} [1]: fence {0}, committed {0}", orders.fence(1))), "{text}");
        assert_eq!(lag.state.as_deref(), Some("Stable"), "{text}");
        let [member] = &*lag.members else { panic!("{text}") };
        let both = [format!("{orders} [0]"), format!("{orders} [1]")];
        assert!(member.starts_with("billing-service at ") && both.iter().all(|one| member.contains(one)), "{text}");
        assert!(text.contains(&format!("\n  member {member}")), "{text}");
    });
}

#[rstest]
fn each_group_is_new_and_of_its_own_lease() {
    let _alone = alone();
    let harness = builder();
    let foreign = lease(&harness, |kafka| kafka.topic("orders"));
    lease(&harness, |kafka| {
        let (one, other) = (kafka.group("billing", ["orders"]), kafka.group("billing", ["orders"]));
        assert_ne!(one.id(), other.id());
        assert!(one.starts_with("test-consumer-") && one.contains("-billing-"), "{one}");
        assert!(matches!(kafka.checked().group("bil ling", ["orders"]), Err(Error::Name { .. })));
        assert!(matches!(kafka.checked().group("billing", [&foreign]), Err(Error::Misuse { .. })));
        let none: [&str; 0] = [];
        assert!(matches!(kafka.checked().group("billing", none), Err(Error::Misuse { .. })));
    });
}

/// The client keeps the coordinator that it was once told; a cluster that starts, or loses a broker, names another.
#[rstest]
fn embedded_a_group_whose_coordinator_has_moved_is_found_again() {
    let _alone = alone();
    let harness = Harness::builder().topic_prefix("group").embedded_brokers(3).build();
    lease(&harness, |kafka| {
        // Which broker coordinates a group goes by the hash of its name, which has a random part: among eight it is broker 1 or 2
        // for some. A client keeps the coordinators of ten groups.
        let groups: Vec<_> = (0..8).map(|_| kafka.group("billing", ["orders"])).collect();
        let embedded = Embedded::of(&kafka);
        for partition in 0..50 {
            embedded.broker.move_leader("__consumer_offsets", partition, 3).unwrap();
        }
        for group in &groups {
            assert_eq!(group.lag(), 0);
        }
    });
}

/// A transaction's marker takes an offset that no reader gets: it is not waited for.
#[rstest]
fn a_transactions_marker_is_not_waited_for() {
    use rstest_kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer};
    let _alone = alone();
    let harness = builder();
    lease(&harness, |kafka| {
        let orders = kafka.topic("orders");
        let group = kafka.group("billing", [&orders]);
        let mut transactional = kafka.client_config();
        transactional.set("transactional.id", &*group);
        let producer: BaseProducer = transactional.create().unwrap();
        let soon = Duration::from_secs(20);
        producer.init_transactions(soon).unwrap();
        for commits in [true, false] {
            producer.begin_transaction().unwrap();
            let value = if commits { "committed" } else { "aborted" };
            producer.send(BaseRecord::to(&orders).key("k").payload(value)).map_err(|(error, _)| error).unwrap();
            producer.flush(soon).unwrap();
            let ended = if commits { producer.commit_transaction(soon) } else { producer.abort_transaction(soon) };
            ended.unwrap();
        }
        let service = Service::start(&config(&kafka, &group, "earliest", "consumer"), &orders);
        group.wait_until_consumed();
        let seen = service.stop();
        assert_eq!(seen, ["committed"]);
    });
}
