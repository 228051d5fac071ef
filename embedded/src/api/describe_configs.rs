//! DescribeConfigs: the configuration of topics, brokers, loggers, groups and client metrics.

use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{ApiKey, DescribeConfigsRequest, DescribeConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use super::resources::{self, Kind};
use super::{Answer, Api, Cx};
use crate::state::acls::Operation;
use crate::state::api_error::ApiError;
use crate::state::configs::Described;
use crate::state::topics::names::check_name;

impl Api for DescribeConfigsRequest {
    const KEY: ApiKey = ApiKey::DescribeConfigs;
    const VERSIONS: RangeInclusive<i16> = 1..=4;
    type Response = DescribeConfigsResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<DescribeConfigsResponse> {
        let mut results = Vec::with_capacity(self.resources.len());
        for resource in &self.resources {
            let Some(kind) = Kind::of(resource.resource_type) else {
                return self.refuse(cx, ResponseError::InvalidRequest).into();
            };
            results.push(match describe(cx, kind, resource) {
                Ok(configs) => {
                    let wanted = resource.configuration_keys.as_deref().filter(|keys| !keys.is_empty());
                    let configs = configs
                        .into_iter()
                        .filter(|config| wanted.is_none_or(|keys| keys.iter().any(|key| **key == *config.name)))
                        .map(|config| entry(config, self.include_synonyms));
                    result(resource, None).with_configs(configs.collect())
                }
                Err(error) => result(resource, Some(&error)),
            });
        }
        DescribeConfigsResponse::default().with_results(results).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> DescribeConfigsResponse {
        refusal(self, &ApiError::plain(error))
    }
}

fn describe(cx: &Cx<'_>, kind: Kind, resource: &DescribeConfigsResource) -> Result<Vec<Described>, ApiError> {
    let name = &*resource.resource_name;
    resources::authorize(cx, kind, name, Operation::DescribeConfigs)?;
    let invalid = |message: String| Err(ApiError::new(ResponseError::InvalidRequest, message));
    let configs = &cx.cluster.configs;
    let number = || {
        let parsed = name.parse::<i32>();
        let message = || format!("Broker id must be an integer, but it is: {name}");
        parsed.map_err(|_| ApiError::new(ResponseError::InvalidRequest, message()))
    };
    let asked = cx.broker;
    match kind {
        Kind::Topic => {
            check_name(name).map_err(|message| ApiError::new(ResponseError::InvalidTopicException, message))?;
            let topic = cx.cluster.topics.get(name).ok_or(ResponseError::UnknownTopicOrPartition)?;
            Ok(configs.describe_topic(&topic.config, Some(asked)))
        }
        Kind::Broker if name.is_empty() => Ok(configs.describe_brokers()),
        Kind::Broker if number()? != asked => {
            invalid(format!("Unexpected broker id, expected {asked} or empty string, but received {name}"))
        }
        Kind::Broker => Ok(configs.describe_broker(asked, &own(cx))),
        Kind::BrokerLogger if name.is_empty() => invalid("Broker id must not be empty".to_owned()),
        Kind::BrokerLogger if number()? != asked => {
            invalid(format!("Unexpected broker id, expected {asked} but received {name}"))
        }
        Kind::BrokerLogger => Ok(configs.describe_loggers(asked)),
        Kind::ClientMetrics if name.is_empty() => {
            invalid("Client metrics subscription name must not be empty".to_owned())
        }
        Kind::ClientMetrics => Ok(configs.describe_client_metrics(name)),
        Kind::Group if name.is_empty() => invalid("Group name must not be empty".to_owned()),
        Kind::Group => Ok(configs.describe_group(name)),
    }
}

/// Returns the properties that can differ between brokers.
fn own(cx: &Cx<'_>) -> Vec<(&'static str, String)> {
    let Some(broker) = cx.cluster.brokers.iter().find(|broker| broker.id == cx.broker) else { return Vec::new() };
    let address = format!("PLAINTEXT://{}:{}", broker.host, broker.port);
    vec![
        ("advertised.listeners", address.clone()),
        ("broker.id", broker.id.to_string()),
        ("listeners", address),
        ("node.id", broker.id.to_string()),
        ("process.roles", "broker,controller".to_owned()),
    ]
}

fn entry(config: Described, with_synonyms: bool) -> DescribeConfigsResourceResult {
    let text = |value: Option<String>| value.map(StrBytes::from_string);
    let sensitive = config.sensitive();
    let synonyms = config.synonyms.into_iter().filter(|_| with_synonyms).map(|(name, value, source)| {
        DescribeConfigsSynonym::default()
            .with_name(StrBytes::from_string(name))
            .with_value(text(value))
            .with_source(source as i8)
    });
    DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_string(config.name))
        .with_value(text(config.value))
        .with_read_only(config.read_only)
        .with_config_source(config.source as i8)
        .with_is_sensitive(sensitive)
        .with_synonyms(synonyms.collect())
        .with_config_type(config.kind.map_or(0, |kind| kind as i8))
        .with_documentation(None)
}

fn result(resource: &DescribeConfigsResource, error: Option<&ApiError>) -> DescribeConfigsResult {
    let message = error.map_or(Some(String::new()), |error| error.message.clone());
    DescribeConfigsResult::default()
        .with_error_code(error.map_or(0, |error| error.error.code()))
        .with_error_message(message.map(StrBytes::from_string))
        .with_resource_type(resource.resource_type)
        .with_resource_name(resource.resource_name.clone())
}

fn refusal(request: &DescribeConfigsRequest, error: &ApiError) -> DescribeConfigsResponse {
    let results = request.resources.iter().map(|resource| result(resource, Some(error)));
    DescribeConfigsResponse::default().with_results(results.collect())
}
