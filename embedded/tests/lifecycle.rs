//! The resources of a broker: nothing is left after it is dropped, and an idle broker uses no CPU time.
//!
//! The tests measure the whole process, so each runs in a separate process.

mod common;

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use common::*;
use embedded_kafka::EmbeddedKafka;
use kafka_protocol::messages::{ApiVersionsRequest, MetadataRequest};

/// Runs the body of a test alone, in a process of its own, by a shell that sets something up before: the test of this name calls
/// this in both processes.
fn alone(test: &str, setup: &str, body: fn()) {
    const ALONE: &str = "LIFECYCLE_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return body();
    }
    let script = format!("{setup} exec \"$0\" --exact {test} --nocapture");
    let output = Command::new("sh")
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env(ALONE, "yes")
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stdout.contains(" 1 passed"), "{stdout}\n{stderr}");
}

/// The threads and the descriptors of this process, and its memory in KiB.
fn usage() -> (usize, usize, usize) {
    let count = |folder: &str| std::fs::read_dir(folder).unwrap().count();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let resident = resident.trim().trim_end_matches(" kB").parse().unwrap();
    (count("/proc/self/task"), count("/proc/self/fd"), resident)
}

#[test]
#[cfg(target_os = "linux")]
fn nothing_is_left_after_a_thousand_brokers() {
    alone("nothing_is_left_after_a_thousand_brokers", "", starts_and_stops);
}

fn starts_and_stops() {
    let round = |brokers| {
        let kafka = EmbeddedKafka::builder().brokers(brokers).start().unwrap();
        let mut clients: Vec<Raw> = kafka.bootstrap_servers().split(',').map(Raw::connect).collect();
        clients.iter_mut().for_each(|client| _ = client.call(&ApiVersionsRequest::default(), 0));
        // One that goes before the broker does, and one in the middle of a request.
        clients.pop();
        TcpStream::connect(kafka.bootstrap_servers().split(',').next().unwrap()).unwrap().write_all(&[0, 0]).unwrap();
        drop(kafka);
        clients.iter_mut().for_each(|client| assert_eq!(client.receive_frame(), None));
    };
    (0..50).for_each(|n| round(n % 3 + 1));
    let (threads, descriptors, resident) = usage();
    (0..1000).for_each(|n| round(n % 3 + 1));
    let after = usage();
    assert_eq!((after.0, after.1), (threads, descriptors));
    assert!(after.2 < resident + 2048, "{resident} KiB have become {} KiB", after.2);
}

#[test]
fn a_broker_sleeps_while_nobody_asks_for_anything() {
    let kafka = EmbeddedKafka::start().unwrap();
    let mut raw = Raw::connect(kafka.bootstrap_servers());
    raw.call(&MetadataRequest::default(), 12);
    let before = kafka.wakeups();
    std::thread::sleep(Duration::from_millis(100)); // what is measured
    let woken = kafka.wakeups() - before;
    assert!(woken <= 1, "it has woken {woken} times");
}

#[test]
#[cfg(unix)]
fn a_broker_without_a_descriptor_left_serves_on_and_does_not_spin() {
    alone("a_broker_without_a_descriptor_left_serves_on_and_does_not_spin", "ulimit -n 64 &&", runs_out_of_descriptors);
}

fn runs_out_of_descriptors() {
    let kafka = EmbeddedKafka::start().unwrap();
    let mut first = Raw::connect(kafka.bootstrap_servers());
    first.call(&ApiVersionsRequest::default(), 0);
    // Each takes a descriptor at both ends.
    let mut clients = Vec::new();
    while let Ok(client) = TcpStream::connect(kafka.bootstrap_servers()) {
        clients.push(client);
    }
    first.call(&ApiVersionsRequest::default(), 0);
    let before = kafka.wakeups();
    std::thread::sleep(Duration::from_millis(200)); // what is measured
    let woken = kafka.wakeups() - before;
    assert!(woken < 20, "it has woken {woken} times in 200 ms");
    // When file descriptors are free again, the waiting connections are served.
    clients.truncate(1);
    let began = Instant::now();
    Raw::connect(kafka.bootstrap_servers()).call(&ApiVersionsRequest::default(), 0);
    assert!(began.elapsed() < DEADLINE);
}

#[test]
fn a_broker_that_is_never_dropped_does_not_keep_the_process() {
    alone("a_broker_that_is_never_dropped_does_not_keep_the_process", "", is_never_dropped);
}

fn is_never_dropped() {
    let kafka = EmbeddedKafka::start().unwrap();
    Raw::connect(kafka.bootstrap_servers()).call(&ApiVersionsRequest::default(), 0);
    std::mem::forget(kafka);
}

#[test]
fn a_client_that_never_reads_takes_one_answer_and_harms_nobody() {
    let kafka = EmbeddedKafka::start().unwrap();
    let mut writer = Raw::connect(kafka.bootstrap_servers());
    writer.call(
        &MetadataRequest::default()
            .with_topics(Some(vec![
                kafka_protocol::messages::metadata_request::MetadataRequestTopic::default()
                    .with_name(Some(topic_name("t"))),
            ]))
            .with_allow_auto_topic_creation(true),
        12,
    );
    let value = "x".repeat(900_000);
    produce(&mut writer, "t", 0, &Batch::of(&[&value]));
    let mut deaf = Raw::connect(kafka.bootstrap_servers());
    let request = deaf.frame(&fetch_request("t", 0, 0), 12);
    for _ in 0..200 {
        deaf.send_bytes(&request);
    }
    let fetches = || kafka.requests(embedded_kafka::ApiKey::Fetch);
    // The sockets' buffers take some answers. After that nothing is read any more.
    let mut last = 0;
    eventually(|| {
        produce(&mut writer, "t", 0, &Batch::of(&["a"]));
        let now = fetches();
        (std::mem::replace(&mut last, now) == now && now > 0).then_some(())
    });
    assert!(fetches() < 200, "{} answers are kept", fetches());
    // When it reads at last, it gets all of them.
    for _ in 0..200 {
        assert!(deaf.receive_frame().unwrap().len() > 900_000);
    }
}

#[test]
fn a_client_that_floods_the_broker_leaves_room_for_others() {
    let kafka = EmbeddedKafka::start().unwrap();
    let mut flood = Raw::connect(kafka.bootstrap_servers());
    let requests = flood.frame(&ApiVersionsRequest::default(), 3).repeat(10_000);
    std::thread::scope(|scope| {
        let flooding = scope.spawn(move || {
            let mut reader = flood.try_clone();
            let sender = std::thread::spawn(move || flood.send_bytes(&requests));
            (0..10_000).for_each(|_| _ = reader.receive_frame().unwrap());
            sender.join().unwrap();
        });
        let mut other = Raw::connect(kafka.bootstrap_servers());
        (0..20).for_each(|_| _ = other.call(&ApiVersionsRequest::default(), 3));
        flooding.join().unwrap();
    });
}

#[test]
fn hundreds_of_clients_connect_at_once() {
    let kafka = EmbeddedKafka::start().unwrap();
    let clients: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(kafka.bootstrap_servers()).unwrap()).collect();
    eventually(|| (kafka.connections().len() == clients.len()).then_some(()));
}

#[test]
fn the_handle_is_used_from_any_thread() {
    let kafka = EmbeddedKafka::start().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    kafka.advance(Duration::from_millis(1));
                    assert!(kafka.topics().is_empty());
                }
            });
        }
    });
}
