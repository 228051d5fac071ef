//! The fixtures; the only file that names rstest.

use rstest::fixture;

use crate::error::OrRaise;
use crate::guards::{Consumers, Kafka, TopicNames};
use crate::harness::Harness;

/// A test's Kafka, from the harness that the environment configures.
///
/// # Panics
/// As [`Harness::lease`].
#[fixture]
pub fn kafka() -> Kafka {
    Harness::from_environment().try_lease().or_raise()
}

/// A test's topic names, of the same lease as its `kafka` and `consumers`.
///
/// # Panics
/// As [`Harness::lease`].
#[fixture]
pub fn topic_names() -> TopicNames {
    Harness::from_environment().try_lease().or_raise().topic_names()
}

/// A test's consumers, of the same lease as its `kafka` and `topic_names`.
///
/// # Panics
/// As [`Harness::lease`].
#[fixture]
pub fn consumers() -> Consumers {
    Harness::from_environment().try_lease().or_raise().consumers()
}
