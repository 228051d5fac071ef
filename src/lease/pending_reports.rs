//! What a lease records for its failure report, and when the report is printed.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, TryLockError};

use super::held_lane;
use super::{Lease, of_this_thread};
use crate::config::FailureReport;
use crate::lease::failure_report::{self, ConsumerPositions, LeasedGroup, ReportInput};
use crate::model::topic::Topic;

impl Lease {
    /// Records a group that is about to be created. It is part of the failure report, and is deleted when the lease
    /// ends.
    pub(crate) fn note_group(&self, id: &str, topics: &[Topic]) {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.push(LeasedGroup { id: id.to_owned(), topics: topics.to_vec() });
    }

    pub(super) fn group_ids(&self) -> Vec<String> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.iter().map(|group| group.id.clone()).collect()
    }

    /// Records the positions of a consumer that is dropped, for the failure report.
    pub(crate) fn note_positions(&self, topic: &str, next: Vec<(i32, i64)>) {
        // A topic that did not exist has no positions.
        if self.report_detail == FailureReport::Off || next.is_empty() {
            return;
        }
        let mut positions = self.positions.lock().unwrap_or_else(PoisonError::into_inner);
        if positions.len() < MAX_CONSUMERS {
            positions.push(ConsumerPositions { topic: topic.to_owned(), next });
        }
    }

    /// Takes the input of the failure report. `None` if it was taken before or the report is switched off.
    pub(super) fn take_report_input(&self) -> Option<ReportInput> {
        if self.report_detail == FailureReport::Off || self.is_report_taken.swap(true, Ordering::SeqCst) {
            return None;
        }
        // Do not wait for this lock, because the panic hook comes here too, and its thread may hold the lock.
        let topics = match self.topics.try_lock() {
            Ok(topics) => topics.values().filter_map(|leased| leased.resolved.get()).collect(),
            Err(TryLockError::Poisoned(topics)) => {
                topics.into_inner().values().filter_map(|leased| leased.resolved.get()).collect()
            }
            Err(TryLockError::WouldBlock) => Vec::new(),
        };
        Some(ReportInput {
            cluster: Arc::clone(self.cluster()),
            detail: self.report_detail,
            names: self.names.clone(),
            topics,
            groups: self.groups.try_lock().map(|groups| groups.clone()).unwrap_or_default(),
            positions: self.positions.try_lock().map(|positions| positions.clone()).unwrap_or_default(),
        })
    }

    /// Prints the failure report if there is a sign of failure. Otherwise keeps it until the thread of the test ends.
    pub(super) fn report_failure(&self) {
        let Some(input) = self.take_report_input() else { return };
        if self.held_lane.has_failed() {
            failure_report::print(&failure_report::text(input));
        } else {
            self.held_lane.keep_report(move || failure_report::text(input));
        }
    }
}

/// The number of consumers in a failure report.
const MAX_CONSUMERS: usize = 16;

/// Returns the failure reports that no drop on this thread will print: those of ended leases, and those of leases whose
/// fixtures were moved to another thread.
pub(super) fn reports_of_this_thread() -> String {
    let pending_reports = held_lane::take_pending_reports().into_iter().map(|pending| pending());
    let alive = of_this_thread();
    let moved = alive.iter().filter(|lease| lease.held_lane.was_used_elsewhere());
    pending_reports.chain(moved.filter_map(|lease| lease.take_report_input()).map(failure_report::text)).collect()
}
