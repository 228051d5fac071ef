//! DescribeQuorum: the controllers. Every broker is a controller, and the controller in Metadata is the leader of the quorum.

use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_quorum_response::{Listener, Node, PartitionData, ReplicaState, TopicData};
use kafka_protocol::messages::{ApiKey, BrokerId, DescribeQuorumRequest, DescribeQuorumResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Cx};
use crate::state::acls::{self, Operation, ResourceType};
use crate::state::api_error::ApiError;

/// The topic of the controllers' log, which has one partition.
const CLUSTER_METADATA: &str = "__cluster_metadata";

impl Api for DescribeQuorumRequest {
    const KEY: ApiKey = ApiKey::DescribeQuorum;
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    type Response = DescribeQuorumResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<DescribeQuorumResponse> {
        if !cx.authorized(Operation::Describe, ResourceType::Cluster, acls::CLUSTER) {
            return self.refuse(cx, ResponseError::ClusterAuthorizationFailed).into();
        }
        let asked = match self.topics.as_slice() {
            [topic] => &**topic.topic_name == CLUSTER_METADATA && topic.partitions.len() == 1,
            _ => false,
        };
        if !asked || self.topics[0].partitions[0].partition_index != 0 {
            let topics = self.topics.iter().map(|topic| {
                let partitions = topic.partitions.iter().map(|partition| {
                    PartitionData::default()
                        .with_partition_index(partition.partition_index)
                        .with_error_code(ResponseError::UnknownTopicOrPartition.code())
                });
                TopicData::default().with_topic_name(topic.topic_name.clone()).with_partitions(partitions.collect())
            });
            return DescribeQuorumResponse::default().with_error_message(None).with_topics(topics.collect()).into();
        }
        let end = cx.cluster.topics.iter().count() as i64 + 1;
        let voters = cx.cluster.live_brokers().map(|broker| {
            ReplicaState::default()
                .with_replica_id(BrokerId(broker.id))
                .with_log_end_offset(end)
                .with_last_fetch_timestamp(cx.now.0)
                .with_last_caught_up_timestamp(cx.now.0)
        });
        let partition = PartitionData::default()
            .with_error_message(None)
            .with_leader_id(BrokerId(cx.cluster.controller()))
            .with_leader_epoch(1)
            .with_high_watermark(end)
            .with_current_voters(voters.collect());
        let topic = TopicData::default()
            .with_topic_name(TopicName(StrBytes::from_static_str(CLUSTER_METADATA)))
            .with_partitions(vec![partition]);
        let nodes = cx.cluster.live_brokers().map(|broker| {
            let listener = Listener::default()
                .with_name(StrBytes::from_static_str("CONTROLLER"))
                .with_host(StrBytes::from_string(broker.host.clone()))
                .with_port(broker.port);
            Node::default().with_node_id(BrokerId(broker.id)).with_listeners(vec![listener])
        });
        let response = DescribeQuorumResponse::default().with_error_message(None).with_topics(vec![topic]);
        // Versions before 2 have no field for the nodes.
        let nodes = if cx.version >= 2 { nodes.collect() } else { Vec::new() };
        response.with_nodes(nodes).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> DescribeQuorumResponse {
        DescribeQuorumResponse::default()
            .with_error_code(error.code())
            .with_error_message(ApiError::plain(error).message.map(StrBytes::from_string))
    }
}
