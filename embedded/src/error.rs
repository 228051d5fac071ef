//! The errors of this crate.

use std::io;

/// A `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error while starting or controlling a broker.
#[non_exhaustive]
pub enum Error {
    /// A setting with an invalid value.
    Setting {
        /// The name of the setting: Kafka's name, or the name of the [`Builder`](crate::Builder) method.
        name: String,
        /// The invalid value.
        value: String,
        /// The values that the setting accepts.
        expected: String,
    },
    /// The operating system refused a socket or a thread.
    Io {
        /// The action that failed.
        action: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A refused action: a fault that can never happen, or an unknown broker, topic or partition.
    Refused {
        /// The refused action.
        action: String,
        /// The reason.
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

/// Shows the message and its cause, because tests call `unwrap`.
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
