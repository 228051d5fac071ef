//! Workers: the lanes of this process, the state of its worker, and the names of topics and groups.

pub(crate) mod exit_status;
mod lanes;
pub(crate) mod names;
pub(crate) mod state;
pub(crate) mod workers;
