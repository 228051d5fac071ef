//! The end of the process: everything is closed and deleted, in parallel and within a deadline.

use std::io::Write as _;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::LeftOver;
use super::process::PROCESS;
use crate::report::{self, Closing, Report};
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
        let of_reports = report::exit_deadline();
        if clusters.is_empty() && !PROCESS.workers.have_state() && summary.is_none() && of_reports.is_none() {
            return;
        }
        let began = Instant::now();
        let allowed = clusters.iter().map(|open| open.exit_deadline).chain(of_reports).max().unwrap_or_default();
        let deadline = Deadline::after(allowed);
        // Closing leaves a tenth of the time to the reports.
        let for_closing = |allowed: Duration| if of_reports.is_none() { allowed } else { allowed * 9 / 10 };
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
        report::write_reports(closing.took, deadline);
        keep(clusters);
    });
    // A panic's payload may panic when dropped, and nothing may leave an exit function.
    if let Err(payload) = outcome {
        std::mem::forget(payload);
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
