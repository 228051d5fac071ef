//! DeleteTopics: deletes topics by name or, since version 6, by id.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{ApiKey, DeleteTopicsRequest, DeleteTopicsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::{Answer, Api, Cx};
use crate::state::acls::{self, Operation, ResourceType};
use crate::state::api_error::ApiError;

/// A topic, by its name or by its id.
type Target = (Option<TopicName>, Uuid);

impl Api for DeleteTopicsRequest {
    const KEY: ApiKey = ApiKey::DeleteTopics;
    const VERSIONS: RangeInclusive<i16> = 1..=6;
    type Response = DeleteTopicsResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<DeleteTopicsResponse> {
        if cx.cluster.configs.broker("delete.topic.enable") != "true" {
            let disabled = ResponseError::TopicDeletionDisabled;
            let error = if cx.version < 3 { ResponseError::InvalidRequest } else { disabled };
            return refusal(&self, &ApiError::new(error, "Topic deletion is disabled.")).into();
        }
        let mut times: HashMap<Target, usize> = HashMap::new();
        let mut unique = Vec::new();
        for target in targets(&self) {
            let times = times.entry(target.clone()).or_default();
            *times += 1;
            if *times == 1 {
                unique.push(target);
            }
        }
        let found: Vec<(Target, Result<Uuid, ApiError>)> =
            unique.into_iter().map(|target| (target.clone(), find(cx, &target, times[&target] > 1))).collect();
        let by_id: HashSet<Uuid> =
            found.iter().filter(|((name, _), found)| name.is_none() && found.is_ok()).map(|((_, id), _)| *id).collect();
        let twice: HashSet<Uuid> = found
            .iter()
            .filter_map(|((name, _), found)| found.as_ref().ok().filter(|id| name.is_some() && by_id.contains(id)))
            .copied()
            .collect();
        let mut results = Vec::with_capacity(found.len());
        for ((name, given), found) in found {
            results.push(match found {
                Err(error) => result(name, given, Err(error)),
                Ok(id) if twice.contains(&id) && name.is_none() => continue,
                Ok(id) if twice.contains(&id) => {
                    result(name, id, invalid("The provided topic name maps to an ID that was already supplied."))
                }
                Ok(id) => {
                    let name = cx.cluster.topics.name_of(id).map(str::to_owned).unwrap_or_default();
                    cx.cluster.delete_topic(&name);
                    result(Some(TopicName(StrBytes::from_string(name))), id, Ok(()))
                }
            });
        }
        DeleteTopicsResponse::default().with_responses(results).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> DeleteTopicsResponse {
        refusal(self, &ApiError::plain(error))
    }
}

fn targets(request: &DeleteTopicsRequest) -> impl Iterator<Item = Target> {
    let by_name = request.topic_names.iter().map(|name| (Some(name.clone()), Uuid::nil()));
    by_name.chain(request.topics.iter().map(|topic| (topic.name.clone(), topic.topic_id)))
}

/// Returns the topic if the client may delete it.
fn find(cx: &Cx<'_>, (name, id): &Target, repeated: bool) -> Result<Uuid, ApiError> {
    let topics = &cx.cluster.topics;
    match name {
        None if id.is_nil() => invalid("Neither topic name nor id were specified."),
        Some(_) if !id.is_nil() => invalid("You may not specify both topic name and topic id."),
        Some(_) if repeated => invalid("Duplicate topic name."),
        None if repeated => invalid("Duplicate topic id."),
        Some(name) => {
            let describable = may(cx, Operation::Describe, name);
            let topic = topics.get(name).filter(|_| describable);
            let missing = ApiError::new(
                ResponseError::UnknownTopicOrPartition,
                "This server does not host this topic-partition.",
            );
            match topic {
                None if describable => Err(missing),
                Some(topic) if may(cx, Operation::Delete, name) => Ok(topic.id),
                _ => Err(denied()),
            }
        }
        None => match topics.name_of(*id) {
            None => Err(ApiError::plain(ResponseError::UnknownTopicId)),
            Some(name) if may(cx, Operation::Delete, name) => Ok(*id),
            Some(_) => Err(denied()),
        },
    }
}

fn may(cx: &Cx<'_>, operation: Operation, name: &str) -> bool {
    cx.authorized(Operation::Delete, ResourceType::Cluster, acls::CLUSTER)
        || cx.authorized(operation, ResourceType::Topic, name)
}

fn invalid<T>(message: &str) -> Result<T, ApiError> {
    Err(ApiError::new(ResponseError::InvalidRequest, message))
}

fn denied() -> ApiError {
    ApiError::plain(ResponseError::TopicAuthorizationFailed)
}

fn result(name: Option<TopicName>, id: Uuid, result: Result<(), ApiError>) -> DeletableTopicResult {
    let response = DeletableTopicResult::default().with_name(name).with_topic_id(id).with_error_message(None);
    match result {
        Ok(()) => response,
        Err(ApiError { error, message }) => {
            response.with_error_code(error.code()).with_error_message(message.map(StrBytes::from_string))
        }
    }
}

fn refusal(request: &DeleteTopicsRequest, error: &ApiError) -> DeleteTopicsResponse {
    let responses = targets(request).map(|(name, id)| result(name, id, Err(error.clone())));
    DeleteTopicsResponse::default().with_responses(responses.collect())
}
