//! A case that makes its own topic, consumer or group, as a suite without this crate does it, and takes it away again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rstest_kafka::Kafka;
use rstest_kafka::rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rstest_kafka::rdkafka::client::DefaultClientContext;
use rstest_kafka::rdkafka::consumer::{BaseConsumer, Consumer};
use rstest_kafka::rdkafka::producer::{BaseProducer, Producer};

use super::SOON;
use super::raw::{self, assign, assigned, producer, receive, send};
use rstest_kafka::rdkafka::ClientConfig;

/// Without a lease, which would make every lease of this thread the same one. Its harness must outlive it.
pub struct Fresh {
    config: ClientConfig,
    run: String,
    producer: BaseProducer,
    admin: AdminClient<DefaultClientContext>,
    /// The topic of cases that share one.
    kept: String,
}

impl Fresh {
    pub fn new(kafka: &Kafka) -> Self {
        let mut fresh = Self::without_us(kafka.client_config());
        fresh.run = kafka.run_id().to_string();
        fresh.kept = kafka.topic("kept").name().to_owned();
        fresh
    }

    /// On a broker that this crate knows nothing of.
    pub fn without_us(client_config: ClientConfig) -> Self {
        let plain = client_config.clone();
        Self {
            config: config(&client_config),
            run: std::process::id().to_string(),
            producer: producer(&client_config),
            admin: plain.create().unwrap(),
            kept: String::new(),
        }
    }

    pub fn producer(&self) -> &BaseProducer {
        &self.producer
    }

    pub fn config(&self) -> ClientConfig {
        self.config.clone()
    }

    /// Fresh topic, fresh consumer, `assign`, close, delete.
    pub fn assign(&self) {
        let topic = self.make();
        let consumer = assigned(&mut self.config.clone(), &topic, 0);
        send(&self.producer, &topic);
        receive(&consumer);
        drop(consumer);
        self.delete(&topic, None);
    }

    /// Fresh topic, fresh group, `subscribe`, close, delete both.
    pub fn subscribe(&self, protocol: &str) {
        let topic = self.make();
        let group = format!("group-of-{topic}");
        let mut config = self.config.clone();
        config.set("group.id", &group).set("group.protocol", protocol);
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.subscribe(&[&topic]).unwrap();
        send(&self.producer, &topic);
        receive(&consumer);
        drop(consumer);
        self.delete(&topic, Some(&group));
    }

    /// The same topic in every case, a fresh consumer assigned to where it ends, close.
    pub fn consumer(&self) {
        let mut config = self.config.clone();
        let consumer: BaseConsumer = config.set("group.id", format!("group-of-{}", self.kept)).create().unwrap();
        // Not asked on the consumer's own connection, where it would wait behind a Fetch.
        let (_, end) = self.producer.client().fetch_watermarks(&self.kept, 0, SOON).unwrap();
        assign(&consumer, &self.kept, end);
        send(&self.producer, &self.kept);
        receive(&consumer);
        self.producer.poll(Duration::ZERO);
        drop(consumer);
    }

    /// A topic of one partition.
    pub fn make(&self) -> String {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let topic = format!("fresh-{}-{}", self.run, NEXT.fetch_add(1, Ordering::Relaxed));
        let new = NewTopic::new(&topic, 1, TopicReplication::Fixed(-1));
        block_on(self.admin.create_topics([&new], &AdminOptions::new())).unwrap()[0].as_ref().unwrap();
        topic
    }

    fn delete(&self, topic: &str, group: Option<&str>) {
        self.producer.poll(Duration::ZERO);
        if let Some(group) = group {
            // What a delete of a group without commits finds does not matter.
            let _ = block_on(self.admin.delete_groups(&[group], &AdminOptions::new())).unwrap();
        }
        block_on(self.admin.delete_topics(&[topic], &AdminOptions::new())).unwrap();
    }

    /// How long the broker waits for more members before it answers the first of a classic group.
    pub fn rebalance_delay(&self) -> Option<u32> {
        let key = "group.initial.rebalance.delay.ms";
        let admin = &self.admin;
        let brokers = admin.inner().fetch_metadata(None, SOON).ok()?;
        let broker = ResourceSpecifier::Broker(brokers.brokers().first()?.id());
        let found = block_on(admin.describe_configs([&broker], &AdminOptions::new())).ok()?;
        found.first()?.as_ref().ok()?.get(key)?.value.as_ref()?.parse().ok()
    }
}

/// As this crate's own consumers: with librdkafka's fetch wait of 500 ms most fresh consumers of a cluster are late by as
/// much, which would flatter the comparison.
fn config(client: &ClientConfig) -> ClientConfig {
    let mut config = raw::config(client);
    if config.get("fetch.wait.max.ms").is_none() {
        config.set("fetch.wait.max.ms", "5");
    }
    config
}

pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
