//! What a lease notes for the account of a failure, and when it is told.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, TryLockError};

use super::held_lane;
use super::{Lease, of_this_thread};
use crate::config::FailureReport;
use crate::lease::failure_report::{self, Facts, LeasedGroup, Read};
use crate::model::topic::Topic;

impl Lease {
    /// A group that is about to be made, for the account of a failure, and to be deleted when the lease is over.
    pub(crate) fn note_group(&self, id: &str, topics: &[Topic]) {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.push(LeasedGroup { id: id.to_owned(), topics: topics.to_vec() });
    }

    pub(super) fn group_ids(&self) -> Vec<String> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.iter().map(|group| group.id.clone()).collect()
    }

    /// How far a consumer had read that is dropped, for the account of a failure.
    pub(crate) fn note_read(&self, topic: &str, next: Vec<(i32, i64)>) {
        // Of a topic that did not exist there is nothing to say.
        if self.account == FailureReport::Off || next.is_empty() {
            return;
        }
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        if reads.len() < MOST_READS {
            reads.push(Read { topic: topic.to_owned(), next });
        }
    }

    /// What the account of a failure needs, once; `None` if it has been told or is switched off.
    pub(super) fn facts(&self) -> Option<Facts> {
        if self.account == FailureReport::Off || self.told.swap(true, Ordering::SeqCst) {
            return None;
        }
        // Not waited for: it is asked for in a panic hook too, whose thread may hold it.
        let topics = match self.topics.try_lock() {
            Ok(topics) => topics.values().filter_map(|leased| leased.learned.get()).collect(),
            Err(TryLockError::Poisoned(topics)) => {
                topics.into_inner().values().filter_map(|leased| leased.learned.get()).collect()
            }
            Err(TryLockError::WouldBlock) => Vec::new(),
        };
        Some(Facts {
            cluster: Arc::clone(self.cluster()),
            detail: self.account,
            names: self.names.clone(),
            topics,
            groups: self.groups.try_lock().map(|groups| groups.clone()).unwrap_or_default(),
            reads: self.reads.try_lock().map(|reads| reads.clone()).unwrap_or_default(),
        })
    }

    /// Tells the account now if there is a sign of failure, else keeps it ready until the test's thread has ended.
    pub(super) fn tell(&self) {
        let Some(facts) = self.facts() else { return };
        if self.hold.has_failed() {
            failure_report::print(&failure_report::tell(facts));
        } else {
            self.hold.keep_report(move || failure_report::tell(facts));
        }
    }
}

/// More consumers than a reader wants to hear of.
const MOST_READS: usize = 16;

/// The accounts of this thread's test that no drop of its fixtures on this thread will tell: those of leases that have
/// ended, and of leases whose fixtures were moved to another thread.
pub(super) fn reports_of_this_thread() -> String {
    let pending_reports = held_lane::take_pending_reports().into_iter().map(|pending| pending());
    let alive = of_this_thread();
    let moved = alive.iter().filter(|lease| lease.hold.was_used_elsewhere());
    pending_reports.chain(moved.filter_map(|lease| lease.facts()).map(failure_report::tell)).collect()
}
