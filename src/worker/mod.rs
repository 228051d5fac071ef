//! Waiter runs where: the lanes of this process, the state of its worker, and the names that both are part of.

pub(crate) mod exit_status;
mod lanes;
pub(crate) mod names;
pub(crate) mod state;
pub(crate) mod workers;
