//! Transactions while brokers and connections fail, on the embedded cluster alone.

use embedded_kafka::view::TransactionState;
use embedded_kafka::{ApiKey, ErrorCode, Fault};
use kafka_protocol::messages::*;
use rdkafka::consumer::Consumer;
use rdkafka::producer::Producer as _;
use rdkafka::{Offset, TopicPartitionList};

use crate::client::*;
use crate::common::*;
use crate::librdkafka::*;

fn coordinator(kafka: &Kafka, id: &str) -> i32 {
    let request = FindCoordinatorRequest::default().with_key_type(1).with_coordinator_keys(vec![text(id)]);
    kafka.connect().call(&request, 4).coordinators[0].node_id.0
}

#[test]
fn only_its_coordinator_serves_a_transactional_id() {
    let kafka = embedded(3);
    let topic = kafka.topic("t", 1).name;
    let mut tx = Transactional::new(&kafka, "tx");
    let producer = tx.init();
    let own = coordinator(&kafka, &tx.id);
    let mut elsewhere = Transactional { raw: kafka.broker(own % 3 + 1), id: tx.id.clone(), timeout: tx.timeout };
    let not_here = ErrorCode::NotCoordinator;
    assert_eq!(elsewhere.try_init(None, 5), Err(not_here));
    assert_eq!(elsewhere.add_one(producer, &topic, 0), Err(not_here));
    assert_eq!(elsewhere.add_offsets(producer, "group", 4), Err(not_here));
    assert_eq!(elsewhere.end(producer, true, 5), Err(not_here));
    assert_eq!(elsewhere.describe().error_code, not_here.code());
    let listed = |raw: &mut Raw| raw.call(&ListTransactionsRequest::default(), 2).transaction_states.len();
    assert_eq!((listed(&mut tx.raw), listed(&mut elsewhere.raw)), (1, 0));
    elsewhere.id.clear();
    assert_eq!(elsewhere.end(producer, true, 5), Err(ErrorCode::InvalidRequest), "which is the same everywhere");
}

#[test]
fn a_transaction_outlives_its_coordinator() {
    let kafka = embedded(3);
    let embedded = kafka.embedded.as_ref().unwrap();
    let topic = kafka.topic("t", 1).name;
    embedded.move_leader(&topic, 0, 1).unwrap();
    let mut tx = Transactional::new(&kafka, "tx");
    let producer = tx.init();
    let own = coordinator(&kafka, &tx.id);
    // The partition has one replica, which shall stay.
    let leads = if own == 1 { 2 } else { 1 };
    let _ = embedded.move_leader(&topic, 0, leads);
    let mut leader = kafka.leader(&topic, 0);
    assert_eq!(tx.produce(&mut leader, producer, (&topic, 0), 0, 12), Ok(0));
    embedded.broker_down(own).unwrap();
    let mut alive = Raw::connect(kafka.bootstrap_servers.split(',').nth(leads as usize - 1).unwrap());
    let request = FindCoordinatorRequest::default().with_key_type(1).with_coordinator_keys(vec![text(&tx.id)]);
    let found = alive.call(&request, 4).coordinators.remove(0);
    assert_error(found.error_code, None);
    assert_ne!(found.node_id.0, own);
    tx.raw = Raw::connect(&format!("{}:{}", &*found.host, found.port));
    assert_eq!(tx.end(producer, true, 5), Ok((producer.0, producer.1 + 1)));
    assert_eq!(embedded.log(&topic, 0).unwrap().last_stable_offset, 2);
}

#[test]
fn a_commit_whose_answer_is_lost_is_carried_out_once() {
    let kafka = embedded(1);
    let embedded = kafka.embedded.as_ref().unwrap();
    let topic = kafka.topic("t", 1).name;
    let id = unique("tx");
    let consumer = consumer(&kafka, &unique("group"), "read_committed");
    let producer = producer(&kafka, &id);
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(&topic, 0, Offset::Offset(7)).unwrap();
    for api in [ApiKey::AddPartitionsToTxn, ApiKey::AddOffsetsToTxn, ApiKey::TxnOffsetCommit, ApiKey::EndTxn] {
        embedded.fault(Fault::on(api).transactional_id(&id).times(1).after_applied().drop_connection()).unwrap();
    }
    producer.begin_transaction().unwrap();
    send(&producer, &topic, "once");
    producer.send_offsets_to_transaction(&partitions, &consumer.group_metadata().unwrap(), LONG).unwrap();
    producer.commit_transaction(LONG).unwrap();
    assert!(embedded.requests(ApiKey::EndTxn) >= 2, "the retry");
    assert_eq!(read(&kafka, &topic, "read_committed"), ["once"]);
    assert_eq!(embedded.log(&topic, 0).unwrap().records.len(), 2, "a record and a marker");
    let committed = consumer.committed_offsets(partitions, LONG).unwrap();
    assert_eq!(committed.elements()[0].offset(), Offset::Offset(7));
    assert_eq!(embedded.transactions()[0].state, TransactionState::CompleteCommit);
}

#[test]
fn a_refused_commit_can_be_aborted() {
    let kafka = embedded(1);
    let embedded = kafka.embedded.as_ref().unwrap();
    let topic = kafka.topic("t", 1).name;
    let producer = producer(&kafka, &unique("tx"));
    producer.begin_transaction().unwrap();
    send(&producer, &topic, "never");
    producer.flush(LONG).unwrap();
    embedded.fail(ApiKey::EndTxn, 1, ErrorCode::TransactionAbortable).unwrap();
    producer.commit_transaction(LONG).unwrap_err();
    producer.abort_transaction(LONG).unwrap();
    producer.begin_transaction().unwrap();
    send(&producer, &topic, "then");
    producer.commit_transaction(LONG).unwrap();
    assert_eq!(read(&kafka, &topic, "read_committed"), ["then"]);
}
