//! ListConfigResources, which was ListClientMetricsResources before its version 1.

use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_config_resources_response::ConfigResource;
use kafka_protocol::messages::{ApiKey, ListConfigResourcesRequest, ListConfigResourcesResponse};
use kafka_protocol::protocol::StrBytes;

use super::resources::Kind;
use super::{Answer, Api, Cx};
use crate::state::acls::{self, Operation, ResourceType};

impl Api for ListConfigResourcesRequest {
    const KEY: ApiKey = ApiKey::ListConfigResources;
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    type Response = ListConfigResourcesResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<ListConfigResourcesResponse> {
        if !cx.authorized(Operation::DescribeConfigs, ResourceType::Cluster, acls::CLUSTER) {
            return self.refuse(cx, ResponseError::ClusterAuthorizationFailed).into();
        }
        let all = [Kind::Topic, Kind::Broker, Kind::BrokerLogger, Kind::ClientMetrics, Kind::Group];
        let mut kinds = Vec::new();
        match self.resource_types.as_slice() {
            _ if cx.version == 0 => kinds.push(Kind::ClientMetrics),
            [] => kinds.extend(all),
            wanted => {
                for number in wanted {
                    let Some(kind) = Kind::of(*number) else {
                        return self.refuse(cx, ResponseError::UnsupportedVersion).into();
                    };
                    if !kinds.contains(&kind) {
                        kinds.push(kind);
                    }
                }
            }
        }
        let cluster = &*cx.cluster;
        let brokers = || cluster.live_brokers().map(|broker| broker.id.to_string()).collect::<Vec<_>>();
        let resources = kinds.into_iter().flat_map(|kind| {
            let names: Vec<String> = match kind {
                Kind::Topic => cluster.topics.iter().map(|topic| topic.name.clone()).collect(),
                Kind::Broker | Kind::BrokerLogger => brokers(),
                Kind::ClientMetrics => cluster.configs.client_metrics().map(str::to_owned).collect(),
                Kind::Group => cluster.configs.groups().map(str::to_owned).collect(),
            };
            names.into_iter().map(move |name| {
                ConfigResource::default().with_resource_name(StrBytes::from_string(name)).with_resource_type(kind as i8)
            })
        });
        ListConfigResourcesResponse::default().with_config_resources(resources.collect()).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> ListConfigResourcesResponse {
        ListConfigResourcesResponse::default().with_error_code(error.code())
    }
}
