//! The workers of this process: their lanes, their state, and the counters for names.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::exit_status;
use super::lanes::Lanes;
use super::state::{Key, WorkerState};
use crate::config::{Config, KeepTopics};
use crate::ledger::{Folder, Numbers};
use crate::model::error::Result;
use crate::sync::kept::keep;

/// The workers of a process.
#[derive(Debug)]
pub(crate) struct Workers {
    pub(crate) lanes: Lanes,
    /// The number of the next exclusive topic. It continues the numbers of other processes of the worker.
    exclusive: AtomicU64,
    /// The number of the next group of a service. It continues the numbers of other processes of the worker.
    group: AtomicU64,
    /// Kept until the process exits, because a test may fail after its harness was dropped.
    open: Mutex<Vec<Arc<WorkerState>>>,
}

impl Workers {
    pub(crate) const fn new() -> Self {
        Self {
            lanes: Lanes::new(),
            exclusive: AtomicU64::new(1),
            group: AtomicU64::new(0),
            open: Mutex::new(Vec::new()),
        }
    }

    fn open_states(&self) -> MutexGuard<'_, Vec<Arc<WorkerState>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number for the next exclusive topic.
    pub(crate) fn next_exclusive(&self) -> u64 {
        self.exclusive.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns the number for the next group of a service.
    pub(crate) fn next_group(&self) -> u64 {
        self.group.fetch_add(1, Ordering::Relaxed)
    }

    /// Continues the generation and the numbers of another process of the worker.
    pub(super) fn continue_from(&self, generation: u32, numbers: &Numbers) {
        self.lanes.raise_to(generation);
        self.exclusive.fetch_max(numbers.exclusive, Ordering::Relaxed);
        self.group.fetch_max(numbers.group, Ordering::Relaxed);
    }

    /// Returns the state of this configuration's worker on the cluster, and whether it is new in this process.
    pub(crate) fn state_on(
        &self,
        cluster_id: &str,
        bootstrap_servers: &str,
        config: &Config,
    ) -> Result<(Arc<WorkerState>, bool)> {
        let directory = Folder::open(&config.state_dir)?;
        let key = Key {
            directory: directory.path().to_owned(),
            cluster_id: cluster_id.to_owned(),
            worker_id: config.worker_id.clone(),
            keeps_topics: config.keep_topics == KeepTopics::Always,
        };
        // Locked while the file is created, so that this process creates only one. No broker is asked under the lock.
        let mut states = self.open_states();
        if let Some(open) = states.iter().find(|open| *open.key() == key) {
            return Ok((Arc::clone(open), false));
        }
        let state = Arc::new(WorkerState::open(&directory, key, config, bootstrap_servers, self)?);
        states.push(Arc::clone(&state));
        Ok((state, true))
    }

    /// Whether this process has any state on a cluster.
    pub(crate) fn have_state(&self) -> bool {
        !self.open_states().is_empty()
    }

    /// Records in every state that a failure has moved a lane to its next generation.
    pub(crate) fn move_on(&self) {
        let states: Vec<Arc<WorkerState>> = self.open_states().clone();
        states.iter().for_each(|state| state.move_on(self.lanes.latest_generation()));
    }

    /// Writes the final state of each worker for the next process. This is the last step at exit.
    ///
    /// `in_time`: everything was closed and deleted before the deadline.
    pub(crate) fn end(&self, in_time: bool) {
        let clean = in_time && exit_status::is_success() && self.lanes.are_all_free();
        for state in std::mem::take(&mut *self.open_states()) {
            let numbers = Numbers {
                exclusive: self.exclusive.load(Ordering::Relaxed),
                group: self.group.load(Ordering::Relaxed),
            };
            state.end(clean, self.lanes.latest_generation(), numbers);
            // The state's file stays locked until the process has exited.
            keep(state);
        }
    }
}
