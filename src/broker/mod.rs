//! The broker of a harness and the requests to it. The lowest layer, which uses none of the layers above it.

mod admin;
mod advice;
mod client;
mod codes;
mod control;
mod coordinators;
mod end_offsets;
mod groups;
mod native;
mod service;
mod topics;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use embedded_kafka::EmbeddedKafka;
use rdkafka::ClientConfig;
use rdkafka::admin::AdminClient;
use serde::{Deserialize, Serialize};

pub(crate) use self::advice::advice;
pub(crate) use self::client::{ClientErrors, create as create_client};
pub(crate) use self::control::Control;
pub(crate) use self::groups::PartitionOffset;
pub(crate) use self::service::Role;
pub use self::service::pairs;

use crate::config::java;
use crate::config::properties::Property;
use crate::model::error::{Error, Result};

/// The features of a broker. A test that depends on a feature checks for it here, not for the kind of broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Whether topics can be deleted.
    pub delete_topics: bool,
    /// Whether groups can be deleted.
    pub delete_groups: bool,
    /// Whether the state and the members of a group can be described.
    pub describe_groups: bool,
    /// Whether topics accept configurations such as `cleanup.policy`.
    pub topic_config: bool,
    /// Whether `read_committed` consumers skip the messages of open and aborted transactions.
    pub abort_markers: bool,
    /// Whether the broker has faults on demand ([`Kafka::faults`](crate::Kafka::faults)).
    pub faults: bool,
    /// Whether the broker outlives this process, and keeps all topics and groups that are not deleted.
    pub outlives_process: bool,
}

/// The shape of a topic: its partitions, replication factor and configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shape {
    pub(crate) partitions: i32,
    /// `None`: the broker's default.
    pub(crate) replication_factor: Option<i32>,
    pub(crate) config: Vec<(String, String)>,
}

/// Whether a create request created the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Creation {
    Created,
    AlreadyExists,
}

/// A broker and this crate's clients for it. The broker is Apache Kafka, Redpanda, another implementation of the protocol, or the
/// embedded broker.
pub(crate) struct Broker {
    control: Control,
    admin: AdminClient<ClientErrors>,
    config: ClientConfig,
    name: String,
    bootstrap_servers: String,
    /// The embedded broker, if it is in this process. The last field, so that it is dropped after its clients.
    embedded: Option<Arc<EmbeddedKafka>>,
}

impl Broker {
    /// Creates the clients for a cluster, which start to connect. There is no fallback to the embedded broker.
    pub(crate) fn cluster(bootstrap_servers: &str, properties: &[Property]) -> Result<Self> {
        let config = config_of(properties, bootstrap_servers);
        Self::with_clients(config, format!("broker {bootstrap_servers}"), None)
    }

    /// Starts embedded brokers in this process. They listen on loopback ports, so child processes can connect too.
    pub(crate) fn embedded(brokers: usize, properties: &[Property]) -> Result<Self> {
        let embedded = EmbeddedKafka::builder().brokers(brokers).start().map_err(|error| Error::Broker {
            action: "start the embedded broker".to_owned(),
            broker: "127.0.0.1".to_owned(),
            advice: format!("{error:?}"),
            source: None,
        })?;
        let config = config_of(properties, embedded.bootstrap_servers());
        let name = format!("embedded broker {}", embedded.bootstrap_servers());
        Self::with_clients(config, name, Some(Arc::new(embedded)))
    }

    fn with_clients(config: ClientConfig, name: String, embedded: Option<Arc<EmbeddedKafka>>) -> Result<Self> {
        let own = |role| {
            let mut own = own_config(&config, embedded.is_some(), role);
            own.set("client.id", "rstest-kafka-control");
            own
        };
        let control = Control::new(own(Role::Consumer), &name, embedded.clone())?;
        let admin = create_client(&own(Role::Any), ClientErrors::default(), "admin client", &name)?;
        let bootstrap_servers = config.get("bootstrap.servers").unwrap_or_default().to_owned();
        Ok(Self { control, admin, config, name, bootstrap_servers, embedded })
    }

    /// Returns the broker's name for error messages: `embedded broker 127.0.0.1:34567`, `broker kafka:9092`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Returns the configuration for any client.
    pub(crate) fn client_config(&self) -> ClientConfig {
        service::for_role(&self.config, Role::Any)
    }

    /// Returns the configuration for a service's consumer in a test.
    pub(crate) fn consumer_config(&self, group: &str) -> ClientConfig {
        service::consumer(&self.config, group)
    }

    /// Returns the configuration for a service's producer in a test with this timeout.
    pub(crate) fn producer_config(&self, timeout: Duration) -> ClientConfig {
        service::producer(&self.config, timeout)
    }

    /// Returns the configuration for this crate's own clients.
    pub(crate) fn own_client_config(&self, role: Role) -> ClientConfig {
        own_config(&self.config, self.embedded.is_some(), role)
    }

    pub(crate) fn capabilities(&self) -> Capabilities {
        Capabilities {
            delete_topics: true,
            delete_groups: true,
            describe_groups: true,
            topic_config: true,
            abort_markers: true,
            faults: self.embedded.is_some(),
            outlives_process: self.embedded.is_none(),
        }
    }

    /// Returns the client that never fetches.
    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    /// Returns the embedded broker, if it is in this process.
    pub(crate) fn as_embedded(&self) -> Option<&Arc<EmbeddedKafka>> {
        self.embedded.as_ref()
    }
}

fn config_of(properties: &[Property], bootstrap_servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (key, value) in properties {
        config.set(java::canonical(key), &value.0);
    }
    config.set("bootstrap.servers", bootstrap_servers);
    config
}

fn own_config(config: &ClientConfig, is_embedded: bool, role: Role) -> ClientConfig {
    let mut own = service::for_role(config, role);
    // Otherwise a deleted topic would come back, because a producer requests metadata for every topic that it has ever used.
    own.set("allow.auto.create.topics", "false");
    if is_embedded {
        // With sparse connections, a client waits 11 ms before it connects to the broker that it needs. Without them it
        // connects to all brokers at once, and an embedded cluster has few.
        own.set("enable.sparse.connections", "false");
    }
    own
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The configuration may hold secrets.
        f.debug_struct("Broker").field("name", &self.name).finish_non_exhaustive()
    }
}
