//! A process as the operating system sees it.

use std::fs;
use std::process::Child;
use std::time::{Duration, Instant};

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

/// The CPU time that this thread has had.
pub fn thread_cpu_time() -> Option<Duration> {
    #[cfg(unix)]
    return cpu_time(libc::CLOCK_THREAD_CPUTIME_ID);
    #[cfg(not(unix))]
    None
}

/// The CPU time that this process has had.
pub fn process_cpu_time() -> Option<Duration> {
    #[cfg(unix)]
    return cpu_time(libc::CLOCK_PROCESS_CPUTIME_ID);
    #[cfg(not(unix))]
    None
}

#[cfg(unix)]
fn cpu_time(clock: libc::clockid_t) -> Option<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call only writes to the struct that it is given.
    let outcome = unsafe { libc::clock_gettime(clock, &raw mut time) };
    (outcome == 0).then(|| Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// The CPU time that the brokers of `scripts/with-kafka` have had; `None` without them.
pub fn brokers_cpu_time() -> Option<Duration> {
    let pids = std::env::var("WITH_KAFKA_PIDS").ok()?;
    pids.split_whitespace().map(other_cpu_time).sum()
}

/// The CPU time of another process, in steps of 10 ms. Only Linux tells.
fn other_cpu_time(pid: &str) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before them, in brackets, may have blanks of its own.
    let (_, numbers) = stat.rsplit_once(')')?;
    let ticks = |at: usize| numbers.split_whitespace().nth(at)?.parse::<u64>().ok();
    // User and system, in hundredths of a second (`proc_pid_stat(5)`, USER_HZ).
    Some(Duration::from_millis(10 * (ticks(11)? + ticks(12)?)))
}

/// What a process of its own took, from its start to its end.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    pub wall: Duration,
    /// User and system, of it and what it waited for; only Unix tells.
    pub cpu: Option<Duration>,
    /// The most that was resident at once, in KiB; only Linux tells.
    pub peak: Option<u64>,
    pub success: bool,
}

/// Waits for the end of a child that was started then.
#[cfg(unix)]
pub fn wait_for(child: Child, started: Instant) -> Usage {
    // SAFETY: all zeros are a value of this struct of numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let mut status = 0;
    let pid = child.id() as libc::pid_t;
    loop {
        // SAFETY: the child is ours and nobody else waits for it; the call writes to the two values that it is given.
        let ended = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
        if ended == pid {
            break;
        }
        let error = std::io::Error::last_os_error();
        assert_eq!(error.kind(), std::io::ErrorKind::Interrupted, "{error}");
    }
    let wall = started.elapsed();
    let time = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1_000);
    Usage {
        wall,
        cpu: Some(time(usage.ru_utime) + time(usage.ru_stime)),
        // Other systems count it in bytes, or not at all.
        peak: cfg!(target_os = "linux").then_some(usage.ru_maxrss as u64),
        success: status == 0,
    }
}

#[cfg(not(unix))]
pub fn wait_for(mut child: Child, started: Instant) -> Usage {
    let success = child.wait().unwrap().success();
    Usage { wall: started.elapsed(), cpu: None, peak: None, success }
}
