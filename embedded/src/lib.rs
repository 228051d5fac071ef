//! An in-memory Kafka broker for tests.
//!
//! A broker listens on loopback ports, speaks Kafka's protocol, and answers as Apache Kafka 4.1 does. Clients in any language can
//! connect to it, from this process or from another one. It starts in a few milliseconds. When it is dropped, its sockets, its
//! thread and its memory are freed.
//!
//! ```
//! let kafka = embedded_kafka::EmbeddedKafka::start()?;
//! println!("bootstrap.servers={}", kafka.bootstrap_servers());
//! # Ok::<(), embedded_kafka::Error>(())
//! ```
//!
//! | To | see |
//! |---|---|
//! | start several brokers, or set a port or a broker setting | [`EmbeddedKafka::builder`] |
//! | make requests fail, hang or take longer | [`EmbeddedKafka::fault`] and [`Fault`] |
//! | stop a broker, or move a leader | [`EmbeddedKafka::broker_down`], [`EmbeddedKafka::move_leader`] |
//! | set the broker's clock forward | [`EmbeddedKafka::pause_time`], [`EmbeddedKafka::advance`] |
//! | inspect requests, logs, groups and transactions | [`EmbeddedKafka::requests`] and its neighbours, which return the types in [`view`] |
//!
//! The README lists the requests that the broker serves, the clients that were tried, and the differences from Apache Kafka.

mod api;
mod builder;
mod clock;
mod error;
mod fault;
mod handle;
mod server;
mod state;
pub mod view;
mod wire;

/// Runs the README's examples as doctests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use kafka_protocol::ResponseError as ErrorCode;
pub use kafka_protocol::messages::ApiKey;

#[cfg(fuzzing)]
#[doc(hidden)]
pub use self::server::fuzzing;

pub use self::builder::Builder;
pub use self::error::{Error, Result};
pub use self::fault::Fault;
pub use self::handle::EmbeddedKafka;
