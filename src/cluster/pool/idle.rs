//! The consumers in the pool. For a short time a consumer rests: it stays assigned at its position.
//!
//! After a message has arrived, librdkafka sends the next Fetch at once. It has one Fetch per broker in flight. If the
//! consumer is unassigned and assigned again, the Fetch in flight is outdated, but the next Fetch must wait for its
//! response. A test that follows closely would then receive its first message one round trip later. A resting consumer
//! keeps the Fetch in flight, which is useful if its position is the next fence.
//!
//! The rest is short, because an assigned consumer fetches messages that other tests write to its topic.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;

use super::client::{PoolClient, discard_queued};

/// How long a consumer rests. This is longer than a broker may hold the Fetch in flight, and longer than reading the
/// fence of the next test takes on a busy broker.
const REST: Duration = Duration::from_millis(2 * super::client::FETCH_WAIT_MS);

/// The resting consumers, oldest first. One thread per process ends their rest; it starts with the first of them.
static RESTING: Resting =
    Resting { queue: Mutex::new(Queue { due: VecDeque::new(), has_thread: false }), more: Condvar::new() };

struct Resting {
    queue: Mutex<Queue>,
    more: Condvar,
}

struct Queue {
    due: VecDeque<(Instant, Weak<IdleConsumer>)>,
    has_thread: bool,
}

/// A consumer in the pool.
pub(crate) struct IdleConsumer {
    client: Arc<PoolClient>,
    /// The position on each partition while the consumer rests; `None` if it is not assigned.
    resting_at: Mutex<Option<Vec<(i32, i64)>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The state of a consumer that was taken from the pool or created.
#[derive(Debug)]
pub(crate) enum ConsumerState {
    /// The client has no metadata of its topic yet.
    New,
    /// The client knows its topic, and is not assigned.
    Unassigned,
    /// The consumer is still assigned, at these positions.
    Resting(Vec<(i32, i64)>),
}

impl IdleConsumer {
    /// Wraps a consumer that is not assigned.
    pub(crate) fn new(client: Arc<PoolClient>) -> Arc<Self> {
        Arc::new(Self { client, resting_at: Mutex::new(None) })
    }

    /// Wraps a consumer that is still assigned, and that has delivered every message before these offsets and none
    /// after them.
    pub(crate) fn resting(client: Arc<PoolClient>, at: Vec<(i32, i64)>) -> Arc<Self> {
        let idle = Arc::new(Self { client, resting_at: Mutex::new(Some(at)) });
        if !RESTING.add(&idle) {
            idle.end_rest();
        }
        idle
    }

    /// Ends the rest of the consumer. Returns the client, and its positions if it is still assigned.
    pub(crate) fn wake(&self) -> (Arc<PoolClient>, Option<Vec<(i32, i64)>>) {
        (Arc::clone(&self.client), lock(&self.resting_at).take())
    }

    fn end_rest(&self) {
        // Hold the lock while the consumer is unassigned, so that a lease cannot take it half unassigned. No broker is
        // asked.
        let mut resting_at = lock(&self.resting_at);
        if resting_at.take().is_some() {
            // If unassigning fails, the next test assigns the consumer again, or fails with the reason.
            let _ = self.client.unassign();
            discard_queued(&self.client);
        }
    }
}

impl Resting {
    /// Adds a consumer that rests. Returns false if the thread that ends its rest cannot be started.
    fn add(&'static self, idle: &Arc<IdleConsumer>) -> bool {
        let mut queue = lock(&self.queue);
        if !queue.has_thread {
            let name = "rstest-kafka rest".to_owned();
            let spawned = thread::Builder::new().name(name).stack_size(256 * 1024).spawn(|| self.run());
            queue.has_thread = spawned.is_ok();
            if spawned.is_err() {
                return false;
            }
        }
        queue.due.push_back((Instant::now() + REST, Arc::downgrade(idle)));
        let is_first = queue.due.len() == 1;
        drop(queue);
        if is_first {
            self.more.notify_one();
        }
        true
    }

    fn run(&self) {
        let mut queue = lock(&self.queue);
        loop {
            if queue.due.is_empty() {
                queue = self.more.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            drop(queue);
            // Sleep first, then process all consumers that are due, so that a run of short tests does not wake this
            // thread per test.
            thread::sleep(REST);
            while let Some(idle) = self.take_due() {
                if let Some(idle) = idle.upgrade() {
                    idle.end_rest();
                }
            }
            queue = lock(&self.queue);
        }
    }

    fn take_due(&self) -> Option<Weak<IdleConsumer>> {
        let mut queue = lock(&self.queue);
        let is_due = queue.due.front().is_some_and(|(due, _)| *due <= Instant::now());
        if is_due { queue.due.pop_front().map(|(_, idle)| idle) } else { None }
    }
}

impl fmt::Debug for IdleConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdleConsumer").field("resting_at", &self.resting_at).finish_non_exhaustive()
    }
}
