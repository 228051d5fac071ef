//! Plain rdkafka: clients as a test without this crate has them, and the round trip below which nothing can get.

use std::time::{Duration, Instant};

use rstest_kafka::Kafka;
use rstest_kafka::rdkafka::bindings as rdsys;
use rstest_kafka::rdkafka::consumer::{BaseConsumer, Consumer};
use rstest_kafka::rdkafka::message::Message;
use rstest_kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rstest_kafka::rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::SOON;

pub fn config(client: &ClientConfig) -> ClientConfig {
    let mut config = client.clone();
    config.set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
    config
}

pub fn producer(client: &ClientConfig) -> BaseProducer {
    let mut config = client.clone();
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

/// Waits until all that was sent is acknowledged.
///
/// By librdkafka's own queue: rdkafka's `poll` returns no sooner for a report, and the thread of its `ThreadedProducer` and
/// `FutureProducer` spins in the last millisecond of each 100, which many of them take from whatever is measured beside.
fn acknowledge(producer: &BaseProducer) {
    let started = Instant::now();
    while producer.in_flight_count() > 0 {
        assert!(started.elapsed() < SOON, "no acknowledgement within {SOON:?}");
        // SAFETY: the handle is valid, and the queue's and the event's references are ours. The reports carry nothing that
        // would have to be given back: the delivery opaque is `()`.
        unsafe {
            let queue = rdsys::rd_kafka_queue_get_main(producer.client().native_ptr());
            let event = rdsys::rd_kafka_queue_poll(queue, 100);
            let failed = if event.is_null() { 0 } else { rdsys::rd_kafka_event_error(event) as i32 };
            rdsys::rd_kafka_event_destroy(event);
            rdsys::rd_kafka_queue_destroy(queue);
            assert_eq!(failed, 0);
        }
    }
}

/// The best that plain rdkafka does: one producer, one assigned consumer, nothing set up, nothing isolated.
pub struct Raw {
    producer: BaseProducer,
    consumer: BaseConsumer,
    topic: String,
}

impl Raw {
    pub fn new(kafka: &Kafka, logical: &str) -> Self {
        let topic = kafka.topic(logical);
        let consumer = assigned(&mut config(&kafka.client_config()), &topic, topic.fence(0));
        let producer = producer(&kafka.client_config());
        Self { producer, consumer, topic: topic.name().to_owned() }
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
        send(&self.producer, &self.topic);
        acknowledge(&self.producer);
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
