//! The client that asks the coordinators of groups.

use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rdkafka::ClientConfig;
use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::client::{self, ClientErrors};
use crate::model::error::Result;

/// Makes the client at the first question about a group; one serves all groups.
pub(crate) struct Coordinators {
    config: ClientConfig,
    broker: String,
    client: Mutex<Option<Arc<Asking>>>,
}

/// A client that asks, closed off the path of whoever asked last: rdkafka's Drop takes 100 ms.
pub(crate) struct Asking(ManuallyDrop<BaseConsumer<ClientErrors>>);

impl Coordinators {
    pub(crate) fn new(mut config: ClientConfig, broker: &str) -> Self {
        // Never joined and never committed for. librdkafka 2.12 takes for granted that it has a group when the answer to an
        // OffsetFetch says that the coordinator has moved (`rd_kafka_handle_OffsetFetch`), and crashes without.
        config.set("group.id", "rstest-kafka-control").set("client.id", "rstest-kafka-control");
        Self { config, broker: broker.to_owned(), client: Mutex::default() }
    }

    pub(crate) fn client(&self) -> Result<Arc<Asking>> {
        let made = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(made) = made {
            return Ok(made);
        }
        let fresh = Arc::new(self.make()?);
        // Another lane may have been faster.
        Ok(Arc::clone(self.client.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fresh)))
    }

    /// Has the next question asked by a new client, in place of `used`.
    ///
    /// librdkafka keeps the coordinator that it was told for 15 minutes (`metadata.max.age.ms`), also when it answers that
    /// it is none.
    pub(crate) fn renew(&self, used: &Arc<Asking>) {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        let old = client.take_if(|client| Arc::ptr_eq(client, used));
        drop(client);
        drop(old);
    }

    fn make(&self) -> Result<Asking> {
        let client = client::create(&self.config, ClientErrors::default(), "control client", &self.broker)?;
        Ok(Asking(ManuallyDrop::new(client)))
    }
}

impl Asking {
    pub(super) fn client(&self) -> &Client<ClientErrors> {
        self.0.client()
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        // SAFETY: this is the only place that takes it, and nothing looks at it afterwards.
        let client = unsafe { ManuallyDrop::take(&mut self.0) };
        let client = ManuallyDrop::new(client);
        let close = move || drop(ManuallyDrop::into_inner(client));
        // Without a thread to be had it stays open until the process ends.
        drop(thread::Builder::new().name("rstest-kafka close".to_owned()).stack_size(256 * 1024).spawn(close));
    }
}
