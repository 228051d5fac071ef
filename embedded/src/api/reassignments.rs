//! AlterPartitionReassignments and ListPartitionReassignments. A reassignment completes at once, because nothing has to be
//! copied.

use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ApiKey, ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Cx};
use crate::state::acls::{self, Operation, ResourceType};
use crate::state::api_error::ApiError;

impl Api for AlterPartitionReassignmentsRequest {
    const KEY: ApiKey = ApiKey::AlterPartitionReassignments;
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    type Response = AlterPartitionReassignmentsResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<AlterPartitionReassignmentsResponse> {
        if !cx.authorized(Operation::Alter, ResourceType::Cluster, acls::CLUSTER) {
            return self.refuse(cx, ResponseError::ClusterAuthorizationFailed).into();
        }
        let free = cx.version == 0 || self.allow_replication_factor_change;
        let mut responses = Vec::with_capacity(self.topics.len());
        for topic in self.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for partition in topic.partitions {
                let ids = partition.replicas.map(|replicas| replicas.into_iter().map(|id| id.0).collect());
                let result = cx.cluster.reassign(&topic.name, partition.partition_index, ids, free);
                let (code, message) = match result {
                    Ok(()) => (0, None),
                    Err(ApiError { error, message }) => (error.code(), message),
                };
                partitions.push(
                    ReassignablePartitionResponse::default()
                        .with_partition_index(partition.partition_index)
                        .with_error_code(code)
                        .with_error_message(message.map(StrBytes::from_string)),
                );
            }
            responses.push(ReassignableTopicResponse::default().with_name(topic.name).with_partitions(partitions));
        }
        AlterPartitionReassignmentsResponse::default()
            .with_error_message(None)
            .with_allow_replication_factor_change(free)
            .with_responses(responses)
            .into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> AlterPartitionReassignmentsResponse {
        let message = ApiError::plain(error).message.map(StrBytes::from_string);
        let responses = self.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                ReassignablePartitionResponse::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(error.code())
                    .with_error_message(message.clone())
            });
            ReassignableTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
        });
        AlterPartitionReassignmentsResponse::default()
            .with_error_code(error.code())
            .with_error_message(message.clone())
            .with_responses(responses.collect())
    }
}

impl Api for ListPartitionReassignmentsRequest {
    const KEY: ApiKey = ApiKey::ListPartitionReassignments;
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    type Response = ListPartitionReassignmentsResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<ListPartitionReassignmentsResponse> {
        if !cx.authorized(Operation::Describe, ResourceType::Cluster, acls::CLUSTER) {
            return self.refuse(cx, ResponseError::ClusterAuthorizationFailed).into();
        }
        ListPartitionReassignmentsResponse::default().with_error_message(None).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> ListPartitionReassignmentsResponse {
        ListPartitionReassignmentsResponse::default()
            .with_error_code(error.code())
            .with_error_message(ApiError::plain(error).message.map(StrBytes::from_string))
    }
}
