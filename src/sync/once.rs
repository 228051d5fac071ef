//! Work that several ask for at once and that is done once: nobody holds a lock while it is done.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::model::error::Result;
use crate::sync::wait::Deadline;

/// A value that is made by the first who asks; those who come meanwhile wait for it, each up to its own deadline.
#[derive(Debug)]
pub(crate) struct OnceWithDeadline<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
enum State<T> {
    Absent,
    Making,
    Made(T),
}

impl<T: Clone> Default for OnceWithDeadline<T> {
    fn default() -> Self {
        Self { state: Mutex::new(State::Absent), changed: Condvar::new() }
    }
}

impl<T: Clone> OnceWithDeadline<T> {
    /// The value, made by `make` if nobody has; a failure is the maker's, and the next who waits tries for itself.
    ///
    /// `late` is the error of one whose deadline passes while another is making.
    pub(crate) fn get_or_create(
        &self,
        deadline: Deadline,
        make: impl FnOnce() -> Result<T>,
        late: impl FnOnce() -> crate::Error,
    ) -> Result<T> {
        let mut state = self.lock();
        loop {
            match &*state {
                State::Made(value) => return Ok(value.clone()),
                State::Absent => break,
                State::Making => {
                    let remaining = deadline.remaining();
                    if remaining.is_zero() {
                        return Err(late());
                    }
                    state = self.changed.wait_timeout(state, remaining).unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
        *state = State::Making;
        drop(state);
        // Also an unwinding maker lets the next one try.
        let landing = Landing(self);
        let made = make();
        if let Ok(value) = &made {
            *self.lock() = State::Made(value.clone());
        }
        drop(landing);
        made
    }

    /// The value, if it has been made.
    pub(crate) fn get(&self) -> Option<T> {
        match &*self.lock() {
            State::Made(value) => Some(value.clone()),
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Landing<'a, T: Clone>(&'a OnceWithDeadline<T>);

impl<T: Clone> Drop for Landing<'_, T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if matches!(*state, State::Making) {
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
    fn several_at_once_make_it_once() {
        let (flight, made, barrier) = (OnceWithDeadline::default(), AtomicUsize::new(0), Barrier::new(8));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    barrier.wait();
                    let make = || Ok(made.fetch_add(1, Ordering::SeqCst));
                    let value = flight.get_or_create(Deadline::after(Duration::from_secs(5)), make, || unreachable!());
                    assert_eq!(value.unwrap(), 0);
                });
            }
        });
        assert_eq!((made.into_inner(), flight.get()), (1, Some(0)));
    }

    #[test]
    fn a_failure_or_a_panic_is_the_makers_alone() {
        let flight = OnceWithDeadline::<u8>::default();
        let soon = || Deadline::after(Duration::from_secs(1));
        assert!(flight.get_or_create(soon(), || Err(Error::misuse("no")), || unreachable!()).is_err());
        let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            flight.get_or_create(soon(), || panic!("maker"), || unreachable!())
        }));
        assert!(panics.is_err());
        assert_eq!(flight.get_or_create(soon(), || Ok(7), || unreachable!()).unwrap(), 7);
    }

    #[test]
    fn who_waits_meets_its_own_deadline() {
        let flight = OnceWithDeadline::<u8>::default();
        let barrier = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                let slow = || {
                    barrier.wait();
                    barrier.wait();
                    Ok(1)
                };
                flight.get_or_create(Deadline::after(Duration::from_secs(5)), slow, || unreachable!()).unwrap();
            });
            barrier.wait();
            let late = flight.get_or_create(
                Deadline::after(Duration::from_millis(5)),
                || unreachable!("another is making it"),
                || Error::misuse("late"),
            );
            assert_eq!(late.unwrap_err().to_string(), "late");
            barrier.wait();
        });
    }
}
