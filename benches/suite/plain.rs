//! What the suites without this crate share. They are given what speeds them up: one producer and one admin client for all
//! cases, no wait of the embedded broker for more members of a group, short waits for messages.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use rstest_kafka::rdkafka::ClientConfig;
use rstest_kafka::rdkafka::bindings as rdsys;
use rstest_kafka::rdkafka::consumer::BaseConsumer;
use rstest_kafka::rdkafka::message::Message;
use rstest_kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::common::SOON;
use crate::common::fresh::Fresh;
use crate::common::mock::Mock;
use crate::tally;

pub static PLAIN: LazyLock<Fresh> = LazyLock::new(|| {
    let mut config = ClientConfig::new();
    let plain = match std::env::var("RSTEST_KAFKA_BOOTSTRAP_SERVERS") {
        Ok(servers) if !servers.is_empty() => {
            config.set("bootstrap.servers", &servers);
            Fresh::without_us(config, std::ptr::null_mut(), &servers)
        }
        _ => {
            static BROKER: LazyLock<BaseProducer> =
                LazyLock::new(|| ClientConfig::new().set("test.mock.num.brokers", "1").create().unwrap());
            let client = BROKER.client();
            let servers = client.mock_cluster().unwrap().bootstrap_servers();
            // SAFETY: the client is a static, and was made with a mock.
            let mock = unsafe { rdsys::rd_kafka_handle_mock_cluster(client.native_ptr()) };
            config.set("bootstrap.servers", &servers).set("fetch.wait.max.ms", "1");
            let fresh = Fresh::without_us(config, mock, &servers);
            fresh.set_rebalance_delay(0);
            // SAFETY: the mock is a static's.
            tally::count(Some(unsafe { Mock::new(mock) }));
            fresh
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
