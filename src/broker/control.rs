//! A client that never fetches.
//!
//! A broker processes the requests of one connection in order. On a consumer's own connection, a request therefore waits for
//! the consumer's long-poll Fetch: 499 ms with librdkafka's default `fetch.wait.max.ms`, compared with 0.15 ms on this client.

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

/// The pause between two requests for the same state.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// How often the client's errors are checked while it connects.
const ERROR_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// A client that asks for end offsets, metadata and committed offsets. Every call has a deadline, and none holds a lock while it
/// waits for the broker.
pub(crate) struct Control {
    client: BaseConsumer<ClientErrors>,
    pub(super) coordinators: Coordinators,
    pub(super) broker: String,
    /// The embedded broker, if it is in this process.
    pub(super) embedded: Option<Arc<EmbeddedKafka>>,
}

/// The state of a topic in a broker's metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Partitions {
    /// The topic does not exist, or is not known yet.
    Unknown,
    /// Some partitions have no leader yet.
    Electing,
    /// The number of partitions, which all have leaders.
    Ready(i32),
}

impl Control {
    pub(crate) fn new(mut config: ClientConfig, broker: &str, embedded: Option<Arc<EmbeddedKafka>>) -> Result<Self> {
        // With `read_committed`, the end offset would be the last stable offset, and the messages of an open transaction
        // would be after the fence.
        config.set("isolation.level", "read_uncommitted");
        let client = client::create(&config, ClientErrors::default(), "control client", broker)?;
        let coordinators = Coordinators::new(config, broker);
        Ok(Self { client, coordinators, broker: broker.to_owned(), embedded })
    }

    pub(crate) fn client(&self) -> &BaseConsumer<ClientErrors> {
        &self.client
    }

    /// Waits until the broker responds, and returns the cluster id. Fails at once if the credentials are refused.
    pub(crate) fn cluster_id(&self, deadline: Deadline) -> Result<String> {
        loop {
            let wait = deadline.remaining().min(ERROR_CHECK_INTERVAL);
            if let Some(id) = self.client.client().fetch_cluster_id(wait) {
                self.client.context().forget();
                return Ok(id);
            }
            // There was no response yet, so an older error is the cause of this failure too.
            let last = last_error(&self.client).map(|(error, _)| error);
            match self.unreachable(deadline, last) {
                Error::Unreachable { .. } if !deadline.has_passed() => {}
                error => return Err(error),
            }
        }
    }

    /// Waits until the broker responds. Fails after the first failed connection attempt.
    pub(crate) fn answers_or_fails(&self, deadline: Deadline) -> Result<()> {
        while self.client.client().fetch_cluster_id(deadline.remaining().min(ERROR_CHECK_INTERVAL)).is_none() {
            let failure = last_error(&self.client).map(|(error, _)| error);
            if failure.is_some() || deadline.has_passed() {
                return Err(self.unreachable(deadline, failure));
            }
        }
        Ok(())
    }

    /// Returns the topic's current state in the broker's metadata. Does not create the topic.
    pub(crate) fn partitions(&self, topic: &str, deadline: Deadline) -> Result<Partitions> {
        self.partitions_by(&self.client, topic, deadline)
    }

    pub(super) fn partitions_by(
        &self,
        client: &BaseConsumer<ClientErrors>,
        topic: &str,
        deadline: Deadline,
    ) -> Result<Partitions> {
        process_events(client);
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
        let has_leader = |partition: &rdkafka::metadata::MetadataPartition| partition.leader() >= 0;
        match topic.partitions() {
            [] => Ok(Partitions::Unknown),
            partitions if partitions.iter().all(has_leader) => Ok(Partitions::Ready(partitions.len() as i32)),
            _ => Ok(Partitions::Electing),
        }
    }

    /// Waits until the topic exists and each of its partitions has a leader, and returns the number of partitions.
    pub(crate) fn wait_for_leaders(&self, topic: &str, deadline: Deadline) -> Result<i32> {
        let mut has_responded = false;
        loop {
            match self.partitions(topic, deadline) {
                Ok(Partitions::Ready(partitions)) => return Ok(partitions),
                Ok(_) => has_responded = true,
                // The remaining time was too short for another response, because librdkafka counts in whole milliseconds.
                Err(Error::Unreachable { .. }) if has_responded && deadline.remaining() < POLL_INTERVAL => {}
                Err(error) => return Err(error),
            }
            if deadline.has_passed() {
                return Err(Error::Broker {
                    action: format!("find a leader for each partition of topic {topic:?}"),
                    broker: self.broker.clone(),
                    advice: format!(
                        "there was none within {:?}; if the service creates the topic, check that the service is running",
                        deadline.allowed()
                    ),
                    source: None,
                });
            }
            deadline.pause(POLL_INTERVAL);
        }
    }

    /// Creates the error for a topic that existed before and no longer does.
    pub(crate) fn gone(&self, topic: &str) -> Error {
        let gone = KafkaError::OffsetFetch(RDKafkaErrorCode::UnknownTopicOrPartition);
        self.failed(format!("read the end offsets of topic {topic:?}"), gone)
    }

    /// Creates the error for a topic that was deleted and created again, so that its recorded state is no longer valid.
    pub(crate) fn created_again(&self, topic: &str, advice: &str) -> Error {
        Error::Broker {
            action: format!("continue to read topic {topic:?}"),
            broker: self.broker.clone(),
            advice: format!("it was deleted and created again during this test; {advice}"),
            source: None,
        }
    }

    /// Creates the error for a failed request, with advice on its code.
    pub(crate) fn failed(&self, action: String, source: KafkaError) -> Error {
        let advice = code_of(&source).map(advice).unwrap_or_default();
        Error::Broker { action, broker: self.broker.clone(), advice: advice.to_owned(), source: Some(source) }
    }

    /// Creates the error for a broker that did not respond. It names a cause that the control client reported, such as a refused
    /// password.
    pub(crate) fn unreachable(&self, deadline: Deadline, source: Option<KafkaError>) -> Error {
        self.unreachable_by(&self.client, deadline, source)
    }

    /// Creates the error for a request of another client. That client's error is the cause, unless the login was refused.
    pub(crate) fn did_not_answer(&self, deadline: Deadline, source: KafkaError) -> Error {
        match self.unreachable(deadline, None) {
            Error::Unreachable { broker, waited, .. } => Error::Unreachable { broker, waited, source: Some(source) },
            other => other,
        }
    }

    /// Whether the control client has failed to connect, and has received no response since.
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
                action: "establish a TLS connection".to_owned(),
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
            // An error from before this request is not its cause.
            source: client.context().last_since(Some(deadline.started())).map(|(error, _)| error).or(source),
        }
    }
}

/// Processes the client's queued events, so that its context learns of errors.
pub(super) fn process_events(client: &BaseConsumer<ClientErrors>) {
    while client.poll(Duration::ZERO).is_some() {}
}

/// Returns the client's last error since the last response.
fn last_error(client: &BaseConsumer<ClientErrors>) -> Option<(KafkaError, String)> {
    process_events(client);
    client.context().last()
}

/// Shortens the text of an authentication error to the part after the last colon, without quoted parts, because the text may
/// repeat what was sent.
fn redact(reason: &str) -> String {
    let reason = reason.split(':').next_back().unwrap_or(reason).trim();
    reason.split('"').step_by(2).collect::<Vec<_>>().join("…")
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("broker", &self.broker).finish_non_exhaustive()
    }
}
