//! Requests that name a partition more than once.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::ListGroupsRequest;

use crate::client::*;
use crate::common::*;
use crate::offsets;

#[test]
fn a_partition_that_is_added_twice_is_answered_twice_and_refused_once() {
    let kafka = Kafka::start();
    let topic = kafka.topic("added", 2).name;
    let mut tx = Transactional::new(&kafka, "tx");
    let producer = tx.init();
    for version in [3, 4] {
        let missing = [(&*topic, 0), (&*topic, 7), (&*topic, 0), (&*topic, 7)];
        let mut refused = tx.add(producer, &missing, version);
        refused.sort_by_key(|result| result.err().map(|error| error.code()));
        let expected = [ResponseError::UnknownTopicOrPartition, ResponseError::OperationNotAttempted];
        assert_eq!(refused, expected.map(Err), "version {version}");
        let twice = [(&*topic, 0), (&*topic, 1), (&*topic, 0)];
        assert_eq!(tx.add(producer, &twice, version), [Ok(()); 3], "version {version}");
    }
    assert_eq!(tx.describe().topics[0].partitions.len(), 2);
}

#[test]
fn a_partition_whose_offset_is_sent_twice_has_the_last() {
    let kafka = Kafka::start();
    let (topic, group) = (kafka.topic("sent", 1).name, unique("group"));
    let mut coordinator = kafka.coordinator(&group, 0);
    let mut tx = Transactional::new(&kafka, "tx");
    let producer = tx.init();
    let mut request = tx.offset_commit(producer, &group, &topic, 0, 1);
    request.topics.extend(tx.offset_commit(producer, &group, &topic, 7, 2).topics);
    request.topics.extend(tx.offset_commit(producer, &group, &topic, 0, 3).topics);
    assert_eq!(tx.commit(&mut coordinator, &request, 5), Err(ResponseError::UnknownTopicOrPartition));
    let topics = coordinator.call(&request, 5).topics;
    let found: Vec<_> = topics
        .iter()
        .map(|topic| topic.partitions.iter().map(|p| (p.partition_index, p.error_code)).collect::<Vec<_>>())
        .collect();
    assert_eq!(found, [[(7, ResponseError::UnknownTopicOrPartition.code()), (0, 0), (0, 0)]]);
    tx.end(producer, true, 5).unwrap();
    assert_eq!(offsets::committed(&mut coordinator, &group, &topic), 3);
}

#[test]
fn internal_topics_are_not_added() {
    let kafka = Kafka::start();
    let topic = kafka.topic("topic", 1).name;
    // Both internal topics are there once their coordinators have been asked.
    kafka.coordinator(&unique("group"), 0).call(&ListGroupsRequest::default(), 4);
    let mut tx = Transactional::new(&kafka, "tx");
    let producer = tx.init();
    let mut refused = tx.add(producer, &[("__consumer_offsets", 0), (&topic, 0)], 3);
    refused.sort_by_key(|result| result.err().map(|error| error.code()));
    let expected = [ResponseError::TopicAuthorizationFailed, ResponseError::OperationNotAttempted];
    assert_eq!(refused, expected.map(Err));
}
