//! The runs whose summaries and HTML reports are read.

mod plays;

use std::path::Path;

use rstest::rstest;
use rstest_kafka::{Harness, Kafka, Report, TopicSpec, kafka};

use crate::common::child::say;

#[rstest]
fn has_two_harnesses(kafka: Kafka) {
    for prefix in ["one", "two"] {
        Harness::builder().topic_prefix(prefix).build().lease().topic("events");
    }
    kafka.topic("events");
}

#[rstest]
fn has_odd_names() {
    for name in ["</td><script>alert(1)</script>--><!--", "\" onclick=\"alert(1)", "&amp;\u{1b}[31m"] {
        let test = || drop(Harness::from_environment().lease().topic("events"));
        std::thread::Builder::new().name(name.to_owned()).spawn(test).unwrap().join().unwrap();
    }
}

#[rstest]
fn has_a_secret() {
    let embedded = Harness::builder().embedded_brokers(1).build();
    let kafka = embedded.lease();
    // The same broker as a cluster, which takes properties; it has no admin calls to make a topic with.
    let secret = Harness::builder().bootstrap_servers(kafka.bootstrap_servers()).property("sasl.password", "hunter2");
    drop(secret.build().lease());
}

#[rstest]
fn has_many_leases() {
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
fn leaks_its_lease(kafka: Kafka) {
    std::mem::forget(kafka);
}

#[rstest]
fn builds_two() {
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
mod reuses {
    use super::*;

    fn plays(kafka: &Kafka) {
        let consumer = kafka.consumer("events");
        kafka.send("events", "key", "value");
        consumer.recv();
    }

    #[rstest]
    fn a_creates(kafka: Kafka) {
        plays(&kafka);
        kafka.topic(TopicSpec::new("scratch").exclusive());
    }

    #[rstest]
    fn b_reuses_and_fails(kafka: Kafka) {
        plays(&kafka);
        panic!("as it must");
    }

    #[rstest]
    fn c_creates_again(kafka: Kafka) {
        plays(&kafka);
    }

    #[rstest]
    fn d_reuses(kafka: Kafka) {
        plays(&kafka);
        kafka.send("events", "key", "left");
    }
}
