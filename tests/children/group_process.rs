//! A service that goes on until its parent ends it.

use std::time::Duration;

use rstest_kafka::rdkafka::ClientConfig;
use rstest_kafka::rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rstest_kafka::rdkafka::message::Message;

use crate::common::child::{is_to_end, say};

/// Its client's properties, one a line, and its topic come from the environment.
#[test]
fn service() {
    let mut config = ClientConfig::new();
    for line in std::env::var("SERVICE_CONFIG").unwrap().lines() {
        let (key, value) = line.split_once('=').unwrap();
        config.set(key, value);
    }
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.subscribe(&[&std::env::var("SERVICE_TOPIC").unwrap()]).unwrap();
    while !is_to_end() {
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(20)) else { continue };
        let value = String::from_utf8(message.payload().unwrap_or_default().to_vec()).unwrap();
        consumer.commit_message(&message, CommitMode::Sync).unwrap();
        say("service", value);
    }
}
