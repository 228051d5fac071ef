//! What a run did, told at its end: a summary on stderr, or a page with the run as a picture.
//!
//! Nothing of it decides a test, and nothing of it goes to stdout. What is measured for the summary is a handful of sums; the
//! page's leases are only noted where a page was asked for.

mod summary;
mod waiting;

use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use self::summary::{Closing, write_stats};
pub(crate) use self::waiting::Waiting;

/// What is told at exit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Report {
    /// Nothing: the default.
    #[default]
    Off,
    /// A few lines on stderr: tests, workers, topics and consumers made and reused, the time that saved, the exit. It is
    /// how [`Stats`](crate::Stats) shows itself, for all harnesses of the process that say `Summary`.
    Summary,
}

impl FromStr for Report {
    type Err = ();

    fn from_str(value: &str) -> Result<Self, ()> {
        match value {
            "off" => Ok(Self::Off),
            "summary" => Ok(Self::Summary),
            _ => Err(()),
        }
    }
}

/// How often a failure has moved a lane of this process on.
static GENERATIONS: AtomicU64 = AtomicU64::new(0);

/// A failure has moved a lane to its next generation.
pub(crate) fn moved() {
    GENERATIONS.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn generations() -> u64 {
    GENERATIONS.load(Ordering::Relaxed)
}
