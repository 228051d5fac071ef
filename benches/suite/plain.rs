//! What the suites without this crate share. They are given what speeds them up: one producer and one admin client for all
//! cases, short waits for messages.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use embedded_kafka::EmbeddedKafka;
use rstest_kafka::rdkafka::ClientConfig;
use rstest_kafka::rdkafka::consumer::BaseConsumer;
use rstest_kafka::rdkafka::message::Message;
use rstest_kafka::rdkafka::producer::BaseRecord;

use crate::common::SOON;
use crate::common::embedded::Embedded;
use crate::common::fresh::Fresh;
use crate::tally;

pub static PLAIN: LazyLock<Fresh> = LazyLock::new(|| {
    let mut config = ClientConfig::new();
    let plain = match std::env::var("RSTEST_KAFKA_BOOTSTRAP_SERVERS") {
        Ok(servers) if !servers.is_empty() => {
            config.set("bootstrap.servers", &servers);
            Fresh::without_us(config)
        }
        _ => {
            let broker = Arc::new(EmbeddedKafka::start().unwrap());
            config.set("bootstrap.servers", broker.bootstrap_servers());
            // It lives as long as the process.
            tally::count(Some(Embedded::new(broker)));
            Fresh::without_us(config)
        }
    };
    tally::count(None);
    plain
});

pub fn send(topic: &str, key: &str) {
    PLAIN.producer().send(BaseRecord::to(topic).key(key).payload("v")).map_err(|(error, _)| error).unwrap();
}

/// The key of the next message.
pub fn receive(consumer: &BaseConsumer) -> String {
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < SOON, "no message within {SOON:?}");
        PLAIN.producer().poll(Duration::ZERO);
        // An error here is mostly one that passes, such as a connection that the broker was slow to take.
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
            return String::from_utf8(message.key().unwrap().to_vec()).unwrap();
        }
    }
}
