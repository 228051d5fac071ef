//! Why a broker does not start, or refuses what a test asks of it.

use std::io;

/// A `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a broker did not start, or refuses what a test asks of it.
#[non_exhaustive]
pub enum Error {
    /// A setting that the broker cannot take.
    Setting {
        /// The setting, by Kafka's name where it has one.
        name: String,
        /// What it was set to.
        value: String,
        /// What it takes.
        expected: String,
    },
    /// The operating system refused a socket or a thread.
    Io {
        /// What was asked of it.
        action: String,
        /// Its answer.
        source: io::Error,
    },
    /// Something that no broker does, or not this one: a fault that cannot happen, a broker or a partition that is not there.
    Refused {
        /// What the broker was asked to do.
        action: String,
        /// Why it does not.
        reason: String,
    },
}

impl Error {
    pub(crate) fn setting(name: &str, value: impl ToString, expected: impl Into<String>) -> Self {
        Self::Setting { name: name.to_owned(), value: value.to_string(), expected: expected.into() }
    }

    pub(crate) fn refused(action: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Refused { action: action.into(), reason: reason.into() }
    }

    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        |source| Self::Io { action, source }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Setting { name, value, expected } => write!(f, "{name} cannot be {value:?}: {expected}"),
            Self::Io { action, .. } => write!(f, "could not {action}"),
            Self::Refused { action, reason } => write!(f, "could not {action}: {reason}"),
        }
    }
}

/// The message with its cause, since tests unwrap.
impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")?;
        match std::error::Error::source(self) {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Setting { .. } | Self::Refused { .. } => None,
            Self::Io { source, .. } => Some(source),
        }
    }
}
