//! The worker id and the run id, which are parts of every name.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use uuid::Uuid;

/// The id of the worker on which a test runs. It is part of the names of the test's topics: `main`, `main-1`, `slot-3`.
///
/// The id comes from `RSTEST_KAFKA_WORKER_ID`. If this variable is not set, it is `slot-{n}` with nextest's
/// `NEXTEST_TEST_GLOBAL_SLOT`, the value of `PYTEST_XDIST_WORKER`, or `main`. If a process runs several workers, all except the
/// first append their number.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(Arc<str>);

impl WorkerId {
    pub(crate) fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// Returns the id of a lane of this process. Lane 0 has the plain id.
    pub(crate) fn of_lane(&self, lane: usize) -> Self {
        if lane == 0 { self.clone() } else { Self(format!("{}-{lane}", self.0).into()) }
    }

    /// Returns the id of the `seat`-th process that uses this id at the same time in a run. The first has the plain id.
    pub(crate) fn of_seat(&self, seat: usize) -> Self {
        if seat == 0 { self.clone() } else { Self(format!("{}-s{seat}", self.0).into()) }
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The id of one invocation of the test runner: 8 hex digits, which are part of every name.
///
/// Under nextest, they are the first 8 digits of `NEXTEST_RUN_ID`. Otherwise they are random, and the same for the whole process.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(Arc<str>);

impl RunId {
    pub(crate) fn of(uuid: Uuid) -> Self {
        Self(uuid.simple().to_string()[..8].into())
    }

    /// Returns the 8 hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! impl_text_traits {
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

impl_text_traits!(WorkerId, RunId);
