//! How a broker is set up before it starts.

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

/// Sets up an [`EmbeddedKafka`].
///
/// ```
/// let kafka = embedded_kafka::EmbeddedKafka::builder().brokers(3).default_partitions(4).start()?;
/// assert_eq!(kafka.bootstrap_servers().split(',').count(), 3);
/// # Ok::<(), embedded_kafka::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder starts nothing before `start`"]
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

    /// How many brokers there are, 1 to 9; 1 by default. Their ids count from 1.
    pub fn brokers(mut self, brokers: usize) -> Self {
        self.brokers = brokers;
        self
    }

    /// The port of the first broker on 127.0.0.1; the others take the ones after it. By default, and with 0, each broker takes
    /// a port that is free.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// How many bytes the logs of all topics may take together, 4 GiB by default. What would take more is refused with
    /// `POLICY_VIOLATION`, so that no record is lost and no machine runs out of memory; deletion makes room again.
    pub fn max_log_bytes(mut self, bytes: usize) -> Self {
        self.most_log_bytes = Some(bytes);
        self
    }

    /// How many partitions a topic has that is made without a number: Kafka's `num.partitions`, 1 by default.
    pub fn default_partitions(self, partitions: i32) -> Self {
        self.config("num.partitions", partitions.to_string())
    }

    /// Whether a topic is made when a client asks for it: Kafka's `auto.create.topics.enable`, true by default.
    pub fn auto_create(self, enabled: bool) -> Self {
        self.config("auto.create.topics.enable", enabled.to_string())
    }

    /// A setting of the brokers, by Kafka's name.
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.configs.push((name.into(), value.into()));
        self
    }

    /// Lets a user log in, by SASL PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, and refuses clients that do not log in. May be called
    /// for several users. ACLs know the user as `User:` and the name.
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

    /// Encrypts the connections by TLS, with a certificate for 127.0.0.1 and `localhost` that is made at the start.
    ///
    /// Clients trust it by [`EmbeddedKafka::ca_certificate`]; they show no certificate of their own.
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
    /// [`Error::Setting`] for a setting that the broker cannot take, before anything is started, and [`Error::Io`] when the
    /// operating system refuses a socket or a thread: a port that is taken, say.
    pub fn start(self) -> Result<EmbeddedKafka> {
        if !(1..=9).contains(&self.brokers) {
            return Err(Error::setting("brokers", self.brokers, "it takes 1 to 9"));
        }
        if self.port != 0 && usize::from(self.port) + self.brokers > usize::from(u16::MAX) + 1 {
            let expected = format!("{} brokers take the ports from it on, up to 65535", self.brokers);
            return Err(Error::setting("port", self.port, expected));
        }
        #[cfg(feature = "sasl")]
        if let Some(user) = self.logins.bad() {
            return Err(Error::setting("sasl", user, "a user has a name and a password"));
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
