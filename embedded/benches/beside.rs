//! Compares the embedded broker with librdkafka's mock and Apache Kafka, in turns in one run.
//!
//! Run `scripts/with-kafka -- cargo bench -p embedded-kafka --bench beside`. Without Apache Kafka, its column is left out. With
//! `--test`, each measurement is short, to check that it works.

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

use common::*;
use embedded_kafka::EmbeddedKafka;
use kafka_protocol::messages::ApiVersionsRequest;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::util::Timeout;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const SOON: Duration = Duration::from_secs(30);

/// A broker under measurement.
struct Broker {
    name: &'static str,
    address: String,
    /// What its clients need to get the best of it.
    settings: &'static [(&'static str, &'static str)],
}

impl Broker {
    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.address);
        for (name, value) in self.settings {
            config.set(*name, *value);
        }
        config
    }
}

fn main() {
    let short = !std::env::args().any(|argument| argument == "--bench");
    let scaled = |n: usize| if short { n / 1000 + 1 } else { n };
    let embedded = EmbeddedKafka::start().unwrap();
    let mock = MockCluster::new(1).unwrap();
    let mut brokers = vec![
        Broker { name: "embedded", address: embedded.bootstrap_servers().to_owned(), settings: &[] },
        Broker {
            name: "mock",
            address: mock.bootstrap_servers(),
            // A fetch that waits is not woken by a record there.
            settings: &[("fetch.wait.max.ms", "1")],
        },
    ];
    if let Ok(address) = std::env::var("RSTEST_KAFKA_BOOTSTRAP_SERVERS") {
        brokers.push(Broker { name: "Apache Kafka", address, settings: &[] });
    }
    println!(
        "{:<44}{}",
        "",
        brokers.iter().map(|broker| format!("{:>14}", broker.name)).collect::<String>() + "  first to the others"
    );
    row("start and first answer, us", &[started(scaled(200))]);
    row("round trip by librdkafka, us", &round_trips(&brokers, scaled(2_000)));
    row("written by 64 connections at once, a second", &at_once(&brokers, scaled(1_000)));
    // The mock loses records over 5 MiB of a partition.
    let keepers: Vec<&Broker> = brokers.iter().filter(|broker| broker.name != "mock").collect();
    let rates: Vec<(f64, f64)> = keepers.iter().map(|broker| records(broker, scaled(1_000_000))).collect();
    let [written, read]: [Vec<f64>; 2] =
        [rates.iter().map(|rate| rate.0).collect(), rates.iter().map(|rate| rate.1).collect()];
    println!("without the mock:");
    row("records of 100 bytes written, a second", &written);
    row("the same read, a second", &read);
    let (first, last) = first_and_last(&brokers[0], scaled(100_000));
    println!("{:<44}{first:>14.1}{last:>14.1}", "written and read: the first, the millionth, us");
    if let Some(ticks) = idle(&brokers[0], if short { Duration::from_millis(50) } else { Duration::from_secs(3) }) {
        println!("{:<44}{ticks:>14}", "ticks of CPU while a fetch waits for 3 s");
    }
}

/// A line with the figure of each broker, and how the first compares to the others.
fn row(what: &str, figures: &[f64]) {
    let shown: String = figures.iter().map(|figure| format!("{figure:>14.0}")).collect();
    let ratios: String = figures.iter().skip(1).map(|other| format!("  {:.2}", figures[0] / other)).collect();
    println!("{what:<44}{shown}{ratios}");
}

fn started(n: usize) -> f64 {
    median((0..n).map(|_| {
        let began = Instant::now();
        let kafka = EmbeddedKafka::start().unwrap();
        Raw::connect(kafka.bootstrap_servers()).call(&ApiVersionsRequest::default(), 0);
        began.elapsed()
    }))
}

/// A record sent and received, on one broker after the other.
fn round_trips(brokers: &[Broker], n: usize) -> Vec<f64> {
    let clients: Vec<_> = brokers
        .iter()
        .map(|broker| {
            let topic = unique("round-trip");
            let producer: BaseProducer =
                broker.client().remove("fetch.wait.max.ms").set("linger.ms", "0").create().unwrap();
            producer
                .send(BaseRecord::<(), _>::to(&topic).partition(0).payload("first"))
                .map_err(|(error, _)| error)
                .unwrap();
            producer.flush(SOON).unwrap_or_else(|error| panic!("{}: {error}", broker.name));
            let consumer: BaseConsumer = broker.client().set("group.id", &topic).create().unwrap();
            let mut partitions = TopicPartitionList::new();
            partitions.add_partition_offset(&topic, 0, Offset::Beginning).unwrap();
            consumer.assign(&partitions).unwrap();
            receive(&consumer);
            (topic, producer, consumer)
        })
        .collect();
    let mut times = vec![Vec::new(); brokers.len()];
    for _ in 0..n.div_ceil(100) {
        for ((topic, producer, consumer), times) in clients.iter().zip(&mut times) {
            for _ in 0..n.min(100) {
                let began = Instant::now();
                producer
                    .send(BaseRecord::<(), _>::to(topic).partition(0).payload("next"))
                    .map_err(|(error, _)| error)
                    .unwrap();
                receive(consumer);
                times.push(began.elapsed());
                producer.poll(Duration::ZERO);
            }
        }
    }
    times.into_iter().map(median).collect()
}

fn receive(consumer: &BaseConsumer) {
    let began = Instant::now();
    while !matches!(consumer.poll(Duration::from_millis(100)), Some(Ok(message)) if message.payload().is_some()) {
        assert!(began.elapsed() < SOON, "no record within {SOON:?}");
    }
}

/// Clients that write to a partition of their own each, all at once, by a version that all three serve.
fn at_once(brokers: &[Broker], n: usize) -> Vec<f64> {
    let batch = Batch::of(&["a"]).encode();
    let run = |broker: &Broker| {
        // The mock makes a topic with four partitions for any client that asks.
        let topics: Vec<String> = (0..64).map(|_| unique("at-once")).collect();
        let frames: Vec<_> = topics
            .iter()
            .map(|topic| {
                let mut raw = Raw::connect(&broker.address);
                let frame = raw.frame(&produce_request(topic, 0, batch.clone()), 7);
                let producer: BaseProducer = broker.client().create().unwrap();
                producer
                    .send(BaseRecord::<(), _>::to(topic).partition(0).payload("made"))
                    .map_err(|(error, _)| error)
                    .unwrap();
                producer.flush(SOON).unwrap();
                (raw, frame)
            })
            .collect();
        let began = Instant::now();
        std::thread::scope(|scope| {
            for (mut raw, frame) in frames {
                scope.spawn(move || {
                    for _ in 0..n {
                        raw.send_bytes(&frame);
                        raw.receive_frame().expect("an answer");
                    }
                });
            }
        });
        (64 * n) as f64 / began.elapsed().as_secs_f64()
    };
    brokers.iter().map(run).collect()
}

/// So many records of 100 bytes written by librdkafka, then read by it; both in records a second.
fn records(broker: &Broker, n: usize) -> (f64, f64) {
    let topic = unique("records");
    let value = [b'x'; 100];
    let producer: BaseProducer =
        broker.client().set("linger.ms", "5").set("queue.buffering.max.messages", "2000000").create().unwrap();
    let began = Instant::now();
    for _ in 0..n {
        producer
            .send(BaseRecord::<(), _>::to(&topic).partition(0).payload(&value[..]))
            .map_err(|(error, _)| error)
            .unwrap();
    }
    producer.flush(Timeout::After(Duration::from_secs(300))).unwrap();
    let written = n as f64 / began.elapsed().as_secs_f64();
    let consumer: BaseConsumer = broker.client().set("group.id", &topic).create().unwrap();
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(&topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&partitions).unwrap();
    let began = Instant::now();
    for _ in 0..n {
        receive(&consumer);
    }
    (written, n as f64 / began.elapsed().as_secs_f64())
}

/// What it costs to write and read a batch of ten, in an empty partition and in one with many batches; in microseconds.
fn first_and_last(broker: &Broker, n: usize) -> (f64, f64) {
    let topic = unique("flat");
    let mut raw = Raw::connect(&broker.address);
    let producer: BaseProducer = broker.client().create().unwrap();
    producer.send(BaseRecord::<(), _>::to(&topic).partition(0).payload("made")).map_err(|(error, _)| error).unwrap();
    producer.flush(SOON).unwrap();
    let batch = Batch::of(&["a"; 10]);
    let both = |raw: &mut Raw| {
        let began = Instant::now();
        let offset = produce(raw, &topic, 0, &batch).base_offset;
        let fetched = fetch(raw, &topic, 0, offset);
        assert_eq!(fetched.high_watermark, offset + 10);
        began.elapsed()
    };
    let some = n.min(1_000);
    let first = median((0..some).map(|_| both(&mut raw)).collect::<Vec<_>>());
    let frame = raw.frame(&produce_request(&topic, 0, batch.encode()), 7);
    for _ in 0..n.saturating_sub(2 * some) {
        raw.send_bytes(&frame);
        raw.receive_frame().expect("an answer");
    }
    (first, median((0..some).map(|_| both(&mut raw)).collect::<Vec<_>>()))
}

/// What this process takes of the CPU while a fetch waits, in ticks; on Linux only.
fn idle(broker: &Broker, time: Duration) -> Option<u64> {
    let topic = unique("idle");
    let producer: BaseProducer = broker.client().create().unwrap();
    producer.send(BaseRecord::<(), _>::to(&topic).partition(0).payload("made")).map_err(|(error, _)| error).unwrap();
    producer.flush(SOON).unwrap();
    drop(producer);
    let mut raw = Raw::connect(&broker.address);
    raw.send(&fetch_request(&topic, 0, 1).with_max_wait_ms(60_000).with_min_bytes(1), 12);
    let ticks = || {
        let threads = std::fs::read_dir("/proc/self/task").ok()?;
        threads.flatten().find_map(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).ok()?;
            let (name, fields) = stat.split_once(") ")?;
            let fields: Vec<&str> = fields.split(' ').collect();
            let ours = name.ends_with("(embedded-kafka");
            ours.then(|| Some(fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?))?
        })
    };
    let before = ticks()?;
    std::thread::sleep(time);
    Some(ticks()? - before)
}

fn median(times: impl IntoIterator<Item = Duration>) -> f64 {
    let mut times: Vec<Duration> = times.into_iter().collect();
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}
