//! The broker of a harness and the questions put to it; the lowest layer, which knows none of the others.

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

/// What a broker can do: what a test that depends on it asks for, and not which kind of broker it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Topics can be deleted while it runs.
    pub delete_topics: bool,
    /// Groups can be deleted while it runs.
    pub delete_groups: bool,
    /// The state and the members of a group can be asked for.
    pub describe_groups: bool,
    /// Topics take configurations such as `cleanup.policy`.
    pub topic_config: bool,
    /// What a transaction has aborted, or not committed yet, is hidden from readers of committed messages.
    pub abort_markers: bool,
    /// It gives a test faults on demand ([`Kafka::faults`](crate::Kafka::faults)).
    pub faults: bool,
    /// It outlives this process, and with it what is not deleted.
    pub outlives_process: bool,
}

/// A topic in the shape in which it is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shape {
    pub(crate) partitions: i32,
    /// `None`: the broker's default.
    pub(crate) replication_factor: Option<i32>,
    pub(crate) config: Vec<(String, String)>,
}

/// Whether a topic that was asked for is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Creation {
    Created,
    AlreadyExists,
}

/// A broker, and the clients that ask it: Apache Kafka, Redpanda, whatever speaks the protocol, or the embedded one.
pub(crate) struct Broker {
    control: Control,
    admin: AdminClient<ClientErrors>,
    config: ClientConfig,
    name: String,
    bootstrap_servers: String,
    /// The broker itself where it is in this process. It is dropped last, after its clients.
    embedded: Option<Arc<EmbeddedKafka>>,
}

impl Broker {
    /// The clients of a cluster, which begin to connect; there is no fall-back to the embedded broker.
    pub(crate) fn cluster(bootstrap_servers: &str, properties: &[Property]) -> Result<Self> {
        let config = config_of(properties, bootstrap_servers);
        Self::reached_by(config, format!("broker {bootstrap_servers}"), None)
    }

    /// Starts brokers in this process, on loopback ports that a child process reaches too.
    pub(crate) fn embedded(brokers: usize, properties: &[Property]) -> Result<Self> {
        let embedded = EmbeddedKafka::builder().brokers(brokers).start().map_err(|error| Error::Broker {
            action: "start the embedded broker".to_owned(),
            broker: "127.0.0.1".to_owned(),
            advice: format!("{error:?}"),
            source: None,
        })?;
        let config = config_of(properties, embedded.bootstrap_servers());
        let name = format!("embedded broker {}", embedded.bootstrap_servers());
        Self::reached_by(config, name, Some(Arc::new(embedded)))
    }

    fn reached_by(config: ClientConfig, name: String, embedded: Option<Arc<EmbeddedKafka>>) -> Result<Self> {
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

    /// What messages call it: `embedded broker 127.0.0.1:34567`, `broker kafka:9092`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// How any client reaches it.
    pub(crate) fn client_config(&self) -> ClientConfig {
        service::fit(&self.config, Role::Any)
    }

    /// What a service's consumer wants in a test.
    pub(crate) fn consumer_config(&self, group: &str) -> ClientConfig {
        service::consumer(&self.config, group)
    }

    /// What a service's producer wants in a test that waits so long.
    pub(crate) fn producer_config(&self, timeout: Duration) -> ClientConfig {
        service::producer(&self.config, timeout)
    }

    /// How this crate's own clients reach it.
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

    /// The connection that never fetches.
    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    /// The broker itself, where it is in this process.
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
    let mut own = service::fit(config, role);
    // What a test has deleted must not come back: a producer asks again for every topic that it has ever used.
    own.set("allow.auto.create.topics", "false");
    if is_embedded {
        // A client that has learned its brokers' names lets 11 ms pass before it connects to the one that it needs. With this
        // off it connects to all at once, which are few here.
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
