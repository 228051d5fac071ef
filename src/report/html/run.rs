//! The data of an HTML report: JSON lines, one for each process of the run and for each of its leases, as the README
//! documents them. A line that is torn or foreign is ignored.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ledger::ProcessMark;
use crate::report::Origin;

/// How many leases an HTML report shows; failed ones beyond have some room of their own.
const MOST_LEASES: usize = 2_000;
const MOST_FAILED_BEYOND: usize = 500;

/// Lines whose process has another version are replaced.
pub(super) const VERSION: u32 = 1;
/// How the data of a run begin.
pub(super) const BEGINNING: &str = r#"{"process":{"version":"#;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Line {
    Process(Process),
    Lease(Lease),
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Process {
    pub(super) version: u32,
    pub(super) run_id: String,
    /// The `cargo test` or cargo-nextest that runs it, where the system shows that.
    pub(super) runner: Option<ProcessMark>,
    pub(super) binary: String,
    pub(super) brokers: BTreeSet<String>,
    pub(super) generations: u64,
    pub(super) messages_sent: u64,
    pub(super) exit_us: u64,
    pub(super) exited: Timestamp,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Lease {
    pub(super) test: String,
    pub(super) binary: String,
    pub(super) worker: String,
    pub(super) generation: u32,
    pub(super) started: Timestamp,
    /// `None`: the lease had not ended when its process exited.
    pub(super) duration_us: Option<u64>,
    pub(super) failed: bool,
    pub(super) topics: Vec<Topic>,
    pub(super) groups: Vec<String>,
    pub(super) consumers_created: u64,
    pub(super) consumers_reused: u64,
    pub(super) waited_us: u64,
    /// From the start of the lease, with their durations.
    pub(super) waits_us: Vec<(u64, u64)>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Topic {
    pub(super) logical: String,
    pub(super) name: String,
    pub(super) origin: Origin,
}

#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) processes: Vec<Process>,
    pub(super) leases: Vec<Lease>,
}

impl Run {
    pub(super) fn of(data: &str) -> Self {
        let mut run = Self::default();
        data.lines().filter_map(|line| serde_json::from_str(line).ok()).for_each(|line| run.add(line));
        run
    }

    pub(super) fn add(&mut self, line: Line) {
        match line {
            Line::Process(process) => self.processes.push(process),
            Line::Lease(lease) => self.leases.push(lease),
        }
    }

    /// The leases of several processes in the order of time.
    pub(super) fn sort(&mut self) {
        self.leases.sort_by(|one, other| (one.started, &one.worker).cmp(&(other.started, &other.worker)));
    }

    /// Whether a process with this run's id belongs to the run: the others have the same id, or their runner is alive.
    pub(super) fn has(&self, run_id: &str) -> bool {
        let goes_on =
            |first: &Process| first.run_id == run_id || first.runner.as_ref().is_some_and(ProcessMark::is_alive);
        self.processes.first().is_some_and(|first| first.version == VERSION && goes_on(first))
    }

    /// The leases that the report shows.
    pub(super) fn shown(&self) -> Vec<&Lease> {
        let (first, more) = self.leases.split_at(self.leases.len().min(MOST_LEASES));
        first.iter().chain(more.iter().filter(|lease| lease.failed).take(MOST_FAILED_BEYOND)).collect()
    }

    pub(super) fn exited(&self) -> Timestamp {
        self.processes.iter().map(|process| process.exited).max().unwrap_or_default()
    }

    pub(super) fn started(&self) -> Timestamp {
        self.leases.first().map_or(self.exited(), |first| first.started)
    }

    /// Every worker, `main-2` before `main-10`.
    pub(super) fn workers(&self) -> Vec<&str> {
        let mut workers: Vec<&str> = self.leases.iter().map(|lease| lease.worker.as_str()).collect();
        workers
            .sort_by_key(|worker| (worker.trim_end_matches(|end: char| end.is_ascii_digit()), worker.len(), *worker));
        workers.dedup();
        workers
    }
}

impl Lease {
    /// Until the exit where it has not ended.
    pub(super) fn took_us(&self, run: &Run) -> u64 {
        self.duration_us.unwrap_or_else(|| micros(self.started, run.exited()))
    }
}

/// From one to the other; 0 where a clock was set back.
pub(super) fn micros(from: Timestamp, to: Timestamp) -> u64 {
    to.as_microsecond().saturating_sub(from.as_microsecond()).max(0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(n: i64, failed: bool) -> Lease {
        let started = Timestamp::from_second(n).unwrap();
        Lease { worker: format!("main-{}", n % 12), started, failed, ..Lease::default() }
    }

    fn line(line: &Line) -> String {
        serde_json::to_string(line).unwrap()
    }

    #[test]
    fn a_line_that_is_torn_or_foreign_is_ignored() {
        let process = line(&Line::Process(Process { version: VERSION, run_id: "a".to_owned(), ..Process::default() }));
        assert!(process.starts_with(BEGINNING), "{process}");
        let whole = line(&Line::Lease(lease(1, true)));
        let torn = &whole[..whole.len() / 2];
        let run = Run::of(&format!("{process}\n{whole}\n{torn}\n\n{{\"other\":1}}\nnonsense\n{whole}\n"));
        assert_eq!((run.processes.len(), run.leases.len()), (1, 2));
        assert_eq!(serde_json::to_value(&run.leases[1]).unwrap(), serde_json::to_value(lease(1, true)).unwrap());
    }

    #[test]
    fn a_run_has_the_processes_with_its_id_and_those_of_a_living_runner() {
        let run = |version, runner| Run {
            processes: vec![Process { version, run_id: "a".to_owned(), runner, ..Process::default() }],
            leases: Vec::new(),
        };
        assert!(run(VERSION, None).has("a") && !run(VERSION, None).has("b"));
        assert!(!run(VERSION + 1, None).has("a"), "another version");
        assert!(!Run::default().has(""), "no process");
        let Some(runner) = ProcessMark::of_runner() else { return };
        assert!(run(VERSION, Some(runner.clone())).has("b"), "{runner:?}");
        let earlier = ProcessMark { start: runner.start.map(|start| start - 1), ..runner };
        assert!(!run(VERSION, Some(earlier)).has("b"), "another process with this id, which started earlier");
    }

    #[test]
    fn a_long_run_shows_its_first_leases_and_failed_ones_beyond() {
        let leases = (0..20_000).map(|n| lease(n, n % 10 == 9)).collect();
        let run = Run { leases, ..Run::default() };
        let shown = run.shown();
        assert_eq!(shown.len(), MOST_LEASES + MOST_FAILED_BEYOND);
        assert!(shown[MOST_LEASES..].iter().all(|lease| lease.failed));
    }

    #[test]
    fn workers_are_in_the_order_of_their_numbers() {
        let run = Run { leases: (0..24).map(|n| lease(n, false)).collect(), ..Run::default() };
        assert_eq!(run.workers(), (0..12).map(|n| format!("main-{n}")).collect::<Vec<_>>());
    }
}
