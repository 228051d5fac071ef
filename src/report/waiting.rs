//! The time that tests spend waiting, for the sum and for the picture.

use std::sync::Arc;
use std::time::Instant;

use super::recorder::Trace;
use crate::report::stats::Counters;

/// A test waits for as long as this lives, also if its future is dropped half way.
pub(crate) struct Waiting {
    began: Instant,
    counters: Arc<Counters>,
    trace: Option<Arc<Trace>>,
}

impl Waiting {
    pub(crate) fn begin(counters: &Arc<Counters>, trace: Option<&Arc<Trace>>) -> Self {
        Self { began: Instant::now(), counters: Arc::clone(counters), trace: trace.cloned() }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        self.counters.waited.add(took);
        if let Some(trace) = &self.trace {
            trace.waited(took);
        }
    }
}
