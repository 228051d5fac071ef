//! Records the leases of this process for an HTML report.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::file;
use super::run::{Lease, Process, Topic, VERSION, micros};
use crate::config::Config;
use crate::config::Report;
use crate::ledger::ProcessMark;
use crate::report::stats::Counters;
use crate::report::{self, Origin};
use crate::sync::wait::Deadline;

/// How many leases of a process, and waits of a lease, are recorded.
const MOST_LEASES: usize = 100_000;
const MOST_WAITS: usize = 48;

/// Of this process, one for each report.
static RECORDINGS: Mutex<Vec<Recording>> = Mutex::new(Vec::new());

/// Drop takes this lock, so poisoning is ignored: no change under it is left half done.
fn recordings() -> MutexGuard<'static, Vec<Recording>> {
    RECORDINGS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct Recording {
    /// As it was configured.
    path: PathBuf,
    report: PathBuf,
    process: Process,
    leases: Vec<Lease>,
    counters: Vec<Arc<Counters>>,
    exit_deadline: Duration,
}

/// Records the leases of a connection, where its harness writes an HTML report.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recorder(Option<usize>);

impl Recorder {
    pub(crate) fn open(config: &Config, counters: &Arc<Counters>, broker: &str) -> Self {
        let Report::Html(path) = &config.report else { return Self(None) };
        let mut recordings = recordings();
        let at = recordings.iter().position(|known| known.path == *path).unwrap_or_else(|| {
            recordings.push(Recording::of(path, config.run_id.to_string()));
            recordings.len() - 1
        });
        let recording = &mut recordings[at];
        recording.counters.push(Arc::clone(counters));
        recording.exit_deadline = recording.exit_deadline.max(config.exit_deadline);
        // The port of an embedded broker means nothing once the broker is gone.
        let broker = if broker.starts_with("embedded broker") { "embedded broker" } else { broker };
        recording.process.brokers.insert(broker.to_owned());
        Self(Some(at))
    }

    /// A lease begins.
    pub(crate) fn begin(&self, test: Option<&str>, worker: &str, generation: u32) -> Trace {
        let Some(at) = self.0 else { return Trace(None) };
        let mut recordings = recordings();
        let Some(recording) = recordings.get_mut(at).filter(|recording| recording.leases.len() < MOST_LEASES) else {
            return Trace(None);
        };
        let (test, binary) = (test.unwrap_or("(a thread without a name)").to_owned(), recording.process.binary.clone());
        let (worker, started) = (worker.to_owned(), Timestamp::now());
        recording.leases.push(Lease { test, binary, worker, generation, started, ..Lease::default() });
        Trace(Some((at, recording.leases.len() - 1)))
    }
}

impl Recording {
    fn of(path: &Path, run_id: String) -> Self {
        let test = std::env::current_exe().unwrap_or_default();
        let stem = test.file_stem().unwrap_or_default().to_string_lossy();
        // Cargo appends a hash.
        let binary = stem.rsplit_once('-').filter(|(_, hash)| hash.len() == 16).map_or(&*stem, |(name, _)| name);
        let (binary, pid) = (binary.to_owned(), std::process::id().to_string());
        let expand =
            |path: &str| path.replace("{binary}", &binary).replace("{pid}", &pid).replace("{run}", &run_id).into();
        let report = path.to_str().map_or_else(|| path.to_owned(), expand);
        let runner = ProcessMark::of_runner();
        Self {
            path: path.to_owned(),
            // Relative to the working directory now: a test may change it.
            report: std::path::absolute(&report).unwrap_or(report),
            process: Process { version: VERSION, run_id, runner, binary, ..Process::default() },
            ..Self::default()
        }
    }

    fn write(self, exit: Duration, deadline: Deadline) -> io::Result<()> {
        let process = Process {
            generations: report::generations(),
            messages_sent: self.counters.iter().map(|counters| counters.snapshot(0, 0).messages_sent).sum(),
            exit_us: exit.as_micros() as u64,
            exited: Timestamp::now(),
            ..self.process
        };
        file::write(&self.report, process, self.leases, deadline)
    }
}

/// Records what one lease does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trace(Option<(usize, usize)>);

impl Trace {
    fn record(&self, change: impl FnOnce(&mut Lease)) {
        if let Some((recording, lease)) = self.0 {
            recordings().get_mut(recording).and_then(|recording| recording.leases.get_mut(lease)).map(change);
        }
    }

    pub(crate) fn topic(&self, logical: &str, name: &str, origin: Origin) {
        self.record(|lease| lease.topics.push(Topic { logical: logical.to_owned(), name: name.to_owned(), origin }));
    }

    pub(crate) fn consumer(&self, is_new: bool) {
        self.record(|lease| *if is_new { &mut lease.consumers_created } else { &mut lease.consumers_reused } += 1);
    }

    pub(crate) fn group(&self, name: &str) {
        self.record(|lease| lease.groups.push(name.to_owned()));
    }

    /// The test waits while the guard lives, also where its future is dropped before it ends.
    pub(crate) fn waiting(&self) -> Waiting {
        Waiting(*self, Instant::now())
    }

    /// The last fixture is gone; whether the test failed may show only later.
    pub(crate) fn ended(&self) {
        self.record(|lease| lease.duration_us = Some(micros(lease.started, Timestamp::now())));
    }

    pub(crate) fn decided(&self, failed: bool) {
        self.record(|lease| lease.failed = failed);
    }
}

pub(crate) struct Waiting(Trace, Instant);

impl Drop for Waiting {
    fn drop(&mut self) {
        let took = self.1.elapsed().as_micros() as u64;
        self.0.record(|lease| {
            lease.waited_us += took;
            if lease.waits_us.len() < MOST_WAITS {
                lease.waits_us.push((micros(lease.started, Timestamp::now()).saturating_sub(took), took));
            }
        });
    }
}

/// The longest of all harnesses with a report, also of those that are gone; `None` where there is no report.
pub(crate) fn exit_deadline() -> Option<Duration> {
    recordings().iter().map(|recording| recording.exit_deadline).max()
}

/// Writes the reports on another thread: a file system that does not answer delays the exit no longer than the deadline.
pub(crate) fn write_reports(exit: Duration, deadline: Deadline) {
    let recordings = std::mem::take(&mut *recordings());
    if recordings.is_empty() {
        return;
    }
    let (done, all_done) = mpsc::channel::<()>();
    let write = move || {
        for recording in recordings {
            let report = recording.report.display().to_string();
            let outcome = match recording.write(exit, deadline) {
                Ok(()) => format!("the HTML report is in {report}"),
                Err(error) => format!("cannot write the HTML report {report}: {error}"),
            };
            let _ = writeln!(io::stderr(), "rstest-kafka: {outcome}");
        }
        drop(done);
    };
    let _ = thread::Builder::new().name("rstest-kafka report".to_owned()).spawn(write);
    if all_done.recv_timeout(deadline.remaining()) == Err(mpsc::RecvTimeoutError::Timeout) {
        let allowed = deadline.allowed();
        let _ = writeln!(io::stderr(), "rstest-kafka: an HTML report was not written within {allowed:?}");
    }
}
