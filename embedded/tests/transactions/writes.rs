//! Produce within transactions: who may write to which partition.

use kafka_protocol::ResponseError;
use kafka_protocol::ResponseError::*;
use kafka_protocol::messages::TransactionalId;

use crate::client::*;
use crate::common::*;

#[test]
fn before_version_12_a_partition_must_have_been_added() {
    let kafka = Kafka::start();
    let topic = kafka.topic("writes", 3).name;
    let mut leader = kafka.leader(&topic, 0);
    for version in 3..=11 {
        let refused = Err(if version < 11 { InvalidTxnState } else { TransactionAbortable });
        let mut tx = Transactional::new(&kafka, "tx");
        let producer = tx.init();
        assert_eq!(tx.produce(&mut leader, producer, (&topic, 0), 0, version), refused);
        assert_eq!(&*tx.describe().transaction_state, "Empty");
        tx.add_one(producer, &topic, 0).unwrap();
        tx.produce(&mut leader, producer, (&topic, 0), 0, version).unwrap();
        assert_eq!(tx.produce(&mut leader, producer, (&topic, 1), 0, version), refused);
        tx.end(producer, true, 4).unwrap();
        tx.wait_for("CompleteCommit");
        for partition in [0, 2] {
            let sequence = i32::from(partition == 0);
            assert_eq!(tx.produce(&mut leader, producer, (&topic, partition), sequence, version), refused);
        }
        tx.add_one(producer, &topic, 0).unwrap();
        tx.produce(&mut leader, producer, (&topic, 0), 1, version).unwrap();
    }
}

#[test]
fn from_version_12_on_the_write_adds_the_partition() {
    let kafka = Kafka::start();
    let topic = kafka.topic("writes", 2).name;
    let mut leader = kafka.leader(&topic, 0);
    let mut tx = Transactional::new(&kafka, "tx");
    let (id, epoch) = tx.init();
    assert_eq!(tx.produce(&mut leader, (id, epoch), (&topic, 0), 0, 12), Ok(0));
    assert_eq!(tx.produce(&mut leader, (id, epoch), (&topic, 1), 0, 12), Ok(0));
    assert_eq!(tx.produce(&mut leader, (id, epoch), (&topic, 0), 1, 12), Ok(1));
    let described = tx.describe();
    assert_eq!((&*described.transaction_state, described.topics[0].partitions.len()), ("Ongoing", 2));
    assert_eq!(tx.end((id, epoch), true, 5), Ok((id, epoch + 1)));
    tx.wait_for("CompleteCommit");
    // The next transaction begins with the next write, in the next epoch and with its first sequence number.
    assert_eq!(tx.produce(&mut leader, (id, epoch), (&topic, 0), 2, 12), Err(InvalidProducerEpoch));
    assert_eq!(tx.produce(&mut leader, (id, epoch + 1), (&topic, 0), 0, 12), Ok(3));
    let described = tx.describe();
    assert_eq!((&*described.transaction_state, &described.topics[0].partitions), ("Ongoing", &vec![0]));
    assert_eq!(tx.end((id, epoch + 1), false, 5), Ok((id, epoch + 2)));
}

#[test]
fn a_write_by_another_producer_is_refused() {
    let kafka = Kafka::start();
    let topic = kafka.topic("writes", 2).name;
    let mut leader = kafka.leader(&topic, 0);
    for version in [3, 9, 10, 11, 12] {
        let mut tx = Transactional::new(&kafka, "tx");
        let unknown = tx.produce(&mut leader, (1_000_000_000, 0), (&topic, 0), 0, version);
        assert_eq!(unknown, Err(InvalidProducerIdMapping));
        let (id, epoch) = tx.init();
        tx.add((id, epoch), &[(&topic, 0)], 3);
        tx.produce(&mut leader, (id, epoch), (&topic, 0), 0, version).unwrap();
        for (producer, error) in [
            ((id, epoch + 1), InvalidProducerEpoch),
            ((id, epoch - 1), InvalidProducerEpoch),
            ((id + 1_000_000_000, epoch), InvalidProducerIdMapping),
        ] {
            for partition in [0, 1] {
                let refused = tx.produce(&mut leader, producer, (&topic, partition), 0, version);
                assert_eq!(refused, Err(error), "{producer:?} in version {version}");
            }
        }
        let nobody = std::mem::take(&mut tx.id);
        let refused = tx.produce(&mut leader, (id, epoch), (&topic, 1), 0, version);
        assert_eq!(refused, Err(InvalidRequest));
        tx.id = nobody;
        tx.end((id, epoch), false, 4).unwrap();
    }
}

#[test]
fn a_transaction_is_aborted_in_the_partitions_that_writes_have_added() {
    let kafka = Kafka::start();
    let topic = kafka.topic("writes", 1).name;
    let mut leader = kafka.leader(&topic, 0);
    let mut tx = Transactional::new(&kafka, "tx");
    let first = tx.init();
    assert_eq!(tx.produce(&mut leader, first, (&topic, 0), 0, 12), Ok(0));
    let second = tx.init();
    assert_eq!(second, (first.0, first.1 + 2));
    assert_eq!(tx.produce(&mut leader, first, (&topic, 0), 1, 12), Err(InvalidProducerEpoch));
    assert_eq!(tx.produce(&mut leader, second, (&topic, 0), 0, 12), Ok(2), "after the marker");
}

/// The error of a batch that is written with these acknowledgements.
fn error_of(leader: &mut Raw, topic: &str, batch: &Batch, id: Option<&str>, acks: i16) -> Option<ResponseError> {
    let request = produce_request(topic, 0, batch.encode()).with_acks(acks);
    let request = request.with_transactional_id(id.map(|id| TransactionalId(text(id))));
    ResponseError::try_from_code(leader.call(&request, 11).responses[0].partition_responses[0].error_code)
}

#[test]
fn the_transaction_is_checked_before_the_acknowledgements() {
    let kafka = Kafka::start();
    let topic = kafka.topic("acks", 1).name;
    let mut leader = kafka.leader(&topic, 0);
    let mut tx = Transactional::new(&kafka, "tx");
    let (id, epoch) = tx.init();
    let mut write = |id: i64| {
        let batch = Batch::of(&["a"]).producer(id, epoch, 0).transactional();
        error_of(&mut leader, &topic, &batch, Some(&tx.id), 2)
    };
    assert_eq!(write(id), Some(TransactionAbortable));
    assert_eq!(write(id + 1_000_000_000), Some(InvalidProducerIdMapping));
    tx.add_one((id, epoch), &topic, 0).unwrap();
    let mut write = |acks| {
        let batch = Batch::of(&["a"]).producer(id, epoch, 0).transactional();
        eventually(|| {
            let error = error_of(&mut leader, &topic, &batch, Some(&tx.id), acks);
            (error != Some(NotEnoughReplicas)).then_some(error)
        })
    };
    assert_eq!(write(2), Some(InvalidRequiredAcks));
    assert_eq!(write(-1), None);
    assert_eq!(write(2), Some(InvalidRequiredAcks), "the transaction is open");
}

#[test]
fn a_producer_must_go_on_with_the_batch_that_was_refused() {
    let kafka = Kafka::start();
    let topic = kafka.topic("again", 1).name;
    let mut leader = kafka.leader(&topic, 0);
    let mut tx = Transactional::new(&kafka, "tx");
    let (id, epoch) = tx.init();
    let mut write = |sequence, transactional| {
        let batch = Batch::of(&["a"]).producer(id, epoch, sequence);
        match transactional {
            true => error_of(&mut leader, &topic, &batch.transactional(), Some(&tx.id), -1),
            false => error_of(&mut leader, &topic, &batch, None, -1),
        }
    };
    assert_eq!(write(0, false), None);
    assert_eq!(write(1, true), Some(TransactionAbortable));
    assert_eq!(write(1, false), None);
    // It is out of the transaction, but the partition still waits for the batch that was not.
    assert_eq!(write(2, false), Some(OutOfOrderSequenceNumber));
    assert_eq!(write(2, true), Some(TransactionAbortable));
    assert_eq!(write(2, false), Some(OutOfOrderSequenceNumber));
    tx.add_one((id, epoch), &topic, 0).unwrap();
    tx.end((id, epoch), true, 4).unwrap();
    tx.wait_for("CompleteCommit");
    let mut write = |sequence| {
        let batch = Batch::of(&["a"]).producer(id, epoch, sequence);
        error_of(&mut leader, &topic, &batch, None, -1)
    };
    // A marker ends the wait.
    assert_eq!(write(2), None);
    assert_eq!(write(3), None);
}

#[test]
fn an_old_epoch_is_refused_before_anybody_is_asked_about_the_transaction() {
    let kafka = Kafka::start();
    let topic = kafka.topic("old", 1).name;
    let mut leader = kafka.leader(&topic, 0);
    let mut tx = Transactional::new(&kafka, "tx");
    let (id, epoch) = tx.init();
    tx.add_one((id, epoch), &topic, 0).unwrap();
    tx.end((id, epoch), true, 5).unwrap();
    tx.wait_for("CompleteCommit");
    for (name, error) in [("", InvalidRequest), ("nobody", InvalidProducerIdMapping), (&tx.id, TransactionAbortable)] {
        for (epoch, error) in [(epoch, InvalidProducerEpoch), (epoch + 1, error)] {
            let batch = Batch::of(&["a"]).producer(id, epoch, 0).transactional();
            assert_eq!(error_of(&mut leader, &topic, &batch, Some(name), -1), Some(error));
        }
    }
}
