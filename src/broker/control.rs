//! The connection that never fetches.
//!
//! A broker answers the requests of one connection in their order, so a question on a consumer's own connection waits
//! behind its long-poll Fetch: 499 ms at librdkafka's default `fetch.wait.max.ms`, against 0.15 ms here.

use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::bindings as rdsys;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::client::{self, ClientErrors, code_of};
use super::coordinators::Coordinators;
use super::end_offsets::SharedFences;
use crate::error::{Error, Result};
use crate::wait::Deadline;

/// How long to let a broker be between two looks at something that is still coming.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How long to wait for a connection between two looks at what the client says of it.
const LOOK_FOR_REFUSALS: Duration = Duration::from_millis(50);

/// A client for questions: end offsets, metadata, committed offsets. Every call has a deadline, none holds a lock while it asks.
pub(crate) struct Control {
    client: BaseConsumer<ClientErrors>,
    pub(super) fences: SharedFences,
    pub(super) config: ClientConfig,
    pub(super) coordinators: Coordinators,
    pub(super) broker: String,
}

/// What a broker's metadata say of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Partitions {
    /// There is no such topic, or it is not known yet.
    Unknown,
    /// So many partitions, of which some have no leader yet.
    Electing,
    /// So many partitions, all with a leader.
    Ready(i32),
}

impl Control {
    pub(crate) fn new(mut config: ClientConfig, broker: &str) -> Result<Self> {
        // Without it the end of a partition would be its last stable offset, and the messages of a transaction that is
        // still open would slip past a fence.
        config.set("isolation.level", "read_uncommitted");
        let client = client::create(&config, ClientErrors::default(), "control client", broker)?;
        let coordinators = Coordinators::new(config.clone(), broker);
        Ok(Self { client, fences: SharedFences::default(), config, coordinators, broker: broker.to_owned() })
    }

    /// The same connection once it is known where its broker, which it has started itself, can be reached.
    pub(crate) fn reached_at(self, mut config: ClientConfig, broker: &str) -> Self {
        config.set("isolation.level", "read_uncommitted");
        let coordinators = Coordinators::new(config.clone(), broker);
        Self { config, coordinators, broker: broker.to_owned(), ..self }
    }

    pub(crate) fn client(&self) -> &BaseConsumer<ClientErrors> {
        &self.client
    }

    /// Waits until the broker answers, and returns its cluster's id. Refused credentials are not waited for.
    pub(crate) fn cluster_id(&self, deadline: Deadline) -> Result<String> {
        loop {
            let wait = deadline.remaining().min(LOOK_FOR_REFUSALS);
            if let Some(id) = self.client.client().fetch_cluster_id(wait) {
                return Ok(id);
            }
            match self.unreachable(deadline, None) {
                Error::Unreachable { .. } if !deadline.has_passed() => {}
                error => return Err(error),
            }
        }
    }

    /// What the broker's metadata say of the topic now; never makes it.
    pub(crate) fn partitions(&self, topic: &str, deadline: Deadline) -> Result<Partitions> {
        self.partitions_by(&self.client, topic, deadline)
    }

    pub(super) fn partitions_by(
        &self,
        client: &BaseConsumer<ClientErrors>,
        topic: &str,
        deadline: Deadline,
    ) -> Result<Partitions> {
        let metadata = match client.fetch_metadata(Some(topic), deadline.remaining()) {
            Ok(metadata) => metadata,
            Err(KafkaError::MetadataFetch(code)) if is_unknown_topic(code) => return Ok(Partitions::Unknown),
            Err(error) => return Err(self.unreachable(deadline, Some(error))),
        };
        let Some(topic) = metadata.topics().iter().find(|found| found.name() == topic) else {
            return Ok(Partitions::Unknown);
        };
        if let Some(error) = topic.error() {
            let code = RDKafkaErrorCode::from(error);
            return match code {
                code if is_unknown_topic(code) => Ok(Partitions::Unknown),
                RDKafkaErrorCode::LeaderNotAvailable => Ok(Partitions::Electing),
                code => Err(self
                    .failed(format!("read the metadata of topic {:?}", topic.name()), KafkaError::MetadataFetch(code))),
            };
        }
        let led = |partition: &rdkafka::metadata::MetadataPartition| partition.leader() >= 0;
        match topic.partitions() {
            [] => Ok(Partitions::Unknown),
            partitions if partitions.iter().all(led) => Ok(Partitions::Ready(partitions.len() as i32)),
            _ => Ok(Partitions::Electing),
        }
    }

    /// How many partitions a topic has, once each has a leader; `None` while there is no such topic.
    pub(crate) fn partitions_if_it_exists(&self, topic: &str, deadline: Deadline) -> Result<Option<i32>> {
        match self.partitions(topic, deadline)? {
            Partitions::Unknown => Ok(None),
            Partitions::Ready(partitions) => Ok(Some(partitions)),
            Partitions::Electing => self.wait_for_leaders(topic, deadline).map(Some),
        }
    }

    /// Waits until the topic exists and each of its partitions has a leader; returns how many they are.
    pub(crate) fn wait_for_leaders(&self, topic: &str, deadline: Deadline) -> Result<i32> {
        let mut answered = false;
        loop {
            match self.partitions(topic, deadline) {
                Ok(Partitions::Ready(partitions)) => return Ok(partitions),
                Ok(_) => answered = true,
                // What was left of the time was too short for one more answer: librdkafka counts in whole milliseconds.
                Err(Error::Unreachable { .. }) if answered && deadline.remaining() < LOOK_AGAIN => {}
                Err(error) => return Err(error),
            }
            if deadline.has_passed() {
                return Err(Error::Broker {
                    action: format!("find topic {topic:?} with a leader for each partition"),
                    broker: self.broker.clone(),
                    advice: format!(
                        "it does not within {:?}; a topic that was only named exists once the service has made it",
                        deadline.allowed()
                    ),
                    source: None,
                });
            }
            deadline.pause(LOOK_AGAIN);
        }
    }

    /// The native handle, for calls that rdkafka does not wrap; valid as long as `self`.
    pub(crate) fn native(&self) -> *mut rdsys::rd_kafka_t {
        self.client.client().native_ptr()
    }

    /// An error of something that this broker was asked for.
    pub(crate) fn failed(&self, action: String, source: KafkaError) -> Error {
        let advice = match code_of(&source) {
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => "the user has no right to do that with this topic",
            Some(RDKafkaErrorCode::GroupAuthorizationFailed) => "the user has no right to do that with this group",
            Some(RDKafkaErrorCode::ClusterAuthorizationFailed) => "the user has no right to do that on this cluster",
            _ => "",
        };
        Error::Broker { action, broker: self.broker.clone(), advice: advice.to_owned(), source: Some(source) }
    }

    /// The broker did not answer: with what the client says about it, such as a refused password.
    pub(crate) fn unreachable(&self, deadline: Deadline, source: Option<KafkaError>) -> Error {
        let last = self.last_error();
        if let Some((error, reason)) = &last
            && matches!(
                code_of(error),
                Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed)
            )
        {
            return Error::Broker {
                action: "log in".to_owned(),
                broker: self.broker.clone(),
                advice: format!("check the credentials in the client properties ({})", redact(reason)),
                source: Some(error.clone()),
            };
        }
        if let Some((error, reason)) = &last
            && code_of(error) == Some(RDKafkaErrorCode::SSL)
        {
            return Error::Broker {
                action: "make a TLS connection".to_owned(),
                broker: self.broker.clone(),
                advice: format!(
                    "check the certificates and the host name in the client properties ({})",
                    redact(reason)
                ),
                source: Some(error.clone()),
            };
        }
        Error::Unreachable {
            broker: self.broker.clone(),
            waited: deadline.allowed(),
            source: last.map(|(error, _)| error).or(source),
        }
    }

    /// What the client reported last; its events wait on a queue that somebody has to look at.
    fn last_error(&self) -> Option<(KafkaError, String)> {
        while self.client.poll(Duration::ZERO).is_some() {}
        self.client.context().last()
    }
}

/// The text of an authentication error may repeat what was sent: only its first sentence, without quoted parts.
fn redact(reason: &str) -> String {
    let reason = reason.split(':').next_back().unwrap_or(reason).trim();
    reason.split('"').step_by(2).collect::<Vec<_>>().join("…")
}

pub(crate) fn is_unknown_topic(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopicId
    )
}

/// Errors that pass by themselves: an election, a broker that restarts, a client that has not connected yet.
pub(crate) fn is_passing(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::LeaderNotAvailable
            | RDKafkaErrorCode::NotLeaderForPartition
            | RDKafkaErrorCode::OffsetNotAvailable
            | RDKafkaErrorCode::BrokerNotAvailable
            | RDKafkaErrorCode::ReplicaNotAvailable
            | RDKafkaErrorCode::NetworkException
            | RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::DestroyBroker
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::WaitingForCoordinator
            | RDKafkaErrorCode::CoordinatorLoadInProgress
            | RDKafkaErrorCode::CoordinatorNotAvailable
            | RDKafkaErrorCode::NotCoordinator
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::FencedLeaderEpoch
            | RDKafkaErrorCode::UnknownLeaderEpoch
    )
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("broker", &self.broker).finish_non_exhaustive()
    }
}
