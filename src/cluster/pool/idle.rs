//! Consumers in the pool, and their rest: for a moment one stays assigned where the last test has left it.
//!
//! After a record librdkafka sends the next Fetch at once, and has one on its way to a broker at a time. To unassign it and
//! to assign it again makes that Fetch outdated: its answer has to come before the next can be sent, so a test that
//! follows closely would get its first record a round trip later. One that rests goes on with the Fetch that is out, if
//! the next fence is exactly where it stands.
//!
//! It is a moment only, since one that stays assigned fetches what others leave on its topic.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;

use super::client::{PoolClient, discard_queued};

/// Longer than the Fetch that is out can be kept by its broker, and than the next test's fence takes on a busy one.
const MOMENT: Duration = Duration::from_millis(2 * super::client::FETCH_WAIT_MS);

/// Those that rest, oldest first, and the thread that ends their rest: one for the process, made with the first of them.
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
    /// Per partition where it stands while it rests; `None`: it is assigned to nothing.
    resting_at: Mutex<Option<Vec<(i32, i64)>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What state a consumer is in that was checked out.
#[derive(Debug)]
pub(crate) enum CheckedOut {
    /// It has never heard of its topic.
    New,
    /// It knows its topic and is assigned to nothing.
    Unassigned,
    /// It is assigned still, and stands at these offsets.
    Resting(Vec<(i32, i64)>),
}

impl IdleConsumer {
    /// One that is assigned to nothing.
    pub(crate) fn new(client: Arc<PoolClient>) -> Arc<Self> {
        Arc::new(Self { client, resting_at: Mutex::new(None) })
    }

    /// One that is still assigned, and has delivered everything before these offsets and nothing after.
    pub(crate) fn resting(client: Arc<PoolClient>, at: Vec<(i32, i64)>) -> Arc<Self> {
        let idle = Arc::new(Self { client, resting_at: Mutex::new(Some(at)) });
        if !RESTING.add(&idle) {
            idle.end_rest();
        }
        idle
    }

    /// The consumer, and where it stands if it is still assigned.
    pub(crate) fn wake(&self) -> (Arc<PoolClient>, Option<Vec<(i32, i64)>>) {
        (Arc::clone(&self.client), lock(&self.resting_at).take())
    }

    fn end_rest(&self) {
        // Held meanwhile: who checks it out shall not meet it half unassigned. No broker is asked.
        let mut resting_at = lock(&self.resting_at);
        if resting_at.take().is_some() {
            // One that cannot be unassigned is assigned anew by its next test, or fails there with the reason.
            let _ = self.client.unassign();
            discard_queued(&self.client);
        }
    }
}

impl Resting {
    /// False if there is no thread to end its rest.
    fn add(&'static self, idle: &Arc<IdleConsumer>) -> bool {
        let mut queue = lock(&self.queue);
        if !queue.has_thread {
            let name = "rstest-kafka rest".to_owned();
            let spawned = thread::Builder::new().name(name).stack_size(256 * 1024).spawn(|| self.end_all());
            queue.has_thread = spawned.is_ok();
            if spawned.is_err() {
                return false;
            }
        }
        queue.due.push_back((Instant::now() + MOMENT, Arc::downgrade(idle)));
        let is_first = queue.due.len() == 1;
        drop(queue);
        if is_first {
            self.more.notify_one();
        }
        true
    }

    fn end_all(&self) {
        let mut queue = lock(&self.queue);
        loop {
            if queue.due.is_empty() {
                queue = self.more.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            drop(queue);
            // All that are due at once: in a run of short tests it wakes up now and then, not with each.
            thread::sleep(MOMENT);
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
