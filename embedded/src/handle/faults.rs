//! What a test has go wrong.

use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::ApiKey;

use super::EmbeddedKafka;
use crate::error::{Error, Result};
use crate::fault::Fault;

/// Faults: requests that fail, answers that are late, brokers that are down.
impl EmbeddedKafka {
    /// The next `n` requests of an API are answered with this error and not carried out.
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
    /// As [`fault`](Self::fault).
    pub fn fail(&self, api: ApiKey, n: usize, error: ResponseError) -> Result<()> {
        self.fault(Fault::on(api).times(n).answer(error))
    }

    /// Sets up a [`Fault`]. A request meets the first that fits it, in the order in which they were set up; one that has met
    /// as many as it was to is gone.
    ///
    /// # Errors
    /// [`Error::Refused`] for a fault that cannot happen: with an error that no broker answers with, of an API that this
    /// broker does not serve, or about a topic where the requests name none.
    pub fn fault(&self, fault: Fault) -> Result<()> {
        fault.check()?;
        self.order(|server| {
            server.faults().add(fault);
            Ok(())
        })
    }

    /// From now on Metadata answers with this error for a topic, whether it exists or not; `None` ends it.
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
    /// [`Error::Refused`] for an error that no broker answers with.
    pub fn topic_error(&self, topic: &str, error: Option<ResponseError>) -> Result<()> {
        if let Some(ResponseError::Unknown(code)) = error {
            let reason = format!("no broker answers with the error code {code}");
            return Err(Error::refused(format!("set an error of the topic {topic:?}"), reason));
        }
        self.order(|server| {
            match error {
                Some(error) => server.cluster.topic_errors.insert(topic.to_owned(), error),
                None => server.cluster.topic_errors.remove(topic),
            };
            Ok(())
        })
    }

    /// From now on every answer is sent so much later, as over a long line; zero ends it. The requests of a connection do
    /// not wait for each other.
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

    /// From now on every answer has this throttle time, and the client's next request is not read
    /// before, as when it has used up its quota; zero ends it.
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

    /// Takes a broker down: its connections are closed and new ones refused, and other replicas that are in sync lead what
    /// it has led, and coordinate what it has coordinated.
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
    /// [`Error::Refused`] when there is no such broker.
    pub fn broker_down(&self, broker: i32) -> Result<()> {
        self.order(|server| server.broker_down(broker))
    }

    /// Brings a broker back on the same port, with all that was written to it. It does not take its leaders back, save for
    /// those that nobody else could lead.
    ///
    /// # Errors
    /// [`Error::Refused`] when there is no such broker, [`Error::Io`] when another process has taken its port.
    pub fn broker_up(&self, broker: i32) -> Result<()> {
        self.order(|server| server.broker_up(broker))
    }

    /// Has another broker lead a partition from now on. One that was no replica becomes one in place of the old leader.
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
    /// [`Error::Refused`] when there is no such partition, or the broker is not up.
    pub fn move_leader(&self, topic: &str, partition: i32, broker: i32) -> Result<()> {
        self.order(|server| server.move_leader(topic, partition, broker))
    }

    /// Gives a topic another id; whether there is such a topic. For the differential test: Kafka's assignors go by the
    /// order of the random ids.
    #[doc(hidden)]
    pub fn set_topic_id(&self, topic: &str, id: u128) -> bool {
        self.change(|server| server.set_topic_id(topic, id)).unwrap_or_default()
    }

    /// Ends every fault: all brokers are up and answer at once, and no error is left to be answered with. What was held back
    /// goes on at once, and a connection whose request was to have no answer is closed.
    ///
    /// # Errors
    /// As [`broker_up`](Self::broker_up), for a broker that was down.
    pub fn clear_faults(&self) -> Result<()> {
        self.order(|server| server.clear_faults())
    }
}
