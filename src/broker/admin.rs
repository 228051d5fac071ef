//! Creates and deletes topics and groups.

use std::future::Future;
use std::time::Duration;

use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use super::advice::advice;
use super::{Broker, Creation, Shape};
use crate::model::error::codes::{code_of, is_passing, is_unknown_topic};
use crate::model::error::{Error, Result};
use crate::sync::wait::{self, Deadline};

/// The most topics or groups in one delete request.
const BATCH: usize = 500;

impl Broker {
    fn options(deadline: Deadline) -> AdminOptions {
        let remaining = deadline.remaining().max(Duration::from_millis(1));
        AdminOptions::new().operation_timeout(Some(remaining)).request_timeout(Some(remaining))
    }

    /// Waits for an admin call slightly longer than its own timeout, because the call's own error names the cause.
    fn wait<T>(&self, call: impl Future<Output = KafkaResult<T>>, deadline: Deadline) -> Result<T, KafkaError> {
        let limit = Deadline::after(deadline.remaining() + Duration::from_millis(200));
        wait::block_on(call, limit).unwrap_or(Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut)))
    }

    /// Interprets the outcome of a create request for one topic. Returns `None` if the request should be retried.
    fn created(
        &self,
        name: &str,
        shape: &Shape,
        outcome: Result<(), KafkaError>,
        deadline: Deadline,
    ) -> Option<Result<Creation>> {
        let Err(error) = outcome else { return Some(Ok(Creation::Created)) };
        Some(match code_of(&error) {
            None => Err(self.control.failed(format!("create topic {name:?}"), error)),
            Some(RDKafkaErrorCode::TopicAlreadyExists) => Ok(Creation::AlreadyExists),
            Some(code) if is_passing(code) && !deadline.has_passed() => return None,
            Some(code) if is_passing(code) => Err(self.control.did_not_answer(deadline, error)),
            Some(code) => Err(self.refused(name, shape, code)),
        })
    }

    fn refused(&self, name: &str, shape: &Shape, code: RDKafkaErrorCode) -> Error {
        let advice = match code {
            RDKafkaErrorCode::InvalidReplicationFactor => {
                let factor = shape.replication_factor.map_or("the broker's default".to_owned(), |n| n.to_string());
                format!("the replication factor is {factor}; set it to at most the number of brokers")
            }
            RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed => {
                "the user needs the right to create topics with this prefix".to_owned()
            }
            RDKafkaErrorCode::PolicyViolation => "the cluster's create.topic.policy refuses it".to_owned(),
            RDKafkaErrorCode::InvalidPartitions => format!("the broker refuses {} partitions", shape.partitions),
            RDKafkaErrorCode::InvalidConfig => {
                format!("this broker refuses one of the topic's configurations, {:?}", shape.config)
            }
            other => advice(other).to_owned(),
        };
        Error::Broker {
            action: format!("create topic {name:?}"),
            broker: self.name.clone(),
            advice,
            source: Some(KafkaError::AdminOp(code)),
        }
    }

    /// Deletes in batches, and retries temporary errors until the deadline. Returns the names that are left, with the reason.
    fn delete<'n, F>(
        &self,
        names: &'n [String],
        deadline: Deadline,
        is_missing: impl Fn(RDKafkaErrorCode) -> bool,
        mut delete: impl FnMut(&[&'n str]) -> F,
    ) -> Vec<(String, String)>
    where
        F: Future<Output = KafkaResult<Vec<Result<String, (String, RDKafkaErrorCode)>>>>,
    {
        let mut left = Vec::new();
        for batch in names.chunks(BATCH) {
            let mut todo: Vec<&str> = batch.iter().map(String::as_str).collect();
            while !todo.is_empty() {
                let (mut retry, mut failed) = (Vec::new(), Vec::new());
                let passing = |code| is_passing(code) && !deadline.has_passed();
                match self.wait(delete(&todo), deadline) {
                    Ok(results) => {
                        for (name, code) in results.into_iter().filter_map(Result::err) {
                            let known = todo.iter().copied().find(|known| **known == *name);
                            match known {
                                _ if is_missing(code) => {}
                                Some(known) if passing(code) => retry.push(known),
                                _ => failed.push((name, code.to_string())),
                            }
                        }
                    }
                    Err(KafkaError::AdminOp(code)) if passing(code) => retry.clone_from(&todo),
                    Err(error) => failed.extend(todo.iter().map(|name| ((*name).to_owned(), error.to_string()))),
                }
                left.extend(failed);
                if !retry.is_empty() {
                    deadline.pause(Duration::from_millis(50));
                }
                todo = retry;
            }
        }
        left
    }
}

fn new_topic<'a>(name: &'a str, shape: &'a Shape) -> NewTopic<'a> {
    let replication = TopicReplication::Fixed(shape.replication_factor.unwrap_or(-1));
    let topic = NewTopic::new(name, shape.partitions, replication);
    shape.config.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
}

impl Broker {
    /// Creates topics in one request, and returns one outcome per topic in the same order. The topics may not have leaders yet.
    pub(crate) fn create_topics(&self, topics: &[(&str, &Shape)], deadline: Deadline) -> Vec<Result<Creation>> {
        let mut outcomes: Vec<Option<Result<Creation>>> = topics.iter().map(|_| None).collect();
        loop {
            let todo: Vec<usize> = (0..topics.len()).filter(|at| outcomes[*at].is_none()).collect();
            if todo.is_empty() {
                return outcomes.into_iter().flatten().collect();
            }
            let new_topics: Vec<NewTopic<'_>> = todo.iter().map(|at| new_topic(topics[*at].0, topics[*at].1)).collect();
            let response = self.wait(self.admin.create_topics(&new_topics, &Self::options(deadline)), deadline);
            for (nth, at) in todo.into_iter().enumerate() {
                let (name, shape) = topics[at];
                let outcome = match &response {
                    // librdkafka keeps the order of the topics.
                    Ok(results) => results.get(nth).map_or(Ok(()), |result| match result {
                        Ok(_) => Ok(()),
                        Err((_, code)) => Err(KafkaError::AdminOp(*code)),
                    }),
                    Err(error) => Err(error.clone()),
                };
                outcomes[at] = self.created(name, shape, outcome, deadline);
            }
            if outcomes.iter().any(Option::is_none) {
                deadline.pause(Duration::from_millis(50));
            }
        }
    }

    /// Deletes topics, and returns the topics that are left, with the reason. A topic that does not exist counts as deleted.
    pub(crate) fn delete_topics(&self, names: &[String], deadline: Deadline) -> Vec<(String, String)> {
        self.delete(names, deadline, is_unknown_topic, |batch| {
            self.admin.delete_topics(batch, &Self::options(deadline))
        })
    }

    /// Deletes groups, and returns the groups that are left, with the reason. A group that does not exist counts as deleted.
    pub(crate) fn delete_groups(&self, names: &[String], deadline: Deadline) -> Vec<(String, String)> {
        let is_missing = |code| code == RDKafkaErrorCode::GroupIdNotFound;
        self.delete(names, deadline, is_missing, |batch| self.admin.delete_groups(batch, &Self::options(deadline)))
    }
}
