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

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

pub(crate) use self::html::{Recorder, Trace, Waiting, exit_deadline, write_reports};
pub(crate) use self::summary::{Closing, write_stats};

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
