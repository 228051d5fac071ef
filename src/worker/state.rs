//! The state of a worker: in this process, or in a file that the processes of a run use one after the other.
//!
//! Under cargo-nextest, each test is a process. On a real cluster, a slot's generation, topics and numbers are passed from one
//! process to the next in the worker's ledger. Without cargo-nextest, a worker's state lasts as long as its process.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::workers::Workers;
use crate::config::Config;
use crate::ledger::{Event, Folder, Header, Ledger, ListedTopic, Numbers, Owner, ProcessMark};
use crate::model::error::{Error, Result};
use crate::model::ids::{RunId, WorkerId};
use crate::worker::names::Names;

/// How many processes may share one worker id at the same time. No run starts more.
const MOST_SEATS: usize = 1_000;

/// Identifies a state within a process.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) directory: PathBuf,
    pub(super) cluster_id: String,
    pub(super) worker_id: WorkerId,
    pub(super) keeps_topics: bool,
}

/// A worker's state on a cluster that outlives this process.
#[derive(Debug)]
pub(crate) struct WorkerState {
    key: Key,
    worker_id: WorkerId,
    run_id: RunId,
    ledger: Ledger,
    /// The worker is a slot of a run, and this process one of those that have it in turn. Otherwise the worker ends with this
    /// process, and its ledger is for whoever sweeps after a kill.
    is_slot: bool,
    /// Until somebody takes it to delete it.
    outdated: Mutex<Outdated>,
    reusable: Vec<ListedTopic>,
}

/// What earlier processes of a worker left and no process will use again.
#[derive(Debug, Default)]
pub(crate) struct Outdated {
    pub(crate) topics: Vec<String>,
    pub(crate) groups: Vec<String>,
}

impl WorkerState {
    /// Opens the state of this configuration's worker on the cluster.
    ///
    /// From then on, the worker counts as failed until the process exits cleanly.
    pub(super) fn open(
        directory: &Folder,
        key: Key,
        config: &Config,
        bootstrap_servers: &str,
        workers: &Workers,
    ) -> Result<Self> {
        let header = |owner| Header {
            cluster_id: key.cluster_id.clone(),
            bootstrap_servers: bootstrap_servers.to_owned(),
            run_id: config.run_id.as_str().to_owned(),
            keeps_topics: key.keeps_topics,
            owner,
        };
        let run_id = config.run_id.clone();
        let Some(nextest) = &config.nextest else {
            let ledger = directory.for_process(&header(Owner::Process(ProcessMark::of_this_process())))?;
            let (worker_id, outdated, reusable) = (config.worker_id.clone(), Mutex::default(), Vec::new());
            return Ok(Self { key, worker_id, run_id, ledger, is_slot: false, outdated, reusable });
        };
        let header = header(Owner::Run { id: nextest.run.clone(), runner: ProcessMark::of_nextest() });
        let (worker_id, ledger) = take_seat(directory, &header, &nextest.run, &config.worker_id)?;
        let (generation, numbers) = ledger.begin(nextest.attempt > 1)?;
        workers.continue_from(generation, &numbers);
        let is_current = |topic: &ListedTopic| Names::generation_of(&topic.name, &run_id) == Some(generation);
        let (reusable, old): (Vec<_>, Vec<_>) = ledger.topics().into_iter().partition(is_current);
        let outdated = Mutex::new(Outdated {
            topics: old.into_iter().filter(|_| !key.keeps_topics).map(|topic| topic.name).collect(),
            groups: ledger.groups(),
        });
        Ok(Self { key, worker_id, run_id, ledger, is_slot: true, outdated, reusable })
    }

    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    /// As it stands in names: the configured one, unless another process of the run has that.
    pub(crate) fn worker_id(&self) -> &WorkerId {
        &self.worker_id
    }

    /// Topics that earlier processes of this worker made in its generation.
    pub(crate) fn reusable(&self) -> &[ListedTopic] {
        &self.reusable
    }

    /// The first caller gets them, and deletes them.
    pub(crate) fn take_outdated(&self) -> Outdated {
        std::mem::take(&mut *self.outdated.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the next process of this worker will reuse the topic, if that process starts in this generation.
    pub(crate) fn hands_on(&self, topic: &str, generation: u32) -> bool {
        self.is_slot && Names::generation_of(topic, &self.run_id) == Some(generation)
    }

    /// Writes to the ledger what is about to be created.
    pub(crate) fn write_ahead(&self, event: Event) -> Result<()> {
        self.ledger.write_ahead(event)
    }

    pub(crate) fn topic_created(&self, topic: &str, partitions: i32) {
        self.ledger.topic_created(topic, partitions);
    }

    /// Deletes topics and groups from the ledger, because the broker has confirmed their deletion or they are kept on purpose.
    pub(crate) fn forget(&self, topics: &[String], groups: &[String]) {
        self.ledger.forget(topics, groups);
    }

    /// Records that a failure has moved a lane of this process to this generation.
    pub(super) fn move_on(&self, generation: u32) {
        if self.is_slot {
            self.ledger.move_on(generation);
        }
    }

    /// The process ends. Where it has not ended well the worker stays failed.
    pub(super) fn end(&self, well: bool, generation: u32, numbers: Numbers) {
        if !self.is_slot {
            self.ledger.end();
        } else if well {
            self.ledger.close(generation, numbers);
        }
    }
}

/// The worker under its own id if it is free, else under the next: two running tests never share one.
fn take_seat(directory: &Folder, header: &Header, run: &str, worker: &WorkerId) -> Result<(WorkerId, Ledger)> {
    for seat in 0..MOST_SEATS {
        let worker = worker.of_seat(seat);
        if let Some(ledger) = directory.for_worker(header, run, &worker)? {
            return Ok((worker, ledger));
        }
    }
    Err(Error::misuse(format!(
        "{MOST_SEATS} processes of this run already use the worker id {worker:?}: set another worker id"
    )))
}
