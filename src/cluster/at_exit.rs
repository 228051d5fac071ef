//! Closes and deletes everything at exit, in parallel and within a deadline.

use std::io::Write as _;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::LeftOver;
use super::process::PROCESS;
use crate::config::Report;
use crate::report::{self, Closing};
use crate::sync::kept::keep;
use crate::sync::wait::Deadline;

/// Closes and deletes everything, in parallel and within the deadline.
///
/// Never panics, and writes nothing to stdout.
pub(super) fn close_everything() {
    let outcome = std::panic::catch_unwind(|| {
        if !PROCESS.is_current() {
            return;
        }
        let clusters = std::mem::take(&mut *PROCESS.clusters());
        let mut summary = PROCESS.dropped_stats().take();
        let of_reports = report::exit_deadline();
        if clusters.is_empty() && !PROCESS.workers.have_state() && summary.is_none() && of_reports.is_none() {
            return;
        }
        let began = Instant::now();
        let allowed = clusters.iter().map(|open| open.exit_deadline).chain(of_reports).max().unwrap_or_default();
        let deadline = Deadline::after(allowed);
        // Leave a tenth of the time to the HTML reports.
        let for_closing = |allowed: Duration| if of_reports.is_none() { allowed } else { allowed * 9 / 10 };
        let (done, all_done) = mpsc::channel();
        // Use new threads: waiting needs thread-locals, and the exiting thread may have lost its own.
        let mut pending = 0;
        for open in &clusters {
            let (open, done, allowed) = (open.clone(), done.clone(), for_closing(open.exit_deadline));
            let close = move || {
                let left = open.cluster.close_at_exit(Deadline::after(allowed));
                let _ = done.send(left);
                // Keep it, because the last reference would run Drops that have no deadline.
                keep(open);
            };
            if thread::Builder::new().name("rstest-kafka exit".to_owned()).spawn(close).is_ok() {
                pending += 1;
            }
        }
        let mut in_time = pending == clusters.len();
        let mut closing = Closing::default();
        for _ in 0..pending {
            // Wait a little longer than each thread has, so that it can still report what it left.
            let remaining = for_closing(allowed).saturating_sub(began.elapsed()) + Duration::from_millis(300);
            match all_done.recv_timeout(remaining) {
                Ok(left) => {
                    print_left_over(&left);
                    closing.consumers += left.closed_consumers as u64;
                    closing.topics += left.deleted_topics as u64;
                    closing.groups += left.deleted_groups as u64;
                }
                Err(_) => {
                    let _ = writeln!(
                        std::io::stderr(),
                        "rstest-kafka: could not close and delete everything within {allowed:?}: set a longer \
                         RSTEST_KAFKA_EXIT_DEADLINE_MS"
                    );
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
    // Forget the payload: its drop may panic, and an exit function must not unwind.
    if let Err(payload) = outcome {
        std::mem::forget(payload);
    }
}

/// Prints what is left on the broker to stderr, by name.
fn print_left_over(left: &LeftOver) {
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
