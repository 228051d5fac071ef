//! The groups of services whose lease is over: deleted together, off the test's path.
//!
//! A broker does not delete a group that has members. Such a group is tried again, less and less often, then left to the exit.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::Cluster;
use crate::sync::wait::Deadline;

/// How long groups gather before they are deleted together; the pause before a group is tried again doubles from here.
const GATHER: Duration = Duration::from_millis(100);

/// How often a group is tried: for 100 s in all, longer than a broker counts a member that was killed (45 s by default).
const TRIES: u32 = 10;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The groups that wait for their deletion, and the thread that deletes them: it ends when there are none.
#[derive(Debug, Default)]
pub(super) struct EndedGroups {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Waiting>,
    has_thread: bool,
    is_over: bool,
}

#[derive(Debug)]
struct Waiting {
    name: String,
    due: Instant,
    tries: u32,
}

impl EndedGroups {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves those that wait to the exit.
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.is_over = true;
        state.waiting.clear();
        drop(state);
        self.changed.notify_all();
    }

    /// What is due next, and all new ones with it; `None` ends the thread.
    fn next(&self) -> Option<Vec<Waiting>> {
        let mut state = self.lock();
        loop {
            let Some(due) = state.waiting.iter().map(|group| group.due).min() else {
                state.has_thread = false;
                return None;
            };
            let now = Instant::now();
            if due <= now {
                return Some(state.waiting.extract_if(.., |group| group.due <= now || group.tries == 0).collect());
            }
            state = self.changed.wait_timeout(state, due - now).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn try_again(&self, groups: Vec<Waiting>) {
        let mut state = self.lock();
        if state.is_over {
            return;
        }
        for group in groups.into_iter().filter(|group| group.tries + 1 < TRIES) {
            let tries = group.tries + 1;
            state.waiting.push(Waiting { due: Instant::now() + GATHER * 2_u32.pow(tries), tries, ..group });
        }
    }

    fn delete_all(&self, cluster: &Weak<Cluster>) {
        while let Some(mut groups) = self.next() {
            // Not kept alive by this thread while it waits.
            let Some(cluster) = cluster.upgrade() else { return self.stop() };
            let names: Vec<String> = groups.iter().map(|group| group.name.clone()).collect();
            let left = cluster.broker.delete_groups(&names, Deadline::after(PATIENCE));
            groups.retain(|group| left.iter().any(|(name, _)| *name == group.name));
            cluster.forget_groups(names.into_iter().filter(|name| !left.iter().any(|(other, _)| other == name)));
            self.try_again(groups);
        }
    }
}

impl Cluster {
    /// The lease of these groups is over.
    pub(crate) fn delete_groups_soon(self: &Arc<Self>, names: impl IntoIterator<Item = String>) {
        let mut state = self.ended_groups.lock();
        if state.is_over {
            return;
        }
        let due = Instant::now() + GATHER;
        state.waiting.extend(names.into_iter().map(|name| Waiting { name, due, tries: 0 }));
        if state.waiting.is_empty() {
            return;
        }
        if !state.has_thread {
            let (ended, cluster) = (Arc::clone(&self.ended_groups), Arc::downgrade(self));
            let builder = thread::Builder::new().name("rstest-kafka groups".to_owned()).stack_size(256 * 1024);
            // Without a thread they wait for the next one, or for the exit.
            state.has_thread = builder.spawn(move || ended.delete_all(&cluster)).is_ok();
        }
        drop(state);
        self.ended_groups.changed.notify_one();
    }

    /// They are gone.
    fn forget_groups(&self, gone: impl Iterator<Item = String>) {
        let gone: Vec<String> = gone.collect();
        for name in &gone {
            self.groups.remove(name);
        }
        self.counters.groups_deleted.add(gone.len());
        if let Some(state) = &self.state {
            state.forget(&[], &gone);
        }
    }
}
