//! The error type. Each error names its object, the value, the broker and the remedy.

pub(crate) mod codes;
mod late;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::KafkaError;

use self::late::Count;
pub use self::late::{GroupLag, LaggingPartition, PartitionState, ReceiveTimeout};
use crate::model::record::Record;

/// The result of every `try_` function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The error of every `try_` method.
///
/// The `Display` text names the failed operation, its object and the broker, and says what to do. The cause is in
/// [`source`](std::error::Error::source). The `Debug` text adds a line for each cause, because tests unwrap. No variant contains a
/// password, a key or a token.
///
/// ```
/// use rstest_kafka::Error;
/// # let harness = rstest_kafka::Harness::builder().embedded_brokers(1).build();
/// # let kafka = harness.lease();
///
/// let error = kafka.checked().topic("two words").unwrap_err();
/// assert!(matches!(error, Error::Name { .. }));
/// assert_eq!(error.to_string(), "topic \"two words\" has the character ' '; Kafka accepts letters, digits, '.', '_' and '-'");
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub enum Error {
    /// A setting of the builder or of the environment has an invalid value.
    #[non_exhaustive]
    Config {
        /// The builder's method or the environment variable.
        setting: String,
        /// The invalid value. Empty if it may be a secret.
        value: String,
        /// The valid values.
        takes: String,
    },
    /// Kafka would refuse a name. No request was sent.
    #[non_exhaustive]
    Name {
        /// The invalid part of the name: `topic`, `worker id`, `topic prefix`, …
        part: String,
        /// The value of the part.
        value: String,
        /// Why Kafka would refuse the value.
        reason: String,
    },
    /// The broker did not respond within the timeout.
    #[non_exhaustive]
    Unreachable {
        /// The kind and the addresses of the broker.
        broker: String,
        /// The timeout.
        waited: Duration,
        /// The client's last error.
        source: Option<KafkaError>,
    },
    /// The broker refused a request, or the request failed.
    #[non_exhaustive]
    Broker {
        /// The failed operation, with its topic or group.
        action: String,
        /// The kind and the addresses of the broker.
        broker: String,
        /// The cause and the remedy. Empty if there is nothing to add to `source`.
        advice: String,
        /// The error of the broker or of the client.
        source: Option<KafkaError>,
    },
    /// No message arrived within the timeout, or fewer messages than expected.
    Timeout(Arc<ReceiveTimeout>),
    /// The committed offsets of a group did not reach their goal within the timeout.
    Lag(Arc<GroupLag>),
    /// There are messages although none were expected.
    #[non_exhaustive]
    NotEmpty {
        /// The name of the topic on the broker.
        topic: String,
        /// The messages, in the order of arrival.
        records: Arc<[Record]>,
    },
    /// The value of a message is not of the expected type.
    #[non_exhaustive]
    Value {
        /// The expected type, and how the value differs.
        reason: String,
        /// The path in a JSON value, such as `items[1].price`. `None` if the value as a whole differs.
        path: Option<String>,
        /// The message with the value.
        record: Box<Record>,
    },
    /// A file or directory of the ledger could not be used. Nothing was created on the broker.
    #[non_exhaustive]
    State {
        /// The failed operation.
        action: String,
        /// The path of the file or directory.
        path: PathBuf,
        /// The error of the operating system.
        source: Arc<std::io::Error>,
    },
    /// The broker does not support an operation.
    #[non_exhaustive]
    Unsupported {
        /// The operation.
        what: String,
        /// The kind and the addresses of the broker.
        broker: String,
        /// What to do instead.
        advice: String,
    },
    /// The test uses the crate incorrectly, for example with a topic of another lease, a topic with two shapes in one test, a group
    /// without a topic, or faults after the first topic.
    #[non_exhaustive]
    Misuse {
        /// The mistake, and what to do instead.
        reason: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config { setting, value, takes } => {
                write!(f, "{setting}")?;
                if !value.is_empty() {
                    write!(f, " is {value:?}")?;
                }
                write!(f, ": {takes}")
            }
            Self::Name { part, value, reason } => write!(f, "{part} {value:?} {reason}"),
            Self::Unreachable { broker, waited, .. } => {
                write!(
                    f,
                    "{broker} did not respond within {waited:?}: check that it is running and that its address is correct"
                )
            }
            Self::Broker { action, broker, advice, .. } => {
                write!(f, "could not {action} on {broker}")?;
                if advice.is_empty() { Ok(()) } else { write!(f, ": {advice}") }
            }
            Self::Timeout(timeout) => timeout.fmt(f),
            Self::Lag(lag) => lag.fmt(f),
            Self::NotEmpty { topic, records } => {
                write!(f, "expected no messages on topic {topic:?}, found {}", Count(records.len()))?;
                for record in records.iter().take(10) {
                    write!(f, "\n  {record:?}")?;
                }
                match records.len().saturating_sub(10) {
                    0 => Ok(()),
                    more => write!(f, "\n  and {more} more"),
                }
            }
            Self::Value { reason, record, .. } => {
                write!(f, "{reason}\n  in {record:?} of topic {:?}", record.topic())
            }
            Self::State { action, path, .. } => {
                let path = path.display();
                write!(
                    f,
                    "could not {action} {path}: set RSTEST_KAFKA_STATE_DIR to a directory that you own, on a disk with free space"
                )
            }
            Self::Unsupported { what, broker, advice } => write!(f, "{broker} cannot {what}: {advice}"),
            Self::Misuse { reason } => f.write_str(reason),
        }
    }
}

/// Shows the message and its causes, because tests unwrap.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_causes(f, self)
    }
}

/// Writes an error's message and a line for each of its causes.
pub(crate) fn with_causes(f: &mut fmt::Formatter<'_>, error: &dyn std::error::Error) -> fmt::Result {
    write!(f, "{error}")?;
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(f, "\n  caused by: {error}")?;
        cause = error.source();
    }
    Ok(())
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreachable { source, .. } | Self::Broker { source, .. } => source.as_ref().map(|source| source as _),
            Self::State { source, .. } => Some(&**source),
            Self::Timeout(timeout) => timeout.end_offsets_error.as_ref().map(|source| source as _),
            _ => None,
        }
    }
}

impl Error {
    /// Panics with this error and its causes, at the line of the caller.
    #[track_caller]
    pub(crate) fn raise(&self) -> ! {
        panic!("{self:?}")
    }

    pub(crate) fn misuse(reason: impl Into<String>) -> Self {
        Self::Misuse { reason: reason.into() }
    }
}

/// Unwraps a result, or panics with [`Error::raise`].
pub(crate) trait OrRaise<T> {
    #[track_caller]
    fn or_raise(self) -> T;
}

impl<T> OrRaise<T> for Result<T> {
    #[track_caller]
    fn or_raise(self) -> T {
        match self {
            Ok(value) => value,
            Err(error) => error.raise(),
        }
    }
}
