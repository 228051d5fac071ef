//! A running broker, as a test holds it.

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

/// A Kafka in this process. Its sockets, its thread and its memory are gone when its drop returns.
#[must_use = "a broker ends when it is dropped"]
pub struct EmbeddedKafka {
    bootstrap_servers: String,
    server: Shared,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
    /// The process that has the thread: a child that was forked has the handle, but no thread.
    process: u32,
}

impl EmbeddedKafka {
    /// Starts one broker with the default settings on a free port.
    ///
    /// # Errors
    /// [`Error::Io`] when the operating system refuses a socket or a thread.
    pub fn start() -> Result<Self> {
        Self::builder().start()
    }

    /// Sets a broker up.
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

    /// Where clients reach the brokers: `127.0.0.1:34567`, with commas between several. It is also good for child processes
    /// and clients in other languages.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// The certificate of the authority that has signed the brokers' certificates, in PEM: what a client's
    /// `ssl.ca.pem` or `ssl.truststore.certificates` takes. `None` without [`Builder::tls`].
    #[cfg(feature = "tls")]
    pub fn ca_certificate(&self) -> Option<String> {
        self.look(|server| server.tls.as_ref().map(|tls| tls.ca.clone())).flatten()
    }

    /// Looks at the broker; `None` in a child that was forked, which has no broker.
    fn look<R>(&self, question: impl FnOnce(&Server) -> R) -> Option<R> {
        self.is_here().then(|| question(&self.server.lock()))
    }

    /// Has the broker do something; `None` in a child that was forked.
    fn change<R>(&self, change: impl FnOnce(&mut Server) -> R) -> Option<R> {
        if !self.is_here() {
            return None;
        }
        let changed = change(&mut self.server.lock());
        // Its thread may have less time to sleep now.
        let _ = self.waker.wake();
        Some(changed)
    }

    /// Has the broker do something that may be refused.
    fn order(&self, order: impl FnOnce(&mut Server) -> Result<()>) -> Result<()> {
        let forked = || Err(Error::refused("ask the broker", "it has no thread in this process"));
        self.change(order).unwrap_or_else(forked)
    }

    /// Whether this is the process that the broker's thread is in. Elsewhere the lock may be taken for ever.
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
    fn a_forked_child_neither_waits_for_the_thread_nor_ends_it() {
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
