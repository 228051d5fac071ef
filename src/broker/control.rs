//! The connection that never fetches.
//!
//! A broker answers the requests of one connection in their order, so a question on a consumer's own connection waits
//! behind its long-poll Fetch: 499 ms at librdkafka's default `fetch.wait.max.ms`, against 0.15 ms here.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use embedded_kafka::EmbeddedKafka;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::advice::advice;
use super::client::{self, ClientErrors};
use super::coordinators::Coordinators;
use crate::model::error::codes::{code_of, is_unknown_topic};
use crate::model::error::{Error, Result};
use crate::sync::wait::Deadline;

/// How long to let a broker be between two looks at something that is still coming.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How long to wait for a connection between two looks at what the client says of it.
const LOOK_FOR_REFUSALS: Duration = Duration::from_millis(50);

/// A client for questions: end offsets, metadata, committed offsets. Every call has a deadline, none holds a lock while it asks.
pub(crate) struct Control {
    client: BaseConsumer<ClientErrors>,
    pub(super) coordinators: Coordinators,
    pub(super) broker: String,
    /// The broker itself where it is in this process.
    pub(super) embedded: Option<Arc<EmbeddedKafka>>,
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
    pub(crate) fn new(mut config: ClientConfig, broker: &str, embedded: Option<Arc<EmbeddedKafka>>) -> Result<Self> {
        // Without it the end of a partition would be its last stable offset, and the messages of a transaction that is
        // still open would slip past a fence.
        config.set("isolation.level", "read_uncommitted");
        let client = client::create(&config, ClientErrors::default(), "control client", broker)?;
        let coordinators = Coordinators::new(config, broker);
        Ok(Self { client, coordinators, broker: broker.to_owned(), embedded })
    }

    pub(crate) fn client(&self) -> &BaseConsumer<ClientErrors> {
        &self.client
    }

    /// Waits until the broker answers, and returns its cluster's id. Refused credentials are not waited for.
    pub(crate) fn cluster_id(&self, deadline: Deadline) -> Result<String> {
        loop {
            let wait = deadline.remaining().min(LOOK_FOR_REFUSALS);
            if let Some(id) = self.client.client().fetch_cluster_id(wait) {
                self.client.context().forget();
                return Ok(id);
            }
            // As nothing was answered yet, an older error is this failure's, too.
            let standing = last_error(&self.client).map(|(error, _)| error);
            match self.unreachable(deadline, standing) {
                Error::Unreachable { .. } if !deadline.has_passed() => {}
                error => return Err(error),
            }
        }
    }

    /// Waits until the broker answers, or the client has failed to connect for the first time.
    pub(crate) fn answers_or_fails(&self, deadline: Deadline) -> Result<()> {
        while self.client.client().fetch_cluster_id(deadline.remaining().min(LOOK_FOR_REFUSALS)).is_none() {
            let failure = last_error(&self.client).map(|(error, _)| error);
            if failure.is_some() || deadline.has_passed() {
                return Err(self.unreachable(deadline, failure));
            }
        }
        Ok(())
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
        take_in_errors(client);
        let metadata = match client.fetch_metadata(Some(topic), deadline.remaining()) {
            Ok(metadata) => metadata,
            Err(KafkaError::MetadataFetch(code)) if is_unknown_topic(code) => return Ok(Partitions::Unknown),
            Err(error) => return Err(self.unreachable_by(client, deadline, Some(error))),
        };
        client.context().forget();
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

    /// The error of a topic that was there before.
    pub(crate) fn gone(&self, topic: &str) -> Error {
        let gone = KafkaError::OffsetFetch(RDKafkaErrorCode::UnknownTopicOrPartition);
        self.failed(format!("read the end offsets of topic {topic:?}"), gone)
    }

    /// The error of a topic that has the name of another one, of which something is known that is not true of this one.
    pub(crate) fn created_again(&self, topic: &str, advice: &str) -> Error {
        Error::Broker {
            action: format!("read on in topic {topic:?}"),
            broker: self.broker.clone(),
            advice: format!("it was deleted and created again during this test; {advice}"),
            source: None,
        }
    }

    /// An error of something that this broker was asked for.
    pub(crate) fn failed(&self, action: String, source: KafkaError) -> Error {
        let advice = code_of(&source).map(advice).unwrap_or_default();
        Error::Broker { action, broker: self.broker.clone(), advice: advice.to_owned(), source: Some(source) }
    }

    /// The broker did not answer: with what the control client says about it, such as a refused password.
    pub(crate) fn unreachable(&self, deadline: Deadline, source: Option<KafkaError>) -> Error {
        self.unreachable_by(&self.client, deadline, source)
    }

    /// The same for what another client asked, whose error is the cause unless the login is.
    pub(crate) fn did_not_answer(&self, deadline: Deadline, source: KafkaError) -> Error {
        match self.unreachable(deadline, None) {
            Error::Unreachable { broker, waited, .. } => Error::Unreachable { broker, waited, source: Some(source) },
            other => other,
        }
    }

    /// Whether the control client has failed to connect, and has had no answer since.
    pub(crate) fn has_failed(&self) -> bool {
        last_error(&self.client).is_some()
    }

    pub(super) fn unreachable_by(
        &self,
        client: &BaseConsumer<ClientErrors>,
        deadline: Deadline,
        source: Option<KafkaError>,
    ) -> Error {
        let last = last_error(client);
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
            // One that was reported before this question is not its cause.
            source: client.context().last_since(Some(deadline.started())).map(|(error, _)| error).or(source),
        }
    }
}

/// The client's events wait on a queue that somebody has to look at.
pub(super) fn take_in_errors(client: &BaseConsumer<ClientErrors>) {
    while client.poll(Duration::ZERO).is_some() {}
}

/// What the client reported last and no answer has followed.
fn last_error(client: &BaseConsumer<ClientErrors>) -> Option<(KafkaError, String)> {
    take_in_errors(client);
    client.context().last()
}

/// The text of an authentication error may repeat what was sent: only its first sentence, without quoted parts.
fn redact(reason: &str) -> String {
    let reason = reason.split(':').next_back().unwrap_or(reason).trim();
    reason.split('"').step_by(2).collect::<Vec<_>>().join("…")
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("broker", &self.broker).finish_non_exhaustive()
    }
}
