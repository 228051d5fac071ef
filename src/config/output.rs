//! The settings of what a run keeps and reports.

use std::path::PathBuf;

/// Which topics are kept when the process exits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum KeepTopics {
    /// All topics are deleted at exit. This is the default.
    #[default]
    Never,
    /// The topics of failed tests are kept, and named on stderr at exit.
    Failed,
    /// All topics are kept.
    Always,
}

impl KeepTopics {
    /// Parses the value of an environment variable.
    pub(crate) fn parse(value: &str) -> Option<Self> {
        match value {
            "never" => Some(Self::Never),
            "failed" => Some(Self::Failed),
            "always" => Some(Self::Always),
            _ => None,
        }
    }
}

/// How much the failure report at the end of a failed test's output shows.
///
/// The failure report shows the test's topics with their fences, end offsets and last messages, its groups with their lag, and
/// the positions of its consumers. It takes little more than a second, and costs nothing if the test passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum FailureReport {
    /// There is no failure report.
    Off,
    /// The last three messages of each partition, and up to twelve partitions of each topic. This is the default.
    #[default]
    On,
    /// The last fifty messages of each partition, and all partitions.
    Long,
}

impl FailureReport {
    /// Parses the value of an environment variable.
    pub(crate) fn parse(value: &str) -> Option<Self> {
        match value {
            "off" => Some(Self::Off),
            "on" => Some(Self::On),
            "long" => Some(Self::Long),
            _ => None,
        }
    }
}

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

    /// Parses the value of `RSTEST_KAFKA_REPORT`.
    pub(crate) fn parse(value: &str) -> Option<Self> {
        match value {
            "off" => Some(Self::Off),
            "summary" => Some(Self::Summary),
            _ => value.strip_prefix("html:").filter(|path| !path.is_empty()).map(|path| Self::Html(path.into())),
        }
    }
}
