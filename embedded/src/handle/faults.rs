//! Fault injection: errors, delays and stopped brokers.

use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::ApiKey;

use super::EmbeddedKafka;
use crate::error::{Error, Result};
use crate::fault::Fault;

/// Faults: failing requests, late responses and stopped brokers.
impl EmbeddedKafka {
    /// Makes the next `n` requests of an API fail with this error. The requests are not processed.
    ///
    /// ```
    /// use embedded_kafka::{ApiKey, EmbeddedKafka, ErrorCode};
    ///
    /// let kafka = EmbeddedKafka::start()?;
    /// kafka.fail(ApiKey::Produce, 2, ErrorCode::NotEnoughReplicas)?;
    /// # Ok::<(), embedded_kafka::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns [`Error::Refused`] if the broker does not serve the API, or if no broker responds with this error.
    pub fn fail(&self, api: ApiKey, n: usize, error: ResponseError) -> Result<()> {
        self.fault(Fault::on(api).times(n).answer(error))
    }

    /// Adds a [`Fault`].
    ///
    /// If several faults match a request, the fault that was added first affects it. A fault is deleted after it has affected
    /// as many requests as [`Fault::times`] says.
    ///
    /// # Errors
    /// Returns [`Error::Refused`] if the fault can never happen: the broker does not serve the API, no broker responds with the
    /// error, or the fault names a topic, group or transactional id and requests of the API do not.
    pub fn fault(&self, fault: Fault) -> Result<()> {
        fault.check()?;
        self.order(|server| {
            server.faults().add(fault);
            Ok(())
        })
    }

    /// Makes Metadata respond with this error for a topic, whether the topic exists or not. `None` clears the error.
    ///
    /// ```
    /// use embedded_kafka::{EmbeddedKafka, ErrorCode};
    ///
    /// let kafka = EmbeddedKafka::start()?;
    /// kafka.topic_error("orders", Some(ErrorCode::TopicAuthorizationFailed))?;
    /// kafka.topic_error("orders", None)?;
    /// # Ok::<(), embedded_kafka::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns [`Error::Refused`] if no broker responds with this error.
    pub fn topic_error(&self, topic: &str, error: Option<ResponseError>) -> Result<()> {
        if let Some(ResponseError::Unknown(code)) = error {
            let reason = format!("no broker responds with the error code {code}");
            return Err(Error::refused(format!("set an error for topic {topic:?}"), reason));
        }
        self.order(|server| {
            match error {
                Some(error) => server.cluster.topic_errors.insert(topic.to_owned(), error),
                None => server.cluster.topic_errors.remove(topic),
            };
            Ok(())
        })
    }

    /// Delays every response by `latency`, like a slow network. Zero turns the latency off.
    ///
    /// The requests of a connection do not wait for each other.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let kafka = embedded_kafka::EmbeddedKafka::start()?;
    /// kafka.latency(Duration::from_millis(20));
    /// # Ok::<(), embedded_kafka::Error>(())
    /// ```
    pub fn latency(&self, latency: Duration) {
        self.change(|server| server.set_latency(latency));
    }

    /// Throttles every client, as if it had exceeded its quota. Zero turns the throttle off.
    ///
    /// Every response contains this throttle time, and the broker does not read the client's next request until the time is
    /// over.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let kafka = embedded_kafka::EmbeddedKafka::start()?;
    /// kafka.throttle(Duration::from_millis(20));
    /// # Ok::<(), embedded_kafka::Error>(())
    /// ```
    pub fn throttle(&self, throttle: Duration) {
        self.change(|server| server.set_throttle(throttle));
    }

    /// Stops a broker. Its connections are closed, and new connections are refused.
    ///
    /// Other in-sync replicas become the leaders of its partitions, and other brokers the coordinators of its groups and
    /// transactions.
    ///
    /// ```
    /// use embedded_kafka::EmbeddedKafka;
    ///
    /// let kafka = EmbeddedKafka::builder().brokers(3).config("default.replication.factor", "3").start()?;
    /// kafka.broker_down(2)?;
    /// kafka.broker_up(2)?;
    /// # Ok::<(), embedded_kafka::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns [`Error::Refused`] if there is no such broker.
    pub fn broker_down(&self, broker: i32) -> Result<()> {
        self.order(|server| server.broker_down(broker))
    }

    /// Starts a stopped broker again on the same port, with all of its records.
    ///
    /// The broker becomes the leader of the partitions that have no leader. It does not become the leader of the others.
    ///
    /// # Errors
    /// Returns [`Error::Refused`] if there is no such broker, and [`Error::Io`] if another process uses its port.
    pub fn broker_up(&self, broker: i32) -> Result<()> {
        self.order(|server| server.broker_up(broker))
    }

    /// Makes another broker the leader of a partition.
    ///
    /// If the broker is not a replica of the partition, it replaces the old leader as a replica.
    ///
    /// ```
    /// # use embedded_kafka::EmbeddedKafka;
    /// let kafka = EmbeddedKafka::builder().brokers(2).start()?;
    /// let error = kafka.move_leader("orders", 0, 2).unwrap_err();
    /// assert!(error.to_string().ends_with("there is no such topic"));
    /// # Ok::<(), embedded_kafka::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns [`Error::Refused`] if there is no such partition, or if the broker is not running.
    pub fn move_leader(&self, topic: &str, partition: i32, broker: i32) -> Result<()> {
        self.order(|server| server.move_leader(topic, partition, broker))
    }

    /// Changes the id of a topic, and returns whether there is such a topic.
    ///
    /// The differential test needs it, because Kafka's assignors sort by the random topic ids.
    #[doc(hidden)]
    pub fn set_topic_id(&self, topic: &str, id: u128) -> bool {
        self.change(|server| server.set_topic_id(topic, id)).unwrap_or_default()
    }

    /// Clears all faults, errors, latencies and throttles, and starts all stopped brokers again.
    ///
    /// Delayed requests and responses continue at once. A connection with a request that was never to get a response is closed.
    ///
    /// # Errors
    /// Returns [`Error::Io`] if another process uses the port of a stopped broker.
    pub fn clear_faults(&self) -> Result<()> {
        self.order(|server| server.clear_faults())
    }
}
