//! Who wrote a ledger file, and whether that owner may still be alive.
//!
//! A process that is alive holds a lock on its file. A run of cargo-nextest has no process of ours for as long as it
//! lasts, so its runner's process is looked for, and where that cannot be done its files must be old. What cannot be told
//! is alive: a leftover that stays for a day costs less than a live run's topics.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// How long a run's files must have been left alone before it counts as dead, where its runner cannot be looked for.
const LEFT_ALONE: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest chain of parents that is followed; a loop would be the kernel's.
const MOST_PARENTS: usize = 64;

/// Who had started this process, noted before `main`; 0 where the system does not tell.
static FIRST_PARENT: AtomicU32 = AtomicU32::new(0);

/// Notes who has started this process: once the parent is dead, nothing tells who it was.
pub(crate) fn note_parent() {
    FIRST_PARENT.store(parent(), Ordering::SeqCst);
}

fn parent() -> u32 {
    #[cfg(unix)]
    {
        std::os::unix::process::parent_id()
    }
    #[cfg(not(unix))]
    {
        0
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Owner {
    /// One process, alive as long as it holds its file's lock.
    Process(ProcessMark),
    /// A run of cargo-nextest, of which each test is a process.
    Run {
        /// `NEXTEST_RUN_ID`.
        id: String,
        /// The runner's process, where it could be told.
        runner: Option<ProcessMark>,
    },
}

/// What tells a process from all others, also from one that gets its number later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessMark {
    pub(crate) pid: u32,
    /// In the kernel's ticks since its start, which setting the clock does not change.
    pub(crate) start: Option<u64>,
    /// Which kernel's numbers these are, and in which namespace of them.
    pub(crate) host: String,
}

/// Whether the runner of a run lives, as far as can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Alive,
    Dead,
    Unknown,
}

/// The runner of an HTML report's processes.
#[cfg(feature = "report")]
impl ProcessMark {
    /// The cargo or cargo-nextest that runs this process's tests.
    pub(crate) fn of_runner() -> Option<Self> {
        Self::of_ancestor(|name| name == "cargo" || name.starts_with("cargo-nextest"))
    }

    /// Whether it is known to live.
    pub(crate) fn is_alive(&self) -> bool {
        self.life() == Life::Alive
    }
}

impl ProcessMark {
    pub(crate) fn of_this_process() -> Self {
        Self::of(std::process::id()).unwrap_or_else(|| Self {
            pid: std::process::id(),
            start: None,
            host: host().unwrap_or_default(),
        })
    }

    fn of(pid: u32) -> Option<Self> {
        Some(Self { pid, start: Some(Stat::of(pid)?.start), host: host()? })
    }

    /// The cargo-nextest that this process is a descendant of: its parent, unless a wrapper stands between.
    ///
    /// A runner that was killed before its test had its first lease is no ancestor any more. Its run is known to be over
    /// then: no process that lives ever has the mark that it gets.
    pub(crate) fn of_nextest() -> Option<Self> {
        Self::of_ancestor(|name| name.starts_with("cargo-nextest")).or_else(Self::of_dead_parent)
    }

    fn of_dead_parent() -> Option<Self> {
        let pid = FIRST_PARENT.load(Ordering::SeqCst);
        let has_died = pid > 1 && pid != parent();
        if has_died { Some(Self { pid, start: Some(0), host: host()? }) } else { None }
    }

    fn of_ancestor(is_meant: impl Fn(&str) -> bool) -> Option<Self> {
        let mut pid = Stat::of(std::process::id())?.parent;
        for _ in 0..MOST_PARENTS {
            let stat = Stat::of(pid)?;
            if is_meant(&stat.name) {
                return Self::of(pid);
            }
            pid = stat.parent;
        }
        None
    }

    pub(super) fn life(&self) -> Life {
        let Some(start) = self.start else { return Life::Unknown };
        // Another kernel's numbers, an earlier start's or another namespace's say nothing here.
        if host().is_none_or(|host| host != self.host) {
            return Life::Unknown;
        }
        match Stat::of(self.pid) {
            Some(stat) if stat.start == start && !stat.has_ended => Life::Alive,
            Some(_) => Life::Dead,
            None if Path::new("/proc").join(self.pid.to_string()).exists() => Life::Unknown,
            None => Life::Dead,
        }
    }
}

/// Whether files that were written last at `youngest` have been left alone for long; never when the clock went back.
pub(super) fn left_alone(youngest: SystemTime, now: SystemTime) -> bool {
    now.duration_since(youngest).is_ok_and(|age| age > LEFT_ALONE)
}

/// What the kernel says of a process, on Linux; nothing elsewhere.
struct Stat {
    name: String,
    has_ended: bool,
    parent: u32,
    start: u64,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        // The name stands in parentheses and may itself hold some.
        let (name, rest) = (stat.split_once('(')?.1).rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        Some(Self {
            name: name.to_owned(),
            has_ended: matches!(*fields.first()?, "Z" | "X" | "x"),
            parent: fields.get(1)?.parse().ok()?,
            start: fields.get(19)?.parse().ok()?,
        })
    }
}

/// Names the kernel's start and the namespace of process numbers; `None` where the system does not tell.
fn host() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), namespace.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_name() {
        let line = "42 (a) R (b) S 7 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2 3";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.name.as_str(), stat.parent, stat.start, stat.has_ended), ("a) R (b", 7, 98765, false));
        for odd in ["", "42", "42 (a)", "42 (a) S", "42 (a S 7"] {
            assert!(Stat::parse(odd).is_none(), "{odd:?}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_number_that_another_process_got_is_not_the_same_process() {
        let this = ProcessMark::of_this_process();
        assert_eq!(this.life(), Life::Alive);
        let reused = ProcessMark { start: this.start.map(|start| start + 1), ..this.clone() };
        assert_eq!(reused.life(), Life::Dead, "the same number, started later");
        let gone = ProcessMark { pid: 0x7fff_fff0, ..this.clone() };
        assert_eq!(gone.life(), Life::Dead);
        assert_eq!(ProcessMark { start: None, ..this.clone() }.life(), Life::Unknown);
        let elsewhere = ProcessMark { host: "another kernel".to_owned(), ..gone };
        assert_eq!(elsewhere.life(), Life::Unknown, "its numbers say nothing about ours");
    }

    #[test]
    fn a_clock_that_was_set_back_makes_nobody_old() {
        let now = SystemTime::now();
        assert!(left_alone(now - Duration::from_secs(25 * 3600), now));
        assert!(!left_alone(now - Duration::from_secs(3600), now));
        assert!(!left_alone(now + Duration::from_secs(100 * 24 * 3600), now));
    }
}
