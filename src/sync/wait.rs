//! Waiting with a deadline. This crate never waits without one.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use futures_util::future::{self, Either};

/// The time at which a wait ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    started: Instant,
    allowed: Duration,
}

impl Deadline {
    pub(crate) fn after(allowed: Duration) -> Self {
        Self { started: Instant::now(), allowed }
    }

    /// Returns the remaining time. It is zero if the deadline has passed.
    pub(crate) fn remaining(&self) -> Duration {
        self.allowed.saturating_sub(self.started.elapsed())
    }

    pub(crate) fn has_passed(&self) -> bool {
        self.remaining().is_zero()
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Returns the whole timeout, for error messages.
    pub(crate) fn allowed(&self) -> Duration {
        self.allowed
    }

    /// Sleeps between two checks of a condition, at most until the deadline.
    pub(crate) fn pause(&self, pause: Duration) {
        thread::sleep(self.remaining().min(pause));
    }
}

/// Whether the calls of a mode block the thread.
pub trait Blocks {
    /// Whether they do.
    const BLOCKS: bool;
}

/// The thread for calls to librdkafka that only exist in a blocking variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Calls {
    /// The caller's thread.
    OnThisThread,
    /// A separate thread, so that the call does not block the tasks of a runtime.
    OnAnotherThread,
}

impl Calls {
    /// Where the calls of a mode are made.
    pub(crate) fn of<M: Blocks>() -> Self {
        if M::BLOCKS { Self::OnThisThread } else { Self::OnAnotherThread }
    }

    /// The future's output, or `None` if the deadline passed first. It blocks this thread, or waits as a task.
    pub(crate) async fn timeout<F: Future>(self, future: F, deadline: Deadline) -> Option<F::Output> {
        match self {
            Self::OnThisThread => block_on(future, deadline),
            Self::OnAnotherThread => timeout(future, deadline).await,
        }
    }

    /// Runs a blocking call and returns its result.
    pub(crate) async fn run<T: Send + 'static>(self, call: impl FnOnce() -> T + Send + 'static) -> T {
        if self == Self::OnThisThread {
            return call();
        }
        let (done, outcome) = oneshot::channel();
        let call = Arc::new(Mutex::new(Some(call)));
        let shared = Arc::clone(&call);
        let take = |call: &Mutex<Option<_>>| call.lock().unwrap_or_else(PoisonError::into_inner).take();
        let spawned =
            thread::Builder::new().name("rstest-kafka call".to_owned()).stack_size(256 * 1024).spawn(move || {
                if let Some(call) = take(&shared) {
                    let _ = done.send(call());
                }
            });
        if spawned.is_err()
            && let Some(call) = take(&call)
        {
            // No thread can be started, so block this one.
            return call();
        }
        match outcome.await {
            Ok(outcome) => outcome,
            Err(_) => panic!("a request to the broker panicked; this is a bug in rstest-kafka"),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread. Returns `None` if the deadline passes first. Needs no runtime, and works inside one.
pub(crate) fn block_on<F: Future>(future: F, deadline: Deadline) -> Option<F::Output> {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        let remaining = deadline.remaining();
        if remaining.is_zero() {
            return None;
        }
        thread::park_timeout(remaining);
    }
}

/// Runs a future that has its own deadlines to completion.
pub(crate) fn block_on_to_end<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Some(output) = block_on(future.as_mut(), Deadline::after(Duration::from_secs(60))) {
            return output;
        }
    }
}

/// Waits for a future. Returns `None` if the deadline passes first. Works on any runtime.
pub(crate) async fn timeout<F: Future>(future: F, deadline: Deadline) -> Option<F::Output> {
    let future = pin!(future);
    match future::select(future, futures_timer::Delay::new(deadline.remaining())).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}

/// Polls a future until it is ready or would wait. Returns `None` if it would wait.
pub(crate) fn poll_now<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
        if !woken.0.swap(false, Ordering::SeqCst) {
            return None;
        }
    }
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Waits for a condition in a test, for at most ten seconds.
#[cfg(test)]
#[track_caller]
pub(crate) fn until(condition: impl Fn() -> bool) {
    let deadline = Deadline::after(Duration::from_secs(10));
    while !condition() {
        assert!(!deadline.has_passed(), "the condition was not met within {:?}", deadline.allowed());
        deadline.pause(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pending_future_times_out() {
        let deadline = Deadline::after(Duration::from_millis(5));
        assert!(block_on(future::pending::<()>(), deadline).is_none());
        assert!(deadline.has_passed());
        let never = timeout(future::pending::<()>(), Deadline::after(Duration::from_millis(5)));
        assert_eq!(block_on(never, Deadline::after(Duration::from_secs(5))), Some(None));
    }

    #[test]
    fn a_ready_future_returns_at_once() {
        assert_eq!(block_on(future::ready(1), Deadline::after(Duration::ZERO)), Some(1));
        assert_eq!(poll_now(future::pending::<()>()), None);
        let mut polls = 0;
        let busy = future::poll_fn(|context| {
            polls += 1;
            context.waker().wake_by_ref();
            if polls < 3 { Poll::Pending } else { Poll::Ready(polls) }
        });
        assert_eq!(poll_now(busy), Some(3));
    }
}
