//! The fixtures; the only file that names rstest.

use rstest::fixture;

use crate::handles::{Consumers, Kafka, TopicNames};
use crate::harness::Harness;
use crate::model::error::OrRaise;

/// A test's Kafka, from the harness that the environment configures.
///
/// ```no_run
/// use rstest::rstest;
/// use rstest_kafka::{Kafka, kafka};
///
/// #[rstest]
/// fn is_delivered(kafka: Kafka) {
///     let consumer = kafka.consumer("events");
///     kafka.send("events", "key", "value");
///     assert_eq!(consumer.recv().text(), "value");
/// }
/// ```
///
/// For another harness write a fixture of the same name that returns [`Harness::lease`].
///
/// # Panics
/// As [`Harness::lease`].
#[fixture]
pub fn kafka() -> Kafka {
    Harness::from_environment().try_lease().or_raise()
}

/// A test's topic names, of the same lease as its `kafka` and `consumers`: for a service that makes its topics itself.
///
/// # Panics
/// As [`Harness::lease`].
#[fixture]
pub fn topic_names() -> TopicNames {
    Harness::from_environment().try_lease().or_raise().topic_names()
}

/// A test's consumers, of the same lease as its `kafka` and `topic_names`: for a test that sends with clients of its own.
///
/// # Panics
/// As [`Harness::lease`].
#[fixture]
pub fn consumers() -> Consumers {
    Harness::from_environment().try_lease().or_raise().consumers()
}
