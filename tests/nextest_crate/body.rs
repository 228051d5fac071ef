// What each test of the generated crate does; part of it, not of this crate.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use rstest_kafka::{Kafka, TopicSpec};

/// Each message says whose it is, so that one of another test is seen; two stay in the topic for the next test to miss.
pub fn exchange(kafka: &Kafka, test: &str, outcome: &str) {
    let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
    let clock = std::time::Instant::now();
    let is_fresh = std::env::var_os("FRESH").is_some();
    let spec = |name| if is_fresh { TopicSpec::new(name).exclusive() } else { TopicSpec::new(name) };
    let topics = [kafka.topic(spec("events")), kafka.topic(spec("audit"))];
    let attempt = std::env::var("NEXTEST_ATTEMPT").unwrap();
    let own = format!("{test} {attempt}");
    let (mut stale, mut missed) = (0, 0);
    for topic in &topics {
        let consumer = kafka.consumer(topic);
        for _ in 0..3 {
            kafka.send(topic, "k", own.as_bytes());
        }
        for _ in 0..3 {
            match consumer.checked().recv() {
                Ok(message) => stale += usize::from(message.text() != own),
                Err(_) => missed += 1,
            }
        }
        kafka.send(topic, "k", "left over");
        kafka.send(topic, "k", "left over");
    }
    let took = clock.elapsed();
    let group = kafka.group("service", [&topics[0]]);
    let mut line = String::new();
    write!(line, "{test}\t{attempt}\t{outcome}\t{began}\t{}\t", took.as_micros()).unwrap();
    write!(line, "{}\t{stale}\t{missed}\t{}\t{}\t{}", kafka.worker_id(), topics[0], topics[1], group.id()).unwrap();
    let probe = std::path::PathBuf::from(std::env::var("PROBE").unwrap());
    // Whole or not at all: it may be killed while it writes.
    let part = probe.join(format!(".{test}-{attempt}"));
    std::fs::write(&part, line).unwrap();
    std::fs::rename(part, probe.join(format!("{test}-{attempt}"))).unwrap();
    assert_eq!((stale, missed), (0, 0), "stale and missed messages");
}

pub fn is_first_attempt() -> bool {
    std::env::var("NEXTEST_ATTEMPT").unwrap() == "1"
}

pub fn hang() {
    std::thread::sleep(Duration::from_secs(600));
}
