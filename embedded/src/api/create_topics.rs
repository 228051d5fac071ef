//! CreateTopics: creates topics.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::{ApiKey, CreateTopicsRequest, CreateTopicsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::{Answer, Api, Cx};
use crate::state::acls::{Operation, ResourceType};
use crate::state::api_error::ApiError;
use crate::state::topics::{MOST_PARTITIONS, NewTopic, Plan};
use crate::state::{Cluster, acls};

/// The topic of Kafka's own metadata, which clients cannot create.
const CLUSTER_METADATA: &str = "__cluster_metadata";

impl Api for CreateTopicsRequest {
    const KEY: ApiKey = ApiKey::CreateTopics;
    const VERSIONS: RangeInclusive<i16> = 2..=7;
    type Response = CreateTopicsResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<CreateTopicsResponse> {
        if asked_partitions(&self.topics, cx.cluster) > MOST_PARTITIONS {
            return refusal(&self, &Plan::too_many()).into();
        }
        let mut times: HashMap<TopicName, usize> = HashMap::new();
        self.topics.iter().for_each(|topic| *times.entry(topic.name.clone()).or_default() += 1);
        let may_create = cx.authorized(Operation::Create, ResourceType::Cluster, acls::CLUSTER);
        // Check all topics before any topic is created. So topics of one request whose names collide do not affect each other.
        let mut planned = Vec::with_capacity(self.topics.len());
        let mut prohibited = Vec::new();
        for topic in self.topics {
            let name = topic.name.clone();
            let refused = if times.get(&name).is_some_and(|times| *times > 1) {
                times.insert(name.clone(), 0);
                Some(ApiError::new(ResponseError::InvalidRequest, "Duplicate topic name."))
            } else if times.get(&name) == Some(&0) {
                continue;
            } else if &**name == CLUSTER_METADATA {
                let message = format!("Creation of internal topic {CLUSTER_METADATA} is prohibited.");
                Some(ApiError::new(ResponseError::InvalidRequest, message))
            } else if !may_create && !cx.authorized(Operation::Create, ResourceType::Topic, &name) {
                Some(ApiError::new(ResponseError::TopicAuthorizationFailed, "Authorization failed."))
            } else {
                None
            };
            match refused {
                Some(error) => prohibited.push(error_result(name, &error)),
                None => planned.push((name, cx.cluster.plan_topic(new_topic(topic)))),
            }
        }
        let mut results = Vec::with_capacity(planned.len() + prohibited.len());
        for (name, plan) in planned {
            results.push(match plan {
                Ok(plan) => {
                    let may_see = cx.authorized(Operation::DescribeConfigs, ResourceType::Topic, &name);
                    success(cx.cluster, name, plan, self.validate_only, may_see)
                }
                Err(error) => error_result(name, &error),
            });
        }
        results.extend(prohibited);
        CreateTopicsResponse::default().with_topics(results).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> CreateTopicsResponse {
        refusal(self, &ApiError::plain(error))
    }
}

fn asked_partitions(topics: &[CreatableTopic], cluster: &Cluster) -> i64 {
    let partitions = topics.iter().map(|topic| match (topic.assignments.len(), topic.num_partitions) {
        (0, -1) => cluster.configs.broker_number("num.partitions"),
        (0, partitions) => partitions.into(),
        (assigned, _) => assigned as i64,
    });
    partitions.sum()
}

fn new_topic(topic: CreatableTopic) -> NewTopic {
    let text = |text: StrBytes| text.to_string();
    NewTopic {
        name: topic.name.to_string(),
        partitions: topic.num_partitions,
        replication: topic.replication_factor,
        assignments: topic
            .assignments
            .into_iter()
            .map(|partition| {
                (partition.partition_index, partition.broker_ids.into_iter().map(|broker| broker.0).collect())
            })
            .collect(),
        config: topic.configs.into_iter().map(|config| (text(config.name), config.value.map(text))).collect(),
    }
}

fn success(
    cluster: &mut Cluster,
    name: TopicName,
    plan: Plan,
    validate_only: bool,
    may_see: bool,
) -> CreatableTopicResult {
    let result = CreatableTopicResult::default().with_name(name).with_error_message(None);
    let result = if may_see {
        let configs = cluster.configs.describe_topic(plan.config(), Some(cluster.controller()));
        let configs = configs.into_iter().map(|described| {
            CreatableTopicConfigs::default()
                .with_name(StrBytes::from_string(described.name))
                .with_value(described.value.map(StrBytes::from_string))
                .with_config_source(described.source as i8)
        });
        result
            .with_num_partitions(plan.partitions() as i32)
            .with_replication_factor(plan.replication() as i16)
            .with_configs(Some(configs.collect()))
    } else {
        result.with_topic_config_error_code(ResponseError::TopicAuthorizationFailed.code()).with_configs(None)
    };
    let id = if validate_only { Uuid::new_v4() } else { cluster.create_topic(plan) };
    result.with_topic_id(id)
}

fn error_result(name: TopicName, error: &ApiError) -> CreatableTopicResult {
    CreatableTopicResult::default()
        .with_name(name)
        .with_error_code(error.error.code())
        .with_error_message(error.message.clone().map(StrBytes::from_string))
}

fn refusal(request: &CreateTopicsRequest, error: &ApiError) -> CreateTopicsResponse {
    let topics = request.topics.iter().map(|wanted| error_result(wanted.name.clone(), error));
    CreateTopicsResponse::default().with_topics(topics.collect())
}
