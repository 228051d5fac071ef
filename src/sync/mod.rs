//! Waiting and cleaning up: deadlines, values that are created once, drops off the caller's thread.

pub(crate) mod closer;
pub(crate) mod fault_point;
pub(crate) mod flight;
pub(crate) mod kept;
pub(crate) mod wait;
