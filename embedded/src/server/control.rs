//! What a test does to a running broker. It happens between two turns of the broker's thread.

use std::time::Duration;

use super::Server;
use super::faults::Faults;
use super::requests::Requests;
use crate::clock::Time;
use crate::error::{Error, Result};

/// How many timeouts in a row may be due at the same time before the clock goes on regardless.
const MOST_AT_ONE_TIME: usize = 10_000;

impl Server {
    pub(crate) fn faults(&mut self) -> &mut Faults {
        &mut self.faults
    }

    pub(crate) fn requests(&self) -> &Requests {
        &self.requests
    }

    pub(crate) fn panics(&self) -> usize {
        self.panics
    }

    pub(crate) fn wakeups(&self) -> usize {
        self.wakeups
    }

    /// Returns whether responses may differ from those of a broker without faults, or come later.
    pub(crate) fn has_faults(&self) -> bool {
        !self.faults.is_empty()
            || !self.latency.is_zero()
            || !self.throttle.is_zero()
            || !self.cluster.topic_errors.is_empty()
            || self.cluster.brokers.iter().any(|broker| !broker.up)
    }

    pub(crate) fn set_latency(&mut self, latency: Duration) {
        self.latency = latency;
    }

    pub(crate) fn set_throttle(&mut self, throttle: Duration) {
        self.throttle = throttle;
    }

    /// Clears all faults. Delayed requests continue, a request that was never to get a response loses its connection, and
    /// stopped brokers start again.
    pub(crate) fn clear_faults(&mut self) -> Result<()> {
        self.faults.clear();
        self.latency = Duration::ZERO;
        self.throttle = Duration::ZERO;
        self.cluster.topic_errors.clear();
        self.wake(Time(i64::MAX));
        let silent = self.connections.iter().filter(|(_, connection)| connection.silent).map(|(id, _)| *id);
        silent.collect::<Vec<_>>().into_iter().for_each(|id| self.close(id));
        self.settle();
        let down: Vec<i32> = self.cluster.brokers.iter().filter(|broker| !broker.up).map(|broker| broker.id).collect();
        down.into_iter().try_for_each(|broker| self.broker_up(broker))
    }

    pub(crate) fn broker_down(&mut self, id: i32) -> Result<()> {
        self.known(id, "stop")?;
        self.cluster.broker_down(id);
        self.shut(id);
        self.settle();
        Ok(())
    }

    pub(crate) fn broker_up(&mut self, id: i32) -> Result<()> {
        self.known(id, "start")?;
        self.listen(id).map_err(Error::io(format!("listen again for broker {id}")))?;
        self.cluster.broker_up(id);
        self.settle();
        Ok(())
    }

    fn known(&self, id: i32, action: &str) -> Result<()> {
        match self.cluster.brokers.iter().any(|broker| broker.id == id) {
            true => Ok(()),
            false => {
                let reason = format!("the brokers have the ids 1 to {}", self.cluster.brokers.len());
                Err(Error::refused(format!("{action} broker {id}"), reason))
            }
        }
    }

    pub(crate) fn move_leader(&mut self, topic: &str, partition: i32, broker: i32) -> Result<()> {
        let action = format!("move the leader of partition {partition} of {topic:?} to broker {broker}");
        self.cluster.move_leader(topic, partition, broker).map_err(|reason| Error::refused(action, reason))?;
        self.settle();
        Ok(())
    }

    pub(crate) fn set_topic_id(&mut self, topic: &str, id: u128) -> bool {
        self.cluster.topics.set_id(topic, uuid::Uuid::from_u128(id))
    }

    /// Cleans the logs according to the configuration of their topics.
    pub(crate) fn clean_logs(&mut self) {
        self.cluster.clean_logs(self.clock.now());
        self.settle();
    }

    /// Advances the clock, and processes every timeout on the way at its time.
    pub(crate) fn advance(&mut self, by: Duration) {
        let target = self.clock.now().after(i64::try_from(by.as_millis()).unwrap_or(i64::MAX));
        let ran = !self.clock.is_stopped();
        self.clock.stop();
        let mut last = (self.clock.now(), 0);
        while let Some(due) = self.cluster.next_timeout().filter(|due| *due <= target) {
            let due = due.max(self.clock.now());
            last = if last.0 == due { (due, last.1 + 1) } else { (due, 0) };
            if last.1 > MOST_AT_ONE_TIME {
                debug_assert!(false, "a timeout stays due at {due:?}");
                break;
            }
            self.clock.set(due);
            self.expire();
            self.settle();
        }
        self.clock.set(target);
        self.expire();
        self.settle();
        if ran {
            self.clock.resume();
        }
    }

    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    pub(crate) fn connections(&self) -> Vec<crate::view::Connection> {
        let mut connections: Vec<_> = self.connections.iter().collect();
        connections.sort_by_key(|(id, _)| **id);
        connections
            .into_iter()
            .map(|(_, connection)| crate::view::Connection {
                broker: connection.broker,
                peer: connection.peer,
                client_id: connection.client.id.clone(),
            })
            .collect()
    }
}
