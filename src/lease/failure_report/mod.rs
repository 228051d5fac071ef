//! The account of a failure: what a failed test's topics, groups and consumers looked like, at the end of its output.
//!
//! It is told once per lease, on the thread whose output the runner keeps for the test: by the drop of the last fixture
//! if that shows the failure, else by the panic hook or by the `Debug` of the `Err` that the runner prints.

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

/// How long the broker may be asked in all; it may be the reason for the failure.
const AT_MOST: Duration = Duration::from_secs(1);

/// What a lease knows of itself when it ends: all that the account needs, without a question to the broker.
pub(crate) struct Facts {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) detail: FailureReport,
    pub(crate) names: Names,
    pub(crate) topics: Vec<Topic>,
    pub(crate) groups: Vec<LeasedGroup>,
    pub(crate) reads: Vec<Read>,
}

/// A group that the lease has made.
#[derive(Debug, Clone)]
pub(crate) struct LeasedGroup {
    pub(crate) id: String,
    pub(crate) topics: Vec<Topic>,
}

/// How far a consumer of the lease had read when it was dropped.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    pub(crate) topic: String,
    /// Per partition the offset that it would have given out next.
    pub(crate) next: Vec<(i32, i64)>,
}

/// The account, ready to be printed; comes within the deadline, whatever the broker does. Empty if it is switched off.
pub(crate) fn tell(facts: Facts) -> String {
    if facts.detail == FailureReport::Off {
        return String::new();
    }
    let head = render::head(&facts);
    let (done, account) = mpsc::channel();
    // On a thread of its own: a panic in here, or a call that hangs, must not meet a thread that is unwinding.
    let collect = move || {
        let picture = collect::picture(&facts, Deadline::after(AT_MOST));
        let _ = done.send(render::body(&picture, facts.detail));
    };
    let spawned = thread::Builder::new().name("rstest-kafka account".to_owned()).spawn(collect);
    let body = spawned.ok().and_then(|_| account.recv_timeout(AT_MOST + Duration::from_millis(500)).ok());
    let body = body.unwrap_or_else(|| format!("  nothing more could be learned within {AT_MOST:?}\n"));
    format!("{head}{body}")
}

/// Prints it where the runner keeps the output of this thread's test; never panics.
pub(crate) fn print(account: &str) {
    if account.is_empty() {
        return;
    }
    // The macro, not the stream: only what it prints is kept with its test. It panics when stderr is gone.
    let printed = panic::catch_unwind(AssertUnwindSafe(|| eprint!("{account}")));
    if let Err(payload) = printed {
        std::mem::forget(payload);
    }
    let _ = std::io::stderr().flush();
}
