//! The settings of a broker before it starts.

use std::net::Ipv4Addr;

use mio::net::TcpListener;

use crate::error::{Error, Result};
use crate::handle::EmbeddedKafka;
#[cfg(feature = "tls")]
use crate::server::Tls;
use crate::state::configs::Configs;
#[cfg(feature = "sasl")]
use crate::state::logins::Logins;
use crate::state::{Broker, Cluster};

/// Configures and starts an [`EmbeddedKafka`].
///
/// ```
/// let kafka = embedded_kafka::EmbeddedKafka::builder().brokers(3).default_partitions(4).start()?;
/// assert_eq!(kafka.bootstrap_servers().split(',').count(), 3);
/// # Ok::<(), embedded_kafka::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `start` is called"]
pub struct Builder {
    brokers: usize,
    port: u16,
    configs: Vec<(String, String)>,
    most_log_bytes: Option<usize>,
    #[cfg(feature = "sasl")]
    logins: Logins,
    #[cfg(feature = "tls")]
    tls: bool,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            brokers: 1,
            port: 0,
            configs: Vec::new(),
            most_log_bytes: None,
            #[cfg(feature = "sasl")]
            logins: Logins::default(),
            #[cfg(feature = "tls")]
            tls: false,
        }
    }

    /// Sets the number of brokers, from 1 to 9. The default is 1. Broker ids start at 1.
    pub fn brokers(mut self, brokers: usize) -> Self {
        self.brokers = brokers;
        self
    }

    /// Sets the port of the first broker on 127.0.0.1. The other brokers use the ports after it.
    ///
    /// If the port is 0, which is the default, each broker uses a free port.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Limits the total size of all logs in bytes. The default is 4 GiB.
    ///
    /// If a Produce request would exceed the limit, the broker refuses it with `POLICY_VIOLATION`. Deleting topics or records
    /// frees space.
    pub fn max_log_bytes(mut self, bytes: usize) -> Self {
        self.most_log_bytes = Some(bytes);
        self
    }

    /// Sets how many partitions a topic gets if its creation names no number. The default is 1.
    ///
    /// This is Kafka's `num.partitions`.
    pub fn default_partitions(self, partitions: i32) -> Self {
        self.config("num.partitions", partitions.to_string())
    }

    /// Sets whether the broker creates a missing topic when a client uses it. The default is true.
    ///
    /// This is Kafka's `auto.create.topics.enable`.
    pub fn auto_create(self, enabled: bool) -> Self {
        self.config("auto.create.topics.enable", enabled.to_string())
    }

    /// Sets a broker configuration property, by its name in Kafka.
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.configs.push((name.into(), value.into()));
        self
    }

    /// Adds a user that can log in with SASL PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
    ///
    /// If there is at least one user, the brokers refuse clients that do not log in. Call this method again for each further
    /// user. In ACLs, the principal of the user is `User:` followed by the name.
    ///
    /// ```
    /// let kafka = embedded_kafka::EmbeddedKafka::builder().sasl("tester", "secret").start()?;
    /// # Ok::<(), embedded_kafka::Error>(())
    /// ```
    #[cfg(feature = "sasl")]
    pub fn sasl(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.logins.add(user.into(), password.into());
        self
    }

    /// Encrypts all connections with TLS. The brokers create a certificate for 127.0.0.1 and `localhost` when they start.
    ///
    /// Clients must trust [`EmbeddedKafka::ca_certificate`]. They need no client certificate.
    ///
    /// ```
    /// let kafka = embedded_kafka::EmbeddedKafka::builder().tls().start()?;
    /// assert!(kafka.ca_certificate().unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    /// # Ok::<(), embedded_kafka::Error>(())
    /// ```
    #[cfg(feature = "tls")]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Starts the brokers.
    ///
    /// # Errors
    /// Returns [`Error::Setting`] if a setting has an invalid value. Returns [`Error::Io`] if the operating system refuses a
    /// socket or a thread, for example because the port is in use.
    pub fn start(self) -> Result<EmbeddedKafka> {
        if !(1..=9).contains(&self.brokers) {
            return Err(Error::setting("brokers", self.brokers, "expected a number from 1 to 9"));
        }
        if self.port != 0 && usize::from(self.port) + self.brokers > usize::from(u16::MAX) + 1 {
            let expected = format!("{} brokers need that many consecutive ports, and 65535 is the last", self.brokers);
            return Err(Error::setting("port", self.port, expected));
        }
        #[cfg(feature = "sasl")]
        if let Some(user) = self.logins.bad() {
            return Err(Error::setting("sasl", user, "expected a user name and a password, both not empty"));
        }
        let configs = Configs::new(self.configs, self.brokers)
            .map_err(|(name, value, expected)| Error::setting(&name, value, expected))?;
        let mut sockets = Vec::with_capacity(self.brokers);
        let mut brokers = Vec::with_capacity(self.brokers);
        for n in 0..self.brokers {
            let port = if self.port == 0 { 0 } else { self.port + n as u16 };
            let id = n as i32 + 1;
            let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, port).into())
                .map_err(Error::io(format!("listen on port {port} of 127.0.0.1 for broker {id}")))?;
            let address = socket.local_addr().map_err(Error::io("read the address of a socket"))?;
            brokers.push(Broker { id, host: address.ip().to_string(), port: address.port(), up: true });
            sockets.push((id, socket));
        }
        let mut cluster = Cluster::new(brokers, configs);
        if let Some(bytes) = self.most_log_bytes {
            cluster.topics.bound(bytes);
        }
        #[cfg(feature = "sasl")]
        {
            cluster.scram.log_in_with(&self.logins);
            cluster.logins = self.logins;
        }
        EmbeddedKafka::run(
            sockets,
            cluster,
            #[cfg(feature = "tls")]
            self.tls.then(Tls::new).transpose()?,
        )
    }
}
