//! Where a worker's state lives: in this process, or in a file that the processes of a run have in turn.
//!
//! Lanes, leases and generations are the same in both. Under cargo-nextest each test is a process, so on a cluster that
//! outlives it the slot's generation, its topics and its numbers go from one process to the next through the worker's
//! ledger; elsewhere a worker begins and ends with its process.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::{Config, KeepTopics};
use crate::error::{Error, Result};
use crate::kept::keep;
use crate::ledger::{BookedTopic, Entry, Folder, Header, Ledger, Numbers, Owner, ProcessMark, WorkerLedger};
use crate::names::Names;
use crate::worker::{RunId, WorkerId};
use crate::{exit_status, lane};

/// How many processes may share one worker id at once: as many as one run ever starts.
const MOST_SEATS: usize = 1_000;

static EXCLUSIVE: AtomicU64 = AtomicU64::new(1);
static GROUP: AtomicU64 = AtomicU64::new(0);

/// The number of the next topic for one lease only, counting in the process, and on where another process left off.
pub(crate) fn next_exclusive() -> u64 {
    EXCLUSIVE.fetch_add(1, Ordering::Relaxed)
}

/// The same for the group of a system under test.
pub(crate) fn next_group() -> u64 {
    GROUP.fetch_add(1, Ordering::Relaxed)
}

/// The states of this process, until it ends: also a harness that is gone may have been used by a test that fails later.
static OPEN: Mutex<Vec<Arc<WorkerState>>> = Mutex::new(Vec::new());

fn open_states() -> MutexGuard<'static, Vec<Arc<WorkerState>>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What tells the states of a process apart.
#[derive(Debug, PartialEq, Eq)]
struct Key {
    folder: PathBuf,
    cluster_id: String,
    worker_id: WorkerId,
    keeps_topics: bool,
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
    /// The state of this configuration's worker on the cluster, and whether it is new in this process.
    ///
    /// From here on the worker counts as failed until the process has ended well.
    pub(crate) fn open(config: &Config, cluster_id: &str, bootstrap_servers: &str) -> Result<(Arc<Self>, bool)> {
        let folder = Folder::open(&config.state_dir)?;
        let key = Key {
            folder: folder.path().to_owned(),
            cluster_id: cluster_id.to_owned(),
            worker_id: config.worker_id.clone(),
            keeps_topics: config.keep_topics == KeepTopics::Always,
        };
        // Held over the making of a file, so that one process has one; no broker is asked.
        let mut states = open_states();
        if let Some(open) = states.iter().find(|open| open.key == key) {
            return Ok((Arc::clone(open), false));
        }
        let header = |owner| Header {
            cluster_id: cluster_id.to_owned(),
            bootstrap_servers: bootstrap_servers.to_owned(),
            run_id: config.run_id.as_str().to_owned(),
            keeps_topics: key.keeps_topics,
            owner,
        };
        let state = match &config.nextest {
            None => {
                let ledger = folder.for_process(&header(Owner::Process(ProcessMark::of_this_process())))?;
                let (worker_id, run_id) = (config.worker_id.clone(), config.run_id.clone());
                let place = Place::Process(ledger);
                Self { key, worker_id, run_id, place, inherited: Mutex::default(), reusable: Vec::new() }
            }
            Some(nextest) => {
                let runner = ProcessMark::of_nextest();
                let header = header(Owner::Run { id: nextest.run.clone(), runner });
                let (worker_id, ledger) = take_seat(&folder, &header, &nextest.run, &config.worker_id)?;
                let (generation, numbers) = ledger.begin(nextest.attempt > 1)?;
                lane::begin_at(generation);
                EXCLUSIVE.fetch_max(numbers.exclusive, Ordering::Relaxed);
                GROUP.fetch_max(numbers.group, Ordering::Relaxed);
                let is_current = |topic: &BookedTopic| Names::age_of(&topic.name, &config.run_id) == Some(generation);
                let (reusable, old): (Vec<_>, Vec<_>) = ledger.topics().into_iter().partition(is_current);
                let inherited = Inherited {
                    topics: old.into_iter().filter(|_| !key.keeps_topics).map(|topic| topic.name).collect(),
                    groups: ledger.groups(),
                };
                let (run_id, place) = (config.run_id.clone(), Place::Slot(ledger));
                Self { key, worker_id, run_id, place, inherited: Mutex::new(inherited), reusable }
            }
        };
        let state = Arc::new(state);
        states.push(Arc::clone(&state));
        Ok((state, true))
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

    /// Whether the next process of this worker will use the topic.
    pub(crate) fn hands_on(&self, topic: &str) -> bool {
        match self.place {
            Place::Process(_) => false,
            Place::Slot(_) => Names::age_of(topic, &self.run_id) == Some(lane::latest_generation()),
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

    fn end(&self, well: bool) {
        match &self.place {
            Place::Process(ledger) => ledger.end(),
            Place::Slot(ledger) if well => {
                let numbers =
                    Numbers { exclusive: EXCLUSIVE.load(Ordering::Relaxed), group: GROUP.load(Ordering::Relaxed) };
                ledger.close(lane::latest_generation(), numbers);
            }
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

/// A failure has moved a lane of this process.
pub(crate) fn moved() {
    let states: Vec<Arc<WorkerState>> = open_states().clone();
    for state in states {
        if let Place::Slot(ledger) = &state.place {
            ledger.move_on(lane::latest_generation());
        }
    }
}

/// At exit, when everything else is done: each worker's state is what the next process finds.
///
/// `in_time`: all was closed and deleted that should be.
pub(crate) fn end_all(in_time: bool) {
    let well = in_time && exit_status::is_success() && lane::all_ended_well();
    for state in std::mem::take(&mut *open_states()) {
        state.end(well);
        // Its lock is held to the very end.
        keep(state);
    }
}

/// Whether this process has any state.
pub(crate) fn is_any() -> bool {
    !open_states().is_empty()
}
