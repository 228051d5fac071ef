//! What a page is made from: the leases of a run, bounded, from one process or from several.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Closing;
use crate::report::stats::Stats;

/// How many leases stand on a page one by one; failed ones beyond it have some room of their own.
const MOST_LEASES: usize = 2_000;
const MOST_FAILED_BEYOND: usize = 500;
/// The least that a block of leases holds before the next one is begun. It grows with the run, so that there are never more
/// than some hundreds of blocks.
const LEAST_IN_A_BLOCK: u64 = 100;
const MOST_BROKERS: usize = 8;

/// Microseconds since the beginning of 1970, so that those of several processes are one line of time.
pub(super) type Moment = u64;

/// One lease: a test's hold on a worker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct LeaseNote {
    pub(super) test: String,
    pub(super) binary: String,
    pub(super) worker: String,
    pub(super) generation: u32,
    pub(super) began: Moment,
    /// `None`: it had not ended when the process did.
    pub(super) ended: Option<Moment>,
    pub(super) failed: bool,
    pub(super) topics: Vec<TopicNote>,
    pub(super) groups: Vec<String>,
    pub(super) consumers_made: u64,
    pub(super) consumers_reused: u64,
    /// When it waited, from its beginning, and for how long; the first ones.
    pub(super) waits: Vec<(u64, u64)>,
    /// Microseconds in all waits.
    pub(super) waited: u64,
}

/// A topic as a lease has used it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TopicNote {
    pub(super) logical: String,
    pub(super) name: String,
    pub(super) had: Had,
}

/// How a lease came by a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Had {
    Made,
    Reused,
    /// Made, and for this lease only.
    Own,
    /// Named only: the service under test makes it.
    Named,
}

impl Had {
    pub(super) const ALL: [Self; 4] = [Self::Made, Self::Reused, Self::Own, Self::Named];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Reused => "reused",
            Self::Own => "own",
            Self::Named => "named",
        }
    }
}

/// Several leases of one worker and generation that do not stand on the page one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) worker: String,
    pub(super) generation: u32,
    pub(super) began: Moment,
    pub(super) ended: Moment,
    pub(super) leases: u64,
    pub(super) failed: u64,
    pub(super) waited: u64,
}

/// A run as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Run {
    pub(super) processes: u64,
    pub(super) stats: Stats,
    pub(super) closing: Closing,
    /// When the last of its processes was done.
    pub(super) until: Moment,
    pub(super) brokers: BTreeSet<String>,
    pub(super) leases: Vec<LeaseNote>,
    pub(super) blocks: Vec<Block>,
}

impl Run {
    pub(super) fn add(&mut self, lease: LeaseNote) {
        let room = MOST_LEASES + if lease.failed { MOST_FAILED_BEYOND } else { 0 };
        if self.leases.len() < room {
            self.leases.push(lease);
            return;
        }
        self.fold(Block {
            ended: lease.ended.unwrap_or(lease.began),
            worker: lease.worker,
            generation: lease.generation,
            began: lease.began,
            leases: 1,
            failed: u64::from(lease.failed),
            waited: lease.waited,
        });
    }

    fn fold(&mut self, block: Block) {
        let most = LEAST_IN_A_BLOCK.max(self.folded() / 100);
        let same = |last: &&mut Block| last.worker == block.worker && last.generation == block.generation;
        match self.blocks.iter_mut().rev().find(same) {
            Some(last) if last.leases + block.leases <= most => {
                last.began = last.began.min(block.began);
                last.ended = last.ended.max(block.ended);
                last.leases += block.leases;
                last.failed += block.failed;
                last.waited += block.waited;
            }
            _ => self.blocks.push(block),
        }
    }

    /// How many leases do not stand on the page one by one.
    pub(super) fn folded(&self) -> u64 {
        self.blocks.iter().map(|block| block.leases).sum()
    }

    pub(super) fn on(&mut self, broker: String) {
        if self.brokers.len() < MOST_BROKERS {
            self.brokers.insert(broker);
        }
    }

    /// Takes in another process of the same run.
    pub(super) fn take_in(&mut self, other: Self) {
        let generations = self.stats.generations + other.stats.generations;
        self.processes += other.processes;
        self.stats = self.stats.and(other.stats);
        self.stats.generations = generations;
        self.closing.consumers += other.closing.consumers;
        self.closing.topics += other.closing.topics;
        self.closing.groups += other.closing.groups;
        self.closing.took += other.closing.took;
        self.until = self.until.max(other.until);
        other.brokers.into_iter().for_each(|broker| self.on(broker));
        other.leases.into_iter().for_each(|lease| self.add(lease));
        other.blocks.into_iter().for_each(|block| self.fold(block));
    }

    pub(super) fn began(&self) -> Moment {
        let leases = self.leases.iter().map(|lease| lease.began);
        leases.chain(self.blocks.iter().map(|block| block.began)).min().unwrap_or(self.until)
    }

    /// The test binary, where there is only one.
    pub(super) fn only_binary(&self) -> Option<&str> {
        let first = self.leases.first()?.binary.as_str();
        self.leases.iter().all(|lease| lease.binary == first).then_some(first)
    }

    /// Every worker, in the order in which a person counts: `main-2` before `main-10`.
    pub(super) fn workers(&self) -> Vec<&str> {
        let leases = self.leases.iter().map(|lease| lease.worker.as_str());
        let all: BTreeSet<&str> = leases.chain(self.blocks.iter().map(|block| block.worker.as_str())).collect();
        let mut workers: Vec<&str> = all.into_iter().collect();
        workers.sort_by_key(|worker| match worker.rsplit_once('-') {
            Some((stem, number)) => match number.parse::<u64>() {
                Ok(number) => (stem, number + 1),
                Err(_) => (*worker, 0),
            },
            None => (*worker, 0),
        });
        workers
    }
}

impl LeaseNote {
    /// When it ended, or the run's end for one that did not.
    pub(super) fn end(&self, run: &Run) -> Moment {
        self.ended.unwrap_or(run.until).max(self.began)
    }
}

pub(super) fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(n: u64, failed: bool) -> LeaseNote {
        let worker = format!("main-{}", n % 4);
        LeaseNote { worker, began: n * 10, ended: Some(n * 10 + 8), failed, waited: 3, ..LeaseNote::default() }
    }

    #[test]
    fn a_long_run_is_bounded_and_loses_no_count() {
        let mut run = Run::default();
        for n in 0..300_000 {
            run.add(lease(n, n % 1_000 == 999));
        }
        assert!(run.leases.len() <= MOST_LEASES + MOST_FAILED_BEYOND, "{} leases", run.leases.len());
        assert_eq!(run.leases.len() as u64 + run.folded(), 300_000);
        assert!(run.blocks.len() < 1_500, "{} blocks", run.blocks.len());
        let failed = run.leases.iter().filter(|lease| lease.failed).count() as u64;
        assert_eq!(failed + run.blocks.iter().map(|block| block.failed).sum::<u64>(), 300);
        assert_eq!(failed, 300, "failures have room beyond");
    }

    #[test]
    fn processes_of_a_run_add_up_within_the_same_bounds() {
        let mut run = Run::default();
        for process in 0..40 {
            let mut other = Run { processes: 1, until: process, ..Run::default() };
            other.stats.generations = 1;
            other.stats.lanes = 2;
            (0..100).for_each(|n| other.add(lease(process * 100 + n, false)));
            run.take_in(other);
        }
        assert_eq!((run.processes, run.stats.generations, run.stats.lanes, run.until), (40, 40, 2, 39));
        assert_eq!((run.leases.len(), run.folded()), (MOST_LEASES, 4_000 - MOST_LEASES as u64));
        assert!(run.blocks.len() <= 40, "{} blocks", run.blocks.len());
    }

    #[test]
    fn workers_are_counted_as_a_person_does() {
        let worker = |name: &str| LeaseNote { worker: name.to_owned(), ..LeaseNote::default() };
        let names = ["main-10", "main", "slot-2-1", "main-2", "slot-2", "b"];
        let run = Run { leases: names.map(worker).into(), ..Run::default() };
        assert_eq!(run.workers(), ["b", "main", "main-2", "main-10", "slot-2", "slot-2-1"]);
    }
}
