//! Configuration values that may be secrets.

use std::fmt;

/// A configuration value that may be a password, a key or a token. Its `Debug` output does not show the value.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}
