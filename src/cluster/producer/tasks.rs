//! Wakes the tasks that wait for a delivery report, on a separate thread.
//!
//! librdkafka calls back while it holds a lock. A task's waker belongs to a runtime and may block, for example on a
//! thread that is about to call librdkafka. So no waker is called from the callback.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread;

/// One thread per process. It starts when a task first waits.
static TASKS: Tasks = Tasks { state: Mutex::new(State { due: Vec::new(), has_thread: false }), more: Condvar::new() };

struct Tasks {
    state: Mutex<State>,
    more: Condvar,
}

struct State {
    due: Vec<Arc<Waker>>,
    has_thread: bool,
}

/// Starts the thread, before the first task waits.
pub(super) fn start_thread() {
    let mut state = TASKS.lock();
    if !state.has_thread {
        let builder = thread::Builder::new().name("rstest-kafka wake".to_owned()).stack_size(256 * 1024);
        state.has_thread = builder.spawn(|| TASKS.wake_all()).is_ok();
    }
}

/// Wakes these tasks soon. No waker is called, cloned or dropped on this thread.
pub(super) fn wake(wakers: Vec<Arc<Waker>>) {
    let mut state = TASKS.lock();
    if state.has_thread {
        state.due.extend(wakers);
        drop(state);
        TASKS.more.notify_one();
        return;
    }
    drop(state);
    // If the thread could not be started, wake the tasks here, because otherwise they would hang.
    wakers.iter().for_each(|waker| waker.wake_by_ref());
}

impl Tasks {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_all(&self) {
        let mut state = self.lock();
        loop {
            let due = std::mem::take(&mut state.due);
            if due.is_empty() {
                state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            drop(state);
            for waker in due {
                // A panic of one waker must not stop the thread that wakes all tasks.
                let _ = panic::catch_unwind(AssertUnwindSafe(|| waker.wake_by_ref()));
            }
            state = self.lock();
        }
    }
}
