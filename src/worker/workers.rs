//! The lanes of this process, the numbers in its names, and the state of its workers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::exit_status;
use super::lanes::Lanes;
use super::state::{Key, WorkerState};
use crate::config::{Config, KeepTopics};
use crate::ledger::{Folder, Numbers};
use crate::model::error::Result;
use crate::sync::kept::keep;

/// What a process has of the workers that run in it.
#[derive(Debug)]
pub(crate) struct Workers {
    pub(crate) lanes: Lanes,
    /// The number of the next topic for one lease only. It counts in the process, on from where another process of the worker was.
    exclusive: AtomicU64,
    /// The same for the next group of a service under test.
    group: AtomicU64,
    /// Kept until the process ends: a harness that is gone may have been used by a test that fails later.
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

    /// The number of the next topic for one lease only.
    pub(crate) fn next_exclusive(&self) -> u64 {
        self.exclusive.fetch_add(1, Ordering::Relaxed)
    }

    /// The number of the next group of a service under test.
    pub(crate) fn next_group(&self) -> u64 {
        self.group.fetch_add(1, Ordering::Relaxed)
    }

    /// Another process of the worker was in this generation, and had used the numbers before these.
    pub(super) fn go_on_from(&self, generation: u32, numbers: &Numbers) {
        self.lanes.begin_at(generation);
        self.exclusive.fetch_max(numbers.exclusive, Ordering::Relaxed);
        self.group.fetch_max(numbers.group, Ordering::Relaxed);
    }

    /// The state of this configuration's worker on the cluster, and whether it is new in this process.
    pub(crate) fn state_on(
        &self,
        cluster_id: &str,
        bootstrap_servers: &str,
        config: &Config,
    ) -> Result<(Arc<WorkerState>, bool)> {
        let folder = Folder::open(&config.state_dir)?;
        let key = Key {
            folder: folder.path().to_owned(),
            cluster_id: cluster_id.to_owned(),
            worker_id: config.worker_id.clone(),
            keeps_topics: config.keep_topics == KeepTopics::Always,
        };
        // Held while a file is created, so that a process has one; no broker is asked.
        let mut states = self.open_states();
        if let Some(open) = states.iter().find(|open| *open.key() == key) {
            return Ok((Arc::clone(open), false));
        }
        let state = Arc::new(WorkerState::open(&folder, key, config, bootstrap_servers, self)?);
        states.push(Arc::clone(&state));
        Ok((state, true))
    }

    /// Whether this process has any state on a cluster.
    pub(crate) fn have_state(&self) -> bool {
        !self.open_states().is_empty()
    }

    /// A failure has moved a lane of this process.
    pub(crate) fn move_on(&self) {
        let states: Vec<Arc<WorkerState>> = self.open_states().clone();
        states.iter().for_each(|state| state.move_on(self.lanes.latest_generation()));
    }

    /// At exit, when everything else is done: each worker's state is what the next process finds.
    ///
    /// `in_time`: everything was closed and deleted that should be.
    pub(crate) fn end(&self, in_time: bool) {
        let well = in_time && exit_status::is_success() && self.lanes.are_all_free();
        for state in std::mem::take(&mut *self.open_states()) {
            let numbers = Numbers {
                exclusive: self.exclusive.load(Ordering::Relaxed),
                group: self.group.load(Ordering::Relaxed),
            };
            state.end(well, self.lanes.latest_generation(), numbers);
            // Its lock is held until the process is gone.
            keep(state);
        }
    }
}
