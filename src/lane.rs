//! Lanes: who runs where in this process, and which generation each lane is in.
//!
//! A lane is a number, the lowest free one of the process, whichever harness asks. A test's thread holds its lane from
//! its first lease until the thread has ended *and* every fixture is dropped: a test that drops its fixtures early and
//! fails later still fails on its own lane, and one that hangs or leaks its fixtures keeps it.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;

/// All lanes that ever ran in this process, by number.
static LANES: Mutex<Vec<LaneState>> = Mutex::new(Vec::new());

/// The generation in which the lanes of this process begin: where another process left the worker.
static FIRST_GENERATION: AtomicU32 = AtomicU32::new(0);

/// The holds that are alive, for the panic hook to find the one of a panicking thread.
static HOLDS: Mutex<Vec<Weak<Hold>>> = Mutex::new(Vec::new());

/// Called with a lane and its new generation each time a failure has moved it.
static ON_FAILURE: Mutex<Option<Reaction>> = Mutex::new(None);

type Reaction = fn(usize, u32);

#[derive(Debug, Clone, Copy)]
struct LaneState {
    held: bool,
    generation: u32,
}

thread_local! {
    /// The hold of the test that runs on this thread.
    static OF_THREAD: RefCell<Option<Arc<Hold>>> = const { RefCell::new(None) };
}

/// A lock that Drop and the panic hook may take: poisoning is ignored, the data are single words.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has `react` called with each lane that a failure moves, and its new generation; the last caller wins.
pub(crate) fn on_failure(react: Reaction) {
    *lock(&ON_FAILURE) = Some(react);
}

/// How many lanes this process has used so far.
pub(crate) fn used() -> usize {
    lock(&LANES).len()
}

/// From now on no lease begins in an older generation.
pub(crate) fn begin_at(generation: u32) {
    FIRST_GENERATION.fetch_max(generation, Ordering::SeqCst);
    lock(&LANES).iter_mut().for_each(|lane| lane.generation = lane.generation.max(generation));
}

/// The generation that no lane of this process is beyond.
pub(crate) fn latest_generation() -> u32 {
    let first = FIRST_GENERATION.load(Ordering::SeqCst);
    lock(&LANES).iter().map(|lane| lane.generation).max().unwrap_or(0).max(first)
}

/// Whether every test has given its lane back: one that hangs or has leaked its fixtures has not.
pub(crate) fn all_ended_well() -> bool {
    lock(&LANES).iter().all(|lane| !lane.held)
}

/// A number that no other thread of the process ever has.
fn this_thread() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local!(static NUMBER: u64 = NEXT.fetch_add(1, Ordering::Relaxed));
    // A thread whose locals are gone is in its last destructors and is told from all others by 0.
    NUMBER.try_with(|number| *number).unwrap_or(0)
}

/// One test's hold on its lane.
pub(crate) struct Hold {
    lane: usize,
    /// The name of the test's thread: libtest names it by the test's path, and a `#[timeout]` body thread the same.
    thread_name: Option<String>,
    failed: AtomicBool,
    /// The threads that panicked or showed an `Err`, each until it shows that it went on. Several: the body of an expired
    /// sync `#[timeout]` may catch a panic of its own, which takes nothing back of the test's.
    suspects: Mutex<Vec<u64>>,
    /// Whether there has ever been one: until then nobody has to lock to find himself not among them.
    had_suspects: AtomicBool,
    /// Whether a lease has begun in the generation that the lane is in: a failure gives several signs and moves it once.
    leased: AtomicBool,
    /// The thread on which something of this test's was used last.
    last_user: AtomicU64,
    /// The accounts of leases that ended without a sign of failure: one may still come.
    untold: Mutex<Vec<Telling>>,
    /// What waits for the verdict on the leases that have ended: an `Err` is known only when the test has returned.
    undecided: Mutex<Vec<Verdict>>,
}

/// The account of a lease, asked for when its test has failed after all.
type Telling = Box<dyn FnOnce() -> String + Send>;

/// Told whether the test of a lease that has ended failed.
type Verdict = Box<dyn FnOnce(bool) + Send>;

impl Hold {
    /// The hold of this thread's test, taken now if it has none.
    pub(crate) fn of_this_thread() -> Arc<Self> {
        let existing = OF_THREAD.try_with(|hold| hold.borrow().clone()).ok().flatten();
        if let Some(hold) = existing {
            return hold;
        }
        let hold = Arc::new(Self::take_lowest_free());
        let mut holds = lock(&HOLDS);
        holds.retain(|hold| hold.strong_count() > 0);
        holds.push(Arc::downgrade(&hold));
        drop(holds);
        // A thread whose locals are already destroyed keeps no hold of its own: the lease's is enough.
        let _ = OF_THREAD.try_with(|slot| *slot.borrow_mut() = Some(Arc::clone(&hold)));
        hold
    }

    fn take_lowest_free() -> Self {
        let mut lanes = lock(&LANES);
        let lane = lanes.iter().position(|lane| !lane.held).unwrap_or_else(|| {
            lanes.push(LaneState { held: false, generation: FIRST_GENERATION.load(Ordering::SeqCst) });
            lanes.len() - 1
        });
        lanes[lane].held = true;
        drop(lanes);
        let thread_name = thread::current().name().map(str::to_owned);
        Self {
            lane,
            thread_name,
            failed: AtomicBool::new(false),
            suspects: Mutex::default(),
            had_suspects: AtomicBool::new(false),
            leased: AtomicBool::new(false),
            last_user: AtomicU64::new(this_thread()),
            untold: Mutex::default(),
            undecided: Mutex::default(),
        }
    }

    /// The test's path, as libtest names its thread.
    pub(crate) fn thread_name(&self) -> Option<&str> {
        self.thread_name.as_deref()
    }

    pub(crate) fn lane(&self) -> usize {
        self.lane
    }

    /// The generation that a lease which starts now gets: a failure known by now counts.
    pub(crate) fn generation(&self) -> u32 {
        // Of those before nobody will ask any more. Dropped outside the lock: they hold what has locks of its own.
        let untold = std::mem::take(&mut *lock(&self.untold));
        drop(untold);
        self.decide();
        if self.failed.swap(false, Ordering::SeqCst) {
            lock(&self.suspects).clear();
        }
        self.leased.store(true, Ordering::SeqCst);
        lock(&LANES)[self.lane].generation
    }

    /// This test has failed, whatever else happens.
    pub(crate) fn mark_failed(&self) {
        self.failed.store(true, Ordering::SeqCst);
    }

    /// Whether it is certain that this test has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// Whether there is a sign of failure that nothing has refuted.
    pub(crate) fn is_suspect(&self) -> bool {
        self.has_failed() || !lock(&self.suspects).is_empty()
    }

    /// Something of this test's was used or dropped on this thread: while unwinding it is suspected; else a panic that
    /// this very thread raised before was caught, because its code went on.
    ///
    /// Another thread that unwinds, a task's, is certain: what goes on there is no more of the test's than it tells.
    pub(crate) fn observe(&self) {
        self.last_user.store(this_thread(), Ordering::Relaxed);
        if !thread::panicking() {
            // What this thread has put in itself it sees, and it takes out no other's.
            if !self.had_suspects.load(Ordering::SeqCst) {
                return;
            }
            let this = this_thread();
            lock(&self.suspects).retain(|suspect| *suspect != this);
        } else if self.runs_on_this_thread() {
            self.suspect();
        } else {
            self.mark_failed();
        }
    }

    fn suspect(&self) {
        let this = this_thread();
        self.had_suspects.store(true, Ordering::SeqCst);
        let mut suspects = lock(&self.suspects);
        if !suspects.contains(&this) {
            suspects.push(this);
        }
    }

    /// Whether this is the test's thread, or the body thread of its sync `#[timeout]`, which has the same name.
    fn runs_on_this_thread(&self) -> bool {
        let own = OF_THREAD.try_with(|slot| {
            slot.try_borrow().is_ok_and(|hold| hold.as_deref().is_some_and(|hold| std::ptr::eq(hold, self)))
        });
        own.unwrap_or(false) || (self.thread_name.is_some() && thread::current().name() == self.thread_name.as_deref())
    }

    /// Whether something of this test's was used last on another thread: its fixtures are not dropped by this one.
    pub(crate) fn was_used_elsewhere(&self) -> bool {
        self.last_user.load(Ordering::Relaxed) != this_thread()
    }

    /// A lease has ended without a sign of failure: if one comes, `telling` gives the account.
    pub(crate) fn keep_untold(&self, telling: impl FnOnce() -> String + Send + 'static) {
        lock(&self.untold).push(Box::new(telling));
    }

    /// A lease has ended: `verdict` is told whether its test failed, at once if that is certain, else when the test's
    /// thread ends or starts another lease.
    pub(crate) fn lease_ended(&self, verdict: impl FnOnce(bool) + Send + 'static) {
        lock(&self.undecided).push(Box::new(verdict));
        if self.has_failed() {
            self.decide();
        }
    }

    /// A failure that is certain moves the lane to its next generation, once.
    fn decide(&self) {
        let failed = self.has_failed();
        if failed && self.leased.swap(false, Ordering::SeqCst) {
            let generation = {
                let mut lanes = lock(&LANES);
                lanes[self.lane].generation += 1;
                lanes[self.lane].generation
            };
            let react = *lock(&ON_FAILURE);
            if let Some(react) = react {
                react(self.lane, generation);
            }
        }
        let undecided = std::mem::take(&mut *lock(&self.undecided));
        undecided.into_iter().for_each(|verdict| verdict(failed));
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // Nothing of the test can refute the suspicion any more.
        if self.is_suspect() {
            self.mark_failed();
        }
        self.decide();
        lock(&LANES)[self.lane].held = false;
    }
}

/// What the lane is in now, whatever generation a lease began in.
pub(crate) fn generation_of(lane: usize) -> u32 {
    lock(&LANES).get(lane).map_or(0, |lane| lane.generation)
}

/// A panic, or an `Err` on its way to the runner, was seen on this thread: its test is suspected.
///
/// The test is found by the thread itself, or by its name, which the body thread of a sync `#[timeout]` shares with the
/// test's.
pub(crate) fn suspect_this_thread() {
    holds_of_this_thread().iter().for_each(|hold| hold.suspect());
}

/// The accounts that the test of this thread has not told, each to be asked for once.
pub(crate) fn untold_of_this_thread() -> Vec<Box<dyn FnOnce() -> String + Send>> {
    holds_of_this_thread().iter().flat_map(|hold| std::mem::take(&mut *lock(&hold.untold))).collect()
}

fn holds_of_this_thread() -> Vec<Arc<Hold>> {
    let own = OF_THREAD.try_with(|slot| slot.try_borrow().ok().and_then(|hold| hold.clone())).ok().flatten();
    if let Some(hold) = own {
        return vec![hold];
    }
    let current = thread::current();
    let Some(name) = current.name() else { return Vec::new() };
    // Whoever holds this lock calls nothing that could panic, so a panic cannot have come from under it.
    let holds = lock(&HOLDS);
    let named: Vec<Arc<Hold>> =
        holds.iter().filter_map(Weak::upgrade).filter(|hold| hold.thread_name.as_deref() == Some(name)).collect();
    // Dropping the last reference to a hold takes locks of its own.
    drop(holds);
    named
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Runs on a thread of its own, as libtest runs each test.
    fn on_a_thread<T: Send + 'static>(name: &str, test: impl FnOnce() -> T + Send + 'static) -> thread::Result<T> {
        thread::Builder::new().name(name.to_owned()).spawn(test).unwrap().join()
    }

    // One test: lanes are of the process, and libtest would run several at once.
    #[test]
    fn lanes_are_exclusive_reused_and_moved_on_by_failures() {
        let first = on_a_thread("first", || (Hold::of_this_thread().lane(), Hold::of_this_thread().generation()));
        let (lane, generation) = first.unwrap();
        let again = on_a_thread("again", || (Hold::of_this_thread().lane(), Hold::of_this_thread().generation()));
        assert_eq!(again.unwrap(), (lane, generation), "the lane is free once its thread has ended, and unmoved");

        // A leaked hold keeps its lane.
        let leaked = on_a_thread("leaks", || {
            let hold = Hold::of_this_thread();
            let lane = hold.lane();
            std::mem::forget(hold);
            lane
        });
        let next = on_a_thread("next", || Hold::of_this_thread().lane()).unwrap();
        assert_ne!(leaked.unwrap(), next);

        // Two that run at once never share.
        let (enter, entered) = mpsc::channel();
        let (leave, left) = mpsc::channel::<()>();
        let running = thread::spawn(move || {
            enter.send(Hold::of_this_thread().lane()).unwrap();
            let _ = left.recv();
        });
        let theirs = entered.recv().unwrap();
        assert_ne!(on_a_thread("beside", || Hold::of_this_thread().lane()).unwrap(), theirs);
        drop(leave);
        running.join().unwrap();

        // A mark moves the lane; a caught panic does not; one that nothing refutes does.
        let marked = on_a_thread("marked", || {
            let hold = Hold::of_this_thread();
            let before = hold.generation();
            hold.mark_failed();
            (hold.lane(), before)
        })
        .unwrap();
        let after = on_a_thread("after", || (Hold::of_this_thread().lane(), Hold::of_this_thread().generation()));
        assert_eq!(after.unwrap(), (marked.0, marked.1 + 1));
        let caught = on_a_thread("caught", || {
            let hold = Hold::of_this_thread();
            suspect_this_thread();
            assert!(hold.is_suspect());
            hold.observe();
            assert!(!hold.is_suspect());
            hold.generation()
        });
        assert_eq!(caught.unwrap(), marked.1 + 1);
        on_a_thread("late", || {
            Hold::of_this_thread().generation();
            suspect_this_thread();
        })
        .unwrap();
        assert_eq!(on_a_thread("last", || Hold::of_this_thread().generation()).unwrap(), marked.1 + 2);

        // A second sign of the same failure moves it no further.
        on_a_thread("twice", || {
            let hold = Hold::of_this_thread();
            hold.generation();
            hold.mark_failed();
            hold.lease_ended(|failed| assert!(failed));
            suspect_this_thread();
        })
        .unwrap();
        assert_eq!(on_a_thread("once", || Hold::of_this_thread().generation()).unwrap(), marked.1 + 3);

        // A body thread of the same name counts, one of another name does not.
        on_a_thread("twin", || {
            let hold = Hold::of_this_thread();
            on_a_thread("other", suspect_this_thread).unwrap();
            assert!(!hold.is_suspect());
            on_a_thread("twin", suspect_this_thread).unwrap();
            assert!(hold.is_suspect());
            hold.observe();
            assert!(hold.is_suspect(), "only the thread that panicked can show that it went on");
        })
        .unwrap();
    }
}
