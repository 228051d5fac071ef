//! Closing clients in the background. A consumer's `Drop` takes 100 ms, and may block forever if its broker does not respond.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::sync::wait::Deadline;

/// How many values are dropped at the same time. A drop that hangs occupies one thread, and the others continue.
const THREADS: usize = 8;

/// Drops values on background threads. The threads exit when no value is left.
#[derive(Debug)]
pub(crate) struct BackgroundDrop<T> {
    shared: Arc<Shared<T>>,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    idle: Condvar,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    threads: usize,
}

impl<T: Send + 'static> BackgroundDrop<T> {
    pub(crate) fn new() -> Self {
        let state = State { waiting: VecDeque::new(), threads: 0 };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), idle: Condvar::new() }) }
    }

    /// Queues values to be dropped by the background threads.
    pub(crate) fn close(&self, values: impl IntoIterator<Item = T>) {
        for value in values {
            let mut state = self.shared.lock();
            state.waiting.push_back(value);
            if state.threads >= THREADS {
                continue;
            }
            state.threads += 1;
            drop(state);
            let shared = Arc::clone(&self.shared);
            let spawned = thread::Builder::new()
                .name("rstest-kafka close".to_owned())
                .stack_size(256 * 1024)
                .spawn(move || shared.work());
            if spawned.is_err() {
                // No thread can be started. A later call closes the queued values, or they stay open until the process exits.
                self.shared.lock().threads -= 1;
            }
        }
    }

    /// Waits until every value is dropped. Returns `false` if the deadline passes first.
    pub(crate) fn wait(&self, deadline: Deadline) -> bool {
        let mut state = self.shared.lock();
        while state.threads > 0 {
            let remaining = deadline.remaining();
            if remaining.is_zero() {
                return false;
            }
            state = self.shared.idle.wait_timeout(state, remaining).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Waits until fewer than `most` values are queued. Returns `false` if the deadline passes first.
    pub(crate) fn wait_for_room(&self, most: usize, deadline: Deadline) -> bool {
        while self.shared.lock().waiting.len() >= most {
            if deadline.has_passed() {
                return false;
            }
            deadline.pause(Duration::from_millis(1));
        }
        true
    }

    /// Takes the values that no thread has started to drop.
    pub(crate) fn take_waiting(&self) -> Vec<T> {
        self.shared.lock().waiting.drain(..).collect()
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        loop {
            let mut state = self.lock();
            let Some(value) = state.waiting.pop_front() else {
                state.threads -= 1;
                drop(state);
                self.idle.notify_all();
                return;
            };
            drop(state);
            // A panic in a drop must not leave the count of threads too high.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(value)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    #[test]
    fn a_drop_that_hangs_or_panics_does_not_delay_others() {
        static CLOSED: AtomicUsize = AtomicUsize::new(0);
        enum Odd {
            Fine,
            Panics,
            Hangs(mpsc::Receiver<()>),
        }
        impl Drop for Odd {
            fn drop(&mut self) {
                match self {
                    Self::Fine => drop(CLOSED.fetch_add(1, Ordering::SeqCst)),
                    Self::Panics => panic!("in a drop"),
                    Self::Hangs(until) => drop(until.recv()),
                }
            }
        }
        let closer = BackgroundDrop::new();
        let (release, until) = mpsc::channel();
        closer.close([Odd::Hangs(until), Odd::Panics]);
        closer.close((0..20).map(|_| Odd::Fine));
        let soon = Deadline::after(Duration::from_secs(10));
        while CLOSED.load(Ordering::SeqCst) < 20 {
            assert!(!soon.has_passed());
            thread::yield_now();
        }
        assert!(!closer.wait(Deadline::after(Duration::from_millis(5))), "one still hangs");
        drop(release);
        assert!(closer.wait(soon));
    }
}
