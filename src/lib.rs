//! Use rstest-kafka when tests that read and write Kafka are slow, because each makes its topics, consumers and groups anew,
//! or leak into each other, because they don't.
//!
//! Its rstest fixtures hand out topics and connected consumers that earlier tests have used, and show each test exactly
//! what was written after it began. A test that fails takes its topics and consumers out of use.
//!
//! ```rust
//! use rstest::rstest;
//! use rstest_kafka::{Kafka, kafka};
//!
//! #[rstest]
//! #[case::json("json", br#"{"id":1}"#)]
//! #[case::text("text", b"one")]
//! fn ingest_forwards(kafka: Kafka, #[case] kind: &str, #[case] payload: &[u8]) {
//!     let events = kafka.topic("events"); // exists, and begins here for this test
//!     let consumer = kafka.consumer(&events); // from the pool, connected
//!     kafka.send(&events, kind, payload); // returns once the broker has it
//!     let message = consumer.recv(); // waits 5 seconds at most
//!     assert_eq!(message.payload(), Some(payload));
//!     consumer.assert_empty(); // asks the broker, does not sleep
//! }
//! ```
//!
//! Nothing has to be running for that: the broker is embedded, an Apache Kafka inside the test process. With
//! `RSTEST_KAFKA_BOOTSTRAP_SERVERS` set the same tests run on a real cluster. The README has a recipe for each task and a table
//! of all settings; `examples/relay.rs` is a service with its tests.
//!
//! # Where to begin
//!
//! | to | see |
//! |---|---|
//! | get topics and consumers, and send | [`Kafka`], from the fixture [`kafka()`] |
//! | send headers, a timestamp, no key or no value | [`ProducerRecord`] |
//! | receive and assert | [`PooledConsumer`] and [`Record`] |
//! | test a service with a consumer group | [`Kafka::group`], [`Kafka::consumer_config`] and [`Kafka::producer_config`] |
//! | have several partitions, or a topic to oneself | [`TopicSpec`] |
//! | name a topic that the service makes | [`TopicNames`] |
//! | fail a test by returning an `Err` | [`TestResult`] |
//! | see how a service takes a fault of its broker | [`Kafka::faults`] |
//! | configure, or use a second cluster | [`Harness`] |
//! | run several scenarios on one thread, or use another runner | [`Harness::detached_lease`] |
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | run | one invocation of the test runner; its short [`RunId`] is in every name |
//! | worker | a lane in which one test runs at a time; its [`WorkerId`] is in every name |
//! | lease | one test's hold on a worker, from its first fixture to the drop of its last; all fixtures of a test are one lease |
//! | generation | how many tests have failed on this worker so far |
//! | logical topic | what the test calls it: `events` |
//! | topic | what the broker calls it: `test-events-main-1a2b3c4d`, after one failure `test-events-main-1a2b3c4d-f1` |
//! | fence | where each partition of a topic ended when the lease first learned its name |
//! | service under test | your code, in this process or another, with clients of its own |
//!
//! # Rules
//!
//! 1. Two running tests never share a worker. One that hangs, or leaks its fixtures, keeps its own.
//! 2. A test sees exactly the messages that were written after it first learned the topic's name, on every partition,
//!    however full earlier tests have left it, and whenever it asks for the consumer. With [`Kafka::group`] so does the service
//!    under test.
//! 3. After a failed test its worker's next test gets new topics, new groups and new consumers.
//! 4. At exit every consumer is closed, and every topic and group that this process made is deleted: by name, never by
//!    prefix or pattern. The group of a service is deleted soon after its lease, once it has no members.
//! 5. Cleanup never decides a test: no panic in a drop, nothing on stdout, no wait without a deadline.
//! 6. Nothing happens before the first fixture: no thread, no socket, no file.
//! 7. A test on a warm worker makes no topic, client or thread; it costs one offset request per topic and broker.
//! 8. No message, `Debug` output or report shows a password, a key or a token.
//!
//! # What counts as a failure
//!
//! A panic, in the test or in what it joins, also one of a later fixture; an expired `#[timeout]`; an `Err` that the test returns
//! as [`TestResult`]; a call of [`Kafka::mark_failed`]; a send that was not acknowledged in time, or that was dropped before it was,
//! since its message may still come. An `Err` of another type shows nothing of itself: the test may count as passed. A panic that
//! the test expects or catches, and a [`TestError`] that it shows by `Debug`, count too: a false alarm costs one fresh topic.
//!
//! # What defeats cleanup
//!
//! The embedded broker ends with the process, and nothing of it is left, however the process ends. On a real cluster topics
//! and groups are left behind when no exit function runs:
//!
//! - after an abort, a stack overflow or a SIGKILL, and after SIGINT (Ctrl-C) and SIGTERM, which nobody handles in a test
//!   process;
//! - after `process::exit` on Windows, which may skip them, and which the test runner calls when a test has failed;
//! - in the child of a fork, which leaves everything to its parent;
//! - when the broker does not answer within the exit deadline ([`HarnessBuilder::exit_deadline`], 5 s): what is left is named on
//!   stderr.
//!
//! What is left behind stands in the ledger, a file in the state folder ([`HarnessBuilder::state_dir`]): the next run deletes it in
//! the background, or [`sweep`] does.
//!
//! A test that never ends, or that leaks its fixtures (`mem::forget`), does not defeat it: what it holds is closed and deleted too.
//! [`HarnessBuilder::keep_topics`] turns the deleting off, to look at the topics of a failed test.
//!
//! # Under cargo-nextest
//!
//! Each test is a process of its own, with an embedded broker of its own. On a real cluster a worker is nextest's global slot: its
//! topics are made once per run and reused by every process that gets the slot, until a failure. What the run leaves is swept by
//! the next one, or by [`sweep`].
//!
//! # Features
//!
//! - `tokio` (default): rdkafka's own tokio consumers and producers, for users of the re-export [`rdkafka`]. The fixtures work on
//!   any runtime, and without one.
//! - `json`: `Record::json`, [`PooledConsumer`]'s `recv_json`, and their twins.
//! - `ssl`, `ssl-vendored`: TLS and SCRAM. `sasl`, `gssapi`: Kerberos. `zstd`, `cmake-build`, `dynamic-linking`: how librdkafka is
//!   built. All are rdkafka's.
//!
//! Rust 1.89 or newer. librdkafka is compiled along: that takes a C compiler, a C++ compiler and make.

#![warn(missing_docs, unreachable_pub)]

mod broker;
mod cluster;
mod config;
mod fixtures;
mod handles;
mod harness;

mod lease;
mod ledger;
mod model;
mod report;
mod sync;
mod worker;

pub use rdkafka;

pub use crate::broker::{Capabilities, pairs};
pub use crate::cluster::pool::{ConsumerContext, ConsumerRuntime, PoolClient};
pub use crate::config::{FailureAccount, KeepTopics};
pub use crate::fixtures::{consumers, kafka, topic_names};
pub use crate::handles::consumer::PooledConsumer;
pub use crate::handles::faults::Faults;
pub use crate::handles::group::Group;
pub use crate::handles::within::Within;
pub use crate::handles::{Consumers, Kafka, TopicNames};
pub use crate::harness::{Harness, HarnessBuilder};
pub use crate::lease::test_result::{TestError, TestResult};
pub use crate::ledger::sweep::{Swept, sweep};
pub use crate::model::error::{Error, GroupLag, LaggingPartition, PartitionState, ReceiveTimeout, Result};
pub use crate::model::ids::{RunId, WorkerId};
pub use crate::model::producer_record::{Delivery, ProducerRecord};
pub use crate::model::record::Record;
pub use crate::model::topic::{Topic, TopicRef, TopicSpec};
pub use crate::report::Report;
pub use crate::report::stats::Stats;
pub use embedded_kafka::{ApiKey as Request, ErrorCode, Fault};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
