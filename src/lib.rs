//! rstest fixtures that give each test its own Kafka topics and connected consumers, and reuse them from test to test.
//!
//! ```rust
//! use rstest::rstest;
//! use rstest_kafka::{Kafka, kafka};
//!
//! #[rstest]
//! fn every_consumer_receives_every_message(kafka: Kafka) {
//!     let (first, second) = (kafka.consumer("events"), kafka.consumer("events"));
//!     kafka.send("events", "key", "value");
//!     assert_eq!(first.recv().text(), "value");
//!     assert_eq!(second.recv().text(), "value");
//! }
//! ```
//!
//! The README introduces the crate. It has a recipe for each task, a table of all settings, and the figures. This page defines
//! the terms, and what the crate guarantees. `examples/relay.rs` is a service with its tests.
//!
//! | To | see |
//! |---|---|
//! | get topics and consumers, and send messages | [`Kafka`], from the fixture [`kafka()`] |
//! | receive messages and assert on them | [`PooledConsumer`] and [`Record`] |
//! | send headers, a timestamp, no key or no value | [`ProducerRecord`] |
//! | get several partitions, or a topic that no other test uses | [`TopicSpec`] |
//! | test a service that reads with a consumer group | [`Kafka::group`], [`Kafka::consumer_config`] and [`Kafka::producer_config`] |
//! | test a service that creates its topic | [`TopicNames`], from the fixture [`topic_names()`] |
//! | test how a service handles broker faults | [`Kafka::faults`] |
//! | fail a test by returning an `Err` | [`TestResult`] |
//! | configure the broker, the names and the timeouts | [`Harness`] |
//! | run several scenarios on one thread, or use another runner | [`Harness::detached_lease`] |
//! | delete what killed runs left on a cluster | [`sweep()`] |
//!
//! # Terms
//!
//! | Term | Meaning |
//! |---|---|
//! | run | one invocation of the test runner; the short [`RunId`] is part of every name |
//! | worker | runs one test at a time; a process has as many workers as it runs tests in parallel; the [`WorkerId`] is part of every name |
//! | lease | the use of a worker by one test, from the creation of its first fixture to the drop of its last; all fixtures of a test belong to one lease |
//! | generation | the number of tests that have failed on this worker so far |
//! | logical topic | a topic by the test's name for it: `events` |
//! | topic | a topic by the broker's name for it: `test-events-main-1a2b3c4d`, and after one failure `test-events-main-1a2b3c4d-f1` |
//! | fence | the end offset of each partition at the time the lease first named the topic |
//! | service under test | your code, in this process or in another one, with its own Kafka clients |
//!
//! # Rules
//!
//! 1. Two running tests never share a worker. If a test hangs or leaks its fixtures, it keeps its worker.
//! 2. A test receives exactly the messages that were written after its fence, on every partition, no matter how full earlier
//!    tests left the topic, and no matter when the test asks for the consumer. With [`Kafka::group`], the same is true of the
//!    service under test.
//! 3. After a failed test, the next test on the same worker gets new topics, new groups and new consumers.
//! 4. At exit, every consumer is closed, and every topic and group that this process created is deleted. The group of a service
//!    is deleted soon after its lease, once the group has no members. If a process is killed, the next run deletes what is
//!    left.
//! 5. Topics and groups are deleted by name, never by prefix or pattern; never on another cluster than the one they were
//!    created on; and never while the run that created them may be alive.
//! 6. Cleanup never decides the result of a test. It does not panic, writes nothing to stdout, and never waits without a
//!    deadline.
//! 7. No lock is held while a broker is asked. A topic whose broker is slow never delays another worker.
//! 8. Before the first fixture is used, the crate starts no thread, opens no socket and writes no file.
//! 9. On a warm worker, a test creates no topic, client or thread. It costs one offset request per topic and broker.
//! 10. No message, `Debug` output or report contains a password, a key or a token.
//!
//! If a topic has several replicas, rule 2 needs writers with `acks=all`, the default of librdkafka and of Java's client. With
//! `acks=1`, a message can be acknowledged before readers can see it, and then appear behind the fence of the next test.
//!
//! An open transaction hides all later messages from readers of committed messages, including the messages of the next test. A
//! test that leaves a transaction open needs an exclusive topic ([`TopicSpec::exclusive`]). Otherwise the timeout error of the
//! next test names the transaction.
//!
//! # What counts as a failure
//!
//! A test has failed if
//!
//! - it panics, even if it has moved or dropped its fixtures; or a task or thread that it joins panics, or a later fixture;
//! - its `#[timeout]` expires;
//! - it returns an `Err` as a [`TestResult`];
//! - it calls [`Kafka::mark_failed`];
//! - the broker does not acknowledge a message in time, or the test drops an asynchronous send before it completes: the message
//!   may still be written during the next test.
//!
//! If a test returns an `Err` of another type, or `ExitCode::FAILURE`, the crate does not notice the failure. There is one
//! exception: under cargo-nextest on Linux with glibc, the exit status shows it.
//!
//! A panic that the test expects or catches also counts as a failure, and so does formatting a [`TestError`] with `Debug`. This
//! costs one fresh topic.
//!
//! # What defeats cleanup
//!
//! The embedded broker ends with the process and leaves nothing behind, however the process ends. On a real cluster, topics and
//! groups are left behind if no exit function runs or the broker does not answer:
//!
//! - after an abort, a stack overflow or SIGKILL;
//! - after SIGINT (Ctrl-C) or SIGTERM, unless the test process handles the signal;
//! - after `process::exit` on Windows, which may skip exit functions; the test runner calls it if a test has failed;
//! - in the child of a fork, which leaves cleanup to its parent;
//! - if the broker does not answer within the exit deadline ([`HarnessBuilder::exit_deadline`]). Whatever could not be deleted
//!   is listed on stderr.
//!
//! A test that never ends, or that leaks its fixtures with `mem::forget`, does not defeat cleanup.
//!
//! Whatever is left behind is recorded in the ledger, a file of JSON lines in the state directory
//! ([`HarnessBuilder::state_dir`]). Each topic and group is recorded before it is created, and removed when the broker has
//! confirmed its deletion. The next run with the same state directory deletes what the ledgers of dead runs list, in the
//! background; [`sweep()`] deletes it at once. If a ledger cannot be read, the file is set aside and named on stderr, and
//! nothing that it lists is deleted. A killed process loses nothing of its ledger, but a machine that crashes may lose the
//! last lines. If a CI machine loses its disk, it also loses its ledgers.
//!
//! [`HarnessBuilder::keep_topics`] keeps topics on purpose, such as those of a failed test.
//!
//! # Features
//!
//! - `rstest` (default): the fixtures. Without it a [`Harness`] serves `#[tokio::test]`, cucumber and other runners.
//! - `tokio` (default): rdkafka's tokio support, for users of the re-export [`rdkafka`]. The fixtures do not need it: they work
//!   on any runtime, and without one.
//! - `json`: `Record::json`, `PooledConsumer::recv_json`, and their variants.
//! - `report`: the HTML report of a run, and its data as JSON lines ([`Report::Html`]).
//! - `ssl`, `ssl-vendored`: TLS and SCRAM. `sasl`, `gssapi`: Kerberos. `zstd`, `cmake-build`, `dynamic-linking`: how librdkafka
//!   is built. rdkafka has features of the same names.

#![warn(missing_docs, unreachable_pub)]

mod broker;
mod cluster;
mod config;
#[cfg(feature = "rstest")]
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
pub use crate::config::{FailureReport, KeepTopics, Report};
#[cfg(feature = "rstest")]
pub use crate::fixtures::{consumers, kafka, topic_names};
pub use crate::handles::consumer::PooledConsumer;
pub use crate::handles::faults::Faults;
pub use crate::handles::group::Group;
pub use crate::handles::mode::{Checked, Mode, Nonblocking, Panics};
pub use crate::handles::{Consumers, Kafka, TopicNames};
pub use crate::harness::{Harness, HarnessBuilder};
pub use crate::lease::test_result::{TestError, TestResult};
pub use crate::ledger::sweep::{Swept, sweep};
pub use crate::model::error::{Error, GroupLag, LaggingPartition, PartitionState, ReceiveTimeout, Result};
pub use crate::model::ids::{RunId, WorkerId};
pub use crate::model::producer_record::{Delivery, ProducerRecord};
pub use crate::model::record::Record;
pub use crate::model::topic::{Topic, TopicRef, TopicSpec};
pub use crate::report::stats::Stats;
pub use embedded_kafka::{ApiKey as Request, ErrorCode, Fault};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
