//! On a real cluster whose brokers stop: a recovery where they come back, a clear error and an end in time where not.
//!
//! The tests stop the brokers of `scripts/with-kafka`, so they take turns, and no other test file may run beside them.

mod common;

use std::time::{Duration, Instant};

use common::child::Child;
use common::{alone, cluster, lease};
use rstest_kafka::{Harness, HarnessBuilder, Kafka};

fn unique(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

fn harness(prefix: &str) -> HarnessBuilder {
    Harness::builder().bootstrap_servers(cluster::servers()).topic_prefix(prefix).group_prefix(prefix)
}

fn round_trip(kafka: &Kafka, text: &str) {
    let consumer = kafka.consumer("events");
    kafka.send("events", "k", text);
    assert_eq!(consumer.recv().text(), text);
    consumer.assert_empty();
}

/// Brings the cluster back, also where the test fails.
struct Back(Vec<cluster::Stoppable>);

impl Back {
    fn crash_all() -> Self {
        let brokers = cluster::Stoppable::all();
        brokers.iter().for_each(cluster::Stoppable::crash);
        Self(brokers)
    }

    /// Starts them again, and waits until they answer.
    fn now(mut self) {
        self.start();
        cluster::wait_until_up();
    }

    fn start(&mut self) {
        self.0.drain(..).for_each(|broker| broker.start());
    }
}

impl Drop for Back {
    fn drop(&mut self) {
        self.start();
    }
}

mod on_a_cluster {
    use super::*;
    use rstest_kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer};

    #[test]
    #[ignore = "needs a real cluster: scripts/with-kafka"]
    fn a_broker_that_stops_and_comes_back_during_a_test_costs_an_error_and_no_message() {
        let _alone = alone();
        let harness = harness(&unique("stops")).timeout(Duration::from_secs(2)).build();
        lease(&harness, |kafka| {
            let consumer = kafka.consumer("events");
            kafka.send("events", "k", "before");
            assert_eq!(consumer.recv().text(), "before");

            let back = Back::crash_all();
            let clock = Instant::now();
            let send = kafka.checked().send("events", "k", "lost").unwrap_err().to_string();
            let receive = consumer.checked().recv().unwrap_err().to_string();
            let empty = consumer.checked().assert_empty().unwrap_err().to_string();
            let topic = kafka.checked().topic("other").unwrap_err().to_string();
            let took = clock.elapsed();
            for error in [&send, &receive, &empty, &topic] {
                assert!(error.contains("broker 127.0.0.1"), "it names the broker: {error}");
            }
            assert!(
                took < Duration::from_secs(12),
                "each within its timeout: {took:?}\n{send}\n{receive}\n{empty}\n{topic}"
            );
            println!("while it is down, in {took:?}:\n{send}\n{receive}\n{topic}");

            back.now();
            let clock = Instant::now();
            let late = Instant::now() + Duration::from_secs(30);
            // What was not acknowledged may have come all the same, never twice.
            while let Err(error) = kafka.checked().send("events", "k", "after") {
                assert!(Instant::now() < late, "{error}");
            }
            let mut seen = Vec::new();
            while seen.last().is_none_or(|text| text != "after") {
                assert!(Instant::now() < late, "{seen:?}");
                if let Ok(record) = consumer.checked().recv() {
                    seen.push(record.text().to_owned());
                }
            }
            println!("after {:?}: {seen:?}", clock.elapsed());
            assert!(seen.len() <= 2, "{seen:?}");
        });
        lease(&harness, |kafka| round_trip(&kafka, "next"));
    }

    #[test]
    #[ignore = "needs a real cluster: scripts/with-kafka"]
    fn a_broker_that_comes_up_late_is_found_by_a_later_test() {
        let _alone = alone();
        let harness = harness(&unique("late")).timeout(Duration::from_millis(1500)).build();
        let back = Back::crash_all();
        let clock = Instant::now();
        let first = harness.try_lease().unwrap_err().to_string();
        let first_took = clock.elapsed();
        assert!(first.contains("did not respond within 1.5s"), "{first}");
        for _ in 0..3 {
            assert_eq!(harness.try_lease().unwrap_err().to_string(), first);
        }
        assert!(clock.elapsed() - first_took < Duration::from_millis(1500), "no pile-up: {:?}", clock.elapsed());
        back.now();
        lease(&harness, |kafka| round_trip(&kafka, "up"));
    }

    #[test]
    #[ignore = "needs a real cluster: scripts/with-kafka"]
    fn an_exit_without_a_broker_ends_in_time_names_what_is_left_and_the_next_run_deletes_it() {
        let _alone = alone();
        let (prefix, state) = (unique("never"), tempfile::tempdir().unwrap());
        let run = |name| {
            Child::tests(&[name], 1)
                .env("RSTEST_KAFKA_BOOTSTRAP_SERVERS", cluster::servers())
                .env("RSTEST_KAFKA_TOPIC_PREFIX", &prefix)
                .env("RSTEST_KAFKA_GROUP_PREFIX", &prefix)
                .env("RSTEST_KAFKA_STATE_DIR", state.path())
                .env("RSTEST_KAFKA_EXIT_DEADLINE_MS", "1500")
                .run()
        };
        let mut back = Back(cluster::Stoppable::all());
        let outcome = run("cluster_faults::broker_stops_for_good");
        back.start();
        cluster::wait_until_up();
        println!("exit without a broker: {:?}", outcome.exit_took);
        outcome.exits_with(0).exits_within(Duration::from_millis(2500));
        let topic = outcome.once_by("topic");
        assert!(outcome.stderr.contains(&format!("rstest-kafka: {topic} is left on broker ")), "{outcome}");
        assert!(cluster::named(&prefix).contains(&topic));
        run("cluster_faults::does_little").exits_with(0);
        cluster::assert_only(&prefix, &[], "after the next run");
    }

    #[test]
    #[ignore = "needs a real cluster: scripts/with-kafka"]
    fn without_auto_creation_topics_are_there_all_the_same() {
        let _alone = alone();
        let brokers = cluster::Stoppable::all();
        let files: Vec<_> = brokers.iter().map(cluster::Stoppable::properties).collect();
        let before: Vec<String> = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
        let restart_with = |extra: &str| {
            for broker in &brokers {
                broker.stop();
            }
            for (file, text) in files.iter().zip(&before) {
                std::fs::write(file, format!("{text}\n{extra}")).unwrap();
            }
            Back(cluster::Stoppable::all()).now();
        };
        restart_with("auto.create.topics.enable=false\n");
        let outcome = common::thread_of_a_test(|| {
            let harness = harness(&unique("manual")).build();
            lease(&harness, |kafka| {
                round_trip(&kafka, "mine");
                let named = kafka.topic_names().name("named");
                let service: BaseProducer = cluster::config().set("message.timeout.ms", "2000").create().unwrap();
                service.send(BaseRecord::<str, str>::to(&named).payload("x")).unwrap();
                service.flush(Duration::from_secs(10)).unwrap();
                let error = kafka.consumer(&named).checked().recv().unwrap_err().to_string();
                assert!(error.contains("the topic does not exist"), "{error}");
            });
        });
        restart_with("");
        outcome.unwrap();
    }
}
