//! The recorder of a build without the feature `report`: its calls do nothing.

use std::sync::Arc;
use std::time::Duration;

use super::Origin;
use crate::config::Config;
use crate::report::stats::Counters;
use crate::sync::wait::Deadline;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Recorder;
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trace;
pub(crate) struct Waiting;

impl Recorder {
    pub(crate) fn open(_: &Config, _: &Arc<Counters>, _: &str) -> Self {
        Self
    }
    pub(crate) fn begin(&self, _: Option<&str>, _: &str, _: u32) -> Trace {
        Trace
    }
}

impl Trace {
    pub(crate) fn topic(&self, _: &str, _: &str, _: Origin) {}
    pub(crate) fn consumer(&self, _: bool) {}
    pub(crate) fn group(&self, _: &str) {}
    pub(crate) fn ended(&self) {}
    pub(crate) fn decided(&self, _: bool) {}
    pub(crate) fn waiting(&self) -> Waiting {
        Waiting
    }
}

pub(crate) fn exit_deadline() -> Option<Duration> {
    None
}

pub(crate) fn write_reports(_: Duration, _: Deadline) {}
