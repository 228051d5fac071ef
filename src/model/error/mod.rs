//! What can go wrong, with the thing, its value, the broker and what to do about it.

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

/// Why something that a test asked for could not be had.
///
/// `Display` says what failed, about what, on which broker, and what to do; the cause, where there is one, is in
/// [`source`](std::error::Error::source). `Debug` is that message with its causes, one a line, since tests unwrap. No variant
/// ever carries a password, a key or a token.
///
/// ```
/// use rstest_kafka::Error;
/// # let harness = rstest_kafka::Harness::builder().embedded_brokers(1).build();
/// # let kafka = harness.lease();
///
/// let error = kafka.checked().topic("two words").unwrap_err();
/// assert!(matches!(error, Error::Name { .. }));
/// assert_eq!(error.to_string(), "topic \"two words\" has the character ' '; Kafka takes letters, digits, '.', '_' and '-'");
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub enum Error {
    /// A setting, from the builder or from the environment, has a value that it does not take.
    #[non_exhaustive]
    Config {
        /// The builder's method or the environment variable.
        setting: String,
        /// The value as it was given; empty where it may be a secret.
        value: String,
        /// What the setting takes.
        takes: String,
    },
    /// A name that Kafka would refuse; nothing was sent.
    #[non_exhaustive]
    Name {
        /// Which part of the name is wrong: `topic`, `worker id`, `topic prefix`, …
        part: String,
        /// That part's value.
        value: String,
        /// Why it is refused.
        reason: String,
    },
    /// A broker that did not answer within the deadline.
    #[non_exhaustive]
    Unreachable {
        /// Which broker.
        broker: String,
        /// How long it was waited for.
        waited: Duration,
        /// What the client said last.
        source: Option<KafkaError>,
    },
    /// Something asked of the broker was refused or failed.
    #[non_exhaustive]
    Broker {
        /// What was asked, with the topic or group that it was about.
        action: String,
        /// Which broker.
        broker: String,
        /// Which limit or setting it was, whose, and what to do about it; empty when the cause says it all.
        advice: String,
        /// What the broker or the client answered.
        source: Option<KafkaError>,
    },
    /// No message within the timeout.
    Timeout(Arc<ReceiveTimeout>),
    /// A group that has not consumed what it should have within the timeout.
    Lag(Arc<GroupLag>),
    /// Messages where none was expected.
    #[non_exhaustive]
    NotEmpty {
        /// The topic, as the broker calls it.
        topic: String,
        /// What was there, in the order of arrival.
        records: Arc<[Record]>,
    },
    /// A value that is not what the test took it for.
    #[non_exhaustive]
    Value {
        /// What was expected, and where the value differs.
        reason: String,
        /// Where in a JSON value, such as `items[1].price`; `None` where that is the value as a whole.
        path: Option<String>,
        /// The message.
        record: Box<Record>,
    },
    /// A file or folder in which is kept what survives the process could not be used; nothing was made on the broker.
    #[non_exhaustive]
    State {
        /// What was tried.
        action: String,
        /// The file or folder.
        path: PathBuf,
        /// What the system answered.
        source: Arc<std::io::Error>,
    },
    /// Something that this kind of broker cannot do.
    #[non_exhaustive]
    Unsupported {
        /// What was asked for.
        what: String,
        /// Which broker.
        broker: String,
        /// What to do instead.
        advice: String,
    },
    /// Something was asked for that cannot be meant: a topic of another lease, one in two shapes in one test, a group without a
    /// topic, faults that come too late; the text says what.
    #[non_exhaustive]
    Misuse {
        /// What was done, and what to do instead.
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
                write!(f, "{broker} did not answer within {waited:?}: is it running, and is its address right?")
            }
            Self::Broker { action, broker, advice, .. } => {
                write!(f, "could not {action} on {broker}")?;
                if advice.is_empty() { Ok(()) } else { write!(f, ": {advice}") }
            }
            Self::Timeout(timeout) => timeout.fmt(f),
            Self::Lag(lag) => lag.fmt(f),
            Self::NotEmpty { topic, records } => {
                write!(f, "{} where none was expected on topic {topic:?}", Count(records.len()))?;
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
                    "could not {action} {path}: name a folder of your own in RSTEST_KAFKA_STATE_DIR, on a disk with room"
                )
            }
            Self::Unsupported { what, broker, advice } => write!(f, "{broker} cannot {what}: {advice}"),
            Self::Misuse { reason } => f.write_str(reason),
        }
    }
}

/// The message with its causes, since tests unwrap.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_causes(f, self)
    }
}

/// An error's message and a line for each of its causes.
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
    /// Panics with this error and its causes, at the place that called the function which asserts.
    #[track_caller]
    pub(crate) fn raise(&self) -> ! {
        panic!("{self:?}")
    }

    pub(crate) fn misuse(reason: impl Into<String>) -> Self {
        Self::Misuse { reason: reason.into() }
    }
}

/// Unwraps with [`Error::raise`]: the whole chain of causes, at the caller's place.
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
