//! The lane that a test uses, and the signs that the test has failed.
//!
//! The thread of a test keeps its lane from its first lease until the thread has ended *and* every fixture is dropped.
//! So if a test drops its fixtures early and fails later, it still fails on its own lane. If a test hangs or leaks its
//! fixtures, its lane is not reused.
//!
//! A sign of failure sets [`HeldLane::failed`]. When a lease or the thread ends, `HeldLane::decide` reads it. If it is
//! set, `decide` calls [`Process::advance_lane`](crate::cluster::process::Process::advance_lane) once. Then it runs
//! what waits for the outcome.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;

use crate::cluster::process::PROCESS;

/// The lanes in use. The panic hook finds the lane of a panicking thread here.
static HELD: Mutex<Vec<Weak<HeldLane>>> = Mutex::new(Vec::new());

thread_local! {
    /// The lane of the test that runs on this thread.
    static OF_THREAD: RefCell<Option<Arc<HeldLane>>> = const { RefCell::new(None) };
}

/// Locks the mutex even if it is poisoned, because Drop and the panic hook need it. The values are consistent at any
/// time.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns a number that no other thread of the process has.
fn thread_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local!(static NUMBER: u64 = NEXT.fetch_add(1, Ordering::Relaxed));
    // A thread whose locals are destroyed runs its last destructors. 0 differs from all other threads.
    NUMBER.try_with(|number| *number).unwrap_or(0)
}

/// One test's use of a lane. Its drop decides on the outcome, then frees the lane.
pub(crate) struct HeldLane {
    lane: usize,
    /// The name of the test's thread. libtest uses the path of the test, and the body thread of a `#[timeout]` has the
    /// same name.
    thread_name: Option<String>,
    /// Whether there was a sign of failure since the last lease began. No sign is withdrawn: a panic that the test
    /// catches costs one generation.
    failed: AtomicBool,
    /// Whether a lease has begun in the current generation of the lane. A failure can give several signs, but advances
    /// the lane once.
    has_lease: AtomicBool,
    /// The thread that used a fixture or consumer of the test last.
    last_user: AtomicU64,
    /// The failure reports of leases that ended without a sign of failure, because a sign may still come.
    pending_reports: Mutex<Vec<PendingReport>>,
    /// What to do with ended leases once the outcome is known. An `Err` is known only when the test has returned.
    awaiting_outcome: Mutex<Vec<OnOutcome>>,
}

/// Creates the failure report of an ended lease, if its test has failed after all.
type PendingReport = Box<dyn FnOnce() -> String + Send>;

/// Receives whether the test of an ended lease has failed.
type OnOutcome = Box<dyn FnOnce(bool) + Send>;

impl HeldLane {
    /// Returns the lane of this thread's test. Takes one if there is none.
    pub(crate) fn of_this_thread() -> Arc<Self> {
        if let Some(held_lane) = held_lane_of_this_thread() {
            return held_lane;
        }
        let held_lane = Arc::new(Self::take_lowest_free());
        let mut held_lanes = lock(&HELD);
        held_lanes.retain(|held_lane| held_lane.strong_count() > 0);
        held_lanes.push(Arc::downgrade(&held_lane));
        drop(held_lanes);
        // A thread whose locals are destroyed cannot keep the lane. The lease keeps it.
        let _ = OF_THREAD.try_with(|slot| *slot.borrow_mut() = Some(Arc::clone(&held_lane)));
        held_lane
    }

    /// Takes a lane for a lease that belongs to no thread. It is kept by the lease, and sees only the signs that the
    /// lease gives.
    pub(crate) fn detached() -> Arc<Self> {
        Arc::new(Self::take_lowest_free())
    }

    fn take_lowest_free() -> Self {
        Self {
            lane: PROCESS.workers.lanes.take(),
            thread_name: thread::current().name().map(str::to_owned),
            failed: AtomicBool::new(false),
            has_lease: AtomicBool::new(false),
            last_user: AtomicU64::new(thread_number()),
            pending_reports: Mutex::default(),
            awaiting_outcome: Mutex::default(),
        }
    }

    /// Returns the path of the test. libtest names the thread by it.
    pub(crate) fn thread_name(&self) -> Option<&str> {
        self.thread_name.as_deref()
    }

    pub(crate) fn lane(&self) -> usize {
        self.lane
    }

    /// Begins a lease, and returns its generation. A failure that is known by now counts, including that of an earlier
    /// test on this thread.
    pub(crate) fn begin_lease(&self) -> u32 {
        // The failure reports of earlier leases are not needed any more. Drop them outside the lock, because the drop
        // takes other locks.
        let pending_reports = std::mem::take(&mut *lock(&self.pending_reports));
        drop(pending_reports);
        self.decide();
        self.failed.store(false, Ordering::SeqCst);
        self.has_lease.store(true, Ordering::SeqCst);
        PROCESS.workers.lanes.generation_of(self.lane)
    }

    /// Marks the test as failed, even if it passes.
    pub(crate) fn mark_failed(&self) {
        self.failed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// Notes that a fixture or consumer of the test was used or dropped on this thread. While unwinding this is a sign
    /// of failure.
    pub(crate) fn observe(&self) {
        self.last_user.store(thread_number(), Ordering::Relaxed);
        if thread::panicking() {
            self.mark_failed();
        }
    }

    /// Whether a fixture or consumer of the test was last used on another thread. Then this thread does not drop the
    /// fixtures.
    pub(crate) fn was_used_elsewhere(&self) -> bool {
        self.last_user.load(Ordering::Relaxed) != thread_number()
    }

    /// Keeps the failure report of a lease that ended without a sign of failure.
    pub(crate) fn keep_report(&self, pending: impl FnOnce() -> String + Send + 'static) {
        lock(&self.pending_reports).push(Box::new(pending));
    }

    /// Calls `on_outcome` with whether the test of an ended lease has failed.
    ///
    /// If there is a sign of failure it is called at once, otherwise when the thread of the test ends or starts another
    /// lease.
    pub(crate) fn lease_ended(&self, on_outcome: impl FnOnce(bool) + Send + 'static) {
        lock(&self.awaiting_outcome).push(Box::new(on_outcome));
        if self.has_failed() {
            self.decide();
        }
    }

    /// Decides whether the test has failed, for all leases that ended since the last decision.
    ///
    /// After a failure, [`Process::advance_lane`](crate::cluster::process::Process::advance_lane) moves the lane to its
    /// next generation, once. Then the closures of the ended leases run, which delete topics and groups.
    fn decide(&self) {
        let failed = self.has_failed();
        if failed && self.has_lease.swap(false, Ordering::SeqCst) {
            PROCESS.advance_lane(self.lane);
        }
        let awaiting_outcome = std::mem::take(&mut *lock(&self.awaiting_outcome));
        awaiting_outcome.into_iter().for_each(|on_outcome| on_outcome(failed));
    }
}

impl Drop for HeldLane {
    fn drop(&mut self) {
        // The thread has ended, so an `Err` would be known by now. After a failure `decide` calls `advance_lane`.
        self.decide();
        PROCESS.workers.lanes.give_back(self.lane);
    }
}

/// Marks the test of this thread as failed, because of a panic or of an `Err` that the runner prints.
///
/// The test is found by its thread, or by the name of the thread. The body thread of a sync `#[timeout]` has the same
/// name.
pub(crate) fn this_thread_failed() {
    held_lanes_of_this_test().iter().for_each(|held_lane| held_lane.mark_failed());
}

/// Takes the failure reports that the test of this thread has not printed.
pub(crate) fn take_pending_reports() -> Vec<Box<dyn FnOnce() -> String + Send>> {
    held_lanes_of_this_test()
        .iter()
        .flat_map(|held_lane| std::mem::take(&mut *lock(&held_lane.pending_reports)))
        .collect()
}

fn held_lane_of_this_thread() -> Option<Arc<HeldLane>> {
    OF_THREAD.try_with(|slot| slot.try_borrow().ok().and_then(|held_lane| held_lane.clone())).ok().flatten()
}

fn held_lanes_of_this_test() -> Vec<Arc<HeldLane>> {
    if let Some(held_lane) = held_lane_of_this_thread() {
        return vec![held_lane];
    }
    let current = thread::current();
    let Some(name) = current.name() else { return Vec::new() };
    // Nothing that runs under this lock can panic, so a panic never comes from under it. Collect the lanes before one
    // is dropped, because the last reference takes other locks.
    let mut held_lanes: Vec<Arc<HeldLane>> = lock(&HELD).iter().filter_map(Weak::upgrade).collect();
    held_lanes.retain(|held_lane| held_lane.thread_name.as_deref() == Some(name));
    held_lanes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Runs the test on a separate thread, as libtest does.
    fn on_a_thread<T: Send + 'static>(name: &str, test: impl FnOnce() -> T + Send + 'static) -> thread::Result<T> {
        thread::Builder::new().name(name.to_owned()).spawn(test).unwrap().join()
    }

    fn look() -> (usize, u32) {
        let held_lane = HeldLane::of_this_thread();
        (held_lane.lane(), held_lane.begin_lease())
    }

    /// Lanes belong to the process, and libtest runs several tests in parallel.
    static ALONE: Mutex<()> = Mutex::new(());

    #[test]
    fn lanes_are_exclusive_and_reused_and_failures_advance_them() {
        let _alone = lock(&ALONE);
        let (lane, generation) = on_a_thread("first", look).unwrap();
        let again = on_a_thread("again", look).unwrap();
        assert_eq!(again, (lane, generation), "the lane is free once its thread has ended, in the same generation");

        // A leaked `HeldLane` keeps its lane in use.
        let leaked = on_a_thread("leaks", || {
            let held_lane = HeldLane::of_this_thread();
            let lane = held_lane.lane();
            std::mem::forget(held_lane);
            lane
        });
        let next = on_a_thread("next", || HeldLane::of_this_thread().lane()).unwrap();
        assert_ne!(leaked.unwrap(), next);

        // Two tests in parallel never share a lane.
        let (enter, entered) = mpsc::channel();
        let (leave, left) = mpsc::channel::<()>();
        let running = thread::spawn(move || {
            enter.send(HeldLane::of_this_thread().lane()).unwrap();
            let _ = left.recv();
        });
        let theirs = entered.recv().unwrap();
        assert_ne!(on_a_thread("beside", || HeldLane::of_this_thread().lane()).unwrap(), theirs);
        drop(leave);
        running.join().unwrap();

        // A failure advances the lane, even if it shows after the lease has ended.
        let (lane, generation) = on_a_thread("marked", || {
            let look = look();
            HeldLane::of_this_thread().mark_failed();
            look
        })
        .unwrap();
        let late = || {
            let look = look();
            this_thread_failed();
            look
        };
        assert_eq!(on_a_thread("late", late).unwrap(), (lane, generation + 1));
        assert_eq!(on_a_thread("after", look).unwrap(), (lane, generation + 2));

        // A second sign of the same failure does not advance the lane again.
        on_a_thread("twice", || {
            let held_lane = HeldLane::of_this_thread();
            held_lane.begin_lease();
            held_lane.mark_failed();
            held_lane.lease_ended(|failed| assert!(failed));
            this_thread_failed();
        })
        .unwrap();
        assert_eq!(on_a_thread("once", look).unwrap().1, generation + 3);

        // The next lease on the same thread begins without the failure, and may fail on its own.
        on_a_thread("runner", move || {
            for failures in 0..3 {
                assert_eq!(look(), (lane, generation + 3 + failures));
                this_thread_failed();
            }
        })
        .unwrap();
        assert_eq!(on_a_thread("behind", look).unwrap().1, generation + 6);

        // A failure on a body thread of the same name counts. A failure on a thread of another name does not.
        on_a_thread("twin", || {
            let held_lane = HeldLane::of_this_thread();
            on_a_thread("other", this_thread_failed).unwrap();
            assert!(!held_lane.has_failed());
            on_a_thread("twin", this_thread_failed).unwrap();
            assert!(held_lane.has_failed());
        })
        .unwrap();

        // A detached lease has its own lane, and is not affected by the thread.
        on_a_thread("detached", || {
            let (own, detached, other) = (HeldLane::of_this_thread(), HeldLane::detached(), HeldLane::detached());
            assert!(own.lane() != detached.lane() && detached.lane() != other.lane());
            let (lane, generation) = (detached.lane(), detached.begin_lease());
            this_thread_failed();
            assert!(own.has_failed() && !detached.has_failed());
            detached.mark_failed();
            drop(detached);
            let next = HeldLane::detached();
            assert_eq!(
                (next.lane(), next.begin_lease()),
                (lane, generation + 1),
                "the lane is free again, in its next generation"
            );
            assert!(!other.has_failed());
        })
        .unwrap();
    }

    // The panic hook may drop the last reference to a lane, and that drop takes other locks.
    #[test]
    fn finding_a_lane_by_thread_name_drops_none_under_the_lock() {
        let _alone = lock(&ALONE);
        let done = std::sync::atomic::AtomicBool::new(false);
        thread::scope(|scope| {
            let many = thread::Builder::new().name("comes-and-goes".to_owned());
            let many = many.spawn_scoped(scope, || {
                while !done.load(Ordering::SeqCst) {
                    // The thread of a test keeps its lane until it ends.
                    drop(HeldLane::of_this_thread());
                    OF_THREAD.with(|slot| slot.take());
                }
            });
            let look = || (0..20_000).for_each(|_| assert!(held_lanes_of_this_test().is_empty()));
            thread::Builder::new().name("looks".to_owned()).spawn_scoped(scope, look).unwrap().join().unwrap();
            done.store(true, Ordering::SeqCst);
            many.unwrap().join().unwrap();
        });
    }
}
