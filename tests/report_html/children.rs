//! The tests of the runs whose reports are read.

use std::path::Path;
use std::time::Duration;

use rstest::rstest;
use rstest_kafka::{Harness, Kafka, Report, TopicSpec, kafka};

use crate::common::child::{only_in_a_child, say};

#[rstest]
#[ignore = "the other process of a test"]
fn child_has_odd_names() {
    only_in_a_child();
    for name in ["</td><script>alert(1)</script>--><!--", "\" onclick=\"alert(1)", "&amp;\u{1b}[31m"] {
        let test = || drop(Harness::from_environment().lease().topic("events"));
        std::thread::Builder::new().name(name.to_owned()).spawn(test).unwrap().join().unwrap();
    }
}

#[rstest]
#[ignore = "the other process of a test"]
fn child_has_a_secret() {
    only_in_a_child();
    let embedded = Harness::builder().embedded_brokers(1).build();
    let kafka = embedded.lease();
    // The same broker as a cluster, which takes properties; it has no admin calls to make a topic with.
    let secret = Harness::builder().bootstrap_servers(kafka.bootstrap_servers()).property("sasl.password", "hunter2");
    drop(secret.build().lease());
}

#[rstest]
#[ignore = "the other process of a test"]
fn child_has_many_leases() {
    only_in_a_child();
    for n in 0..20_000 {
        let test = move || {
            let kafka = Harness::from_environment().lease();
            if n % 100 == 0 {
                kafka.topic("events");
            }
            if n % 1_000 == 999 {
                kafka.mark_failed();
            }
        };
        std::thread::Builder::new().name(format!("module::test_{n}")).spawn(test).unwrap().join().unwrap();
    }
}

#[rstest]
#[ignore = "the other process of a test"]
fn child_leaks_its_lease(kafka: Kafka) {
    only_in_a_child();
    std::mem::forget(kafka);
}

#[rstest]
#[ignore = "the other process of a test"]
fn child_builds_two() {
    only_in_a_child();
    let report = std::env::var("REPORT").unwrap();
    let harness = |prefix: &str| {
        Harness::builder().topic_prefix(prefix).embedded_brokers(1).report(Report::Html(report.clone().into())).build()
    };
    let (one, two) = (harness("one"), harness("two"));
    let (first, second) = (one.lease(), two.lease());
    first.topic("events");
    second.topic("events");
    drop((first, second, one, two));
    Harness::builder().embedded_brokers(1).report(Report::Html("relative.html".into())).build().lease().topic("events");
    std::env::set_current_dir("/").unwrap();
    say("made", Path::new(&report).exists());
}

/// One after another on one worker; the second fails.
mod child_reuses {
    use super::*;

    fn plays(kafka: &Kafka) {
        only_in_a_child();
        let consumer = kafka.consumer("events");
        kafka.send("events", "key", "value");
        consumer.recv();
    }

    #[rstest]
    #[ignore = "the other process of a test"]
    fn a_creates(kafka: Kafka) {
        plays(&kafka);
        kafka.topic(TopicSpec::new("scratch").exclusive());
    }

    #[rstest]
    #[ignore = "the other process of a test"]
    fn b_reuses_and_fails(kafka: Kafka) {
        plays(&kafka);
        panic!("as it must");
    }

    #[rstest]
    #[ignore = "the other process of a test"]
    fn c_creates_again(kafka: Kafka) {
        plays(&kafka);
    }

    #[rstest]
    #[ignore = "the other process of a test"]
    fn d_reuses(kafka: Kafka) {
        plays(&kafka);
        kafka.send("events", "key", "left");
    }
}

/// A run as it may be: 44 tests of all kinds, a few of which fail. For the report.
mod child_plays {
    use super::*;
    use rstest_kafka::rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
    use rstest_kafka::{TopicNames, topic_names};

    #[rstest]
    #[ignore = "the other process of a test"]
    fn a_message_is_forwarded(kafka: Kafka, #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)] n: u64) {
        only_in_a_child();
        let [orders, invoices] = kafka.topics(["orders", "invoices"]);
        let consumer = kafka.consumer(&invoices);
        kafka.send(&orders, "key", "value");
        kafka.send(&invoices, "key", "value");
        consumer.recv();
        consumer.assert_no_more_within(Duration::from_millis(3 * (n % 7)));
        assert_ne!(n % 11, 10, "as it must");
    }

    #[rstest]
    #[ignore = "the other process of a test"]
    fn a_service_works_off(kafka: Kafka, #[values(0, 1, 2, 3, 4, 5, 6, 7)] n: u64) {
        only_in_a_child();
        let orders = kafka.topic("orders");
        let group = kafka.group("billing", [&orders]);
        kafka.send(&orders, "key", "value");
        let mut config = kafka.client_config();
        config.set("group.id", &*group).set("auto.offset.reset", "earliest");
        let service: BaseConsumer = config.create().unwrap();
        service.subscribe(&[&orders]).unwrap();
        while service.poll(Duration::from_secs(5)).is_none() {}
        service.commit_consumer_state(CommitMode::Sync).unwrap();
        group.wait_until_consumed();
        assert_ne!(n, 5, "as it must");
    }

    #[rstest]
    #[ignore = "the other process of a test"]
    fn nothing_comes(kafka: Kafka, #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)] n: u64) {
        only_in_a_child();
        let consumer = kafka.consumer("audit");
        let waited = consumer.within(Duration::from_millis(4 * n + 5)).recv();
        assert!(waited.is_err() && n != 8, "as it must");
    }

    #[rstest]
    #[ignore = "the other process of a test"]
    fn it_has_a_topic_to_itself(kafka: Kafka, #[values(0, 1, 2, 3, 4, 5)] n: u64) {
        only_in_a_child();
        let scratch = kafka.topic(TopicSpec::new("scratch").exclusive());
        (0..20 * n).for_each(|_| {
            kafka.send(&scratch, "key", "left behind");
        });
        kafka.consumer(&scratch).recv_n(20 * n as usize);
    }

    #[rstest]
    #[ignore = "the other process of a test"]
    fn the_service_makes_it(kafka: Kafka, topic_names: TopicNames, #[values(0, 1, 2, 3)] n: u64) {
        only_in_a_child();
        let audit = topic_names.name("audit-log");
        kafka.send(&audit, "key", "value");
        kafka.consumer(&audit).recv();
        assert!(n < 9);
    }
}
