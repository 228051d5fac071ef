//! The lanes of this process and their generations.
//!
//! A lane is the number of a worker within this process. Each lease takes the lowest free lane, independent of its harness.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// All lanes that this process has used, by number.
#[derive(Debug)]
pub(crate) struct Lanes {
    lanes: Mutex<Vec<Lane>>,
    /// The generation of new lanes. It continues the generation in which another process left the worker.
    first_generation: AtomicU32,
}

#[derive(Debug, Clone, Copy)]
struct Lane {
    taken: bool,
    generation: u32,
}

impl Lanes {
    pub(crate) const fn new() -> Self {
        Self { lanes: Mutex::new(Vec::new()), first_generation: AtomicU32::new(0) }
    }

    /// Locks the lanes, and recovers from poisoning, because drops and the panic hook must not panic. The data is always valid,
    /// because each update writes a single word.
    fn lock(&self) -> MutexGuard<'_, Vec<Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lowest free lane, or creates a lane if none is free.
    pub(crate) fn take(&self) -> usize {
        let mut lanes = self.lock();
        let lane = lanes.iter().position(|lane| !lane.taken).unwrap_or_else(|| {
            lanes.push(Lane { taken: false, generation: self.first_generation.load(Ordering::SeqCst) });
            lanes.len() - 1
        });
        lanes[lane].taken = true;
        lane
    }

    /// Returns a lane, so that it is free.
    pub(crate) fn give_back(&self, lane: usize) {
        self.lock()[lane].taken = false;
    }

    /// Moves a lane to its next generation, and returns that generation.
    pub(crate) fn advance(&self, lane: usize) -> u32 {
        let mut lanes = self.lock();
        lanes[lane].generation += 1;
        lanes[lane].generation
    }

    /// Returns the current generation of a lane. A lease on the lane may have started in an earlier one.
    pub(crate) fn generation_of(&self, lane: usize) -> u32 {
        self.lock().get(lane).map_or(0, |lane| lane.generation)
    }

    /// Returns how many lanes this process has used so far.
    pub(crate) fn used(&self) -> usize {
        self.lock().len()
    }

    /// Moves all lanes to at least this generation.
    pub(crate) fn raise_to(&self, generation: u32) {
        self.first_generation.fetch_max(generation, Ordering::SeqCst);
        self.lock().iter_mut().for_each(|lane| lane.generation = lane.generation.max(generation));
    }

    /// Returns the highest generation of any lane.
    pub(crate) fn latest_generation(&self) -> u32 {
        let first = self.first_generation.load(Ordering::SeqCst);
        self.lock().iter().map(|lane| lane.generation).max().unwrap_or(0).max(first)
    }

    /// Whether every lane is free. A test that hangs or leaks its fixtures keeps its lane.
    pub(crate) fn are_all_free(&self) -> bool {
        self.lock().iter().all(|lane| !lane.taken)
    }
}
