//! What this process owns. It is set up before `main` and closed at exit.
//!
//! Nothing here starts a thread or opens a socket before the first lease. A process in which no test uses a fixture
//! exits without doing either.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::{Cluster, at_exit};
use crate::config::Report;
use crate::ledger;
use crate::report;
use crate::report::stats::Stats;
use crate::sync::wait::Deadline;
use crate::worker::exit_status;
use crate::worker::workers::Workers;

pub(crate) static PROCESS: Process = Process {
    pid: AtomicU32::new(0),
    workers: Workers::new(),
    clusters: Mutex::new(Vec::new()),
    dropped_stats: Mutex::new(None),
    is_armed: AtomicBool::new(false),
};

/// Everything that this process owns.
pub(crate) struct Process {
    /// The id of the process that ran the set-up. A fork has the data but none of the threads, so it closes nothing.
    pid: AtomicU32,
    /// The lanes of the process, and the state of its workers on clusters that outlive the process.
    pub(crate) workers: Workers,
    /// The clusters that the harnesses of this process have open.
    clusters: Mutex<Vec<OpenCluster>>,
    /// The statistics of the harnesses that were dropped before exit, for the summary.
    dropped_stats: Mutex<Option<Stats>>,
    /// Whether the exit function is registered.
    is_armed: AtomicBool,
}

/// A cluster that a harness has open.
#[derive(Clone)]
pub(super) struct OpenCluster {
    pub(super) cluster: Arc<Cluster>,
    pub(super) exit_deadline: Duration,
    pub(super) report: Report,
}

#[ctor::ctor(unsafe)]
fn note_process() {
    PROCESS.pid.store(std::process::id(), Ordering::SeqCst);
    ledger::note_parent();
}

/// The last resort, for platforms and exits on which the handler that [`Process::add`] registers does not run.
#[dtor::dtor(unsafe)]
fn close_as_last_resort() {
    at_exit::close_everything();
}

extern "C" fn close_at_exit() {
    at_exit::close_everything();
}

impl Process {
    /// A poisoned lock is recovered, because the exit takes the lock too. The list is consistent at any time.
    pub(super) fn clusters(&self) -> MutexGuard<'_, Vec<OpenCluster>> {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn dropped_stats(&self) -> MutexGuard<'_, Option<Stats>> {
        self.dropped_stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_current(&self) -> bool {
        self.pid.load(Ordering::SeqCst) == std::process::id()
    }

    /// Moves a lane to its next generation after its test has failed.
    ///
    /// Pooled consumers of older generations are closed in the background, on every cluster. The next lease on the lane
    /// gets new topics and consumers, and the next process of the worker starts in the new generation.
    pub(crate) fn advance_lane(&self, lane: usize) {
        let generation = self.workers.lanes.advance(lane);
        report::moved();
        // Clone the list, so that its lock is not held while consumers are closed.
        let clusters: Vec<OpenCluster> = self.clusters().clone();
        for open in clusters {
            open.cluster.retire_before(lane, generation);
        }
        self.workers.move_on();
    }

    /// Registers a cluster. It is closed at exit, and its pooled consumers are closed when their lane fails.
    pub(super) fn add(&self, cluster: &Arc<Cluster>, exit_deadline: Duration, report: Report) {
        self.clusters().push(OpenCluster { cluster: Arc::clone(cluster), exit_deadline, report });
        if !self.is_armed.swap(true, Ordering::SeqCst) {
            // Register the function only after the first client was created. Exit functions run in reverse order, so
            // this function runs before those of the libraries that the clients use, such as OpenSSL.
            // SAFETY: the function is part of this binary or library, which is not unloaded while tests run; it never unwinds.
            unsafe { dtor::at_module_exit(close_at_exit) };
            // Watch the exit status after that, so that the status is recorded before our function runs.
            exit_status::watch();
        }
    }

    /// Closes the pooled consumers of a cluster in the background, because its harness was dropped.
    ///
    /// Topics and groups on a broker that outlives the process are deleted only at exit, because a harness with the
    /// same prefix has the same names and may be using them. If another harness has the same broker open, that harness
    /// deletes them.
    pub(super) fn remove(&self, cluster: &Arc<Cluster>) {
        let outlives_process = cluster.broker().capabilities().outlives_process;
        let mut clusters = self.clusters();
        let Some(at) = clusters.iter().position(|open| Arc::ptr_eq(&open.cluster, cluster)) else { return };
        let is_same_broker = |other: &&OpenCluster| {
            !Arc::ptr_eq(&other.cluster, cluster) && other.cluster.broker().name() == cluster.broker().name()
        };
        let successor = clusters.iter().find(is_same_broker).map(|open| Arc::clone(&open.cluster));
        if outlives_process && successor.is_none() {
            drop(clusters);
            cluster.close_pool();
            return;
        }
        let open = clusters.swap_remove(at);
        drop(clusters);
        if open.report == Report::Summary {
            let stats = cluster.stats();
            let mut dropped_stats = self.dropped_stats();
            *dropped_stats = Some(dropped_stats.unwrap_or_default().and(stats));
        }
        if let Some(successor) = successor.filter(|_| outlives_process) {
            cluster.leave_deletions_to(&successor);
        }
        let close = {
            let open = open.clone();
            move || {
                open.cluster.close_pool();
                open.cluster.wait_for_closing(Deadline::after(open.exit_deadline));
            }
        };
        if thread::Builder::new().name("rstest-kafka close".to_owned()).spawn(close).is_err() {
            self.clusters().push(open);
        }
    }
}
