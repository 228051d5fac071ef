//! The guard by which fixtures and consumers keep a lease.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Lease;
use crate::worker::names::Names;

/// Keeps a lease. Every fixture and consumer of a test has a guard.
///
/// The drop of the last guard ends the lease: [`Lease::end`] reports a failure and hands the lane's decision to
/// [`HeldLane::lease_ended`](super::held_lane::HeldLane::lease_ended).
pub(crate) struct LeaseGuard(pub(super) Arc<Lease>);

impl LeaseGuard {
    /// Returns another guard of the lease, unless the lease has ended.
    pub(super) fn of_running(lease: &Arc<Lease>) -> Option<Self> {
        let more = |guards: usize| (guards > 0).then_some(guards + 1);
        lease.guards.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).ok()?;
        Some(Self(Arc::clone(lease)))
    }

    /// Returns the lease. A call while unwinding shows that the test has failed.
    pub(crate) fn lease(&self) -> &Lease {
        self.0.held_lane.observe();
        &self.0
    }
}

impl Clone for LeaseGuard {
    fn clone(&self) -> Self {
        self.0.guards.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(&self.0))
    }
}

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        self.0.held_lane.observe();
        // The last guard ends the lease. `Lease::end` then leaves the outcome to `HeldLane::decide`.
        if self.0.guards.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.end();
        }
    }
}

impl fmt::Debug for LeaseGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Names { worker_id, run_id, generation, .. } = &self.0.names;
        f.debug_struct("Lease")
            .field("worker_id", worker_id)
            .field("run_id", run_id)
            .field("generation", generation)
            .field("broker", &self.0.cluster().broker().name())
            .finish()
    }
}
