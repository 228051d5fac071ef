//! DescribeCluster: the brokers.

use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{ApiKey, BrokerId, DescribeClusterRequest, DescribeClusterResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Cx};
use crate::state::acls::{self, Operation, ResourceType};
use crate::state::api_error::ApiError;

/// The endpoint types: brokers and controllers.
const BROKER: i8 = 1;
const CONTROLLER: i8 = 2;

impl Api for DescribeClusterRequest {
    const KEY: ApiKey = ApiKey::DescribeCluster;
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    type Response = DescribeClusterResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<DescribeClusterResponse> {
        let refuse = |error, message: String| {
            let error = if cx.version == 0 { ResponseError::InvalidRequest } else { error };
            refusal(&ApiError::new(error, message)).into()
        };
        match self.endpoint_type {
            BROKER => {}
            CONTROLLER => {
                let message =
                    "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER";
                return refuse(ResponseError::MismatchedEndpointType, message.to_owned());
            }
            unknown => {
                return refuse(ResponseError::UnsupportedEndpointType, format!("Unsupported endpoint type {unknown}"));
            }
        }
        let asked = self.include_cluster_authorized_operations;
        let rights = match asked.then(|| cx.authorized(Operation::Describe, ResourceType::Cluster, acls::CLUSTER)) {
            None => i32::MIN,
            Some(true) => cx.authorized_operations(ResourceType::Cluster, acls::CLUSTER),
            Some(false) => 0,
        };
        let rack = cx.cluster.configs.rack();
        let wanted = cx.cluster.brokers.iter().filter(|broker| broker.up || self.include_fenced_brokers);
        let brokers = wanted.map(|broker| {
            DescribeClusterBroker::default()
                .with_broker_id(BrokerId(broker.id))
                .with_host(StrBytes::from_string(broker.host.clone()))
                .with_port(broker.port.into())
                .with_rack(rack.map(|rack| StrBytes::from_string(rack.to_owned())))
                .with_is_fenced(!broker.up)
        });
        DescribeClusterResponse::default()
            .with_error_message(None)
            .with_endpoint_type(BROKER)
            .with_cluster_id(StrBytes::from_string(cx.cluster.id.clone()))
            .with_controller_id(BrokerId(cx.cluster.controller()))
            .with_brokers(brokers.collect())
            .with_cluster_authorized_operations(rights)
            .into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> DescribeClusterResponse {
        refusal(&ApiError::plain(error))
    }
}

fn refusal(error: &ApiError) -> DescribeClusterResponse {
    DescribeClusterResponse::default()
        .with_error_code(error.error.code())
        .with_error_message(error.message.clone().map(StrBytes::from_string))
}
