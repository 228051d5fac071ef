//! The broker's clock in a test's hand.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::EmbeddedKafka;
use crate::server::Server;

/// Time: all timeouts and timestamps of the broker go by its own clock, which a test can stop and set forward.
///
/// How long a fetch waits for records, a latency and a delay go by the system's clock.
impl EmbeddedKafka {
    /// The time of the broker's clock.
    pub fn now(&self) -> SystemTime {
        let milliseconds = self.look(|server| server.now().0).unwrap_or_default();
        UNIX_EPOCH + Duration::from_millis(milliseconds.unsigned_abs())
    }

    /// Stops the broker's clock: no session and no transaction times out, until it is set forward or goes on.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let kafka = embedded_kafka::EmbeddedKafka::start()?;
    /// kafka.pause_time();
    /// let before = kafka.now();
    /// kafka.advance(Duration::from_secs(46));
    /// assert_eq!(kafka.now(), before + Duration::from_secs(46));
    /// kafka.resume_time();
    /// # Ok::<(), embedded_kafka::Error>(())
    /// ```
    pub fn pause_time(&self) {
        self.change(|server| server.clock.stop());
    }

    /// Lets the broker's clock go on from its current time.
    pub fn resume_time(&self) {
        self.change(|server| server.clock.resume());
    }

    /// Sets the broker's clock forward, whether it is paused or not. When this returns, all that is due by then has
    /// happened, each at its time: sessions have expired, transactions were aborted, and the answers to those who waited
    /// for it are on their way.
    ///
    /// The clients' own clocks know nothing of it: a consumer that sends a heartbeat every three seconds has sent none in
    /// the 46 seconds that this has skipped.
    pub fn advance(&self, by: Duration) {
        self.change(|server| server.advance(by));
    }

    /// Has the brokers do now what Kafka's cleaner does from time to time, by the broker's clock: delete what
    /// `retention.ms` and `retention.bytes` let go, compact the topics whose `cleanup.policy` says so, and forget the
    /// producers that `producer.id.expiration.ms` is about.
    ///
    /// It goes batch by batch where Kafka goes by segments, so that nothing is left for being in the last one.
    pub fn clean_logs(&self) {
        self.change(Server::clean_logs);
    }
}
