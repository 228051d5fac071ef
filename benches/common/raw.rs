//! Plain rdkafka: clients as a test without this crate has them, and the round trip below which nothing can get.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use rstest_kafka::Kafka;
use rstest_kafka::rdkafka::consumer::{BaseConsumer, Consumer};
use rstest_kafka::rdkafka::message::{DeliveryResult, Message};
use rstest_kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rstest_kafka::rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};

use super::SOON;

pub fn config(client: &ClientConfig) -> ClientConfig {
    let mut config = client.clone();
    config.set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
    config
}

pub fn producer(client: &ClientConfig) -> BaseProducer {
    let mut config = client.clone();
    config.remove("fetch.wait.max.ms");
    config.set("linger.ms", "0").create().unwrap()
}

/// A consumer of one partition from there on.
pub fn assigned(config: &mut ClientConfig, topic: &str, from: i64) -> BaseConsumer {
    let consumer: BaseConsumer = config.set("group.id", format!("group-of-{topic}")).create().unwrap();
    assign(&consumer, topic, from);
    consumer
}

pub fn assign(consumer: &BaseConsumer, topic: &str, from: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(from)).unwrap();
    consumer.assign(&list).unwrap();
    // Without it the consumer would look for the leader only a second later.
    consumer.fetch_metadata(Some(topic), SOON).unwrap();
}

pub fn send(producer: &BaseProducer, topic: &str) {
    producer.send(BaseRecord::to(topic).key("k").payload("v")).map_err(|(error, _)| error).unwrap();
}

pub fn receive(consumer: &BaseConsumer) {
    let started = Instant::now();
    let mut last = None;
    // A poll also ends, without a message, when it has served something else, such as a rebalance. An error passes, such as
    // that of a topic which has just been made and is not known to all yet.
    let message = loop {
        assert!(started.elapsed() < SOON, "no message within {SOON:?}: {last:?}");
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => break message,
            Some(Err(error)) => last = Some(error),
            None => {}
        }
    };
    assert_eq!(message.payload(), Some(&b"v"[..]));
}

/// Tells that a record has been acknowledged.
struct Acknowledged(mpsc::Sender<()>);

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        result.as_ref().map_err(|(error, _)| error).unwrap();
        self.0.send(()).unwrap();
    }
}

/// The best that plain rdkafka does: one producer, one assigned consumer, nothing set up, nothing isolated.
pub struct Raw {
    producer: BaseProducer,
    threaded: ThreadedProducer<Acknowledged>,
    acknowledged: mpsc::Receiver<()>,
    consumer: BaseConsumer,
    topic: String,
}

impl Raw {
    pub fn new(kafka: &Kafka, logical: &str) -> Self {
        let topic = kafka.topic(logical);
        let consumer = assigned(&mut config(&kafka.client_config()), &topic, topic.fence(0));
        let producer = producer(&kafka.client_config());
        let mut config = kafka.client_config();
        config.remove("fetch.wait.max.ms");
        let (sender, acknowledged) = mpsc::channel();
        let threaded = config.set("linger.ms", "0").create_with_context(Acknowledged(sender)).unwrap();
        Self { producer, threaded, acknowledged, consumer, topic: topic.name().to_owned() }
    }

    pub fn round_trip(&self) {
        send(&self.producer, &self.topic);
        receive(&self.consumer);
        self.producer.poll(Duration::ZERO);
    }

    /// As most tests do it: what is sent is acknowledged, then received.
    pub fn acknowledged_round_trip(&self) {
        self.send_alone();
        receive(&self.consumer);
    }

    /// Half of it: what is sent is acknowledged, and not received.
    pub fn send_alone(&self) {
        let record = BaseRecord::to(&self.topic).key("k").payload("v");
        self.threaded.send(record).map_err(|(error, _)| error).unwrap();
        self.acknowledged.recv_timeout(SOON).unwrap();
    }

    /// Goes on behind all that was sent meanwhile, paused as before.
    pub fn skip(&self) {
        let (_, end) = self.producer.client().fetch_watermarks(&self.topic, 0, SOON).unwrap();
        assign(&self.consumer, &self.topic, end);
        self.pause(false);
        self.pause(true);
    }

    /// One that stays assigned keeps the broker busy while something else is timed.
    pub fn pause(&self, paused: bool) {
        let assignment = self.consumer.assignment().unwrap();
        if paused { self.consumer.pause(&assignment) } else { self.consumer.resume(&assignment) }.unwrap();
        // The first fetch after a pause is not like the others.
        if !paused {
            self.round_trip();
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = self.producer.flush(SOON);
    }
}

/// One request for a partition's end offset and its answer, on a connection that never fetches.
pub struct OffsetRoundTrip {
    client: BaseConsumer,
    ends: TopicPartitionList,
}

impl OffsetRoundTrip {
    pub fn new(kafka: &Kafka, topic: &str) -> Self {
        let mut ends = TopicPartitionList::new();
        ends.add_partition_offset(topic, 0, Offset::End).unwrap();
        Self { client: kafka.client_config().create().unwrap(), ends }
    }

    pub fn ask(&self) {
        self.client.offsets_for_times(self.ends.clone(), SOON).unwrap();
    }
}
