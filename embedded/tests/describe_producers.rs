//! DescribeProducers: the producers of a partition.

mod common;

use common::*;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::describe_producers_response::PartitionResponse;
use kafka_protocol::messages::{DescribeProducersRequest, InitProducerIdRequest};

fn describe(raw: &mut Raw, topic: &str, partition: i32) -> PartitionResponse {
    let topic = TopicRequest::default().with_name(topic_name(topic)).with_partition_indexes(vec![partition]);
    let request = DescribeProducersRequest::default().with_topics(vec![topic]);
    raw.call(&request, 0).topics.remove(0).partitions.remove(0)
}

#[test]
fn producers_are_told_with_their_last_sequence_number_and_time() {
    let kafka = Kafka::start();
    let topic = kafka.topic("told", 1).name;
    let mut leader = kafka.leader(&topic, 0);
    assert_eq!(describe(&mut leader, &topic, 0).active_producers, []);
    let request = InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(60_000);
    let id = eventually(|| {
        let answer = leader.call(&request, 4);
        (answer.error_code == 0).then_some(answer.producer_id)
    });
    produce(&mut leader, &topic, 0, &Batch::of(&["a", "b"]).producer(id.0, 3, 0).timestamp(1000));
    produce(&mut leader, &topic, 0, &Batch::of(&["c"]));
    let answer = describe(&mut leader, &topic, 0);
    assert_eq!((answer.error_code, answer.error_message, answer.active_producers.len()), (0, None, 1));
    let producer = &answer.active_producers[0];
    assert_eq!((producer.producer_id, producer.producer_epoch), (id, 3));
    assert_eq!((producer.last_sequence, producer.last_timestamp), (1, 1000));
    assert_eq!((producer.coordinator_epoch, producer.current_txn_start_offset), (-1, -1));
}

#[test]
fn what_is_not_there_is_refused() {
    let kafka = Kafka::start();
    let topic = kafka.topic("there", 1).name;
    let mut leader = kafka.leader(&topic, 0);
    let answer = describe(&mut leader, &topic, 1);
    assert_error(answer.error_code, Some(ResponseError::UnknownTopicOrPartition));
    let answer = describe(&mut leader, &unique("missing"), 0);
    assert_error(answer.error_code, Some(ResponseError::UnknownTopicOrPartition));
    assert!(answer.error_message.is_some());
    let answer = describe(&mut leader, "not/a/name", 0);
    assert_error(answer.error_code, Some(ResponseError::InvalidTopicException));
    assert!(answer.error_message.is_some());
}
