//! What a test costs: with this crate, with a fresh topic each, and the bare round trip below which nothing can get.
//!
//! All of it in one run, in turn, on the embedded broker or, with `RSTEST_KAFKA_BOOTSTRAP_SERVERS`, on a cluster:
//! `cargo bench --bench cases`.
#![allow(missing_docs, reason = "a benchmark has no callers")]

use std::ffi::CString;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rstest_kafka::rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rstest_kafka::rdkafka::bindings as rdsys;
use rstest_kafka::rdkafka::client::DefaultClientContext;
use rstest_kafka::rdkafka::consumer::{BaseConsumer, Consumer};
use rstest_kafka::rdkafka::message::Message;
use rstest_kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rstest_kafka::rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rstest_kafka::{Harness, Kafka};

const BLOCKS: usize = 20;
const PER_BLOCK: usize = 100;
/// How long the fresh cases of one kind may take in all.
const BUDGET: Duration = Duration::from_secs(12);
const MOST_FRESH: usize = 60;
const SOON: Duration = Duration::from_secs(20);

/// Times of one kind of case.
struct Times(Vec<Duration>);

impl Times {
    fn add(&mut self, case: impl FnOnce()) {
        let started = Instant::now();
        case();
        self.0.push(started.elapsed());
    }

    fn quantile(&mut self, quantile: f64) -> Duration {
        self.0.sort_unstable();
        self.0[((self.0.len() - 1) as f64 * quantile) as usize]
    }

    fn tell(&mut self, what: &str) -> f64 {
        let [median, p90] = [0.5, 0.9].map(|quantile| self.quantile(quantile).as_secs_f64() * 1e3);
        println!("{what:<44} {median:>9.3} ms median {p90:>9.3} ms p90 {:>6} cases", self.0.len());
        median
    }
}

/// What a reused case is: a lease of its own, its topic, its consumer, one message there and back.
fn reused(harness: &Harness) {
    let kafka = harness.lease();
    let events = kafka.topic("reused");
    let consumer = kafka.consumer(&events);
    kafka.send(&events, "k", "v");
    assert_eq!(consumer.recv().payload(), Some(&b"v"[..]));
}

/// The best that plain rdkafka does: one producer, one assigned consumer, nothing set up, nothing isolated.
struct Raw {
    producer: BaseProducer,
    consumer: BaseConsumer,
    topic: String,
}

impl Raw {
    fn new(kafka: &Kafka) -> Self {
        let topic = kafka.topic("raw").name().to_owned();
        Self { producer: producer(kafka), consumer: assigned(kafka, &topic), topic }
    }

    fn round_trip(&self) {
        send(&self.producer, &self.topic);
        receive(&self.consumer);
        self.producer.poll(Duration::ZERO);
    }

    fn pause(&self, paused: bool) {
        let assignment = self.consumer.assignment().unwrap();
        if paused { self.consumer.pause(&assignment) } else { self.consumer.resume(&assignment) }.unwrap();
    }
}

fn config(kafka: &Kafka) -> ClientConfig {
    let mut config = kafka.client_config();
    config.set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
    config
}

fn producer(kafka: &Kafka) -> BaseProducer {
    let mut config = kafka.client_config();
    config.remove("fetch.wait.max.ms");
    config.set("linger.ms", "0").create().unwrap()
}

fn assigned(kafka: &Kafka, topic: &str) -> BaseConsumer {
    let consumer: BaseConsumer = config(kafka).set("group.id", format!("group-of-{topic}")).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(0)).unwrap();
    consumer.assign(&list).unwrap();
    // Without it the consumer would look for the leader only a second later.
    consumer.fetch_metadata(Some(topic), SOON).unwrap();
    consumer
}

fn send(producer: &BaseProducer, topic: &str) {
    producer.send(BaseRecord::to(topic).key("k").payload("v")).map_err(|(error, _)| error).unwrap();
}

fn receive(consumer: &BaseConsumer) {
    let started = Instant::now();
    // A poll also ends, without a message, when it has served something else, such as a rebalance.
    let message = loop {
        assert!(started.elapsed() < SOON, "no message within {SOON:?}");
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            break message.unwrap();
        }
    };
    assert_eq!(message.payload(), Some(&b"v"[..]));
}

/// Topics made and deleted as a suite without this crate does it.
struct Fresh {
    kafka: Kafka,
    producer: BaseProducer,
    admin: Option<AdminClient<DefaultClientContext>>,
}

impl Fresh {
    fn new(kafka: Kafka) -> Self {
        let mut plain = kafka.client_config();
        plain.remove("fetch.wait.max.ms");
        let admin = kafka.capabilities().delete_topics.then(|| plain.create().unwrap());
        Self { producer: producer(&kafka), kafka, admin }
    }

    fn make(&self) -> String {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let topic = format!("fresh-{}-{}", self.kafka.run_id(), NEXT.fetch_add(1, Ordering::Relaxed));
        match &self.admin {
            Some(admin) => {
                let new = NewTopic::new(&topic, 1, TopicReplication::Fixed(-1));
                block_on(admin.create_topics([&new], &AdminOptions::new())).unwrap()[0].as_ref().unwrap();
            }
            None => self.make_embedded(&topic),
        }
        topic
    }

    /// The mock may sleep a second over a command; a connection wakes it, as the crate itself does it.
    fn make_embedded(&self, topic: &str) {
        struct Mock(*mut rdsys::rd_kafka_mock_cluster_t);
        // SAFETY: the mock takes commands from any thread.
        unsafe impl Send for Mock {}
        let (mock, name) = (Mock(self.kafka.mock_cluster()), CString::new(topic).unwrap());
        let (done, is_done) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mock = mock;
                // SAFETY: the harness of `self.kafka` owns the mock, and the name is copied.
                unsafe { rdsys::rd_kafka_mock_topic_create(mock.0, name.as_ptr(), 1, 1) };
                done.send(()).unwrap();
            });
            while is_done.recv_timeout(Duration::from_millis(3)).is_err() {
                TcpStream::connect(self.kafka.bootstrap_servers()).unwrap();
            }
        });
    }

    fn assign(&self) {
        let topic = self.make();
        let consumer = assigned(&self.kafka, &topic);
        send(&self.producer, &topic);
        receive(&consumer);
        drop(consumer);
        self.delete(&topic);
    }

    fn subscribe(&self) {
        let topic = self.make();
        let group = format!("group-of-{topic}");
        let consumer: BaseConsumer = config(&self.kafka).set("group.id", group).create().unwrap();
        consumer.subscribe(&[&topic]).unwrap();
        send(&self.producer, &topic);
        receive(&consumer);
        drop(consumer);
        self.delete(&topic);
    }

    fn delete(&self, topic: &str) {
        self.producer.poll(Duration::ZERO);
        if let Some(admin) = &self.admin {
            block_on(admin.delete_topics(&[topic], &AdminOptions::new())).unwrap();
        }
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn main() {
    // Whatever cargo passes on, such as --bench; a test run only checks that it builds.
    if std::env::args().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    let harness = Harness::builder().topic_prefix("bench").build();
    let kafka = harness.lease();
    println!("on {}", kafka.bootstrap_servers());
    let raw = Raw::new(&kafka);
    let (mut reused_times, mut raw_times) = (Times(Vec::new()), Times(Vec::new()));
    let (mut assign_times, mut subscribe_times) = (Times(Vec::new()), Times(Vec::new()));
    drop(kafka);

    for _ in 0..BLOCKS {
        reused(&harness);
        (0..PER_BLOCK).for_each(|_| reused_times.add(|| reused(&harness)));
        raw.pause(false);
        raw.round_trip();
        (0..PER_BLOCK).for_each(|_| raw_times.add(|| raw.round_trip()));
        // One that stays assigned keeps the broker busy while the other is timed.
        raw.pause(true);
    }
    raw.producer.flush(SOON).unwrap();
    drop(raw);
    let fresh = Fresh::new(harness.lease());
    for (times, case) in [(&mut assign_times, Fresh::assign as fn(&Fresh)), (&mut subscribe_times, Fresh::subscribe)] {
        let started = Instant::now();
        while started.elapsed() < BUDGET && times.0.len() < MOST_FRESH {
            times.add(|| case(&fresh));
        }
    }

    let reused = reused_times.tell("reused topic and consumer, a lease each");
    let raw = raw_times.tell("raw round trip, no isolation");
    let assign = assign_times.tell("fresh topic, consumer, assign, close");
    let subscribe = subscribe_times.tell("fresh topic, group, subscribe, close");
    println!("reused / raw                 {:>8.2}", reused / raw);
    println!("fresh assign / reused        {:>8.1}", assign / reused);
    println!("fresh subscribe / reused     {:>8.1}", subscribe / reused);
}
