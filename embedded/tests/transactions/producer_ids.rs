//! Producer ids, with and without a transactional id.

use kafka_protocol::ResponseError::*;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId, TransactionalId};

use crate::common::*;

fn init(transactional_id: &str) -> InitProducerIdRequest {
    InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId(text(transactional_id))))
        .with_transaction_timeout_ms(60_000)
}

#[track_caller]
fn producer(response: &InitProducerIdResponse) -> (i64, i16) {
    assert_error(response.error_code, None);
    (response.producer_id.0, response.producer_epoch)
}

#[track_caller]
fn assert_refused(response: &InitProducerIdResponse, error: kafka_protocol::ResponseError) {
    assert_error(response.error_code, Some(error));
    assert_eq!((response.producer_id.0, response.producer_epoch), (-1, -1));
}

#[test]
fn every_idempotent_producer_has_an_id_of_its_own() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    let mut ids = Vec::new();
    for version in 0..=5 {
        let request = InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(-5);
        let (id, epoch) = producer(&raw.call(&request, version));
        assert_eq!(epoch, 0);
        assert!(id >= 0 && !ids.contains(&id), "{id} in {ids:?}");
        ids.push(id);
    }
    // What such a producer has is of no interest: it gets a new id.
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_producer_id(ProducerId(ids[0]))
        .with_producer_epoch(0);
    let (id, epoch) = producer(&raw.call(&request, 5));
    assert!(!ids.contains(&id) && epoch == 0);
}

#[test]
fn a_transactional_id_keeps_its_producer_id_and_the_epoch_grows() {
    let kafka = Kafka::start();
    let id = unique("tx");
    let mut coordinator = kafka.coordinator(&id, 1);
    let (first, epoch) = producer(&coordinator.call(&init(&id), 0));
    assert_eq!(epoch, 0);
    for version in 1..=5 {
        assert_eq!(producer(&coordinator.call(&init(&id), version)), (first, version));
    }
}

#[test]
fn a_request_for_a_producer_id_is_checked() {
    let kafka = Kafka::start();
    let id = unique("tx");
    let mut coordinator = kafka.coordinator(&id, 1);
    for timeout in [-1, 0, 900_001, i32::MAX] {
        let request = init(&id).with_transaction_timeout_ms(timeout);
        assert_refused(&coordinator.call(&request, 5), InvalidTransactionTimeout);
    }
    producer(&coordinator.call(&init(&id).with_transaction_timeout_ms(900_000), 5));
    assert_refused(&coordinator.call(&init(""), 5), InvalidRequest);
    assert_refused(&coordinator.call(&init("").with_transaction_timeout_ms(-1), 5), InvalidRequest);
    assert_refused(&coordinator.call(&init(&id).with_producer_id(ProducerId(3)), 5), InvalidRequest);
    assert_refused(&coordinator.call(&init(&id).with_producer_epoch(3), 5), InvalidRequest);
}

#[test]
fn a_producer_that_tells_what_it_has_is_fenced_or_goes_on() {
    let kafka = Kafka::start();
    let id = unique("tx");
    let mut coordinator = kafka.coordinator(&id, 1);
    let had = |(producer_id, epoch)| init(&id).with_producer_id(ProducerId(producer_id)).with_producer_epoch(epoch);
    // Nobody has it yet, so whatever the producer has will do.
    let (first, epoch) = producer(&coordinator.call(&had((77, 7)), 5));
    assert_eq!(epoch, 0);
    assert_eq!(producer(&coordinator.call(&had((first, 0)), 5)), (first, 1));
    // The same again is a retry.
    assert_eq!(producer(&coordinator.call(&had((first, 0)), 5)), (first, 1));
    assert_eq!(producer(&coordinator.call(&had((first, 1)), 5)), (first, 2));
    assert_refused(&coordinator.call(&had((first, 0)), 5), ProducerFenced);
    assert_refused(&coordinator.call(&had((first, 3)), 4), ProducerFenced);
    assert_refused(&coordinator.call(&had((first, 0)), 3), InvalidProducerEpoch);
    assert_refused(&coordinator.call(&had((first + 1_000_000, 2)), 5), ProducerFenced);
    // Another producer has been initialised since, so a retry is no longer possible.
    assert_eq!(producer(&coordinator.call(&init(&id), 5)), (first, 3));
    assert_refused(&coordinator.call(&had((first, 2)), 5), ProducerFenced);
    assert_eq!(producer(&coordinator.call(&had((first, 3)), 5)), (first, 4));
}
