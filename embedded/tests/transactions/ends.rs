//! EndTxn: the states that accept it, and the responses to retries.

use kafka_protocol::ResponseError::*;

use crate::client::*;
use crate::common::*;

/// What a producer of version 4 and before learns from EndTxn.
const NOTHING: Result<Producer, kafka_protocol::ResponseError> = Ok((-1, -1));

#[test]
fn a_transaction_begins_with_its_first_partition_and_is_described() {
    let kafka = Kafka::start();
    let topic = kafka.topic("described", 3).name;
    let mut tx = Transactional::new(&kafka, "tx");
    let producer = tx.init();
    let described = tx.describe();
    assert_eq!((described.error_code, &*described.transaction_state), (0, "Empty"));
    assert_eq!((described.producer_id.0, described.producer_epoch), producer);
    assert_eq!((described.transaction_timeout_ms, described.transaction_start_time_ms), (60_000, -1));
    assert!(described.topics.is_empty());

    assert_eq!(tx.add(producer, &[(&topic, 2), (&topic, 0)], 3), [Ok(()), Ok(())]);
    let described = tx.describe();
    assert_eq!(&*described.transaction_state, "Ongoing");
    let started = described.transaction_start_time_ms;
    assert!(started > 0);
    let mut partitions = described.topics[0].partitions.clone();
    partitions.sort_unstable();
    assert_eq!((&*described.topics[0].topic.0, partitions), (&*topic, vec![0, 2]));

    assert_eq!(tx.end(producer, true, 4), NOTHING);
    let described = tx.wait_for("CompleteCommit");
    assert_eq!((described.producer_id.0, described.producer_epoch), producer);
    assert_eq!(described.transaction_start_time_ms, started);
    assert!(described.topics.is_empty());
}

#[test]
fn a_transaction_of_version_1_keeps_the_epoch() {
    let kafka = Kafka::start();
    let topic = kafka.topic("v1", 1).name;
    let mut tx = Transactional::new(&kafka, "tx");
    let producer = tx.init();
    for commit in [true, false] {
        assert_eq!(tx.end(producer, commit, 4), Err(InvalidTxnState), "nothing has begun");
    }
    for version in 0..=4 {
        for commit in [true, false] {
            assert_eq!(tx.add_one(producer, &topic, 0), Ok(()));
            assert_eq!(tx.end(producer, commit, version), NOTHING);
            tx.wait_for(if commit { "CompleteCommit" } else { "CompleteAbort" });
            // The same again is a retry, the contrary is not.
            assert_eq!(tx.end(producer, commit, version), NOTHING);
            assert_eq!(tx.end(producer, !commit, version), Err(InvalidTxnState));
        }
    }
    assert_eq!(tx.init(), (producer.0, 1));
    for commit in [true, false] {
        assert_eq!(tx.end((producer.0, 1), commit, 4), Err(InvalidTxnState));
    }
}

#[test]
fn a_transaction_of_version_2_bumps_the_epoch() {
    let kafka = Kafka::start();
    let topic = kafka.topic("v2", 1).name;
    let mut tx = Transactional::new(&kafka, "tx");
    let (id, mut epoch) = tx.init();
    for commit in [true, false] {
        assert_eq!(tx.add_one((id, epoch), &topic, 0), Ok(()));
        assert_eq!(tx.end((id, epoch), commit, 5), Ok((id, epoch + 1)));
        tx.wait_for(if commit { "CompleteCommit" } else { "CompleteAbort" });
        // The same again is a retry, which gives the epoch again.
        assert_eq!(tx.end((id, epoch), commit, 5), Ok((id, epoch + 1)));
        assert_eq!(tx.end((id, epoch), !commit, 5), Err(InvalidTxnState));
        // With the new epoch it is another transaction, which cannot be committed without any partition.
        epoch += 1;
        assert_eq!(tx.end((id, epoch), true, 5), Err(InvalidTxnState));
        assert_eq!(tx.end((id, epoch + 1), true, 5), Err(ProducerFenced));
        assert_eq!(tx.end((id, epoch - 2), true, 5), Err(ProducerFenced));
    }
}

#[test]
fn a_transaction_of_version_2_that_has_not_begun_can_be_aborted() {
    let kafka = Kafka::start();
    let mut tx = Transactional::new(&kafka, "tx");
    let (id, epoch) = tx.init();
    assert_eq!(tx.end((id, epoch), true, 5), Err(InvalidTxnState));
    assert_eq!(tx.end((id, epoch), false, 5), Ok((id, epoch + 1)));
    let described = tx.wait_for("CompleteAbort");
    assert!(described.transaction_start_time_ms > 0);
    assert_eq!(tx.end((id, epoch), false, 5), Ok((id, epoch + 1)), "a retry");
    assert_eq!(tx.end((id, epoch + 1), false, 5), Ok((id, epoch + 2)), "another one");
    tx.wait_for("CompleteAbort");
    assert_eq!(tx.init(), (id, epoch + 3));
}

#[test]
fn a_producer_may_change_between_the_versions() {
    let kafka = Kafka::start();
    let topic = kafka.topic("both", 1).name;
    let mut tx = Transactional::new(&kafka, "tx");
    tx.init();
    let (id, epoch) = tx.init();
    assert_eq!(tx.add_one((id, epoch), &topic, 0), Ok(()));
    assert_eq!(tx.end((id, epoch), true, 4), NOTHING);
    tx.wait_for("CompleteCommit");
    // In version 2, a request with the same epoch is never a retry. A request with the previous epoch, of another producer, is.
    assert_eq!(tx.end((id, epoch - 1), false, 5), Err(InvalidTxnState));
    assert_eq!(tx.end((id, epoch - 1), true, 5), Ok((id, epoch)));
    assert_eq!(tx.end((id, epoch - 2), true, 5), Err(ProducerFenced));
    assert_eq!(tx.end((id, epoch), true, 5), Err(InvalidTxnState));
    assert_eq!(tx.end((id, epoch), false, 5), Ok((id, epoch + 1)));
    tx.wait_for("CompleteAbort");
    assert_eq!(tx.end((id, epoch), false, 4), Err(ProducerFenced));
    assert_eq!(tx.end((id, epoch), false, 1), Err(InvalidProducerEpoch), "which an old client knows");
    assert_eq!(tx.end((id, epoch + 1), false, 4), NOTHING, "by its state alone it is a retry");
    assert_eq!(tx.end((id, epoch + 1), true, 4), Err(InvalidTxnState));
}

#[test]
fn an_end_for_nobody_is_refused() {
    let kafka = Kafka::start();
    let mut tx = Transactional::new(&kafka, "tx");
    for version in [0, 4, 5] {
        assert_eq!(tx.end((7, 0), true, version), Err(InvalidProducerIdMapping));
    }
    let (id, epoch) = tx.init();
    for version in [0, 4, 5] {
        assert_eq!(tx.end((id + 1_000_000, epoch), true, version), Err(InvalidProducerIdMapping));
        assert_eq!(
            tx.end((id, epoch + 1), true, version),
            Err(if version < 2 { InvalidProducerEpoch } else { ProducerFenced })
        );
    }
    tx.id.clear();
    for version in [0, 4, 5] {
        assert_eq!(tx.end((id, epoch), true, version), Err(InvalidRequest));
    }
}
