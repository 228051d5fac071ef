//! The end of the process: everything is closed and deleted, in parallel and within a deadline.

use std::io::Write as _;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::LeftOver;
use super::process::PROCESS;
use crate::report::{self, Closing, Recorder, Report};
use crate::sync::kept::keep;
use crate::sync::wait::Deadline;

/// Closes and deletes everything, in parallel and within the deadline; never panics, writes nothing to stdout.
pub(super) fn empty() {
    let outcome = std::panic::catch_unwind(|| {
        if !PROCESS.is_this_one() {
            return;
        }
        let clusters = std::mem::take(&mut *PROCESS.clusters());
        let mut summary = PROCESS.gone().take();
        let pages = report::take_recorders();
        if clusters.is_empty() && !PROCESS.workers.have_state() && summary.is_none() && pages.is_empty() {
            return;
        }
        let began = Instant::now();
        let of_pages = pages.iter().map(|page| page.exit_deadline());
        let allowed = clusters.iter().map(|open| open.exit_deadline).chain(of_pages).max().unwrap_or_default();
        let deadline = Deadline::after(allowed);
        // What is closed leaves a tenth of the time to the pages.
        let for_closing = |allowed: Duration| if pages.is_empty() { allowed } else { allowed * 9 / 10 };
        let (done, all_done) = mpsc::channel();
        // On fresh threads: the exiting one may have lost the thread-locals that waiting needs.
        let mut waiting_for = 0;
        for open in &clusters {
            let (open, done, allowed) = (open.clone(), done.clone(), for_closing(open.exit_deadline));
            let close = move || {
                let left = open.cluster.close_at_exit(Deadline::after(allowed));
                let _ = done.send(left);
                // The last reference would run Drops that have no deadline.
                keep(open);
            };
            if thread::Builder::new().name("rstest-kafka exit".to_owned()).spawn(close).is_ok() {
                waiting_for += 1;
            }
        }
        let mut in_time = waiting_for == clusters.len();
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
        PROCESS.workers.end(in_time);
        closing.took = began.elapsed();
        for open in clusters.iter().filter(|open| open.report == Report::Summary) {
            summary = Some(summary.unwrap_or_default().and(open.cluster.stats()));
        }
        if let Some(stats) = summary {
            let _ = writeln!(std::io::stderr(), "rstest-kafka: {stats}\n  exit       {closing}");
        }
        write_pages(pages, closing, deadline);
        keep(clusters);
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
