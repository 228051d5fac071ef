//! The worker's id and the run's id, as they stand in every name.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use uuid::Uuid;

/// The lane in which a test runs, as it stands in the names of its topics: `main`, `main-1`, `slot-3`.
///
/// From `RSTEST_KAFKA_WORKER_ID`, else nextest's `NEXTEST_TEST_GLOBAL_SLOT` as `slot-{n}`, else `PYTEST_XDIST_WORKER`,
/// else `main`; lanes after the first of a process append `-{lane}`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(Arc<str>);

impl WorkerId {
    pub(crate) fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// The id of a lane of this process; lane 0 has the plain id.
    pub(crate) fn of_lane(&self, lane: usize) -> Self {
        if lane == 0 { self.clone() } else { Self(format!("{}-{lane}", self.0).into()) }
    }

    /// The id of the n-th process of a run that has this id at the same time; the first has the plain id.
    pub(crate) fn of_seat(&self, seat: usize) -> Self {
        if seat == 0 { self.clone() } else { Self(format!("{}-s{seat}", self.0).into()) }
    }

    /// The id as it stands in names.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The short id of one invocation of the test runner, as it stands in every name: 8 hex digits.
///
/// The first 8 of `NEXTEST_RUN_ID` under nextest, else of a random uuid made once per process.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(Arc<str>);

impl RunId {
    pub(crate) fn of(uuid: Uuid) -> Self {
        Self(uuid.simple().to_string()[..8].into())
    }

    /// The 8 hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! stands_for_its_text {
    ($($id:ident),*) => {$(
        impl Deref for $id {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    )*};
}

stands_for_its_text!(WorkerId, RunId);
