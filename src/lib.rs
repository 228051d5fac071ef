//! Use rstest-kafka when tests that touch Kafka are slow and leak into each other.
#![warn(missing_docs, unreachable_pub)]

mod broker;
mod closer;
mod config;
mod connection;
mod consumer;
mod error;
mod exit_status;
mod failure;
mod fault;
mod fixtures;
mod flight;
mod group;
mod guards;
mod harness;
mod lane;
mod lease;
mod ledger;
mod pool;
mod producer;
mod record;
mod registry;
mod stats;
mod sweep;
mod topic;
mod wait;
mod worker;
mod worker_state;

pub use rdkafka;

pub use crate::broker::Capabilities;
pub use crate::config::{KeepTopics, Report};
pub use crate::consumer::{ConsumerContext, ConsumerRuntime, PoolClient, PooledConsumer};
pub use crate::error::{Error, GroupLag, LaggingPartition, PartitionState, ReceiveTimeout, Result};
pub use crate::failure::{TestError, TestResult};
pub use crate::fixtures::{consumers, kafka, topic_names};
pub use crate::group::Group;
pub use crate::guards::{Consumers, Kafka, TopicNames};
pub use crate::harness::{Harness, HarnessBuilder};
pub use crate::record::Record;
pub use crate::stats::Stats;
pub use crate::sweep::{Swept, sweep};
pub use crate::topic::{Topic, TopicRef, TopicSpec};
pub use crate::worker::{RunId, WorkerId};
