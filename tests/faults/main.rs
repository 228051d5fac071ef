//! Faults on demand: felt by the clients of one lease's own broker, undone with it, and by nobody beside or after it.

#[path = "../common/mod.rs"]
mod common;

mod kinds;
mod of_a_lease;

use std::time::Duration;

use common::{beside_others, lease};
use rstest_kafka::rdkafka::ClientConfig;
use rstest_kafka::rdkafka::consumer::{BaseConsumer, Consumer};
use rstest_kafka::{Error, Harness, HarnessBuilder, Kafka};

/// Faults are the embedded broker's: these tests are about it, whatever the environment names.
fn builder() -> HarnessBuilder {
    Harness::builder().embedded_brokers(1).topic_prefix("faults")
}

/// The client of a service that knows nothing of this crate.
fn plain(kafka: &Kafka) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka.bootstrap_servers()).set("reconnect.backoff.max.ms", "100");
    config
}

fn answers(client: &BaseConsumer) -> bool {
    client.fetch_metadata(None, Duration::from_secs(1)).is_ok_and(|metadata| !metadata.brokers().is_empty())
}

fn round_trip(kafka: &Kafka, text: &str) {
    let consumer = kafka.consumer("events");
    kafka.send("events", "k", text);
    consumer.recv_matching(|record| record.text() == text);
    consumer.drain();
    consumer.assert_empty();
}

mod on_a_cluster {
    use super::*;

    #[test]
    #[ignore = "needs a real cluster: scripts/with-kafka"]
    fn there_are_no_faults_and_it_says_so() {
        let _beside = beside_others();
        let harness = Harness::builder().bootstrap_servers(common::cluster::servers()).topic_prefix("faults").build();
        lease(&harness, |kafka| {
            assert!(!kafka.capabilities().faults);
            let error = kafka.checked().faults().unwrap_err();
            assert!(matches!(error, Error::Unsupported { .. }), "{error}");
            assert!(error.to_string().contains("cannot have faults on demand"), "{error}");
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(kafka.faults()))).unwrap_err();
            assert!(panic.downcast_ref::<String>().unwrap().contains("embedded_brokers(1)"));
            round_trip(&kafka, "goes on");
        });
    }
}
