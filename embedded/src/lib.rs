//! An in-memory Apache Kafka for tests: real sockets, the real protocol, a real broker's answers.
//!
//! Use it when a test needs a Kafka and must not need anything that runs already. It starts in about a millisecond, serves
//! any client in any language on loopback ports, and is gone when it is dropped.
//!
//! ```
//! let kafka = embedded_kafka::EmbeddedKafka::start()?;
//! println!("bootstrap.servers={}", kafka.bootstrap_servers());
//! # Ok::<(), embedded_kafka::Error>(())
//! ```

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

/// The README's examples are tests.
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
