//! The client for requests to the coordinators of groups.

use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rdkafka::ClientConfig;
use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::client::{self, ClientErrors};
use crate::model::error::Result;

/// Creates the client at the first request about a group. One client serves all groups.
pub(crate) struct Coordinators {
    config: ClientConfig,
    broker: String,
    client: Mutex<Option<Arc<CoordinatorClient>>>,
}

/// A client that is closed in the background, because rdkafka's `Drop` takes 100 ms.
pub(crate) struct CoordinatorClient(ManuallyDrop<BaseConsumer<ClientErrors>>);

impl Coordinators {
    pub(crate) fn new(mut config: ClientConfig, broker: &str) -> Self {
        // No client joins this group or commits for it. librdkafka 2.12 crashes without a group if the response to an
        // OffsetFetch says that the coordinator has moved (`rd_kafka_handle_OffsetFetch`).
        config.set("group.id", "rstest-kafka-control").set("client.id", "rstest-kafka-control");
        Self { config, broker: broker.to_owned(), client: Mutex::default() }
    }

    pub(crate) fn client(&self) -> Result<Arc<CoordinatorClient>> {
        let existing = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(existing) = existing {
            return Ok(existing);
        }
        // Not under the lock, so another lane may create one at the same time. The first one stays.
        let created = Arc::new(self.create()?);
        Ok(Arc::clone(self.client.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(created)))
    }

    /// Discards the client `used`, so that the next request uses a new client.
    ///
    /// librdkafka caches a coordinator for 15 minutes (`metadata.max.age.ms`), even if the broker responds that it is not the
    /// coordinator.
    pub(crate) fn renew(&self, used: &Arc<CoordinatorClient>) {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        let old = client.take_if(|client| Arc::ptr_eq(client, used));
        drop(client);
        drop(old);
    }

    fn create(&self) -> Result<CoordinatorClient> {
        let client = client::create(&self.config, ClientErrors::default(), "control client", &self.broker)?;
        Ok(CoordinatorClient(ManuallyDrop::new(client)))
    }
}

impl CoordinatorClient {
    pub(super) fn client(&self) -> &Client<ClientErrors> {
        self.0.client()
    }
}

impl Drop for CoordinatorClient {
    fn drop(&mut self) {
        // SAFETY: this is the only place that takes the client, and nothing uses the field afterwards.
        let client = unsafe { ManuallyDrop::take(&mut self.0) };
        let client = ManuallyDrop::new(client);
        let close = move || drop(ManuallyDrop::into_inner(client));
        // If no thread can be started, the client stays open until the process exits.
        drop(thread::Builder::new().name("rstest-kafka close".to_owned()).stack_size(256 * 1024).spawn(close));
    }
}
