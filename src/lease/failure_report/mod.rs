//! The failure report: the state of a failed test's topics, groups and consumers, at the end of its output.
//!
//! It is printed once per lease, on the thread whose output the runner keeps for the test. If the drop of the last
//! fixture shows the failure, that drop prints it. Otherwise the panic hook prints it, or the `Debug` of the `Err` that
//! the runner prints.

mod collect;
mod render;

use std::io::Write as _;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::config::FailureReport;
use crate::model::topic::Topic;
use crate::sync::wait::Deadline;
use crate::worker::names::Names;

/// The timeout of all requests together. It is short, because the broker may be the cause of the failure.
const TIMEOUT: Duration = Duration::from_secs(1);

/// What a lease knows when it ends. The rest of the failure report comes from the broker.
pub(crate) struct ReportInput {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) detail: FailureReport,
    pub(crate) names: Names,
    pub(crate) topics: Vec<Topic>,
    pub(crate) groups: Vec<LeasedGroup>,
    pub(crate) positions: Vec<ConsumerPositions>,
}

/// A group of the lease.
#[derive(Debug, Clone)]
pub(crate) struct LeasedGroup {
    pub(crate) id: String,
    pub(crate) topics: Vec<Topic>,
}

/// The positions of a consumer when it was dropped.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerPositions {
    pub(crate) topic: String,
    /// The position on each partition.
    pub(crate) next: Vec<(i32, i64)>,
}

/// Returns the text of the failure report. It is empty if the report is switched off.
///
/// It returns within the deadline, even if the broker does not respond.
pub(crate) fn text(input: ReportInput) -> String {
    if input.detail == FailureReport::Off {
        return String::new();
    }
    let head = render::head(&input);
    let (done, collected) = mpsc::channel();
    // Use a separate thread, because a panic or a call that hangs must not affect a thread that is unwinding.
    let collect = move || {
        let snapshot = collect::snapshot(&input, Deadline::after(TIMEOUT));
        let _ = done.send(render::body(&snapshot, input.detail));
    };
    let spawned = thread::Builder::new().name("rstest-kafka failure".to_owned()).spawn(collect);
    let body = spawned.ok().and_then(|_| collected.recv_timeout(TIMEOUT + Duration::from_millis(500)).ok());
    let body = body.unwrap_or_else(|| format!("  the broker did not report more within {TIMEOUT:?}\n"));
    format!("{head}{body}")
}

/// Prints the failure report where the runner keeps the output of this thread's test. Never panics.
pub(crate) fn print(report: &str) {
    if report.is_empty() {
        return;
    }
    // The runner keeps only the output of the macro, not that of the stream. The macro panics if stderr is closed.
    let printed = panic::catch_unwind(AssertUnwindSafe(|| eprint!("{report}")));
    if let Err(payload) = printed {
        std::mem::forget(payload);
    }
    let _ = std::io::stderr().flush();
}
