//! A consumer from the pool, as a test holds it.

mod client;
mod read;

use std::collections::VecDeque;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::Offset;

pub use self::client::{ConsumerContext, ConsumerRuntime, PoolClient};
pub(crate) use self::client::{close_all_at_exit, make};

use crate::error::{Error, Result};
use crate::lane;
use crate::lease::LeaseGuard;
use crate::pool::PoolKey;
use crate::record::Record;
use crate::topic::Topic;

/// A consumer of one topic, from the pool: connected, assigned to every partition, standing at the lease's fence.
///
/// It sees exactly what is written after the lease first learned the topic's name. One type for sync and async tests:
/// [`recv`](Self::recv) in the one, [`recv_async`](Self::recv_async) in the other; it outlives the runtime of the test
/// that made it. Derefs to rdkafka's [`StreamConsumer`](rdkafka::consumer::StreamConsumer) for everything else; whatever
/// a test does to it, the next test gets it clean or gets another.
///
/// Messages of one partition come in their order; between partitions there is none. Several consumers of one topic in
/// one test each get every message.
///
/// Nothing waits longer than the configured timeout (`RSTEST_KAFKA_TIMEOUT_MS`, 5 s) where a method does not take its own.
///
/// ```
/// # let harness = rstest_kafka::Harness::builder().embedded_brokers(1).build();
/// # let kafka = harness.lease();
/// let consumer = kafka.consumer("events");
/// kafka.send_all("events", [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]);
///
/// assert_eq!(consumer.recv().text(), "1");
/// assert_eq!(consumer.recv_matching(|record| record.key() == Some(b"c")).text(), "3"); // keeps what it skips
/// let rest: Vec<_> = consumer.drain().iter().map(|record| record.text().to_owned()).collect();
/// assert_eq!(rest, ["2", "4"]);
/// consumer.assert_empty();
/// ```
#[must_use = "a consumer that is dropped goes back to the pool"]
pub struct PooledConsumer {
    /// Handed on when this is dropped, never dropped here: the last reference takes 100 ms to close, or for ever.
    client: ManuallyDrop<Arc<PoolClient>>,
    topic: Topic,
    /// Per partition, where reading began when it was last assigned.
    starts: Mutex<Vec<(i32, i64)>>,
    /// Records that were read and not given out yet, oldest first.
    ahead: Mutex<VecDeque<Record>>,
    lease: LeaseGuard,
}

impl PooledConsumer {
    pub(crate) fn check_out(lease: LeaseGuard, topic: Topic) -> Result<Self> {
        let held = lease.lease();
        let (connection, deadline) = (held.connection(), held.deadline());
        let partitions = match topic.partitions() {
            Some(partitions) => partitions,
            None => connection.broker().control().wait_for_leaders(topic.name(), deadline)?,
        };
        let starts: Vec<(i32, i64)> = (0..partitions).map(|partition| (partition, topic.fence(partition))).collect();
        let key = PoolKey { lane: held.hold().lane(), topic: topic.name().into(), generation: held.names().generation };
        let began = Instant::now();
        let (client, is_new) = connection.check_out(&key, held.names(), topic.logical_name())?;
        let client = ManuallyDrop::new(client);
        let made = Self { client, topic, starts: Mutex::new(starts.clone()), ahead: Mutex::default(), lease };
        made.assign(&starts)?;
        if is_new {
            // A consumer that has never heard of its topic would look for its leader only at the next topic scan, up to
            // a second later.
            let warmed = made.client.fetch_metadata(Some(made.topic.name()), deadline.remaining());
            warmed.map_err(|error| {
                made.lease.lease().connection().broker().control().unreachable(deadline, Some(error))
            })?;
        }
        let (connection, took) = (made.lease.lease().connection(), began.elapsed());
        let counters = connection.counters();
        if is_new { &counters.consumers_made_in } else { &counters.consumers_reused_in }.add(took);
        Ok(made)
    }

    /// The topic that it reads.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    fn assign(&self, starts: &[(i32, i64)]) -> Result<()> {
        client::assign(&self.client, self.topic.name(), starts)
            .map_err(|error| self.failed("assign a consumer to", error))
    }

    fn starts(&self) -> MutexGuard<'_, Vec<(i32, i64)>> {
        self.starts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ahead(&self) -> MutexGuard<'_, VecDeque<Record>> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Per partition of the fence: the next offset that it would give out, and whether it is assigned to it still.
    fn positions(&self) -> Vec<(i32, i64, bool)> {
        let read = self.client.position().ok();
        let mut positions: Vec<(i32, i64, bool)> = self
            .starts()
            .iter()
            .map(|(partition, start)| {
                let element = read.as_ref().and_then(|read| read.find_partition(self.topic.name(), *partition));
                match element.as_ref().map(|element| element.offset()) {
                    Some(Offset::Offset(offset)) => (*partition, offset, true),
                    Some(_) => (*partition, *start, true),
                    None => (*partition, *start, false),
                }
            })
            .collect();
        for record in self.ahead().iter() {
            let of_partition = positions.iter_mut().find(|(partition, ..)| *partition == record.partition());
            if let Some((_, position, _)) = of_partition {
                *position = (*position).min(record.offset());
            }
        }
        positions
    }

    fn failed(&self, what: &str, error: KafkaError) -> Error {
        let broker = self.lease.lease().connection().broker();
        broker.control().failed(format!("{what} topic {:?}", self.topic.name()), error)
    }
}

impl Deref for PooledConsumer {
    type Target = PoolClient;

    fn deref(&self) -> &PoolClient {
        &self.client
    }
}

impl fmt::Debug for PooledConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledConsumer").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl Drop for PooledConsumer {
    fn drop(&mut self) {
        // First: a drop while unwinding is what shows the failure.
        let lease = self.lease.lease();
        let (connection, hold) = (lease.connection(), lease.hold());
        // SAFETY: this is the only place that takes it, and nothing looks at it afterwards.
        let client = unsafe { ManuallyDrop::take(&mut self.client) };
        let partitions: Vec<i32> = self.starts().iter().map(|(partition, _)| *partition).collect();
        // One of an exclusive topic has no later use; one of a failed lease is never handed out again, and while unwinding
        // nothing is asked of its client.
        let current = lease.names().generation == lane::generation_of(hold.lane());
        let reusable = self.topic.0.shared && current && !hold.is_suspect() && !connection.is_closing();
        if reusable && client::make_idle(&client, self.topic.name(), partitions) {
            let (lane, generation) = (hold.lane(), lease.names().generation);
            connection.put_back(PoolKey { lane, topic: self.topic.name().into(), generation }, client);
        } else {
            connection.retire([client]);
        }
    }
}
