//! Transactions that exceed their timeout.

use std::time::Duration;

use embedded_kafka::view::TransactionState;
use kafka_protocol::ResponseError::*;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer as _;

use crate::client::*;
use crate::common::*;
use crate::librdkafka::*;

/// Lets this much pass by the broker's clock. Apache Kafka's goes by itself; it looks for such transactions every 10 s.
fn let_pass(kafka: &Kafka, time: Duration) {
    if let Some(embedded) = &kafka.embedded {
        embedded.advance(time);
    }
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted_and_its_producer_fenced() {
    let kafka = Kafka::start();
    let topic = kafka.topic("slow", 1).name;
    let mut leader = kafka.leader(&topic, 0);
    // Both at once, since Apache Kafka takes its time.
    let mut producers = [4, 5].map(|version| {
        let mut tx = Transactional::new(&kafka, "tx");
        tx.timeout = 100;
        let producer = tx.init();
        tx.add_one(producer, &topic, 0).unwrap();
        tx.produce(&mut leader, producer, (&topic, 0), 0, 9).unwrap();
        (tx, producer, version)
    });
    let_pass(&kafka, Duration::from_millis(101));
    for (tx, (id, epoch), version) in &mut producers {
        let (id, epoch, version) = (*id, *epoch, *version);
        let described = tx.wait_for("CompleteAbort");
        assert_eq!((described.producer_id.0, described.producer_epoch), (id, epoch + 1));
        // To a producer of version 2 it looks as if it had aborted the transaction itself.
        let (commit, abort) = match version {
            5.. => (Err(InvalidTxnState), Ok((id, epoch + 1))),
            _ => (Err(ProducerFenced), Err(ProducerFenced)),
        };
        assert_eq!(tx.end((id, epoch), true, version), commit);
        assert_eq!(tx.end((id, epoch), false, version), abort);
        assert_eq!(tx.add_one((id, epoch), &topic, 0), Err(ProducerFenced));
        for version in [9, 11, 12] {
            let produced = tx.produce(&mut leader, (id, epoch), (&topic, 0), 1, version);
            assert_eq!(produced, Err(InvalidProducerEpoch), "version {version}");
        }
        // The producer may go on with the epoch that it was bumped to, as it need not know of that.
        assert_eq!(tx.try_init(Some((id, epoch)), 5), Ok((id, epoch + 1)));
        assert_eq!(tx.add_one((id, epoch + 1), &topic, 0), Ok(()));
    }
}

#[test]
fn a_producer_that_was_too_slow_learns_it_from_its_commit() {
    let kafka = Kafka::start();
    let topic = kafka.topic("slow", 1).name;
    let id = unique("tx");
    let producer = producer_with(&kafka, &id, "1000");
    producer.begin_transaction().unwrap();
    send(&producer, &topic, "late");
    producer.flush(LONG).unwrap();
    let_pass(&kafka, Duration::from_millis(1001));
    let mut tx = Transactional { raw: kafka.coordinator(&id, 1), id, timeout: 0 };
    tx.wait_for("CompleteAbort");
    let KafkaError::Transaction(error) = producer.commit_transaction(LONG).unwrap_err() else { panic!() };
    assert!(error.is_fatal(), "{error}");
    assert_eq!(error.code(), RDKafkaErrorCode::Fenced);
    assert_eq!(read(&kafka, &topic, "read_committed"), [""; 0]);
}

#[test]
fn the_timeout_counts_from_the_first_partition_of_each_transaction() {
    let kafka = embedded(1);
    let embedded = kafka.embedded.as_ref().unwrap();
    embedded.pause_time();
    let topic = kafka.topic("slow", 2).name;
    let mut tx = Transactional::new(&kafka, "tx");
    tx.timeout = 1000;
    let mut producer = tx.init();
    let state = || embedded.transactions()[0].state;
    embedded.advance(Duration::from_secs(3600));
    assert_eq!(state(), TransactionState::Empty, "nothing has begun");
    for _ in 0..2 {
        tx.add_one(producer, &topic, 0).unwrap();
        embedded.advance(Duration::from_millis(600));
        tx.add_one(producer, &topic, 1).unwrap();
        embedded.advance(Duration::from_millis(400));
        assert_eq!(state(), TransactionState::Ongoing);
        producer = tx.end(producer, true, 5).unwrap();
    }
    tx.add_one(producer, &topic, 0).unwrap();
    let open = &embedded.transactions()[0];
    assert_eq!((open.producer_id, open.producer_epoch), producer);
    assert_eq!(open.partitions, [(topic.clone(), 0)]);
    embedded.advance(Duration::from_millis(1000));
    assert_eq!(state(), TransactionState::Ongoing);
    embedded.advance(Duration::from_millis(1));
    assert_eq!(state(), TransactionState::CompleteAbort);
}

#[test]
fn a_transactional_id_that_nobody_uses_is_forgotten() {
    let kafka = embedded(1);
    let embedded = kafka.embedded.as_ref().unwrap();
    embedded.pause_time();
    let week = Duration::from_secs(7 * 24 * 3600);
    let mut tx = Transactional::new(&kafka, "tx");
    let producer = tx.init();
    embedded.advance(week - Duration::from_millis(1));
    assert_eq!(embedded.transactions().len(), 1);
    let producer = tx.try_init(Some(producer), 5).unwrap();
    embedded.advance(week - Duration::from_millis(1));
    assert_eq!(embedded.transactions().len(), 1);
    embedded.advance(Duration::from_millis(1));
    assert_eq!(embedded.transactions(), []);
    assert_eq!(tx.end(producer, false, 5), Err(InvalidProducerIdMapping));
    assert_eq!(tx.describe().error_code, TransactionalIdNotFound.code());
}
