//! The HTML report: what is recorded of the leases, written as JSON lines, and drawn from the lines of all processes of a run.

mod chart;
mod file;
mod page;
mod recorder;
mod run;

pub(crate) use self::recorder::{Recorder, Trace, Waiting, exit_deadline, write_reports};
