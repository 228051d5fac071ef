//! Measures the broker itself, with a client of negligible cost.
//!
//! Run `cargo bench -p embedded-kafka --bench raw`, or for Apache Kafka `scripts/with-kafka -- cargo bench -p embedded-kafka
//! --bench raw`. With `--test`, each measurement is short, to check that it works.

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

use common::*;
use embedded_kafka::EmbeddedKafka;
use kafka_protocol::messages::{ApiVersionsRequest, FetchRequest};

fn main() {
    let short = !std::env::args().any(|argument| argument == "--bench");
    let scaled = |n: usize| if short { n / 1000 + 1 } else { n };
    let kafka = Kafka::start();
    if kafka.embedded.is_some() {
        report(
            "start, first answer, stop",
            median(scaled(200), || {
                let kafka = EmbeddedKafka::start().unwrap();
                Raw::connect(kafka.bootstrap_servers()).call(&ApiVersionsRequest::default(), 0);
            }),
        );
    }
    let mut raw = kafka.connect();
    report("ApiVersions", median(scaled(20_000), || _ = raw.call(&ApiVersionsRequest::default(), 3)));
    round_trips(&kafka, scaled(20_000));
    at_once(&kafka, 64, scaled(2_000));
    records(&kafka, scaled(1_000_000));
}

/// A record that is written, and wakes the fetch that waits for it.
fn round_trips(kafka: &Kafka, n: usize) {
    let topic = kafka.topic("round-trip", 1);
    let (mut writer, mut reader) = (kafka.leader(&topic.name, 0), kafka.leader(&topic.name, 0));
    let batch = Batch::of(&["a"]).encode();
    let mut offset = 0;
    report(
        "round trip",
        median(n, || {
            let fetch = fetch_request(&topic.name, 0, offset).with_max_wait_ms(10_000).with_min_bytes(1);
            reader.send(&fetch, 12);
            writer.send(&produce_request(&topic.name, 0, batch.clone()), 9);
            let fetched = reader.receive::<FetchRequest>(12);
            assert!(!fetched.responses[0].partitions[0].records.as_ref().unwrap().is_empty());
            writer.receive_frame().unwrap();
            offset += 1;
        }),
    );
}

/// Clients that write to a partition of their own each, all at once.
fn at_once(kafka: &Kafka, clients: i32, n: usize) {
    let topic = kafka.topic("at-once", clients);
    let batch = Batch::of(&["a"]).encode();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for partition in 0..clients {
            let (mut raw, batch, name) = (kafka.leader(&topic.name, partition as usize), batch.clone(), &topic.name);
            scope.spawn(move || {
                let frame = raw.frame(&produce_request(name, partition, batch), 9);
                for _ in 0..n {
                    raw.send_bytes(&frame);
                    raw.receive_frame().unwrap();
                }
            });
        }
    });
    rate("requests a second of 64 clients at once", clients as usize * n, began.elapsed());
}

/// Records of 100 bytes in batches of 1,000, written and read.
fn records(kafka: &Kafka, n: usize) {
    let topic = kafka.topic("records", 1);
    let mut raw = kafka.leader(&topic.name, 0);
    let value = "x".repeat(100);
    let batch = Batch::of(&[value.as_str(); 1000]).encode();
    let batches = n.div_ceil(1000);
    let began = Instant::now();
    let frame = raw.frame(&produce_request(&topic.name, 0, batch), 9);
    for _ in 0..batches {
        raw.send_bytes(&frame);
        raw.receive_frame().unwrap();
    }
    rate("records a second written", batches * 1000, began.elapsed());
    let began = Instant::now();
    let mut offset = 0;
    while offset < batches as i64 * 1000 {
        let records = fetch(&mut raw, &topic.name, 0, offset).records.unwrap();
        let mut rest = &records[..];
        while let Some((header, _)) = rest.split_first_chunk::<61>() {
            let length = i32::from_be_bytes(header[8..12].try_into().unwrap()) as usize + 12;
            let Some(after) = rest.get(length..) else { break };
            offset += i64::from(i32::from_be_bytes(header[23..27].try_into().unwrap())) + 1;
            rest = after;
        }
    }
    rate("records a second read", batches * 1000, began.elapsed());
}

fn median(n: usize, mut run: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..n)
        .map(|_| {
            let began = Instant::now();
            run();
            began.elapsed()
        })
        .collect();
    times.sort();
    times[n / 2]
}

fn report(what: &str, median: Duration) {
    println!("{what:42} {:>12.1} us", median.as_secs_f64() * 1e6);
}

fn rate(what: &str, count: usize, time: Duration) {
    println!("{what:42} {:>12.0} /s", count as f64 / time.as_secs_f64());
}
