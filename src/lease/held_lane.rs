//! The lane that a test holds, and the signs that the test has failed.
//!
//! A test's thread holds its lane from its first lease until the thread has ended *and* every fixture is dropped. So a test that
//! drops its fixtures early and fails later still fails on its own lane, and a test that hangs or leaks its fixtures keeps its
//! lane.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;

use crate::cluster::process::PROCESS;

/// The lanes that are held, for the panic hook to find the one of a panicking thread.
static HELD: Mutex<Vec<Weak<HeldLane>>> = Mutex::new(Vec::new());

thread_local! {
    /// The lane of the test that runs on this thread.
    static OF_THREAD: RefCell<Option<Arc<HeldLane>>> = const { RefCell::new(None) };
}

/// A lock that Drop and the panic hook may take: poisoning is ignored, what it guards is whole at any time.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number that no other thread of the process ever has.
fn this_thread() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local!(static NUMBER: u64 = NEXT.fetch_add(1, Ordering::Relaxed));
    // A thread whose locals are gone is in its last destructors and is told from all others by 0.
    NUMBER.try_with(|number| *number).unwrap_or(0)
}

/// One test's hold on its lane.
pub(crate) struct HeldLane {
    lane: usize,
    /// The name of the test's thread: libtest names it by the test's path, and a `#[timeout]` body thread the same.
    thread_name: Option<String>,
    /// Whether there has been a sign of failure since the last lease began. Nothing takes one back: a panic that the test
    /// catches costs one generation.
    failed: AtomicBool,
    /// Whether a lease has begun in the generation that the lane is in: a failure gives several signs and moves it once.
    leased: AtomicBool,
    /// The thread on which something of this test's was used last.
    last_user: AtomicU64,
    /// The accounts of leases that ended without a sign of failure: one may still come.
    pending_reports: Mutex<Vec<PendingReport>>,
    /// What waits for the on_outcome on the leases that have ended: an `Err` is known only when the test has returned.
    awaiting_outcome: Mutex<Vec<OnOutcome>>,
}

/// The account of a lease, asked for when its test has failed after all.
type PendingReport = Box<dyn FnOnce() -> String + Send>;

/// Told whether the test of a lease that has ended failed.
type OnOutcome = Box<dyn FnOnce(bool) + Send>;

impl HeldLane {
    /// The hold of this thread's test, taken now if it has none.
    pub(crate) fn of_this_thread() -> Arc<Self> {
        if let Some(hold) = own_hold() {
            return hold;
        }
        let hold = Arc::new(Self::take_lowest_free());
        let mut holds = lock(&HELD);
        holds.retain(|hold| hold.strong_count() > 0);
        holds.push(Arc::downgrade(&hold));
        drop(holds);
        // A thread whose locals are already destroyed keeps no hold of its own: the lease's is enough.
        let _ = OF_THREAD.try_with(|slot| *slot.borrow_mut() = Some(Arc::clone(&hold)));
        hold
    }

    /// A hold that is no thread's: it ends with its lease, and sees only the signs that the lease itself gives.
    pub(crate) fn detached() -> Arc<Self> {
        Arc::new(Self::take_lowest_free())
    }

    fn take_lowest_free() -> Self {
        Self {
            lane: PROCESS.workers.lanes.take(),
            thread_name: thread::current().name().map(str::to_owned),
            failed: AtomicBool::new(false),
            leased: AtomicBool::new(false),
            last_user: AtomicU64::new(this_thread()),
            pending_reports: Mutex::default(),
            awaiting_outcome: Mutex::default(),
        }
    }

    /// The test's path, as libtest names its thread.
    pub(crate) fn thread_name(&self) -> Option<&str> {
        self.thread_name.as_deref()
    }

    pub(crate) fn lane(&self) -> usize {
        self.lane
    }

    /// The generation of a lease that begins now: a failure that is known by now counts, also one of an earlier test on
    /// this thread.
    pub(crate) fn begin_lease(&self) -> u32 {
        // Of those before nobody will ask any more. Dropped outside the lock: they hold what has locks of its own.
        let pending_reports = std::mem::take(&mut *lock(&self.pending_reports));
        drop(pending_reports);
        self.decide();
        self.failed.store(false, Ordering::SeqCst);
        self.leased.store(true, Ordering::SeqCst);
        PROCESS.workers.lanes.generation_of(self.lane)
    }

    /// This test has failed, whatever else happens.
    pub(crate) fn mark_failed(&self) {
        self.failed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// Something of this test's was used or dropped on this thread; while unwinding that is a sign of failure.
    pub(crate) fn observe(&self) {
        self.last_user.store(this_thread(), Ordering::Relaxed);
        if thread::panicking() {
            self.mark_failed();
        }
    }

    /// Whether something of this test's was used last on another thread: its fixtures are not dropped by this one.
    pub(crate) fn was_used_elsewhere(&self) -> bool {
        self.last_user.load(Ordering::Relaxed) != this_thread()
    }

    /// A lease has ended without a sign of failure: if one comes, `pending` gives the account.
    pub(crate) fn keep_report(&self, pending: impl FnOnce() -> String + Send + 'static) {
        lock(&self.pending_reports).push(Box::new(pending));
    }

    /// A lease has ended: `on_outcome` is told whether its test failed, at once if there is a sign of it, else when the
    /// test's thread ends or starts another lease.
    pub(crate) fn lease_ended(&self, on_outcome: impl FnOnce(bool) + Send + 'static) {
        lock(&self.awaiting_outcome).push(Box::new(on_outcome));
        if self.has_failed() {
            self.decide();
        }
    }

    /// A failure moves the lane to its next generation, once.
    fn decide(&self) {
        let failed = self.has_failed();
        if failed && self.leased.swap(false, Ordering::SeqCst) {
            PROCESS.advance_lane(self.lane);
        }
        let awaiting_outcome = std::mem::take(&mut *lock(&self.awaiting_outcome));
        awaiting_outcome.into_iter().for_each(|on_outcome| on_outcome(failed));
    }
}

impl Drop for HeldLane {
    fn drop(&mut self) {
        self.decide();
        PROCESS.workers.lanes.give_back(self.lane);
    }
}

/// A panic, or an `Err` on its way to the runner, was seen on this thread: its test has failed.
///
/// The test is found by the thread itself, or by its name, which the body thread of a sync `#[timeout]` shares with the
/// test's.
pub(crate) fn this_thread_failed() {
    holds_of_this_thread().iter().for_each(|hold| hold.mark_failed());
}

/// The accounts that the test of this thread has not told, each to be asked for once.
pub(crate) fn take_pending_reports() -> Vec<Box<dyn FnOnce() -> String + Send>> {
    holds_of_this_thread().iter().flat_map(|hold| std::mem::take(&mut *lock(&hold.pending_reports))).collect()
}

fn own_hold() -> Option<Arc<HeldLane>> {
    OF_THREAD.try_with(|slot| slot.try_borrow().ok().and_then(|hold| hold.clone())).ok().flatten()
}

fn holds_of_this_thread() -> Vec<Arc<HeldLane>> {
    if let Some(hold) = own_hold() {
        return vec![hold];
    }
    let current = thread::current();
    let Some(name) = current.name() else { return Vec::new() };
    // Whoever holds this lock calls nothing that could panic, so a panic cannot have come from under it. All are taken
    // out of it before one is dropped: the last reference to a hold takes locks of its own.
    let mut holds: Vec<Arc<HeldLane>> = lock(&HELD).iter().filter_map(Weak::upgrade).collect();
    holds.retain(|hold| hold.thread_name.as_deref() == Some(name));
    holds
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Runs on a thread of its own, as libtest runs each test.
    fn on_a_thread<T: Send + 'static>(name: &str, test: impl FnOnce() -> T + Send + 'static) -> thread::Result<T> {
        thread::Builder::new().name(name.to_owned()).spawn(test).unwrap().join()
    }

    fn look() -> (usize, u32) {
        let hold = HeldLane::of_this_thread();
        (hold.lane(), hold.begin_lease())
    }

    /// Lanes are of the process, and libtest runs several tests at once.
    static ALONE: Mutex<()> = Mutex::new(());

    #[test]
    fn lanes_are_exclusive_reused_and_moved_on_by_failures() {
        let _alone = lock(&ALONE);
        let (lane, generation) = on_a_thread("first", look).unwrap();
        let again = on_a_thread("again", look).unwrap();
        assert_eq!(again, (lane, generation), "the lane is free once its thread has ended, and unmoved");

        // A leaked hold keeps its lane.
        let leaked = on_a_thread("leaks", || {
            let hold = HeldLane::of_this_thread();
            let lane = hold.lane();
            std::mem::forget(hold);
            lane
        });
        let next = on_a_thread("next", || HeldLane::of_this_thread().lane()).unwrap();
        assert_ne!(leaked.unwrap(), next);

        // Two that run at once never share.
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

        // A failure moves the lane, also one that is seen when the lease is over.
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

        // A second sign of the same failure moves it no further.
        on_a_thread("twice", || {
            let hold = HeldLane::of_this_thread();
            hold.begin_lease();
            hold.mark_failed();
            hold.lease_ended(|failed| assert!(failed));
            this_thread_failed();
        })
        .unwrap();
        assert_eq!(on_a_thread("once", look).unwrap().1, generation + 3);

        // The next lease on the same thread begins without the failure, and may fail for itself.
        on_a_thread("runner", move || {
            for failures in 0..3 {
                assert_eq!(look(), (lane, generation + 3 + failures));
                this_thread_failed();
            }
        })
        .unwrap();
        assert_eq!(on_a_thread("behind", look).unwrap().1, generation + 6);

        // A body thread of the same name counts, one of another name does not.
        on_a_thread("twin", || {
            let hold = HeldLane::of_this_thread();
            on_a_thread("other", this_thread_failed).unwrap();
            assert!(!hold.has_failed());
            on_a_thread("twin", this_thread_failed).unwrap();
            assert!(hold.has_failed());
        })
        .unwrap();

        // One that is no thread's has a lane of its own, and sees nothing of the thread.
        on_a_thread("detached", || {
            let (own, detached, other) = (HeldLane::of_this_thread(), HeldLane::detached(), HeldLane::detached());
            assert!(own.lane() != detached.lane() && detached.lane() != other.lane());
            let (lane, generation) = (detached.lane(), detached.begin_lease());
            this_thread_failed();
            assert!(own.has_failed() && !detached.has_failed());
            detached.mark_failed();
            drop(detached);
            let next = HeldLane::detached();
            assert_eq!((next.lane(), next.begin_lease()), (lane, generation + 1), "free again, and moved");
            assert!(!other.has_failed());
        })
        .unwrap();
    }

    // What the hook looks through may be the last to have a hold, which takes locks of its own when it goes.
    #[test]
    fn looking_for_a_hold_by_a_threads_name_drops_none_under_the_lock() {
        let _alone = lock(&ALONE);
        let done = std::sync::atomic::AtomicBool::new(false);
        thread::scope(|scope| {
            let many = thread::Builder::new().name("comes-and-goes".to_owned());
            let many = many.spawn_scoped(scope, || {
                while !done.load(Ordering::SeqCst) {
                    // As a test's thread has one until it ends.
                    drop(HeldLane::of_this_thread());
                    OF_THREAD.with(|slot| slot.take());
                }
            });
            let look = || (0..20_000).for_each(|_| assert!(holds_of_this_thread().is_empty()));
            thread::Builder::new().name("looks".to_owned()).spawn_scoped(scope, look).unwrap().join().unwrap();
            done.store(true, Ordering::SeqCst);
            many.unwrap().join().unwrap();
        });
    }
}
