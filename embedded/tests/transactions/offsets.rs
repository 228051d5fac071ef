//! Offsets of a group that are committed with a transaction.

use kafka_protocol::ResponseError::*;
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{GroupId, OffsetFetchRequest, TransactionalId};

use crate::client::*;
use crate::common::*;

/// What a group has committed for the first partition of a topic, once no transaction is open on it.
pub fn committed(coordinator: &mut Raw, group: &str, topic: &str) -> i64 {
    let topic = OffsetFetchRequestTopics::default().with_name(topic_name(topic)).with_partition_indexes(vec![0]);
    let group = OffsetFetchRequestGroup::default().with_group_id(GroupId(text(group))).with_topics(Some(vec![topic]));
    let request = OffsetFetchRequest::default().with_groups(vec![group]).with_require_stable(true);
    eventually(|| {
        let response = coordinator.call(&request, 8);
        assert_error(response.groups[0].error_code, None);
        let partition = &response.groups[0].topics[0].partitions[0];
        if partition.error_code == UnstableOffsetCommit.code() {
            return None;
        }
        assert_error(partition.error_code, None);
        Some(partition.committed_offset)
    })
}

#[test]
fn offsets_are_committed_with_their_transaction_and_only_then() {
    let kafka = Kafka::start();
    let topic = kafka.topic("source", 1).name;
    for version in 0..=5 {
        let group = unique("group");
        let mut coordinator = kafka.coordinator(&group, 0);
        let mut tx = Transactional::new(&kafka, "tx");
        let mut producer = tx.init();
        for (offset, commit, then) in [(3, false, -1), (5, true, 5), (9, false, 5), (4, true, 4)] {
            if version < 5 {
                assert_eq!(tx.add_offsets(producer, &group, 3), Ok(()));
            }
            let request = tx.offset_commit(producer, &group, &topic, 0, offset);
            assert_eq!(tx.commit(&mut coordinator, &request, version), Ok(()));
            let ended = tx.end(producer, commit, if version < 5 { 4 } else { 5 }).unwrap();
            if version == 5 {
                producer = ended;
            }
            tx.wait_for(if commit { "CompleteCommit" } else { "CompleteAbort" });
            assert_eq!(committed(&mut coordinator, &group, &topic), then, "version {version}");
        }
    }
}

#[test]
fn a_transaction_that_is_fenced_commits_no_offsets() {
    let kafka = Kafka::start();
    let topic = kafka.topic("source", 1).name;
    let group = unique("group");
    let mut coordinator = kafka.coordinator(&group, 0);
    let mut tx = Transactional::new(&kafka, "tx");
    let first = tx.init();
    let request = tx.offset_commit(first, &group, &topic, 0, 3);
    assert_eq!(tx.commit(&mut coordinator, &request, 5), Ok(()));
    let second = tx.init();
    assert_eq!(tx.commit(&mut coordinator, &request, 5), Err(InvalidProducerEpoch));
    assert_eq!(tx.end(first, true, 5), Err(ProducerFenced));
    assert_eq!(committed(&mut coordinator, &group, &topic), -1);
    let request = tx.offset_commit(second, &group, &topic, 0, 4);
    assert_eq!(tx.commit(&mut coordinator, &request, 5), Ok(()));
    tx.end(second, true, 5).unwrap();
    tx.wait_for("CompleteCommit");
    assert_eq!(committed(&mut coordinator, &group, &topic), 4);
}

#[test]
fn offsets_of_a_group_that_was_not_added_are_refused() {
    let kafka = Kafka::start();
    let topic = kafka.topic("source", 1).name;
    let group = unique("group");
    let mut coordinator = kafka.coordinator(&group, 0);
    for version in 0..=4 {
        let mut tx = Transactional::new(&kafka, "tx");
        let producer = tx.init();
        let request = tx.offset_commit(producer, &group, &topic, 0, 3);
        let refused = Err(if version < 4 { InvalidTxnState } else { TransactionAbortable });
        assert_eq!(tx.commit(&mut coordinator, &request, version), refused);
        assert_eq!(tx.add_offsets(producer, &group, 3), Ok(()));
        assert_eq!(tx.commit(&mut coordinator, &request, version), Ok(()));
        tx.end(producer, false, 4).unwrap();
        tx.wait_for("CompleteAbort");
        assert_eq!(tx.commit(&mut coordinator, &request, version), refused);
    }
    assert_eq!(committed(&mut coordinator, &group, &topic), -1);
}

#[test]
fn a_commit_of_offsets_is_checked() {
    let kafka = Kafka::start();
    let topic = kafka.topic("source", 1).name;
    let group = unique("group");
    let mut coordinator = kafka.coordinator(&group, 0);
    let mut tx = Transactional::new(&kafka, "tx");
    for version in 0..=5 {
        let unknown = tx.offset_commit((7, 0), &group, &topic, 0, 3);
        assert_eq!(tx.commit(&mut coordinator, &unknown, version), Err(InvalidProducerIdMapping));
    }
    let (id, epoch) = tx.init();
    for version in 0..=5 {
        let mut refused = |request, error| {
            assert_eq!(tx.commit(&mut coordinator, &request, version), Err(error), "version {version}");
        };
        refused(tx.offset_commit((id, epoch), &group, &topic, 1, 3), UnknownTopicOrPartition);
        refused(tx.offset_commit((id, epoch), &group, &unique("missing"), 0, 3), UnknownTopicOrPartition);
        refused(tx.offset_commit((id, epoch), "", &topic, 0, 3), InvalidGroupId);
        refused(tx.offset_commit((id, epoch + 1), &group, &topic, 0, 3), InvalidProducerEpoch);
        refused(tx.offset_commit((id + 1_000_000, epoch), &group, &topic, 0, 3), InvalidProducerIdMapping);
        let request = tx.offset_commit((id, epoch), &group, &topic, 0, 3);
        refused(request.with_transactional_id(Default::default()), InvalidRequest);
    }
    assert_eq!(&*tx.describe().transaction_state, "Empty");
}

#[test]
fn a_commit_of_offsets_by_a_member_is_that_of_its_group() {
    let kafka = Kafka::start();
    let topic = kafka.topic("source", 1).name;
    let group = unique("group");
    let mut coordinator = kafka.coordinator(&group, 0);
    let mut tx = Transactional::new(&kafka, "tx");
    let producer = tx.init();
    tx.add_offsets(producer, &group, 4).unwrap();
    let request = tx.offset_commit(producer, &group, &topic, 0, 3);
    for version in 3..=5 {
        // The group is not there yet, and then has no members.
        let stale = request.clone().with_member_id(text("member")).with_generation_id(3);
        assert_eq!(tx.commit(&mut coordinator, &stale, version), Err(IllegalGeneration));
    }
    assert_eq!(tx.commit(&mut coordinator, &request, 3), Ok(()));
    for version in 3..=5 {
        let stale = request.clone().with_member_id(text("member")).with_generation_id(3);
        assert_eq!(tx.commit(&mut coordinator, &stale, version), Err(UnknownMemberId));
    }
}

#[test]
fn whoever_has_committed_offsets_in_a_transaction_need_not_name_it_again() {
    let kafka = Kafka::start();
    let topic = kafka.topic("source", 1).name;
    let group = unique("group");
    let mut coordinator = kafka.coordinator(&group, 0);
    let mut tx = Transactional::new(&kafka, "tx");
    let (id, epoch) = tx.init();
    let first = tx.offset_commit((id, epoch), &group, &topic, 0, 3);
    assert_eq!(tx.commit(&mut coordinator, &first, 5), Ok(()));
    for version in 0..=5 {
        let next = tx.offset_commit((id, epoch), &group, &topic, 0, 4 + i64::from(version));
        for name in ["", "somebody"] {
            let next = next.clone().with_transactional_id(TransactionalId(text(name)));
            assert_eq!(tx.commit(&mut coordinator, &next, version), Ok(()), "version {version}");
        }
        let other = tx.offset_commit((id, epoch + 1), &group, &topic, 0, 20);
        assert_eq!(tx.commit(&mut coordinator, &other, version), Err(InvalidProducerEpoch));
    }
    tx.end((id, epoch), true, 5).unwrap();
    tx.wait_for("CompleteCommit");
    assert_eq!(committed(&mut coordinator, &group, &topic), 9);
    let next = tx.offset_commit((id, epoch + 1), &group, &topic, 0, 3).with_transactional_id(Default::default());
    assert_eq!(tx.commit(&mut coordinator, &next, 5), Err(InvalidRequest));
}

#[test]
fn an_epoch_that_is_over_is_refused_whatever_the_transactional_id() {
    let kafka = Kafka::start();
    let topic = kafka.topic("source", 1).name;
    let group = unique("group");
    let mut coordinator = kafka.coordinator(&group, 0);
    let mut tx = Transactional::new(&kafka, "tx");
    let (id, epoch) = tx.init();
    let first = tx.offset_commit((id, epoch), &group, &topic, 0, 3);
    assert_eq!(tx.commit(&mut coordinator, &first, 5), Ok(()));
    tx.end((id, epoch), true, 5).unwrap();
    assert_eq!(committed(&mut coordinator, &group, &topic), 3);
    for version in 0..=5 {
        for name in ["", "somebody", &tx.id] {
            let late = first.clone().with_transactional_id(TransactionalId(text(name)));
            assert_eq!(tx.commit(&mut coordinator, &late, version), Err(InvalidProducerEpoch), "{version}, {name}");
            let late = tx.offset_commit((id, epoch), "", &topic, 0, 3);
            assert_eq!(tx.commit(&mut coordinator, &late, version), Err(InvalidGroupId), "{version}, {name}");
        }
    }
    // If no offsets were committed, only the transaction coordinator knows the epoch.
    let other = in_partition_of(&kafka, &group, false);
    let late = tx.offset_commit((id, epoch), &other, &topic, 0, 3).with_transactional_id(Default::default());
    assert_eq!(tx.commit(&mut kafka.coordinator(&other, 0), &late, 5), Err(InvalidRequest));
}

#[test]
fn a_transaction_is_open_for_all_groups_that_are_kept_in_one_partition() {
    let kafka = Kafka::start();
    let topic = kafka.topic("source", 1).name;
    let group = unique("group");
    let mut coordinator = kafka.coordinator(&group, 0);
    let mut tx = Transactional::new(&kafka, "tx");
    let producer = tx.init();
    assert_eq!(tx.commit(&mut coordinator, &tx.offset_commit(producer, &group, &topic, 0, 3), 5), Ok(()));
    let other = in_partition_of(&kafka, &group, true);
    let unnamed = tx.offset_commit(producer, &other, &topic, 0, 4).with_transactional_id(Default::default());
    assert_eq!(tx.commit(&mut coordinator, &unnamed, 0), Ok(()));
    tx.end(producer, true, 5).unwrap();
    assert_eq!(committed(&mut coordinator, &other, &topic), 4);
}

/// A group that is kept in the same partition of `__consumer_offsets` as another one, or in another partition.
fn in_partition_of(kafka: &Kafka, group: &str, same: bool) -> String {
    let partitions = metadata(&mut kafka.connect(), "__consumer_offsets").partitions.len() as i32;
    assert!(partitions > 1, "the topic has {partitions} partitions");
    let is_wanted = |other: &String| (coordinated_in(other, partitions) == coordinated_in(group, partitions)) == same;
    std::iter::repeat_with(|| unique("other")).find(is_wanted).unwrap()
}
