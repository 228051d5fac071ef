//! Control of the broker's clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::EmbeddedKafka;
use crate::server::Server;

/// Time: timeouts and timestamps use the broker's own clock, which a test can pause and advance.
///
/// The wait of a fetch for records, a latency and a delay use the system's clock.
impl EmbeddedKafka {
    /// Returns the time of the broker's clock.
    pub fn now(&self) -> SystemTime {
        let milliseconds = self.look(|server| server.now().0).unwrap_or_default();
        UNIX_EPOCH + Duration::from_millis(milliseconds.unsigned_abs())
    }

    /// Pauses the broker's clock.
    ///
    /// No session and no transaction times out until the clock is advanced or resumed.
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

    /// Resumes the broker's clock at its current time.
    pub fn resume_time(&self) {
        self.change(|server| server.clock.resume());
    }

    /// Advances the broker's clock, whether it is paused or not.
    ///
    /// When this method returns, every timeout up to the new time has expired, in order. Sessions have expired, transactions
    /// are aborted, and the responses to waiting requests are being sent.
    ///
    /// The clocks of clients do not advance. If a consumer sends a heartbeat every 3 seconds and the clock advances by 46
    /// seconds, the consumer has sent no heartbeat in those 46 seconds.
    pub fn advance(&self, by: Duration) {
        self.change(|server| server.advance(by));
    }

    /// Cleans the logs now, as Kafka's log cleaner does periodically.
    ///
    /// It deletes records according to `retention.ms` and `retention.bytes`, compacts topics according to `cleanup.policy`, and
    /// expires producers according to `producer.id.expiration.ms`. It uses the broker's clock.
    ///
    /// Kafka never cleans the active segment. This method cleans batch by batch, so it cleans all records.
    pub fn clean_logs(&self) {
        self.change(Server::clean_logs);
    }
}
