//! Where a worker's state lives: in this process, or in a file that the processes of a run have in turn.
//!
//! Lanes, leases and generations are the same in both. Under cargo-nextest each test is a process, so on a cluster that
//! outlives it the slot's generation, its topics and its numbers go from one process to the next through the worker's
//! ledger; elsewhere a worker begins and ends with its process.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::workers::Workers;
use crate::config::Config;
use crate::ledger::{BookedTopic, Entry, Folder, Header, Ledger, Numbers, Owner, ProcessMark, WorkerLedger};
use crate::model::error::{Error, Result};
use crate::model::ids::{RunId, WorkerId};
use crate::worker::names::Names;

/// How many processes may share one worker id at once: as many as one run ever starts.
const MOST_SEATS: usize = 1_000;

/// What tells the states of a process apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) folder: PathBuf,
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
    place: Place,
    /// What earlier processes of this worker left that none will use again, until somebody takes it to delete it.
    inherited: Mutex<Inherited>,
    reusable: Vec<BookedTopic>,
}

#[derive(Debug)]
enum Place {
    /// The worker ends with this process; its ledger is for whoever sweeps after a kill.
    Process(Box<dyn Ledger>),
    /// The worker is a slot of a run, and this process one of those that have it in turn.
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
    /// From here on the worker counts as failed until the process has ended well.
    pub(super) fn open(
        folder: &Folder,
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
            let ledger = folder.for_process(&header(Owner::Process(ProcessMark::of_this_process())))?;
            let (worker_id, place) = (config.worker_id.clone(), Place::Process(ledger));
            return Ok(Self { key, worker_id, run_id, place, inherited: Mutex::default(), reusable: Vec::new() });
        };
        let header = header(Owner::Run { id: nextest.run.clone(), runner: ProcessMark::of_nextest() });
        let (worker_id, ledger) = take_seat(folder, &header, &nextest.run, &config.worker_id)?;
        let (generation, numbers) = ledger.begin(nextest.attempt > 1)?;
        workers.go_on_from(generation, &numbers);
        let is_current = |topic: &BookedTopic| Names::age_of(&topic.name, &run_id) == Some(generation);
        let (reusable, old): (Vec<_>, Vec<_>) = ledger.topics().into_iter().partition(is_current);
        let inherited = Inherited {
            topics: old.into_iter().filter(|_| !key.keeps_topics).map(|topic| topic.name).collect(),
            groups: ledger.groups(),
        };
        Ok(Self { key, worker_id, run_id, place: Place::Slot(ledger), inherited: Mutex::new(inherited), reusable })
    }

    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    fn ledger(&self) -> &dyn Ledger {
        match &self.place {
            Place::Process(ledger) => &**ledger,
            Place::Slot(ledger) => &**ledger,
        }
    }

    /// As it stands in names: the configured one, unless another process of the run has that.
    pub(crate) fn worker_id(&self) -> &WorkerId {
        &self.worker_id
    }

    /// Topics that earlier processes of this worker made in its generation.
    pub(crate) fn reusable(&self) -> &[BookedTopic] {
        &self.reusable
    }

    /// What earlier processes of this worker left and none will use again; the first who asks has it to delete.
    pub(crate) fn take_inherited(&self) -> Inherited {
        std::mem::take(&mut *self.inherited.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the next process of this worker, which begins in this generation, will use the topic.
    pub(crate) fn hands_on(&self, topic: &str, generation: u32) -> bool {
        match self.place {
            Place::Process(_) => false,
            Place::Slot(_) => Names::age_of(topic, &self.run_id) == Some(generation),
        }
    }

    /// Writes down what is about to be made.
    pub(crate) fn record(&self, entry: &Entry<'_>) -> Result<()> {
        self.ledger().record(entry)
    }

    pub(crate) fn made(&self, topic: &str, partitions: i32) {
        self.ledger().made(topic, partitions);
    }

    /// The broker has confirmed that they are gone, or they are kept on purpose.
    pub(crate) fn forget(&self, topics: &[String], groups: &[String]) {
        self.ledger().forget(topics, groups);
    }

    /// A failure has moved a lane of this process to a generation.
    pub(super) fn move_on(&self, generation: u32) {
        if let Place::Slot(ledger) = &self.place {
            ledger.move_on(generation);
        }
    }

    /// The process ends. Where it has not ended well the worker stays failed.
    pub(super) fn end(&self, well: bool, generation: u32, numbers: Numbers) {
        match &self.place {
            Place::Process(ledger) => ledger.end(),
            Place::Slot(ledger) if well => ledger.close(generation, numbers),
            Place::Slot(_) => {}
        }
    }
}

/// The worker under its own id if it is free, else under the next: two running tests never share one.
fn take_seat(
    folder: &Folder,
    header: &Header,
    run: &str,
    worker: &WorkerId,
) -> Result<(WorkerId, Box<dyn WorkerLedger>)> {
    for seat in 0..MOST_SEATS {
        let worker = worker.of_seat(seat);
        if let Some(ledger) = folder.for_worker(header, run, &worker)? {
            return Ok((worker, ledger));
        }
    }
    Err(Error::misuse(format!("{MOST_SEATS} processes of this run have the worker id {worker:?} already")))
}
