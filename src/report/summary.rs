//! The summary: a few lines of figures.

use std::fmt;
use std::time::Duration;

use crate::report::stats::Stats;

/// A duration as a person reads it: `0.4 ms`, `37.2 ms`, `1.24 s`.
pub(crate) struct Took(pub(crate) Duration);

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        match self.0 {
            Duration::ZERO => f.write_str("0 ms"),
            // What rounds up to a second is shown as one.
            _ if seconds < 0.999_95 => write!(f, "{:.1} ms", seconds * 1e3),
            _ => write!(f, "{seconds:.2} s"),
        }
    }
}

/// A number with its noun: `1 test`, `2 tests`.
pub(super) struct Many(pub(super) u64, pub(super) &'static str);

impl fmt::Display for Many {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.0, self.1, if self.0 == 1 { "" } else { "s" })
    }
}

/// What the connections of a process closed and deleted when it exited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Closing {
    pub(crate) consumers: u64,
    pub(crate) topics: u64,
    pub(crate) groups: u64,
    pub(crate) took: Duration,
}

impl fmt::Display for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (consumers, topics) = (Many(self.consumers, "consumer"), Many(self.topics, "topic"));
        let groups = Many(self.groups, "group");
        write!(f, "{consumers} closed, {topics} and {groups} deleted in {}", Took(self.took))
    }
}

/// The lines of a [`Stats`], without a line's end after the last.
pub(crate) fn write_stats(f: &mut fmt::Formatter<'_>, stats: &Stats) -> fmt::Result {
    let (tests, workers) = (Many(stats.leases, "test"), Many(stats.lanes, "worker"));
    let generations = Many(stats.generations, "new generation");
    writeln!(f, "{tests} on {workers}: {} failed, {generations}", stats.failed_leases)?;
    writeln!(f, "  topics     {} created, {} reused", stats.topics_made, stats.topics_reused)?;
    writeln!(
        f,
        "  consumers  {} created, {} reused, {} retired",
        stats.consumers_made, stats.consumers_reused, stats.consumers_retired
    )?;
    write!(f, "  messages   {} sent", stats.messages_sent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(0, "0 ms")]
    #[case(1, "0.0 ms")]
    #[case(400, "0.4 ms")]
    #[case(37_240, "37.2 ms")]
    #[case(999_940, "999.9 ms")]
    #[case(999_990, "1.00 s")]
    #[case(61_230_000, "61.23 s")]
    fn a_duration_is_read_at_a_glance(#[case] micros: u64, #[case] shown: &str) {
        assert_eq!(Took(Duration::from_micros(micros)).to_string(), shown);
    }
}
