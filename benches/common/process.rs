//! A process as the operating system sees it.

use std::fs;

/// What a process has: its threads, open files and memory. Only Linux tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resources {
    pub threads: usize,
    pub files: usize,
    /// Resident, in KiB.
    pub memory: usize,
}

impl Resources {
    pub fn now() -> Option<Self> {
        let count = |folder| fs::read_dir(folder).ok().map(Iterator::count);
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let memory = memory.trim().trim_end_matches(" kB").parse().ok()?;
        Some(Self { threads: count("/proc/self/task")?, files: count("/proc/self/fd")?, memory })
    }
}
