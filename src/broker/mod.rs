//! What a broker must do for a harness, whatever it is; the lowest layer, which knows none of the others.

mod client;
mod cluster;
mod control;
mod coordinators;
mod embedded;
mod end_offsets;
mod faults;
mod gather;
mod groups;
mod java;
mod properties;

use std::fmt::Debug;

use rdkafka::ClientConfig;

pub(crate) use self::client::{ClientErrors, Secret, code_of, create as create_client};
pub(crate) use self::cluster::Cluster;
pub(crate) use self::control::{Control, Partitions, is_passing, is_unknown_topic};
pub(crate) use self::embedded::Embedded;
pub use self::faults::Request;
pub(crate) use self::groups::PartitionOffset;
pub(crate) use self::properties::{Property, read as read_properties};

use crate::error::Result;
use crate::wait::Deadline;

/// A producer has three threads of its own, so their number is bounded.
pub(crate) const MOST_PRODUCERS: usize = 32;

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
#[derive(Debug, Clone, PartialEq, Eq)]
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

pub(crate) trait Broker: Debug + Send + Sync {
    /// What messages call it: `embedded broker 127.0.0.1:34567`, `broker kafka:9092`.
    fn name(&self) -> &str;

    fn bootstrap_servers(&self) -> &str;

    /// How any client reaches it; a consumer's fetch wait included where the broker needs a short one.
    fn client_config(&self) -> ClientConfig;

    fn capabilities(&self) -> Capabilities;

    /// How many lanes share a producer, whose requests a broker serves in turn: librdkafka sends one for each partition.
    fn lanes_of_a_producer(&self) -> usize;

    /// The connection that never fetches.
    fn control(&self) -> &Control;

    /// Asks for topics, in one request where the broker takes several; they need not have leaders yet. One outcome for
    /// each, in their order.
    fn create_topics(&self, topics: &[(&str, &Shape)], deadline: Deadline) -> Vec<Result<Creation>>;

    /// Deletes topics in one request; a missing one counts as deleted. Returns those that are left, with the reason.
    fn delete_topics(&self, names: &[String], deadline: Deadline) -> Vec<(String, String)>;

    /// The same for groups.
    fn delete_groups(&self, names: &[String], deadline: Deadline) -> Vec<(String, String)>;
}
