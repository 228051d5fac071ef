//! A service in a process of its own: whatever it is configured like, and however often it is restarted, it sees exactly the
//! test's messages.

mod common;

use std::time::Duration;

use common::child::{Child, Running};
use common::{put, thread_of_a_test};
use rstest::rstest;
use rstest_kafka::{Group, Harness, Kafka, Topic, TopicSpec};

fn start(kafka: &Kafka, group: &Group, topic: &Topic, reset: &str, protocol: &str) -> Running {
    let mut config = kafka.client_config();
    config
        .set("group.id", group.id())
        .set("auto.offset.reset", reset)
        .set("group.protocol", protocol)
        .set("enable.auto.commit", "false");
    let lines: Vec<String> = config.config_map().iter().map(|(key, value)| format!("{key}={value}")).collect();
    let child = Child::tests(&["group_process::service"], 1);
    child.env("SERVICE_CONFIG", lines.join("\n")).env("SERVICE_TOPIC", topic.name()).start_until_ended()
}

fn seen(service: Running) -> Vec<String> {
    let outcome = service.end();
    outcome.exits_with(0);
    outcome.said_by("service")
}

fn put_each(kafka: &Kafka, topic: &Topic, text: &str) {
    for partition in 0..topic.partitions().unwrap() {
        put(kafka, topic, partition, &format!("{text} {partition}"));
    }
}

/// Two tests of one worker: the second finds what the first has left on the topic.
#[rstest]
fn a_service_in_another_process_sees_exactly_the_tests_messages(
    #[values("earliest", "latest", "error")] reset: &str,
    #[values("classic", "consumer")] protocol: &str,
    #[values(1, 6)] partitions: i32,
) {
    let harness = Harness::builder()
        .topic_prefix(format!("process-{reset}-{protocol}-{partitions}"))
        .timeout(Duration::from_secs(30))
        .build();
    let matrix = || {
        for round in 0..2 {
            let kafka = harness.lease();
            let orders = kafka.topic(TopicSpec::new("orders").partitions(partitions));
            assert!((0..partitions).all(|partition| (orders.fence(partition) > 0) == (round > 0)), "leftovers");
            put(&kafka, &orders, 0, "before the group");
            let group = kafka.group("billing", [&orders]);
            let start = || start(&kafka, &group, &orders, reset, protocol);

            let service = start();
            put_each(&kafka, &orders, "first");
            group.wait_until_consumed();
            let mut all = seen(service);
            put_each(&kafka, &orders, "while it is away");
            assert_eq!(group.lag(), i64::from(partitions));
            let service = start();
            put_each(&kafka, &orders, "second");
            group.wait_until_consumed();
            all.extend(seen(service));
            assert_eq!(group.lag(), 0);

            let mut expected = vec!["before the group".to_owned()];
            for text in ["first", "while it is away", "second"] {
                expected.extend((0..partitions).map(|partition| format!("{text} {partition}")));
            }
            all.sort();
            expected.sort();
            assert_eq!(all, expected, "0 stale, 0 missed, none twice");
            put_each(&kafka, &orders, "left");
        }
    };
    if let Err(panic) = thread_of_a_test(matrix) {
        std::panic::resume_unwind(panic);
    }
}
