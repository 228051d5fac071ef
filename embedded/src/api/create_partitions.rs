//! CreatePartitions: adds partitions to topics.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{ApiKey, CreatePartitionsRequest, CreatePartitionsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Cx};
use crate::state::acls::{Operation, ResourceType};
use crate::state::api_error::ApiError;

impl Api for CreatePartitionsRequest {
    const KEY: ApiKey = ApiKey::CreatePartitions;
    const VERSIONS: RangeInclusive<i16> = 0..=3;
    type Response = CreatePartitionsResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<CreatePartitionsResponse> {
        let mut times: HashMap<TopicName, usize> = HashMap::new();
        self.topics.iter().for_each(|topic| *times.entry(topic.name.clone()).or_default() += 1);
        let mut results = Vec::with_capacity(times.len());
        for topic in self.topics {
            match times.remove(&topic.name) {
                // The response already contains the topic, from its first occurrence.
                None => {}
                Some(1) => {
                    let name = topic.name.clone();
                    results.push(result(name, grow(cx, topic, !self.validate_only)));
                }
                Some(_) => {
                    let error = ApiError::new(ResponseError::InvalidRequest, "Duplicate topic name.");
                    results.push(result(topic.name, Err(error)));
                }
            }
        }
        CreatePartitionsResponse::default().with_results(results).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> CreatePartitionsResponse {
        let results = self.topics.iter().map(|topic| result(topic.name.clone(), Err(ApiError::plain(error))));
        CreatePartitionsResponse::default().with_results(results.collect())
    }
}

fn grow(cx: &mut Cx<'_>, topic: CreatePartitionsTopic, apply: bool) -> Result<(), ApiError> {
    if !cx.authorized(Operation::Alter, ResourceType::Topic, &topic.name) {
        return Err(ResponseError::TopicAuthorizationFailed.into());
    }
    let ids = |brokers: Vec<kafka_protocol::messages::BrokerId>| brokers.into_iter().map(|broker| broker.0).collect();
    let assignments = topic.assignments.map(|given| given.into_iter().map(|given| ids(given.broker_ids)).collect());
    cx.cluster.create_partitions(&topic.name, topic.count, assignments, apply)
}

fn result(name: TopicName, result: Result<(), ApiError>) -> CreatePartitionsTopicResult {
    let response = CreatePartitionsTopicResult::default().with_name(name).with_error_message(None);
    match result {
        Ok(()) => response,
        Err(ApiError { error, message }) => {
            response.with_error_code(error.code()).with_error_message(message.map(StrBytes::from_string))
        }
    }
}
