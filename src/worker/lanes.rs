//! The lanes of this process, and which generation each lane is in.
//!
//! A lane is a number: the lowest free one of the process, whichever harness asks.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// All lanes that ever ran in this process, by number.
#[derive(Debug)]
pub(crate) struct Lanes {
    lanes: Mutex<Vec<Lane>>,
    /// The generation in which new lanes begin: where another process left the worker.
    first_generation: AtomicU32,
}

#[derive(Debug, Clone, Copy)]
struct Lane {
    held: bool,
    generation: u32,
}

impl Lanes {
    pub(crate) const fn new() -> Self {
        Self { lanes: Mutex::new(Vec::new()), first_generation: AtomicU32::new(0) }
    }

    /// Drop and the panic hook take this lock, so a poisoned one is recovered: the data are single words.
    fn lock(&self) -> MutexGuard<'_, Vec<Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lowest free lane, a new one if none is free.
    pub(crate) fn take(&self) -> usize {
        let mut lanes = self.lock();
        let lane = lanes.iter().position(|lane| !lane.held).unwrap_or_else(|| {
            lanes.push(Lane { held: false, generation: self.first_generation.load(Ordering::SeqCst) });
            lanes.len() - 1
        });
        lanes[lane].held = true;
        lane
    }

    /// Gives a lane back.
    pub(crate) fn give_back(&self, lane: usize) {
        self.lock()[lane].held = false;
    }

    /// Moves a lane to its next generation, which is returned.
    pub(crate) fn advance(&self, lane: usize) -> u32 {
        let mut lanes = self.lock();
        lanes[lane].generation += 1;
        lanes[lane].generation
    }

    /// The generation that a lane is in now, whatever generation a lease began in.
    pub(crate) fn generation_of(&self, lane: usize) -> u32 {
        self.lock().get(lane).map_or(0, |lane| lane.generation)
    }

    /// How many lanes this process has used so far.
    pub(crate) fn used(&self) -> usize {
        self.lock().len()
    }

    /// From now on no lease begins in an older generation.
    pub(crate) fn begin_at(&self, generation: u32) {
        self.first_generation.fetch_max(generation, Ordering::SeqCst);
        self.lock().iter_mut().for_each(|lane| lane.generation = lane.generation.max(generation));
    }

    /// The generation that no lane of this process is beyond.
    pub(crate) fn latest_generation(&self) -> u32 {
        let first = self.first_generation.load(Ordering::SeqCst);
        self.lock().iter().map(|lane| lane.generation).max().unwrap_or(0).max(first)
    }

    /// Whether every test has given its lane back. A test that hangs or has leaked its fixtures has not.
    pub(crate) fn are_all_free(&self) -> bool {
        self.lock().iter().all(|lane| !lane.held)
    }
}
