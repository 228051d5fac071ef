//! What this process owns: set up before `main`, emptied at exit.
//!
//! Nothing here starts a thread or opens a socket before the first lease. A process in which no test used a fixture passes
//! through its exit without either.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::{Cluster, at_exit};
use crate::ledger;
use crate::report::stats::Stats;
use crate::report::{self, Report};
use crate::sync::wait::Deadline;
use crate::worker::exit_status;
use crate::worker::workers::Workers;

/// Everything that this process owns.
pub(crate) static PROCESS: Process = Process {
    pid: AtomicU32::new(0),
    workers: Workers::new(),
    clusters: Mutex::new(Vec::new()),
    gone: Mutex::new(None),
    is_armed: AtomicBool::new(false),
};

/// What a process owns.
pub(crate) struct Process {
    /// The process that set it up: a fork has the data but none of the threads, and does nothing.
    pid: AtomicU32,
    /// Its lanes, and the state of its workers on clusters that outlive it.
    pub(crate) workers: Workers,
    /// The clusters that its harnesses have open.
    clusters: Mutex<Vec<OpenCluster>>,
    /// For the summary: what the harnesses that were dropped before the exit had done.
    gone: Mutex<Option<Stats>>,
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
fn set_up() {
    PROCESS.pid.store(std::process::id(), Ordering::SeqCst);
    ledger::note_parent();
}

/// The last resort: on platforms and paths where the handler that [`Process::add`] registers has not run.
#[dtor::dtor(unsafe)]
fn tear_down() {
    at_exit::empty();
}

extern "C" fn exit_function() {
    at_exit::empty();
}

impl Process {
    /// The exit takes it too, so a poisoned lock is recovered: the list is whole at any time.
    pub(super) fn clusters(&self) -> MutexGuard<'_, Vec<OpenCluster>> {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn gone(&self) -> MutexGuard<'_, Option<Stats>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_this_one(&self) -> bool {
        self.pid.load(Ordering::SeqCst) == std::process::id()
    }

    /// A failure moves a lane to its next generation: consumers of older ones are closed, and the next process of the worker
    /// begins in the new one.
    pub(crate) fn advance_lane(&self, lane: usize) {
        let generation = self.workers.lanes.advance(lane);
        report::moved();
        // Cloned, so that no lock is held while consumers are handed to be closed.
        let clusters: Vec<OpenCluster> = self.clusters().clone();
        for open in clusters {
            open.cluster.retire_before(lane, generation);
        }
        self.workers.move_on();
    }

    /// From now on the cluster is closed at exit, and its consumers when their lane fails.
    pub(super) fn add(&self, cluster: &Arc<Cluster>, exit_deadline: Duration, report: Report) {
        self.clusters().push(OpenCluster { cluster: Arc::clone(cluster), exit_deadline, report });
        if !self.is_armed.swap(true, Ordering::SeqCst) {
            // Registered only now, after the first client was created: exit functions run in reverse order, so this one comes
            // before those of the libraries that the clients stand on, such as OpenSSL's.
            // SAFETY: the function is part of this binary or library, which is not unloaded while tests run; it never unwinds.
            unsafe { dtor::at_module_exit(exit_function) };
            // After it, so that the status is noted before our function runs.
            exit_status::watch();
        }
    }

    /// The harness of a cluster is gone: its consumers are closed now, off the test's path.
    ///
    /// What it created on a broker that outlives the process is deleted at exit all the same, by another harness of that broker if
    /// there is one: a harness with the same prefix has the same names, and may be using them.
    pub(super) fn remove(&self, cluster: &Arc<Cluster>) {
        let outlives = cluster.broker().capabilities().outlives_process;
        let mut clusters = self.clusters();
        let Some(at) = clusters.iter().position(|open| Arc::ptr_eq(&open.cluster, cluster)) else { return };
        let is_same_broker = |other: &&OpenCluster| {
            !Arc::ptr_eq(&other.cluster, cluster) && other.cluster.broker().name() == cluster.broker().name()
        };
        let other = clusters.iter().find(is_same_broker).map(|open| Arc::clone(&open.cluster));
        if outlives && other.is_none() {
            drop(clusters);
            cluster.close_idle();
            return;
        }
        let open = clusters.swap_remove(at);
        drop(clusters);
        if open.report == Report::Summary {
            let stats = cluster.stats();
            let mut gone = self.gone();
            *gone = Some(gone.unwrap_or_default().and(stats));
        }
        if let Some(other) = other.filter(|_| outlives) {
            cluster.hand_over_to(&other);
        }
        let close = {
            let open = open.clone();
            move || {
                open.cluster.close_idle();
                open.cluster.wait_for_closing(Deadline::after(open.exit_deadline));
            }
        };
        if thread::Builder::new().name("rstest-kafka close".to_owned()).spawn(close).is_err() {
            self.clusters().push(open);
        }
    }
}
