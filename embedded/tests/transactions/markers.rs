//! What readers see of transactions.

use kafka_protocol::ResponseError::*;
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_response::PartitionData;

use crate::client::*;
use crate::common::*;

/// Fetches committed records without waiting.
fn fetch_committed(raw: &mut Raw, topic: &str, offset: i64) -> PartitionData {
    let mut response = raw.call(&fetch_request(topic, 0, offset).with_isolation_level(1), 12);
    response.responses.remove(0).partitions.remove(0)
}

/// The aborted transactions, by producer and first offset.
fn aborted(data: &PartitionData) -> Vec<(i64, i64)> {
    let aborted = data.aborted_transactions.iter().flatten();
    aborted.map(|aborted| (aborted.producer_id.0, aborted.first_offset)).collect()
}

#[test]
fn the_last_stable_offset_waits_for_the_end_of_the_transaction() {
    let kafka = Kafka::start();
    let topic = kafka.topic("stable", 1).name;
    let mut leader = kafka.leader(&topic, 0);
    let mut tx = Transactional::new(&kafka, "tx");
    let mut producer = tx.init();
    produce(&mut leader, &topic, 0, &Batch::of(&["plain"]));
    for (round, commit) in [true, false].into_iter().enumerate() {
        // A record and its marker in each round, after the plain one.
        let first = 1 + 2 * round as i64;
        tx.add_one(producer, &topic, 0).unwrap();
        assert_eq!(tx.produce(&mut leader, producer, (&topic, 0), 0, 9), Ok(first));
        let open = fetch_committed(&mut leader, &topic, first);
        assert_eq!((open.high_watermark, open.last_stable_offset), (first + 1, first));
        assert_eq!(values(&open.records.unwrap_or_default()), []);
        let uncommitted = fetch(&mut leader, &topic, 0, first);
        assert_eq!(values(&uncommitted.records.unwrap()).len(), 1);

        producer = tx.end(producer, commit, 5).unwrap();
        let ended = eventually(|| {
            let data = fetch_committed(&mut leader, &topic, first);
            (data.last_stable_offset == first + 2).then_some(data)
        });
        assert_eq!(ended.high_watermark, first + 2);
        let expected = if commit { vec![] } else { vec![(producer.0, first)] };
        assert_eq!(aborted(&ended), expected);
    }
}

#[test]
fn a_fetch_of_committed_records_is_woken_by_the_commit() {
    let kafka = Kafka::start();
    let topic = kafka.topic("woken", 1).name;
    let mut leader = kafka.leader(&topic, 0);
    let mut tx = Transactional::new(&kafka, "tx");
    let producer = tx.init();
    tx.add_one(producer, &topic, 0).unwrap();
    assert_eq!(tx.produce(&mut leader, producer, (&topic, 0), 0, 9), Ok(0));
    let mut reader = kafka.leader(&topic, 0);
    reader.send(&fetch_request(&topic, 0, 0).with_isolation_level(1).with_max_wait_ms(50_000).with_min_bytes(1), 12);
    tx.end(producer, true, 5).unwrap();
    let response = reader.receive::<FetchRequest>(12);
    assert_eq!(values(response.responses[0].partitions[0].records.as_ref().unwrap()).len(), 1);
}

#[test]
fn a_transaction_ends_in_all_its_partitions() {
    let kafka = Kafka::start();
    let topic = kafka.topic("wide", 3).name;
    let other = kafka.topic("other", 1).name;
    let mut tx = Transactional::new(&kafka, "tx");
    let producer = tx.init();
    // Nothing is written to the last one, and its marker is there all the same.
    let partitions = [(topic.as_str(), 0), (&topic, 2), (&other, 0), (&topic, 1)];
    assert_eq!(tx.add(producer, &partitions, 3), [Ok(()); 4]);
    for (topic, partition) in &partitions[..3] {
        let mut leader = kafka.leader(topic, *partition as usize);
        assert_eq!(tx.produce(&mut leader, producer, (topic, *partition), 0, 9), Ok(0));
    }
    tx.end(producer, true, 4).unwrap();
    for (n, (topic, partition)) in partitions.into_iter().enumerate() {
        let mut leader = kafka.leader(topic, partition as usize);
        let end = if n < 3 { 2 } else { 1 };
        eventually(|| {
            let mut response = leader.call(&fetch_request(topic, partition, end).with_isolation_level(1), 12);
            let data = response.responses.remove(0).partitions.remove(0);
            (data.error_code == 0 && data.last_stable_offset == end).then_some(())
        });
    }
}

#[test]
fn a_topic_that_is_deleted_in_mid_transaction_does_not_hold_it_up() {
    let kafka = Kafka::start();
    let (kept, deleted) = (kafka.topic("kept", 1).name, kafka.topic("deleted", 1).name);
    let mut leader = kafka.leader(&kept, 0);
    let mut tx = Transactional::new(&kafka, "tx");
    let producer = tx.init();
    assert_eq!(tx.add(producer, &[(&kept, 0), (&deleted, 0)], 3), [Ok(()), Ok(())]);
    assert_eq!(tx.produce(&mut leader, producer, (&kept, 0), 0, 9), Ok(0));
    delete_topic(&kafka, &deleted);
    assert_eq!(tx.end(producer, true, 5), Ok((producer.0, producer.1 + 1)));
    tx.wait_for("CompleteCommit");
    assert_eq!(fetch_committed(&mut leader, &kept, 0).last_stable_offset, 2);
}

fn delete_topic(kafka: &Kafka, name: &str) {
    use kafka_protocol::messages::DeleteTopicsRequest;
    let request = DeleteTopicsRequest::default().with_topic_names(vec![topic_name(name)]).with_timeout_ms(30_000);
    assert_error(kafka.controller().call(&request, 5).responses[0].error_code, None);
    let mut raw = kafka.connect();
    eventually(|| (metadata(&mut raw, name).error_code != 0).then_some(()));
}

#[test]
fn a_marker_says_whose_time_it_has_as_the_records_of_its_topic_do() {
    let kafka = Kafka::start();
    for (time, attributes) in [("CreateTime", 0b11_0000), ("LogAppendTime", 0b11_1000)] {
        let topic = kafka.topic_with("stamped", 1, &[("message.timestamp.type", time)]).name;
        let mut leader = kafka.leader(&topic, 0);
        let mut tx = Transactional::new(&kafka, "tx");
        let producer = tx.init();
        tx.add_one(producer, &topic, 0).unwrap();
        tx.end(producer, true, 5).unwrap();
        let marker = eventually(|| fetch(&mut leader, &topic, 0, 0).records.filter(|records| !records.is_empty()));
        assert_eq!(i16::from_be_bytes([marker[21], marker[22]]), attributes, "{time}");
        assert_eq!(marker[17..21], crc32c::crc32c(&marker[21..]).to_be_bytes());
    }
}

#[test]
fn a_transaction_whose_marker_a_partition_refuses_does_not_end() {
    let kafka = Kafka::start();
    let topic = kafka.topic("refusing", 2).name;
    let mut leader = kafka.leader(&topic, 0);
    for (commit, version, state) in [(true, 4, "PrepareCommit"), (false, 5, "PrepareAbort")] {
        let mut tx = Transactional::new(&kafka, "tx");
        let (id, epoch) = tx.init();
        tx.add((id, epoch), &[(&topic, 0), (&topic, 1)], 3);
        // Outside of a transaction, any producer is believed to have this id and a later epoch.
        let batch = Batch::of(&["later"]).producer(id, epoch + 2, 0);
        assert_error(produce(&mut leader, &topic, 0, &batch).error_code, None);
        let producer = tx.end((id, epoch), commit, version).unwrap();
        let described = eventually(|| {
            let described = tx.describe();
            (described.topics[0].partitions == [0]).then_some(described)
        });
        assert_eq!(&*described.transaction_state, state);

        let producer = if version == 5 { producer } else { (id, epoch) };
        assert_eq!(described.producer_epoch, producer.1);
        let (older, wrong) = ((id, producer.1 - 1), (id + 1_000_000, 0));
        for had in [None, Some(producer), Some(wrong)] {
            assert_eq!(tx.try_init(had, 5), Err(ConcurrentTransactions));
        }
        for version in [4, 5] {
            assert_eq!(tx.end(producer, commit, version), Err(ConcurrentTransactions));
            assert_eq!(tx.end(producer, !commit, version), Err(ConcurrentTransactions));
        }
        assert_eq!(tx.end(older, commit, 4), Err(ProducerFenced));
        assert_eq!(tx.end(older, commit, 5), Err(ConcurrentTransactions));
        assert_eq!(tx.end(wrong, commit, 4), Err(InvalidProducerIdMapping));
        assert_eq!(tx.end(wrong, commit, 5), Err(ConcurrentTransactions));
        for producer in [producer, older, wrong] {
            assert_eq!(tx.try_add(producer, &[(&topic, 1)], 3), [Err(ConcurrentTransactions)]);
        }
    }
}
