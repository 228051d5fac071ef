//! Closes a cluster at exit, and lists what is left on the broker.

use super::process::PROCESS;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Cluster;
use super::topics::OwnedTopic;
use crate::cluster::pool::{self, PoolClient};
use crate::sync::kept::keep;
use crate::sync::wait::Deadline;
use crate::worker::state::WorkerState;

/// What closing a cluster did, and what it left on the broker.
#[derive(Debug, Default)]
pub(crate) struct LeftOver {
    pub(crate) broker: String,
    /// Topics and groups that could not be deleted, each with the reason.
    pub(crate) undeleted: Vec<(String, String)>,
    /// Topics that were kept on purpose.
    pub(crate) kept: Vec<String>,
    pub(crate) unclosed_consumers: usize,
    pub(crate) closed_consumers: usize,
    pub(crate) deleted_topics: usize,
    pub(crate) deleted_groups: usize,
}

impl Cluster {
    /// Closes every consumer and deletes every topic and group, in parallel and within the deadline.
    pub(crate) fn close_at_exit(&self, deadline: Deadline) -> LeftOver {
        self.closing.store(true, Ordering::SeqCst);
        self.ended_groups.stop();
        // Keep them, because their Drop has no deadline. The process releases the memory.
        keep((self.closer.take_waiting(), self.pool.take_all()));
        let open: Vec<Arc<PoolClient>> = self.open.iter().filter_map(|client| client.value().upgrade()).collect();
        let to_close = open.len();
        std::thread::scope(|scope| {
            let closing = scope.spawn(|| pool::close_all_at_exit(open, deadline));
            if let Some(sweeping) = &self.sweeping {
                scope.spawn(move || sweeping.stop(deadline));
            }
            let mut left = self.delete_all(deadline);
            left.unclosed_consumers = closing.join().unwrap_or(0);
            left.closed_consumers = to_close - left.unclosed_consumers;
            left
        })
    }

    /// Leaves the topics and groups that must be deleted at exit to another harness of the same broker.
    pub(crate) fn leave_deletions_to(&self, successor: &Self) {
        for entry in &self.topics {
            successor.topics.entry(entry.key().clone()).or_insert_with(|| Arc::clone(entry.value()));
        }
        for group in self.groups.iter() {
            successor.groups.insert(group.key().clone());
        }
    }

    fn delete_all(&self, deadline: Deadline) -> LeftOver {
        let mut left = LeftOver { broker: self.broker.name().to_owned(), ..LeftOver::default() };
        // A broker that does not outlive the process needs no deletions.
        let outlives_process = self.broker.capabilities().outlives_process;
        let kept = |topic: &OwnedTopic| self.keeps_topics(topic.lease_failed.load(Ordering::Relaxed));
        let state = self.state.as_deref();
        let (mut topics, mut stay_recorded) = (Vec::new(), Vec::new());
        let generation = PROCESS.workers.lanes.latest_generation();
        let is_reused_later = |topic: &str| state.is_some_and(|state| state.hands_on(topic, generation));
        for entry in self.topics.iter().filter(|entry| !is_reused_later(entry.key())) {
            if kept(entry.value()) { &mut left.kept } else { &mut topics }.push(entry.key().clone());
            if entry.value().may_appear.load(Ordering::SeqCst) {
                stay_recorded.push((entry.key().clone(), String::new()));
            }
        }
        if !outlives_process {
            left.kept.clear();
        }
        let outdated = state.map(WorkerState::take_outdated).unwrap_or_default();
        topics.extend(outdated.topics.iter().filter(|name| !self.topics.contains_key(*name)).cloned());
        if outlives_process && !topics.is_empty() {
            let mut undeleted = self.broker.delete_topics(&topics, deadline);
            let again = topics
                .iter()
                .filter(|name| self.topics.get(*name).is_some_and(|topic| topic.deleted.load(Ordering::SeqCst)));
            left.deleted_topics = topics.len().saturating_sub(undeleted.len() + again.count());
            self.counters.topics_deleted.add(left.deleted_topics);
            let refused =
                |name: &String| self.topics.get(name).is_some_and(|topic| topic.refused.load(Ordering::SeqCst));
            undeleted.retain(|(name, _)| !refused(name));
            // A topic that may still appear stays in the ledger, for the sweep of a later run.
            stay_recorded.extend(undeleted.iter().cloned());
            self.forget_topics(&topics, &stay_recorded);
            left.undeleted.extend(undeleted);
        }
        let mut groups: Vec<String> = self.groups.iter().map(|group| group.key().clone()).collect();
        groups.extend(outdated.groups);
        if outlives_process && !groups.is_empty() {
            let undeleted = self.broker.delete_groups(&groups, deadline);
            groups.retain(|name| !undeleted.iter().any(|(other, _)| other == name));
            left.deleted_groups = groups.len();
            self.counters.groups_deleted.add(left.deleted_groups);
            left.undeleted.extend(undeleted);
        }
        if let Some(state) = state {
            state.forget(&left.kept, &groups);
        }
        left.kept.sort();
        left
    }
}
