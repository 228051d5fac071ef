//! A consumer from the pool, as a test holds it.

mod follow;
mod reading;
mod timed_out;
mod to_come;
mod verbs;

use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::Offset;
use uuid::Uuid;

pub use self::verbs::PooledConsumer;
use crate::cluster::pool::{self, ConsumerState, IdleConsumer, PoolClient, PoolKey};
use crate::cluster::process::PROCESS;
use crate::lease::LeaseGuard;
use crate::model::error::{Error, Result};
use crate::model::record::Record;
use crate::model::topic::{Fence, Topic, TopicNow, TopicRef};

/// A consumer that a lease has out of the pool. It goes back when the last handle is dropped.
pub(crate) struct LeasedConsumer {
    /// Handed on when this is dropped, never dropped here: the last reference takes 100 ms to close, or for ever.
    client: ManuallyDrop<Arc<PoolClient>>,
    topic: Topic,
    /// Where it is from, and goes back to.
    key: PoolKey,
    /// Which of the topics of that name it reads; nil while the topic does not exist.
    id: Mutex<Uuid>,
    /// Per partition, where reading began when it was last assigned; empty while the topic does not exist.
    starts: Mutex<Vec<(i32, i64)>>,
    /// Whether it has given out a record of its topic.
    has_read: AtomicBool,
    /// How many changes of topic ids its client had noted when it was last seen to read the right topic.
    ids_seen: AtomicU64,
    /// How many times since its last record it was at an offset that is not there, although there is nothing before it to pass over.
    resets: AtomicUsize,
    /// Records that were read and not given out yet, oldest first.
    ahead: Mutex<VecDeque<Record>>,
    /// Whether the test has sought: an error of the place where it went may still be on its way.
    sought: AtomicBool,
    /// Whether the test has had rdkafka's consumer in its hands, and may have paused or assigned it.
    touched: AtomicBool,
    /// The error of the last Fetch, unless a later one has brought something.
    fetch_error: Mutex<Option<String>>,
    lease: LeaseGuard,
}

impl LeasedConsumer {
    /// From the pool, or a new one.
    pub(crate) fn take(lease: LeaseGuard, topic: TopicRef) -> Result<Self> {
        let held = lease.lease();
        let topic = held.resolve(topic)?;
        let (cluster, deadline) = (held.cluster(), held.deadline());
        let control = cluster.broker().control();
        // What came of the topic since its fence is found when it is waited for: no request is spent on it here.
        let then = match &topic.0.fence {
            Fence::Ends(then) => Some(then.clone()),
            // None while nobody has created it: the first receive waits for it.
            Fence::Beginning => control.topic_now(topic.name(), deadline)?,
        };
        let then = then.unwrap_or(TopicNow { id: Uuid::nil(), ends: Vec::new() });
        let starts: Vec<(i32, i64)> = (0..).zip(topic.0.fence.on(&then)).collect();
        let key = cluster.pool_key(held.held_lane().lane(), topic.name().into(), held.names().generation);
        let (client, state) = cluster.take_consumer(&key, held.names(), topic.logical_name(), starts.len())?;
        let client = ManuallyDrop::new(client);
        let made = Self {
            client,
            topic,
            key,
            id: Mutex::new(then.id),
            starts: Mutex::new(starts.clone()),
            has_read: AtomicBool::new(false),
            ids_seen: AtomicU64::new(0),
            resets: AtomicUsize::new(0),
            ahead: Mutex::default(),
            sought: AtomicBool::new(false),
            touched: AtomicBool::new(false),
            fetch_error: Mutex::default(),
            lease,
        };
        match &state {
            ConsumerState::Resting(at) if *at == starts => {}
            ConsumerState::Resting(_) => made.reassign(&starts)?,
            ConsumerState::New | ConsumerState::Unassigned => made.assign(&starts)?,
        }
        let is_new = matches!(state, ConsumerState::New);
        if !starts.is_empty() && (is_new || !made.client.context().knows_partitions(then.id, starts.len())) {
            // A consumer that has never heard of its topic, or of all its partitions, would look for a leader only at the next
            // topic scan, up to a second later.
            let warmed = made.client.fetch_metadata(Some(made.topic.name()), deadline.remaining());
            warmed.map_err(|error| made.lease.lease().cluster().broker().control().did_not_answer(deadline, error))?;
            made.client.context().note_partitions(then.id, starts.len());
        }
        made.lease.lease().trace_consumer(is_new);
        Ok(made)
    }

    fn topic(&self) -> &Topic {
        &self.topic
    }

    fn timeout(&self) -> Duration {
        self.lease.lease().harness().timeout()
    }

    fn assign(&self, starts: &[(i32, i64)]) -> Result<()> {
        pool::assign(&self.client, self.topic.name(), starts)
            .map_err(|error| self.failed("assign a consumer to", error))
    }

    /// Assigns it anew: what was fetched and reported before is discarded.
    ///
    /// Not in one step: librdkafka 2.12 stops a partition twice, and aborts, when the assignment that replaces another is
    /// itself taken back before the first stop is done (`rd_kafka_assignment_partition_stopped`).
    fn reassign(&self, starts: &[(i32, i64)]) -> Result<()> {
        self.client.unassign().map_err(|error| self.failed("unassign a consumer from", error))?;
        self.assign(starts)
    }

    fn starts(&self) -> MutexGuard<'_, Vec<(i32, i64)>> {
        self.starts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fetch_error(&self) -> MutexGuard<'_, Option<String>> {
        self.fetch_error.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something has come: what failed before is over.
    fn forget_errors(&self) {
        *self.fetch_error() = None;
        self.client.context().errors().forget();
    }

    fn ahead(&self) -> MutexGuard<'_, VecDeque<Record>> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Per partition: the next offset that it would give out, and whether it is assigned to it still.
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
        for record in self.ahead().iter().filter(|record| self.is_of_topic(record)) {
            let of_partition = positions.iter_mut().find(|(partition, ..)| *partition == record.partition());
            if let Some((_, position, _)) = of_partition {
                *position = (*position).min(record.offset());
            }
        }
        positions
    }

    /// Makes the consumer, which reads on at `next`, fit for the next lease; `None` if that cannot be had and it must be closed.
    fn make_idle(&self, next: &[(i32, i64)]) -> Option<Arc<IdleConsumer>> {
        let client = &self.client;
        if !self.touched.load(Ordering::Relaxed) && pool::has_nothing_queued(client) {
            return Some(IdleConsumer::resting(Arc::clone(client), next.to_vec()));
        }
        let is_idle = pool::reset(client, self.topic.name(), &self.starts());
        is_idle.then(|| IdleConsumer::new(Arc::clone(client)))
    }

    fn failed(&self, what: &str, error: KafkaError) -> Error {
        let broker = self.lease.lease().cluster().broker();
        broker.control().failed(format!("{what} topic {:?}", self.topic.name()), error)
    }
}

impl Drop for LeasedConsumer {
    fn drop(&mut self) {
        // First: a drop while unwinding is what shows the failure.
        let lease = self.lease.lease();
        let (cluster, hold) = (lease.cluster(), lease.held_lane());
        // One of an exclusive topic has no later use; one of a failed lease is never handed out again, and while unwinding
        // nothing is asked of its client.
        let current = lease.names().generation == PROCESS.workers.lanes.generation_of(hold.lane());
        let kept = self.topic.0.shared && current && !hold.has_failed() && !cluster.is_closing();
        // One that has not seen its topic yet would be a second late for the next test.
        let reusable = kept && !self.sought.load(Ordering::Relaxed) && !self.starts().is_empty();
        // Asked of no broker; what it had read is a part of the account if the test turns out to have failed.
        let next = pool::positions(&self.client, self.topic.name(), &self.starts());
        let idle = if reusable { self.make_idle(&next) } else { None };
        lease.note_positions(self.topic.name(), next);
        // SAFETY: this is the only place that takes it, and nothing looks at it afterwards.
        let client = unsafe { ManuallyDrop::take(&mut self.client) };
        match idle {
            Some(idle) => {
                // First: once it is in the pool somebody may close it, and this must not be the last reference.
                drop(client);
                cluster.put_back(self.key.clone(), idle);
            }
            None => {
                // Asked only where the next test would get the same group.
                if kept && pool::is_or_was_member(&client) {
                    cluster.abandon_group(&self.key);
                }
                cluster.retire([client]);
            }
        }
    }
}
