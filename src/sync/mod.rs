//! Waiting and cleaning up: deadlines, values that are created once, and drops in the background.

pub(crate) mod background;
pub(crate) mod fault_point;
pub(crate) mod kept;
pub(crate) mod once;
pub(crate) mod wait;
