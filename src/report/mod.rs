//! What is written about a run when it exits: a summary on stderr, or an HTML report.
//!
//! Nothing here decides a test, and nothing goes to stdout. The HTML report is the feature `report`: without the feature, the
//! recorder is a type whose calls do nothing.

#[cfg(feature = "report")]
mod html;
#[cfg(not(feature = "report"))]
#[path = "off.rs"]
mod html;
pub(crate) mod stats;
mod summary;

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

pub(crate) use self::html::{Recorder, Trace, Waiting, exit_deadline, write_reports};
pub(crate) use self::summary::{Closing, write_stats};

/// What is written about a run when it exits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Report {
    /// Nothing: the default.
    #[default]
    Off,
    /// A few lines on stderr: tests, workers, topics and consumers created and reused, the exit. The lines are the
    /// [`Stats`](crate::Stats) of all harnesses of the process that have `Summary`.
    Summary,
    /// An HTML report at this path, and a line on stderr that names the path. It takes the feature `report`; without the
    /// feature it is an error.
    ///
    /// The HTML report shows workers as rows and tests as bars along time, with their topics, generations, waits and
    /// failures, and tables beneath. It is one file, without scripts and without links to other files. Its data are JSON
    /// lines in a file beside it: `kafka.jsonl` beside `kafka.html`.
    ///
    /// A relative path is relative to the working directory at the first lease: under cargo, the package's directory. The
    /// directory must exist. All processes of a run share one report: processes add to it while the cargo or cargo-nextest that began
    /// it lives, and the next run replaces it. (Outside Linux, processes share a report only under cargo-nextest.) To have a
    /// report for each process, put `{binary}`, `{pid}` or `{run}` in the path. A file that is not such a report is not
    /// replaced. A report that cannot be written is an error on stderr, and fails no test.
    ///
    /// The report shows the first 2,000 tests, and up to 500 failed tests after them. The data have up to 100,000 tests of each
    /// process.
    Html(PathBuf),
}

impl Report {
    /// Why this build cannot write the report.
    pub(crate) fn refusal(&self) -> Option<&'static str> {
        match self {
            Self::Html(path) if path.as_os_str().is_empty() => Some("an HTML report takes the path of a file"),
            Self::Html(_) if cfg!(not(feature = "report")) => {
                Some("an HTML report takes the feature `report` of rstest-kafka, which is not enabled")
            }
            _ => None,
        }
    }
}

impl FromStr for Report {
    type Err = ();

    fn from_str(value: &str) -> Result<Self, ()> {
        match value {
            "off" => Ok(Self::Off),
            "summary" => Ok(Self::Summary),
            _ => match value.strip_prefix("html:") {
                None | Some("") => Err(()),
                Some(path) => Ok(Self::Html(path.into())),
            },
        }
    }
}

/// How a lease got a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    Created,
    Reused,
    /// Created, for this lease only.
    Exclusive,
    /// Only named: the service under test creates it.
    Named,
}

#[cfg(feature = "report")]
impl Origin {
    fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Reused => "reused",
            Self::Exclusive => "exclusive",
            Self::Named => "named",
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
