//! DescribeProducers: the producers of partitions.

use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use kafka_protocol::messages::{ApiKey, DescribeProducersRequest, DescribeProducersResponse, ProducerId};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Cx};
use crate::state::acls::{Operation, ResourceType};
use crate::state::partition::Partition;
use crate::state::topics::names;

impl Api for DescribeProducersRequest {
    const KEY: ApiKey = ApiKey::DescribeProducers;
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    type Response = DescribeProducersResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<DescribeProducersResponse> {
        answer(&self, |name, index| describe(cx, name, index)).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> DescribeProducersResponse {
        answer(self, |_, index| refused(index, error))
    }
}

fn describe(cx: &Cx<'_>, name: &str, index: i32) -> PartitionResponse {
    let response = PartitionResponse::default().with_partition_index(index);
    if let Err(error) = names::check_name(name) {
        return response
            .with_error_code(ResponseError::InvalidTopicException.code())
            .with_error_message(Some(StrBytes::from_string(error)));
    }
    if !cx.authorized(Operation::Read, ResourceType::Topic, name) {
        return refused(index, ResponseError::TopicAuthorizationFailed);
    }
    let Some(topic) = cx.cluster.topics.get(name) else {
        return refused(index, ResponseError::UnknownTopicOrPartition);
    };
    match topic.partition(index) {
        None => response.with_error_code(ResponseError::UnknownTopicOrPartition.code()),
        Some(partition) if partition.leader != cx.broker => {
            response.with_error_code(ResponseError::NotLeaderOrFollower.code())
        }
        Some(partition) => response.with_active_producers(producers(partition)),
    }
}

fn producers(partition: &Partition) -> Vec<ProducerState> {
    let states = partition.producers.iter().map(|(id, producer)| {
        ProducerState::default()
            .with_producer_id(ProducerId(id))
            .with_producer_epoch(i32::from(producer.epoch))
            .with_last_sequence(producer.last_sequence())
            .with_last_timestamp(producer.last_timestamp)
            .with_coordinator_epoch(producer.coordinator_epoch)
            .with_current_txn_start_offset(producer.transaction_start.unwrap_or(-1))
    });
    states.collect()
}

fn refused(index: i32, error: ResponseError) -> PartitionResponse {
    PartitionResponse::default()
        .with_partition_index(index)
        .with_error_code(error.code())
        .with_error_message(Some(StrBytes::from_string(format!("{error:?}"))))
}

fn answer(
    request: &DescribeProducersRequest,
    describe: impl Fn(&str, i32) -> PartitionResponse,
) -> DescribeProducersResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partition_indexes.iter().map(|index| describe(&topic.name, *index));
        TopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
    });
    DescribeProducersResponse::default().with_topics(topics.collect())
}
