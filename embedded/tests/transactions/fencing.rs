//! A producer that has lost its transactional id to another producer is fenced.

use kafka_protocol::ResponseError::*;

use crate::client::*;
use crate::common::*;

#[test]
fn partitions_are_added_by_the_right_producer_only() {
    let kafka = Kafka::start();
    let topic = kafka.topic("added", 2).name;
    let mut tx = Transactional::new(&kafka, "tx");
    assert_eq!(tx.add_one((7, 0), &topic, 0), Err(InvalidProducerIdMapping));
    let (id, epoch) = tx.init();
    for version in 0..=3 {
        let fenced = if version < 2 { InvalidProducerEpoch } else { ProducerFenced };
        assert_eq!(tx.add((id, epoch - 1), &[(&topic, 0)], version), [Err(fenced)]);
        assert_eq!(tx.add((id, epoch + 1), &[(&topic, 0)], version), [Err(fenced)]);
        assert_eq!(tx.add((id + 1_000_000, epoch), &[(&topic, 0)], version), [Err(InvalidProducerIdMapping)]);
        assert_eq!(tx.add((id, epoch), &[(&topic, 0), (&topic, 1)], version), [Ok(()), Ok(())]);
    }
    for version in 0..=4 {
        let fenced = if version < 2 { InvalidProducerEpoch } else { ProducerFenced };
        assert_eq!(tx.add_offsets((id, epoch - 1), "group", version), Err(fenced));
        assert_eq!(tx.add_offsets((id, epoch + 1), "group", version), Err(fenced));
        assert_eq!(tx.add_offsets((id + 1_000_000, epoch), "group", version), Err(InvalidProducerIdMapping));
        assert_eq!(tx.add_offsets((id, epoch), "group", version), Ok(()));
    }
    assert_eq!(tx.describe().topics.len(), 2);
    tx.id.clear();
    assert_eq!(tx.add((id, epoch), &[(&topic, 0)], 3), [Err(InvalidRequest)]);
    assert_eq!(tx.add_offsets((id, epoch), "group", 4), Err(InvalidRequest));
}

#[test]
fn all_partitions_are_added_or_none() {
    let kafka = Kafka::start();
    let topic = kafka.topic("all", 1).name;
    let missing = unique("missing");
    let mut tx = Transactional::new(&kafka, "tx");
    let producer = tx.init();
    let results = tx.add(producer, &[(&topic, 0), (&topic, 1), (&missing, 0)], 3);
    // Kafka answers the topics in an order of its own.
    let count = |error| results.iter().filter(|result| **result == Err(error)).count();
    assert_eq!((count(OperationNotAttempted), count(UnknownTopicOrPartition)), (1, 2), "{results:?}");
    assert_eq!(&*tx.describe().transaction_state, "Empty");
    // The topics are looked at before the producer.
    assert_eq!(tx.add((producer.0, 7), &[(&missing, 0)], 3), [Err(UnknownTopicOrPartition)]);
}

#[test]
fn a_batch_of_transactions_is_answered_as_a_broker_is() {
    let kafka = Kafka::start();
    let topic = kafka.topic("batch", 1).name;
    let mut tx = Transactional::new(&kafka, "tx");
    let (id, epoch) = tx.init();
    for version in [4, 5] {
        assert_eq!(tx.add((id, epoch + 1), &[(&topic, 0)], version), [Err(ProducerFenced)]);
        assert_eq!(tx.add((id, epoch), &[(&topic, 0)], version), [Ok(())]);
    }
    assert_eq!(&*tx.describe().transaction_state, "Ongoing");
}

#[test]
fn the_second_producer_of_a_transactional_id_aborts_the_transaction_of_the_first() {
    let kafka = Kafka::start();
    let topic = kafka.topic("fenced", 1).name;
    let mut tx = Transactional::new(&kafka, "tx");
    let (id, epoch) = tx.init();
    let mut leader = kafka.leader(&topic, 0);
    assert_eq!(tx.add_one((id, epoch), &topic, 0), Ok(()));
    assert_eq!(tx.produce(&mut leader, (id, epoch), (&topic, 0), 0, 9), Ok(0));
    // One bump fences the first producer, another one is for the second.
    assert_eq!(tx.init(), (id, epoch + 2));
    assert_eq!(&*tx.describe().transaction_state, "Empty");

    for commit in [true, false] {
        assert_eq!(tx.end((id, epoch), commit, 4), Err(ProducerFenced));
        assert_eq!(tx.end((id, epoch), commit, 5), Err(ProducerFenced));
    }
    assert_eq!(tx.add_one((id, epoch), &topic, 0), Err(ProducerFenced));
    assert_eq!(tx.add_offsets((id, epoch), "group", 4), Err(ProducerFenced));
    assert_eq!(tx.try_init(Some((id, epoch)), 5), Err(ProducerFenced));
    assert_eq!(tx.add_one((id, epoch + 2), &topic, 0), Ok(()));
}

#[test]
fn a_producer_that_goes_on_in_mid_transaction_has_it_aborted() {
    let kafka = Kafka::start();
    let topic = kafka.topic("goes-on", 1).name;
    let mut tx = Transactional::new(&kafka, "tx");
    let (id, epoch) = tx.init();
    assert_eq!(tx.add_one((id, epoch), &topic, 0), Ok(()));
    assert_eq!(tx.try_init(Some((id + 1_000_000, epoch)), 5), Err(ProducerFenced));
    assert_eq!(&*tx.describe().transaction_state, "Ongoing");
    // It is its own epoch that is bumped.
    assert_eq!(tx.init_with(Some((id, epoch))), Ok((id, epoch + 1)));
    assert_eq!(&*tx.describe().transaction_state, "Empty");
    assert_eq!(tx.try_init(Some((id, epoch)), 5), Ok((id, epoch + 1)));
    assert_eq!(tx.try_init(Some((id, epoch + 1)), 5), Ok((id, epoch + 2)));
}
