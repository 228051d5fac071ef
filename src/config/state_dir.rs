//! Where the ledger is.

use std::path::PathBuf;

/// Where the state of a process goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StateDir {
    /// The folder that the user named.
    Given(PathBuf),
    /// A folder of the user's own in the first of these that can be written to, else in the temporary one.
    ///
    /// Not the runtime folder: that is emptied when the user logs out or the machine stops, and with it the knowledge of
    /// what is left on a cluster.
    Own(Vec<PathBuf>),
}
