//! Deletes the groups of ended leases, in the background and several in one request.
//!
//! A broker refuses to delete a group that has members. The deletion of such a group is retried at growing intervals,
//! then left to the exit.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::Cluster;
use crate::sync::wait::Deadline;

/// The time for which groups are collected before they are deleted together. The interval between retries doubles from
/// here.
const DELAY: Duration = Duration::from_millis(100);

/// The number of attempts per group. They span 100 s, longer than a broker counts a killed member (45 s by default).
const MAX_ATTEMPTS: u32 = 10;

/// The timeout of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// The groups that wait for their deletion. The thread that deletes them ends when there are none.
#[derive(Debug, Default)]
pub(super) struct EndedGroups {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    pending: Vec<PendingGroup>,
    has_thread: bool,
    is_stopped: bool,
}

#[derive(Debug)]
struct PendingGroup {
    name: String,
    due: Instant,
    attempts: u32,
}

impl EndedGroups {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves the waiting groups to the exit.
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.is_stopped = true;
        state.pending.clear();
        drop(state);
        self.changed.notify_all();
    }

    /// Waits for the next group that is due, and returns it with all groups that were not tried yet. `None` ends the
    /// thread.
    fn next(&self) -> Option<Vec<PendingGroup>> {
        let mut state = self.lock();
        loop {
            let Some(due) = state.pending.iter().map(|group| group.due).min() else {
                state.has_thread = false;
                return None;
            };
            let now = Instant::now();
            if due <= now {
                return Some(state.pending.extract_if(.., |group| group.due <= now || group.attempts == 0).collect());
            }
            state = self.changed.wait_timeout(state, due - now).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn retry(&self, groups: Vec<PendingGroup>) {
        let mut state = self.lock();
        if state.is_stopped {
            return;
        }
        for group in groups.into_iter().filter(|group| group.attempts + 1 < MAX_ATTEMPTS) {
            let attempts = group.attempts + 1;
            state.pending.push(PendingGroup { due: Instant::now() + DELAY * 2_u32.pow(attempts), attempts, ..group });
        }
    }

    fn delete_all(&self, cluster: &Weak<Cluster>) {
        while let Some(mut groups) = self.next() {
            // Upgrade only now, so that this thread does not keep the cluster alive while it waits.
            let Some(cluster) = cluster.upgrade() else { return self.stop() };
            let names: Vec<String> = groups.iter().map(|group| group.name.clone()).collect();
            let undeleted = cluster.broker.delete_groups(&names, Deadline::after(REQUEST_TIMEOUT));
            groups.retain(|group| undeleted.iter().any(|(name, _)| *name == group.name));
            cluster.forget_groups(names.into_iter().filter(|name| !undeleted.iter().any(|(other, _)| other == name)));
            self.retry(groups);
        }
    }
}

impl Cluster {
    /// Deletes the groups of an ended lease in the background.
    pub(crate) fn delete_groups_soon(self: &Arc<Self>, names: impl IntoIterator<Item = String>) {
        let mut state = self.ended_groups.lock();
        if state.is_stopped {
            return;
        }
        let due = Instant::now() + DELAY;
        state.pending.extend(names.into_iter().map(|name| PendingGroup { name, due, attempts: 0 }));
        if state.pending.is_empty() {
            return;
        }
        if !state.has_thread {
            let (ended, cluster) = (Arc::clone(&self.ended_groups), Arc::downgrade(self));
            let builder = thread::Builder::new().name("rstest-kafka groups".to_owned()).stack_size(256 * 1024);
            // If the thread cannot be started, the groups wait for the next call or for the exit.
            state.has_thread = builder.spawn(move || ended.delete_all(&cluster)).is_ok();
        }
        drop(state);
        self.ended_groups.changed.notify_one();
    }

    /// Forgets groups that were deleted.
    fn forget_groups(&self, deleted: impl Iterator<Item = String>) {
        let deleted: Vec<String> = deleted.collect();
        for name in &deleted {
            self.groups.remove(name);
        }
        self.counters.groups_deleted.add(deleted.len());
        if let Some(state) = &self.state {
            state.forget(&[], &deleted);
        }
    }
}
