//! Notes of the leases of this process, where a page is to be drawn.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::file;
use super::run::{Had, LeaseNote, Moment, Run, TopicNote};
use super::{Closing, runner};
use crate::config::Config;
use crate::report::stats::Counters;
use crate::sync::wait::Deadline;

/// How much of one lease is noted; what is beyond is in its sums alone.
const MOST_TOPICS: usize = 16;
const MOST_GROUPS: usize = 16;
const MOST_WAITS: usize = 48;

/// The recorders of this process, one for each page.
static RECORDERS: Mutex<Vec<Arc<Recorder>>> = Mutex::new(Vec::new());

/// Drop takes these locks, so poisoning is ignored: what they guard is whole at any time.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes what happens for one page.
#[derive(Debug)]
pub(crate) struct Recorder {
    asked: PathBuf,
    page: PathBuf,
    binary: String,
    runner: String,
    /// Where this process's clock stands on the line of time that all processes share.
    began: (Instant, Moment),
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    run: Run,
    /// Leases without a on_outcome.
    open: HashMap<u64, LeaseNote>,
    counters: Vec<Arc<Counters>>,
    exit_deadline: Duration,
}

/// The recorder of the page, made by the first harness that asks for it.
///
/// A relative path is taken from where the process stands now: a test may go elsewhere.
pub(crate) fn recorder(path: &Path, config: &Config, counters: &Arc<Counters>, broker: &str) -> Arc<Recorder> {
    let run_id = config.run_id.as_str();
    let mut recorders = lock(&RECORDERS);
    let known = recorders.iter().find(|known| known.asked == path).cloned();
    let recorder = known.unwrap_or_else(|| {
        let binary = runner::this_binary();
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let made = Arc::new(Recorder {
            page: file::page(path, &binary, run_id),
            asked: path.to_owned(),
            binary,
            runner: runner::of_this_process(run_id),
            began: (Instant::now(), since_1970.as_micros() as Moment),
            state: Mutex::default(),
        });
        recorders.push(Arc::clone(&made));
        made
    });
    drop(recorders);
    let mut state = lock(&recorder.state);
    state.counters.push(Arc::clone(counters));
    state.exit_deadline = state.exit_deadline.max(config.exit_deadline);
    // The port of an embedded broker says nothing once it is gone.
    let broker = if broker.starts_with("embedded broker") { "embedded broker" } else { broker };
    state.run.on(broker.to_owned());
    drop(state);
    recorder
}

/// All recorders, for the exit.
pub(crate) fn take_recorders() -> Vec<Arc<Recorder>> {
    std::mem::take(&mut *lock(&RECORDERS))
}

impl Recorder {
    fn now(&self) -> Moment {
        self.began.1 + self.began.0.elapsed().as_micros() as Moment
    }

    /// A lease begins.
    pub(crate) fn begin(self: &Arc<Self>, id: u64, test: Option<&str>, worker: &str, generation: u32) -> Trace {
        let note = LeaseNote {
            test: test.unwrap_or("(a thread without a name)").to_owned(),
            binary: self.binary.clone(),
            worker: worker.to_owned(),
            generation,
            began: self.now(),
            ..LeaseNote::default()
        };
        lock(&self.state).open.insert(id, note);
        Trace { id, recorder: Arc::clone(self) }
    }

    /// The longest of its harnesses', which may be gone by the exit.
    pub(crate) fn exit_deadline(&self) -> Duration {
        lock(&self.state).exit_deadline
    }

    /// Draws the page, and says where it is, or why not.
    pub(crate) fn write(&self, closing: Closing, deadline: Deadline) -> Result<&Path, String> {
        let mut state = lock(&self.state);
        let mut run = std::mem::take(&mut state.run);
        let mut open: Vec<LeaseNote> = state.open.drain().map(|(_, note)| note).collect();
        let counters = std::mem::take(&mut state.counters);
        drop(state);
        open.sort_by_key(|note| note.began);
        open.into_iter().for_each(|note| run.add(note));
        run.processes = 1;
        run.until = self.now();
        run.closing = closing;
        for counters in counters {
            run.stats = run.stats.and(counters.snapshot(0, 0));
        }
        match file::write(&self.page, run, &self.runner, deadline) {
            Ok(()) => Ok(&self.page),
            Err(reason) => Err(format!("{}: {reason}", self.page.display())),
        }
    }
}

/// What a lease that is being noted tells of itself.
#[derive(Debug)]
pub(crate) struct Trace {
    id: u64,
    recorder: Arc<Recorder>,
}

impl Trace {
    fn note(&self, change: impl FnOnce(&mut LeaseNote)) {
        if let Some(note) = lock(&self.recorder.state).open.get_mut(&self.id) {
            change(note);
        }
    }

    pub(crate) fn topic(&self, logical: &str, name: &str, had: Had) {
        self.note(|note| {
            if note.topics.len() < MOST_TOPICS {
                note.topics.push(TopicNote { logical: logical.to_owned(), name: name.to_owned(), had });
            }
        });
    }

    pub(crate) fn consumer(&self, is_new: bool) {
        self.note(|note| *if is_new { &mut note.consumers_made } else { &mut note.consumers_reused } += 1);
    }

    pub(crate) fn group(&self, name: &str) {
        self.note(|note| {
            if note.groups.len() < MOST_GROUPS {
                note.groups.push(name.to_owned());
            }
        });
    }

    /// The test has waited until now.
    pub(super) fn waited(&self, took: Duration) {
        let (now, took) = (self.recorder.now(), took.as_micros() as u64);
        self.note(|note| {
            note.waited += took;
            if note.waits.len() < MOST_WAITS {
                note.waits.push((now.saturating_sub(took).saturating_sub(note.began), took));
            }
        });
    }

    /// The last fixture is gone; whether the test failed may show only later.
    pub(crate) fn ended(&self) {
        let now = self.recorder.now();
        self.note(|note| note.ended = Some(now));
    }

    pub(crate) fn decided(&self, failed: bool) {
        let mut state = lock(&self.recorder.state);
        if let Some(mut note) = state.open.remove(&self.id) {
            note.failed = failed;
            state.run.add(note);
        }
    }
}
