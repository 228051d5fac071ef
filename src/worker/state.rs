//! The state of a worker: in this process, or in a file that the processes of a run use one after the other.
//!
//! Under cargo-nextest, each test is a process. On a real cluster, a slot's generation, topics and numbers are passed from one
//! process to the next in the worker's ledger. Without cargo-nextest, a worker's state lasts as long as its process.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::workers::Workers;
use crate::config::Config;
use crate::ledger::{BookedTopic, Entry, Folder, Header, Ledger, Numbers, Owner, ProcessMark, WorkerLedger};
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
    scope: Scope,
    /// Topics and groups of earlier processes of this worker that should be deleted. Empty after they are taken.
    inherited: Mutex<Inherited>,
    reusable: Vec<BookedTopic>,
}

#[derive(Debug)]
enum Scope {
    /// The worker lasts as long as this process. Its ledger is used only if the process is killed.
    Process(Box<dyn Ledger>),
    /// The worker is a slot of a run, and its processes use the ledger one after the other.
    Slot(Box<dyn WorkerLedger>),
}

#[derive(Debug, Default)]
pub(crate) struct Inherited {
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
            let (worker_id, scope) = (config.worker_id.clone(), Scope::Process(ledger));
            return Ok(Self { key, worker_id, run_id, scope, inherited: Mutex::default(), reusable: Vec::new() });
        };
        let header = header(Owner::Run { id: nextest.run.clone(), runner: ProcessMark::of_nextest() });
        let (worker_id, ledger) = take_seat(directory, &header, &nextest.run, &config.worker_id)?;
        let (generation, numbers) = ledger.begin(nextest.attempt > 1)?;
        workers.continue_from(generation, &numbers);
        let is_current = |topic: &BookedTopic| Names::generation_of(&topic.name, &run_id) == Some(generation);
        let (reusable, old): (Vec<_>, Vec<_>) = ledger.topics().into_iter().partition(is_current);
        let inherited = Inherited {
            topics: old.into_iter().filter(|_| !key.keeps_topics).map(|topic| topic.name).collect(),
            groups: ledger.groups(),
        };
        Ok(Self { key, worker_id, run_id, scope: Scope::Slot(ledger), inherited: Mutex::new(inherited), reusable })
    }

    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    fn ledger(&self) -> &dyn Ledger {
        match &self.scope {
            Scope::Process(ledger) => &**ledger,
            Scope::Slot(ledger) => &**ledger,
        }
    }

    /// Returns the worker id in names: the configured id, or a variant of it if another process of the run uses that id.
    pub(crate) fn worker_id(&self) -> &WorkerId {
        &self.worker_id
    }

    /// Returns the topics that earlier processes of this worker created in its current generation.
    pub(crate) fn reusable(&self) -> &[BookedTopic] {
        &self.reusable
    }

    /// Takes the topics and groups of earlier processes that should be deleted. Only the first call returns them.
    pub(crate) fn take_inherited(&self) -> Inherited {
        std::mem::take(&mut *self.inherited.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the next process of this worker will reuse the topic, if that process starts in this generation.
    pub(crate) fn hands_on(&self, topic: &str, generation: u32) -> bool {
        match self.scope {
            Scope::Process(_) => false,
            Scope::Slot(_) => Names::generation_of(topic, &self.run_id) == Some(generation),
        }
    }

    /// Records a topic or group before it is created.
    pub(crate) fn record(&self, entry: &Entry<'_>) -> Result<()> {
        self.ledger().record(entry)
    }

    /// Records that the topic was created.
    pub(crate) fn made(&self, topic: &str, partitions: i32) {
        self.ledger().made(topic, partitions);
    }

    /// Deletes topics and groups from the ledger, because the broker has confirmed their deletion or they are kept on purpose.
    pub(crate) fn forget(&self, topics: &[String], groups: &[String]) {
        self.ledger().forget(topics, groups);
    }

    /// Records that a failure has moved a lane of this process to this generation.
    pub(super) fn move_on(&self, generation: u32) {
        if let Scope::Slot(ledger) = &self.scope {
            ledger.move_on(generation);
        }
    }

    /// Records the end of this process. If the exit is not clean, the worker stays failed.
    pub(super) fn end(&self, clean: bool, generation: u32, numbers: Numbers) {
        match &self.scope {
            Scope::Process(ledger) => ledger.end(),
            Scope::Slot(ledger) if clean => ledger.close(generation, numbers),
            Scope::Slot(_) => {}
        }
    }
}

/// Opens the ledger of the first free worker id. Two running tests never share a worker id.
fn take_seat(
    directory: &Folder,
    header: &Header,
    run: &str,
    worker: &WorkerId,
) -> Result<(WorkerId, Box<dyn WorkerLedger>)> {
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
