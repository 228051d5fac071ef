//! A test's consumers.

use std::fmt;
use std::marker::PhantomData;

use super::consumer::PooledConsumer;
use super::mode::{Mode, Panics};
use crate::lease::LeaseGuard;
use crate::model::topic::TopicRef;

/// The consumers of a test, for a test that sends with its own clients.
#[must_use = "a test's lease ends when its last fixture is dropped"]
#[derive(Clone)]
pub struct Consumers<M: Mode = Panics> {
    lease: LeaseGuard,
    mode: PhantomData<M>,
}

impl<M: Mode> Consumers<M> {
    pub(crate) fn new(lease: LeaseGuard) -> Self {
        Self { lease, mode: PhantomData }
    }

    /// Returns a consumer of the topic that starts at the fence of every partition, like
    /// [`Kafka::consumer`](crate::Kafka::consumer).
    ///
    /// # Errors
    /// Fails with the same errors as [`Kafka::consumer`](crate::Kafka::consumer).
    #[track_caller]
    pub fn consumer(&self, topic: impl Into<TopicRef>) -> M::Setup<PooledConsumer<M>> {
        M::set_up(PooledConsumer::take(self.lease.clone(), topic.into()))
    }
}

impl<M: Mode> fmt::Debug for Consumers<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Consumers").field(&self.lease).finish()
    }
}
