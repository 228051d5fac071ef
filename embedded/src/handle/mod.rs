//! The handle to a running broker.

mod faults;
mod look;
mod time;

use std::thread::{self, JoinHandle};

use mio::Waker;
use mio::net::TcpListener;

use crate::builder::Builder;
use crate::error::{Error, Result};
#[cfg(feature = "tls")]
use crate::server::Tls;
use crate::server::{Server, Shared};
use crate::state::Cluster;

/// A running in-memory Kafka.
///
/// When it is dropped, its sockets are closed, its thread exits and its memory is freed.
#[must_use = "a broker stops when it is dropped"]
pub struct EmbeddedKafka {
    bootstrap_servers: String,
    server: Shared,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
    /// The id of the process that runs the thread. A forked child has the handle, but not the thread.
    process: u32,
}

impl EmbeddedKafka {
    /// Starts one broker with the default settings on a free port.
    ///
    /// # Errors
    /// Returns [`Error::Io`] if the operating system refuses a socket or a thread.
    pub fn start() -> Result<Self> {
        Self::builder().start()
    }

    /// Returns a builder with the default settings.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn run(
        sockets: Vec<(i32, TcpListener)>,
        cluster: Cluster,
        #[cfg(feature = "tls")] tls: Option<Tls>,
    ) -> Result<Self> {
        let addresses: Vec<String> =
            cluster.brokers.iter().map(|broker| format!("{}:{}", broker.host, broker.port)).collect();
        let (server, poll, waker) = Server::shared(sockets, cluster).map_err(Error::io("set up the event loop"))?;
        #[cfg(feature = "tls")]
        {
            server.lock().tls = tls;
        }
        let served = server.clone();
        let thread = thread::Builder::new()
            .name("embedded-kafka".to_owned())
            .spawn(move || served.run(poll))
            .map_err(Error::io("start the broker's thread"))?;
        Ok(Self {
            bootstrap_servers: addresses.join(","),
            server,
            waker,
            thread: Some(thread),
            process: std::process::id(),
        })
    }

    /// Returns the addresses of all brokers, separated by commas, such as `127.0.0.1:34567`.
    ///
    /// Clients in other processes and other languages can connect to them too.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Returns the CA certificate of the brokers in PEM format, or `None` if [`Builder::tls`] is not set.
    ///
    /// Set a client's `ssl.ca.pem` (librdkafka) or `ssl.truststore.certificates` (Java) to it.
    #[cfg(feature = "tls")]
    pub fn ca_certificate(&self) -> Option<String> {
        self.look(|server| server.tls.as_ref().map(|tls| tls.ca.clone())).flatten()
    }

    /// Reads the state of the broker. Returns `None` in a forked child, because the child has no broker.
    fn look<R>(&self, question: impl FnOnce(&Server) -> R) -> Option<R> {
        self.is_here().then(|| question(&self.server.lock()))
    }

    /// Changes the state of the broker. Returns `None` in a forked child.
    fn change<R>(&self, change: impl FnOnce(&mut Server) -> R) -> Option<R> {
        if !self.is_here() {
            return None;
        }
        let changed = change(&mut self.server.lock());
        // Wake the thread, because the change may have shortened its sleep.
        let _ = self.waker.wake();
        Some(changed)
    }

    /// Changes the state of the broker, which may refuse the change.
    fn order(&self, order: impl FnOnce(&mut Server) -> Result<()>) -> Result<()> {
        let forked = || Err(Error::refused("control the broker", "it runs in the parent of this forked process"));
        self.change(order).unwrap_or_else(forked)
    }

    /// Returns whether the broker's thread runs in this process. In a forked child, the lock may stay locked forever.
    fn is_here(&self) -> bool {
        std::process::id() == self.process
    }
}

impl Drop for EmbeddedKafka {
    fn drop(&mut self) {
        if self.change(Server::stop).is_none() {
            return;
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for EmbeddedKafka {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedKafka").field("bootstrap_servers", &self.bootstrap_servers).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::ApiKey;

    use super::*;

    #[test]
    fn a_forked_child_neither_waits_for_the_thread_nor_stops_it() {
        let mut kafka = EmbeddedKafka::start().unwrap();
        kafka.process = kafka.process.wrapping_add(1);
        assert_eq!(kafka.requests(ApiKey::Produce), 0);
        assert!(matches!(kafka.clear_faults(), Err(Error::Refused { .. })));
        let (address, thread) = (kafka.bootstrap_servers().to_owned(), kafka.thread.take());
        drop(kafka);
        assert!(std::net::TcpStream::connect(address).is_ok());
        drop(thread);
    }
}
