//! What is open in this process, and its end: set up before `main`, emptied at exit.
//!
//! Nothing here starts a thread or opens a socket before the first lease, and a process in which no test used a fixture
//! passes through its exit without either.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::connection::{Connection, LeftOver};
use crate::kept::keep;
use crate::report::{self, Closing, Recorder, Report};
use crate::stats::Stats;
use crate::wait::Deadline;
use crate::worker_state;
use crate::{exit_status, lane, ledger};

static REGISTRY: Registry = Registry {
    pid: AtomicU32::new(0),
    entries: Mutex::new(Vec::new()),
    gone: Mutex::new(None),
    armed: AtomicBool::new(false),
};

struct Registry {
    /// The process that set it up: a fork has the data but none of the threads, and does nothing.
    pid: AtomicU32,
    entries: Mutex<Vec<Entry>>,
    /// For the summary: what the harnesses that were dropped before the exit had done.
    gone: Mutex<Option<Stats>>,
    armed: AtomicBool,
}

#[derive(Clone)]
struct Entry {
    connection: Arc<Connection>,
    exit_deadline: Duration,
    report: Report,
}

impl Registry {
    /// Also the exit takes it, so a poisoned lock is recovered: the entries are whole at any time.
    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gone(&self) -> MutexGuard<'_, Option<Stats>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_of_this_process(&self) -> bool {
        self.pid.load(Ordering::SeqCst) == std::process::id()
    }
}

#[ctor::ctor(unsafe)]
fn set_up() {
    REGISTRY.pid.store(std::process::id(), Ordering::SeqCst);
    ledger::note_parent();
    lane::on_failure(retire_before);
}

/// The last resort: on platforms and paths where the handler that `add` registers has not run.
#[dtor::dtor(unsafe)]
fn tear_down() {
    empty();
}

extern "C" fn at_exit() {
    empty();
}

/// From now on the connection is closed at exit, and told of failures.
pub(crate) fn add(connection: &Arc<Connection>, exit_deadline: Duration, report: Report) {
    REGISTRY.entries().push(Entry { connection: Arc::clone(connection), exit_deadline, report });
    if !REGISTRY.armed.swap(true, Ordering::SeqCst) {
        // Registered only now, after the first client was made: exit handlers run in reverse, so this one comes before
        // those of the libraries that the clients stand on, such as OpenSSL's.
        // SAFETY: the handler is a function of this binary or library, which is not unloaded while tests run; it never
        // unwinds.
        unsafe { dtor::at_module_exit(at_exit) };
        // After it, so that the status is noted before our handler runs.
        exit_status::watch();
    }
}

/// The connection's harness is gone: its consumers are closed now, off the test's path.
///
/// What it made on a broker that outlives the process is deleted at exit all the same, by another connection to that
/// broker if there is one: another harness with the same prefix has the same names, and may be using them.
pub(crate) fn remove(connection: &Arc<Connection>) {
    let outlives = connection.broker().capabilities().outlives_process;
    let mut entries = REGISTRY.entries();
    let Some(at) = entries.iter().position(|entry| Arc::ptr_eq(&entry.connection, connection)) else { return };
    let is_heir = |other: &&Entry| {
        !Arc::ptr_eq(&other.connection, connection) && other.connection.broker().name() == connection.broker().name()
    };
    let heir = entries.iter().find(is_heir).map(|entry| Arc::clone(&entry.connection));
    if outlives && heir.is_none() {
        drop(entries);
        connection.close_idle();
        return;
    }
    let entry = entries.swap_remove(at);
    drop(entries);
    if entry.report == Report::Summary {
        let stats = connection.stats();
        let mut gone = REGISTRY.gone();
        *gone = Some(gone.unwrap_or_default().and(stats));
    }
    if let Some(heir) = heir.filter(|_| outlives) {
        connection.bequeath(&heir);
    }
    let close = {
        let entry = entry.clone();
        move || {
            entry.connection.close_idle();
            entry.connection.wait_for_closing(Deadline::after(entry.exit_deadline));
        }
    };
    if thread::Builder::new().name("rstest-kafka close".to_owned()).spawn(close).is_err() {
        REGISTRY.entries().push(entry);
    }
}

fn retire_before(lane: usize, generation: u32) {
    report::moved();
    // Cloned, so that no lock is held while consumers are handed to be closed.
    let entries: Vec<Entry> = REGISTRY.entries().clone();
    for entry in entries {
        entry.connection.retire_before(lane, generation);
    }
    worker_state::moved();
}

/// Closes and deletes everything, in parallel and within the deadline; never panics, writes nothing to stdout.
fn empty() {
    let outcome = std::panic::catch_unwind(|| {
        if !REGISTRY.is_of_this_process() {
            return;
        }
        let entries = std::mem::take(&mut *REGISTRY.entries());
        let mut summary = REGISTRY.gone().take();
        let pages = report::take_recorders();
        if entries.is_empty() && !worker_state::is_any() && summary.is_none() && pages.is_empty() {
            return;
        }
        let began = Instant::now();
        let of_pages = pages.iter().map(|page| page.exit_deadline());
        let allowed = entries.iter().map(|entry| entry.exit_deadline).chain(of_pages).max().unwrap_or_default();
        let deadline = Deadline::after(allowed);
        // What is closed leaves a tenth of the time to the pages.
        let for_closing = |allowed: Duration| if pages.is_empty() { allowed } else { allowed * 9 / 10 };
        let (done, all_done) = mpsc::channel();
        // On fresh threads: the exiting one may have lost the thread-locals that waiting needs.
        let mut waiting_for = 0;
        for entry in &entries {
            let (entry, done, allowed) = (entry.clone(), done.clone(), for_closing(entry.exit_deadline));
            let close = move || {
                let left = entry.connection.close_at_exit(Deadline::after(allowed));
                let _ = done.send(left);
                // The last reference would run Drops that have no deadline.
                keep(entry);
            };
            if thread::Builder::new().name("rstest-kafka exit".to_owned()).spawn(close).is_ok() {
                waiting_for += 1;
            }
        }
        let mut in_time = waiting_for == entries.len();
        let mut closing = Closing::default();
        for _ in 0..waiting_for {
            // A little more than each was given, so that it can say itself what it left.
            let waiting = for_closing(allowed).saturating_sub(began.elapsed()) + Duration::from_millis(300);
            match all_done.recv_timeout(waiting) {
                Ok(left) => {
                    tell(&left);
                    closing.consumers += left.closed_consumers as u64;
                    closing.topics += left.deleted_topics as u64;
                    closing.groups += left.deleted_groups as u64;
                }
                Err(_) => {
                    let _ = writeln!(std::io::stderr(), "rstest-kafka: not all was closed within {allowed:?}");
                    in_time = false;
                    break;
                }
            }
        }
        worker_state::end_all(in_time);
        closing.took = began.elapsed();
        for entry in entries.iter().filter(|entry| entry.report == Report::Summary) {
            summary = Some(summary.unwrap_or_default().and(entry.connection.stats()));
        }
        if let Some(stats) = summary {
            let _ = writeln!(std::io::stderr(), "rstest-kafka: {stats}\n  exit       {closing}");
        }
        write_pages(pages, closing, deadline);
        keep(entries);
    });
    // A panic's payload may panic when dropped, and nothing may leave an exit function.
    if let Err(payload) = outcome {
        std::mem::forget(payload);
    }
}

/// On threads of their own: a file system that does not answer holds no exit up.
fn write_pages(pages: Vec<Arc<Recorder>>, closing: Closing, deadline: Deadline) {
    let (done, all_done) = mpsc::channel();
    let mut waiting_for = 0;
    for page in pages {
        let done = done.clone();
        let write = move || {
            let said = match page.write(closing, deadline) {
                Ok(path) => format!("the report is in {}", path.display()),
                Err(reason) => format!("the report could not be written to {reason}"),
            };
            let _ = done.send(said);
        };
        if thread::Builder::new().name("rstest-kafka report".to_owned()).spawn(write).is_ok() {
            waiting_for += 1;
        }
    }
    for _ in 0..waiting_for {
        let said = all_done.recv_timeout(deadline.remaining());
        let said = said.unwrap_or_else(|_| format!("a report was not written within {:?}", deadline.allowed()));
        let _ = writeln!(std::io::stderr(), "rstest-kafka: {said}");
    }
}

/// What was left behind is said on stderr by name.
fn tell(left: &LeftOver) {
    let LeftOver { broker, undeleted, kept, unclosed_consumers, .. } = left;
    let mut stderr = std::io::stderr();
    for (name, reason) in undeleted {
        let _ = writeln!(stderr, "rstest-kafka: {name} is left on {broker}: {reason}");
    }
    if !kept.is_empty() {
        let _ = writeln!(stderr, "rstest-kafka: kept on {broker}: {}", kept.join(", "));
    }
    if *unclosed_consumers > 0 {
        let _ = writeln!(stderr, "rstest-kafka: {unclosed_consumers} consumers did not close in time on {broker}");
    }
}
