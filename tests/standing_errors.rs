//! An error is the cause of this failure, not of an earlier one that is over; and a cluster at a distance is reached in the end.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{alone, cluster, comes_true, lease};
use embedded_kafka::EmbeddedKafka;
use rstest_kafka::rdkafka::consumer::Consumer;
use rstest_kafka::rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rstest_kafka::{Error, ErrorCode, Harness, Request};

fn embedded() -> Harness {
    Harness::builder().embedded_brokers(1).topic_prefix("standing").timeout(Duration::from_secs(2)).build()
}

/// Waits until the clients of the crate have found their broker again.
fn is_back(kafka: &rstest_kafka::Kafka) {
    assert!(comes_true(|| kafka.checked().topic("back").is_ok() && kafka.checked().send("back", "k", "v").is_ok()));
}

#[test]
fn a_consumers_error_that_is_over_is_not_named() {
    let _alone = alone();
    lease(&embedded(), |kafka| {
        let faults = kafka.faults();
        let (events, consumer) = (kafka.topic("events"), kafka.consumer("events"));
        consumer.client().pause(&consumer.client().assignment().unwrap()).unwrap();
        kafka.send(&events, "k", "v");
        let failure = || consumer.within(Duration::from_millis(200)).recv().unwrap_err().to_string();
        faults.broker_down(1);
        assert!(comes_true(|| failure().contains("the client's last error")), "{}", failure());
        faults.broker_up(1);
        // Its client has found the broker again in a moment.
        assert!(comes_true(|| !failure().contains("the client's last error")), "{}", failure());
        assert!(failure().contains("1 of 1 written, not delivered: paused"), "{}", failure());
    });
}

#[test]
fn an_error_of_the_connection_that_is_over_is_not_the_cause_of_a_refusal() {
    let _alone = alone();
    lease(&embedded(), |kafka| {
        let code = |error: Error| match error {
            Error::Unreachable { source: Some(KafkaError::AdminOp(code)), .. } => Some(code),
            Error::Unreachable { source, .. } => source?.rdkafka_error_code(),
            error => panic!("{error:?}"),
        };
        let faults = kafka.faults();
        let consumer = kafka.consumer("events");
        faults.broker_down(1);
        let failure = || code(consumer.within(Duration::from_millis(200)).drain().unwrap_err());
        let down = [Some(RDKafkaErrorCode::BrokerTransportFailure), Some(RDKafkaErrorCode::AllBrokersDown)];
        assert!(comes_true(|| down.contains(&failure())), "{:?}", failure());
        faults.broker_up(1);
        is_back(&kafka);
        faults.fail_next(Request::CreateTopics, 1_000_000, ErrorCode::RequestTimedOut);
        let refused = code(kafka.checked().topic("refused").unwrap_err());
        // The broker's answer, or that the last question of many came too late for one.
        let now = [Some(RDKafkaErrorCode::RequestTimedOut), Some(RDKafkaErrorCode::OperationTimedOut)];
        assert!(now.contains(&refused), "{refused:?}");
    });
}

#[test]
fn a_producers_error_that_is_over_is_not_named() {
    let _alone = alone();
    lease(&embedded(), |kafka| {
        let faults = kafka.faults();
        let events = kafka.topic("events");
        let failure = || kafka.checked().send(&events, "k", "v").unwrap_err().to_string();
        faults.broker_down(1);
        assert!(comes_true(|| failure().contains("(last: ")), "{}", failure());
        faults.broker_up(1);
        is_back(&kafka);
        faults.latency(Duration::from_secs(60));
        let slow = failure();
        assert!(slow.contains("no acknowledgement within 2s") && !slow.contains("(last: "), "{slow}");
        faults.clear();
    });
}

/// Forwards to a broker, each piece late, in both directions; counts the connections.
struct Distance {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Distance {
    fn to(broker: &str, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, connections) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let (broker, counted) = (broker.to_owned(), Arc::clone(&connections));
        // Until the process ends: the crate's clients are closed at exit.
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::SeqCst);
                let Ok(far) = TcpStream::connect(&broker) else { continue };
                let (near_too, far_too) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                thread::spawn(move || forward(near, far, delay));
                thread::spawn(move || forward(far_too, near_too, delay));
            }
        });
        Self { address, connections }
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        thread::sleep(delay);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// Two round trips are needed before a first answer: longer than the timeout, and than each short wait.
fn is_reached_in_the_end(broker: &str) {
    let distance = Distance::to(broker, Duration::from_millis(150));
    let state = tempfile::tempdir().unwrap();
    let harness = Harness::builder().bootstrap_servers(distance.address.to_string()).topic_prefix("distance");
    let harness = harness.state_dir(state.path()).timeout(Duration::from_millis(250)).build();
    let first = common::thread_of_a_test(|| harness.try_lease().map(drop)).unwrap().unwrap_err();
    assert!(matches!(first, Error::Unreachable { .. }), "{first}");
    assert!(comes_true(|| common::thread_of_a_test(|| harness.try_lease().is_ok()).unwrap()));
    // Those of the first clients, and not two more for each lease.
    let connections = distance.connections.load(Ordering::SeqCst);
    assert!(connections <= 4, "{connections} connections");
}

#[test]
fn a_cluster_at_a_distance_is_reached_by_a_later_lease() {
    let _alone = alone();
    let broker = Box::leak(Box::new(EmbeddedKafka::builder().start().unwrap()));
    is_reached_in_the_end(broker.bootstrap_servers());
}

/// It is waited for as long as the first time: it may be there any moment.
#[test]
fn a_cluster_that_is_silent_at_first_is_waited_for_again() {
    let _alone = alone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let timeout = Duration::from_secs(1);
    let state = tempfile::tempdir().unwrap();
    let harness = Harness::builder().bootstrap_servers(address.to_string()).state_dir(state.path());
    let harness = harness.topic_prefix("silent").timeout(timeout).build();
    for _ in 0..2 {
        let clock = Instant::now();
        let error = common::thread_of_a_test(|| harness.try_lease().map(drop)).unwrap().unwrap_err();
        assert!(error.to_string().contains("did not respond within 1s"), "{error}");
        assert!(clock.elapsed() >= timeout);
    }
}

mod on_a_cluster {
    use super::*;

    #[test]
    #[ignore = "needs a real cluster: scripts/with-kafka"]
    fn a_cluster_at_a_distance_is_reached_by_a_later_lease() {
        let _alone = alone();
        is_reached_in_the_end(&cluster::servers());
    }
}
