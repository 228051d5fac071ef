//! The fixtures. No other file uses rstest.

use rstest::fixture;

use crate::handles::{Consumers, Kafka, TopicNames};
use crate::harness::Harness;
use crate::model::error::OrRaise;

/// Returns the test's `Kafka`, from the harness that the environment configures.
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
/// To use a different harness, write a fixture of the same name that returns [`Harness::lease`].
///
/// # Panics
/// Panics if a setting is invalid or the broker does not respond.
#[fixture]
pub fn kafka() -> Kafka {
    Harness::from_environment().try_lease().or_raise()
}

/// Returns the test's topic names, for a service that creates its topics itself. They belong to the same lease as `kafka` and
/// `consumers`.
///
/// # Panics
/// Panics if a setting is invalid or the broker does not respond.
#[fixture]
pub fn topic_names() -> TopicNames {
    Harness::from_environment().try_lease().or_raise().topic_names()
}

/// Returns the test's consumers, for a test that sends with its own clients. They belong to the same lease as `kafka` and
/// `topic_names`.
///
/// # Panics
/// Panics if a setting is invalid or the broker does not respond.
#[fixture]
pub fn consumers() -> Consumers {
    Harness::from_environment().try_lease().or_raise().consumers()
}
