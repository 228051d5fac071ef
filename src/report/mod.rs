//! What a run did, told at its end: a summary on stderr, or a page with the run as a picture.
//!
//! Nothing of it decides a test, and nothing of it goes to stdout. What is measured for the summary is a handful of sums; the
//! page's leases are only noted where a page was asked for.

mod chart;
mod data;
mod file;
mod html;
mod page;
mod recorder;
mod run;
mod runner;
pub(crate) mod stats;
mod summary;
mod table;
mod waiting;

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use self::recorder::{Recorder, Trace, recorder, take_recorders};
pub(crate) use self::run::Had;
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
    /// A page with the run as a picture, at this path, and a line on stderr that says where it is: workers as rows, leases as
    /// bars along time with their topics, generations, waits and failures, and tables beneath. One file, which needs no
    /// script and nothing from elsewhere.
    ///
    /// A relative path starts where the process stands at its first lease: under cargo, in the package's folder. The folder
    /// must exist. All processes of a run are on one page: it is extended as long as the cargo or cargo-nextest lives that
    /// began it, and replaced by the next run. (Where the system does not tell, which is outside Linux, that is so under
    /// cargo-nextest alone.) To have a page for each, put `{binary}`, `{pid}` or `{run}` in the path. A file that is no such
    /// page is left alone. A page that cannot be written is told on stderr, and decides no test.
    ///
    /// Some 2,000 leases stand on it one by one, and 500 failed ones beyond; the others in blocks.
    Html(PathBuf),
}

impl Report {
    /// The page's path; an empty one is no path.
    pub(crate) fn has_path(&self) -> bool {
        !matches!(self, Self::Html(path) if path.as_os_str().is_empty())
    }
}

impl FromStr for Report {
    type Err = ();

    fn from_str(value: &str) -> Result<Self, ()> {
        match value {
            "off" => Ok(Self::Off),
            "summary" => Ok(Self::Summary),
            _ => {
                let page = value.strip_prefix("html:").map(|path| Self::Html(path.into()));
                page.filter(Self::has_path).ok_or(())
            }
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
