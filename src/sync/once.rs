//! Values that several threads request at the same time and that are created once. No lock is held during creation.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::model::error::Result;
use crate::sync::wait::Deadline;

/// A value that the first caller creates. Other callers wait for it, each until its own deadline.
#[derive(Debug)]
pub(crate) struct OnceWithDeadline<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
enum State<T> {
    Absent,
    Creating,
    Created(T),
}

impl<T: Clone> Default for OnceWithDeadline<T> {
    fn default() -> Self {
        Self { state: Mutex::new(State::Absent), changed: Condvar::new() }
    }
}

impl<T: Clone> OnceWithDeadline<T> {
    /// Returns the value, and creates it with `create` if there is none. If `create` fails, only its caller gets the error, and
    /// the next waiting caller runs its own `create`.
    ///
    /// `late` is the error of a caller whose deadline passes while another caller creates the value.
    pub(crate) fn get_or_create(
        &self,
        deadline: Deadline,
        create: impl FnOnce() -> Result<T>,
        late: impl FnOnce() -> crate::Error,
    ) -> Result<T> {
        let mut state = self.lock();
        loop {
            match &*state {
                State::Created(value) => return Ok(value.clone()),
                State::Absent => break,
                State::Creating => {
                    let remaining = deadline.remaining();
                    if remaining.is_zero() {
                        return Err(late());
                    }
                    state = self.changed.wait_timeout(state, remaining).unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
        *state = State::Creating;
        drop(state);
        // Dropped also if `create` panics, so that the next caller can create the value.
        let completion = Completion(self);
        let created = create();
        if let Ok(value) = &created {
            *self.lock() = State::Created(value.clone());
        }
        drop(completion);
        created
    }

    /// Returns the value, if it has been created.
    pub(crate) fn get(&self) -> Option<T> {
        match &*self.lock() {
            State::Created(value) => Some(value.clone()),
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the creation when it is dropped: wakes the waiting callers, and clears the state if no value was created.
struct Completion<'a, T: Clone>(&'a OnceWithDeadline<T>);

impl<T: Clone> Drop for Completion<'_, T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if matches!(*state, State::Creating) {
            *state = State::Absent;
        }
        drop(state);
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::Duration;

    #[test]
    fn concurrent_callers_create_the_value_once() {
        let (once, created, barrier) = (OnceWithDeadline::default(), AtomicUsize::new(0), Barrier::new(8));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    barrier.wait();
                    let create = || Ok(created.fetch_add(1, Ordering::SeqCst));
                    let value = once.get_or_create(Deadline::after(Duration::from_secs(5)), create, || unreachable!());
                    assert_eq!(value.unwrap(), 0);
                });
            }
        });
        assert_eq!((created.into_inner(), once.get()), (1, Some(0)));
    }

    #[test]
    fn only_the_creating_caller_sees_a_failure_or_a_panic() {
        let once = OnceWithDeadline::<u8>::default();
        let soon = || Deadline::after(Duration::from_secs(1));
        assert!(once.get_or_create(soon(), || Err(Error::misuse("no")), || unreachable!()).is_err());
        let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            once.get_or_create(soon(), || panic!("in create"), || unreachable!())
        }));
        assert!(panics.is_err());
        assert_eq!(once.get_or_create(soon(), || Ok(7), || unreachable!()).unwrap(), 7);
    }

    #[test]
    fn a_waiting_caller_has_its_own_deadline() {
        let once = OnceWithDeadline::<u8>::default();
        let barrier = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                let slow = || {
                    barrier.wait();
                    barrier.wait();
                    Ok(1)
                };
                once.get_or_create(Deadline::after(Duration::from_secs(5)), slow, || unreachable!()).unwrap();
            });
            barrier.wait();
            let late = once.get_or_create(
                Deadline::after(Duration::from_millis(5)),
                || unreachable!("another thread creates it"),
                || Error::misuse("late"),
            );
            assert_eq!(late.unwrap_err().to_string(), "late");
            barrier.wait();
        });
    }
}
