//! Topics and groups made and deleted.

use std::future::Future;
use std::time::Duration;

use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use super::advice::advice;
use super::{Broker, Creation, Shape};
use crate::model::error::codes::{code_of, is_passing, is_unknown_topic};
use crate::model::error::{Error, Result};
use crate::sync::wait::{self, Deadline};

/// How many of a kind one delete request names at most, so that no request grows without bound.
const BATCH: usize = 500;

impl Broker {
    fn options(deadline: Deadline) -> AdminOptions {
        let remaining = deadline.remaining().max(Duration::from_millis(1));
        AdminOptions::new().operation_timeout(Some(remaining)).request_timeout(Some(remaining))
    }

    /// Waits for an admin call a little longer than the call itself, which then says why it failed.
    fn wait<T>(&self, call: impl Future<Output = KafkaResult<T>>, deadline: Deadline) -> Result<T, KafkaError> {
        let patience = Deadline::after(deadline.remaining() + Duration::from_millis(200));
        wait::block_on(call, patience).unwrap_or(Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut)))
    }

    /// What came of asking for a topic; `None` if it is to be asked for again.
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
                let asked = shape.replication_factor.map_or("the broker's default".to_owned(), |n| n.to_string());
                format!("the replication factor is {asked}; it takes at most as many as there are brokers")
            }
            RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed => {
                "the user needs the right to create topics of this prefix".to_owned()
            }
            RDKafkaErrorCode::PolicyViolation => "the cluster's create.topic.policy refuses it".to_owned(),
            RDKafkaErrorCode::InvalidPartitions => format!("it was asked for with {} partitions", shape.partitions),
            RDKafkaErrorCode::InvalidConfig => {
                format!("this broker does not take one of its configurations, {:?}", shape.config)
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

    /// Deletes in batches until nothing is left that a second try could help, or the deadline has passed.
    fn delete<'n, F>(
        &self,
        names: &'n [String],
        deadline: Deadline,
        is_gone: impl Fn(RDKafkaErrorCode) -> bool,
        mut delete: impl FnMut(&[&'n str]) -> F,
    ) -> Vec<(String, String)>
    where
        F: Future<Output = KafkaResult<Vec<Result<String, (String, RDKafkaErrorCode)>>>>,
    {
        let mut left = Vec::new();
        for batch in names.chunks(BATCH) {
            let mut todo: Vec<&str> = batch.iter().map(String::as_str).collect();
            while !todo.is_empty() {
                let (mut again, mut failed) = (Vec::new(), Vec::new());
                let passing = |code| is_passing(code) && !deadline.has_passed();
                match self.wait(delete(&todo), deadline) {
                    Ok(results) => {
                        for (name, code) in results.into_iter().filter_map(Result::err) {
                            let known = todo.iter().copied().find(|known| **known == *name);
                            match known {
                                _ if is_gone(code) => {}
                                Some(known) if passing(code) => again.push(known),
                                _ => failed.push((name, code.to_string())),
                            }
                        }
                    }
                    Err(KafkaError::AdminOp(code)) if passing(code) => again.clone_from(&todo),
                    Err(error) => failed.extend(todo.iter().map(|name| ((*name).to_owned(), error.to_string()))),
                }
                left.extend(failed);
                if !again.is_empty() {
                    deadline.pause(Duration::from_millis(50));
                }
                todo = again;
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
    /// Asks for topics in one request; they need not have leaders yet. One outcome for each, in their order.
    pub(crate) fn create_topics(&self, topics: &[(&str, &Shape)], deadline: Deadline) -> Vec<Result<Creation>> {
        let mut outcomes: Vec<Option<Result<Creation>>> = topics.iter().map(|_| None).collect();
        loop {
            let todo: Vec<usize> = (0..topics.len()).filter(|at| outcomes[*at].is_none()).collect();
            if todo.is_empty() {
                return outcomes.into_iter().flatten().collect();
            }
            let asked: Vec<NewTopic<'_>> = todo.iter().map(|at| new_topic(topics[*at].0, topics[*at].1)).collect();
            let answer = self.wait(self.admin.create_topics(&asked, &Self::options(deadline)), deadline);
            for (nth, at) in todo.into_iter().enumerate() {
                let (name, shape) = topics[at];
                let outcome = match &answer {
                    // The answers stand in the order of the topics.
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

    /// Deletes topics in one request; a missing one counts as deleted. Returns those that are left, with the reason.
    pub(crate) fn delete_topics(&self, names: &[String], deadline: Deadline) -> Vec<(String, String)> {
        self.delete(names, deadline, is_unknown_topic, |batch| {
            self.admin.delete_topics(batch, &Self::options(deadline))
        })
    }

    /// The same for groups.
    pub(crate) fn delete_groups(&self, names: &[String], deadline: Deadline) -> Vec<(String, String)> {
        let is_gone = |code| code == RDKafkaErrorCode::GroupIdNotFound;
        self.delete(names, deadline, is_gone, |batch| self.admin.delete_groups(batch, &Self::options(deadline)))
    }
}
