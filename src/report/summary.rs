//! The summary: a few lines, each with the figures that its claim stands on.

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
            // What rounds up to a second is told as one.
            _ if seconds < 0.999_95 => write!(f, "{:.1} ms", seconds * 1e3),
            _ => write!(f, "{seconds:.2} s"),
        }
    }
}

/// So many of a thing: `1 test`, `2 tests`.
pub(super) struct Many(pub(super) u64, pub(super) &'static str);

impl fmt::Display for Many {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.0, self.1, if self.0 == 1 { "" } else { "s" })
    }
}

/// What a connection's end came to, or those of all connections of a process.
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
    writeln!(
        f,
        "  topics     {} made in {}, {} reused in {}",
        stats.topics_made,
        Took(stats.topics_made_in),
        stats.topics_reused,
        Took(stats.topics_reused_in)
    )?;
    writeln!(
        f,
        "  consumers  {} made in {}, {} reused in {}, {} retired",
        stats.consumers_made,
        Took(stats.consumers_made_in),
        stats.consumers_reused,
        Took(stats.consumers_reused_in),
        stats.consumers_retired
    )?;
    writeln!(f, "  messages   {} sent, {} spent waiting", stats.messages_sent, Took(stats.waited))?;
    write!(f, "  saved      {} by reuse", Took(stats.time_saved()))
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
