//! Data types without I/O: errors, records, topics and ids.

pub(crate) mod bytes;
pub(crate) mod error;
pub(crate) mod ids;
pub(crate) mod name_part;
pub(crate) mod producer_record;
pub(crate) mod record;
pub(crate) mod secret;
pub(crate) mod topic;
