//! What can go wrong, with the thing, its value, the broker and what to do about it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::KafkaError;

use crate::broker::{code_of, is_unknown_topic};
use crate::record::Record;

/// The result of every `try_` function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something that a test asked for could not be had.
///
/// `Display` says what failed, about what, on which broker, and what to do; the cause, where there is one, is in
/// [`source`](std::error::Error::source). No variant ever carries a password, a key or a token.
///
/// ```
/// use rstest_kafka::Error;
/// # let harness = rstest_kafka::Harness::builder().embedded_brokers(1).build();
/// # let kafka = harness.lease();
///
/// let error = kafka.try_topic("two words").unwrap_err();
/// assert!(matches!(error, Error::Name { .. }));
/// assert_eq!(error.to_string(), "topic \"two words\" has the character ' '; Kafka takes letters, digits, '.', '_' and '-'");
/// ```
#[derive(Debug, Clone)]
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
        /// What to do about it; empty when the cause says it all.
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
    /// A topic was used with another lease than the one that it was made for, or asked for in two shapes in one test.
    #[non_exhaustive]
    Misuse {
        /// What was done, and what to do instead.
        reason: String,
    },
}

/// Where a consumer stood when its timeout passed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReceiveTimeout {
    /// The topic, as the broker calls it.
    pub topic: String,
    /// Which broker.
    pub broker: String,
    /// How long was waited.
    pub waited: Duration,
    /// How many messages were asked for, and how many of them came.
    pub expected: usize,
    /// How many of the expected messages came.
    pub received: usize,
    /// Each partition of the consumer.
    pub partitions: Vec<PartitionState>,
    /// Why the end offsets are unknown, if they are.
    pub end_offsets_error: Option<KafkaError>,
    /// What the client reported last while waiting.
    pub last_error: Option<String>,
    /// Whether the waiting blocked a thread of a tokio runtime.
    pub blocked_runtime: bool,
}

/// One partition of a [`ReceiveTimeout`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionState {
    /// The partition.
    pub partition: i32,
    /// The end offset when the lease first learned the topic's name.
    pub fence: i64,
    /// The next offset that the consumer would give out.
    pub position: i64,
    /// The end offset now, if the broker told it.
    pub end: Option<i64>,
    /// Where the first transaction begins that nobody has ended yet: a reader of committed messages gets no further.
    pub open_transaction: Option<i64>,
    /// Whether the consumer is still assigned to the partition.
    pub assigned: bool,
}

/// Where a group stood when its timeout passed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GroupLag {
    /// The group's id.
    pub group: String,
    /// Which broker.
    pub broker: String,
    /// How long was waited.
    pub waited: Duration,
    /// Each partition that was waited for.
    pub partitions: Vec<LaggingPartition>,
    /// The group's state, where the broker tells it.
    pub state: Option<String>,
    /// A line for each member of the group, where the broker tells them.
    pub members: Vec<String>,
}

/// One partition of a [`GroupLag`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaggingPartition {
    /// The topic, as the broker calls it.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The end offset when the lease first learned the topic's name.
    pub fence: i64,
    /// What the group has committed; `None` for nothing.
    pub committed: Option<i64>,
    /// The offset that it was to reach.
    pub goal: i64,
}

impl LaggingPartition {
    /// How many offsets are missing; 0 when the goal is reached.
    pub fn lag(&self) -> i64 {
        (self.goal - self.committed.unwrap_or(self.fence)).max(0)
    }
}

impl fmt::Display for GroupLag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, broker, waited, partitions, state, members } = self;
        let lag: i64 = partitions.iter().map(LaggingPartition::lag).sum();
        write!(f, "group {group:?} is {lag} behind after {waited:?} ({broker})")?;
        if let Some(state) = state {
            write!(f, ", its state is {state}")?;
        }
        if partitions.iter().all(|partition| partition.committed.is_none_or(|at| at == partition.fence)) {
            write!(f, ": it has committed nothing after its fence")?;
        }
        for partition in partitions {
            let LaggingPartition { topic, partition: number, fence, goal, .. } = partition;
            write!(f, "\n  {topic} [{number}]: fence {fence}, committed ")?;
            match partition.committed {
                Some(committed) => write!(f, "{committed}")?,
                None => write!(f, "nothing")?,
            }
            write!(f, ", to reach {goal}, lag {}", partition.lag())?;
        }
        for member in members {
            write!(f, "\n  member {member}")?;
        }
        if state.is_some() && members.is_empty() {
            write!(f, "\n  no member: is the service running, and does it use this group id?")?;
        }
        Ok(())
    }
}

impl ReceiveTimeout {
    /// The sentence that tells "nothing was sent" from "sent, not delivered".
    fn finding(&self) -> String {
        if self.end_offsets_error.as_ref().and_then(code_of).is_some_and(is_unknown_topic) {
            return "the topic is gone: it was deleted during this test".to_owned();
        }
        if self.partitions.iter().any(|p| p.end.is_none()) {
            let broker = &self.broker;
            return format!("the end offsets are unknown, {broker} did not tell them");
        }
        let written: i64 = self.partitions.iter().map(|p| p.end.unwrap_or(0) - p.fence).sum();
        let missing: i64 = self.partitions.iter().map(|p| (p.end.unwrap_or(0) - p.position).max(0)).sum();
        if self.partitions.iter().any(|p| p.end.unwrap_or(0) < p.fence) {
            "the topic ends before its fence: it was deleted or truncated during this test".to_owned()
        } else if written == 0 {
            "nothing was written to it after its fence".to_owned()
        } else if missing == 0 {
            format!("all that was written to it after its fence ({written}) was received before")
        } else if self.partitions.iter().any(|p| !p.assigned && p.end.unwrap_or(0) > p.position) {
            format!("{missing} of {written} written, not delivered: the test changed the consumer's assignment")
        } else if let Some(at) = self.partitions.iter().find_map(|p| p.open_transaction.filter(|at| *at < p.fence)) {
            format!(
                "{missing} of {written} written, not delivered: an earlier test has left a transaction open (at offset {at}) \
                 and hides all that comes after it; end it there, or give that test an exclusive topic"
            )
        } else if let Some(at) = self.partitions.iter().find_map(|p| p.open_transaction) {
            format!("{missing} of {written} written, not delivered: a transaction is open (at offset {at})")
        } else {
            format!(
                "{missing} of {written} written, not delivered: paused, in an open or aborted transaction, or a \
                 broker that does not answer the consumer"
            )
        }
    }
}

impl fmt::Display for ReceiveTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, broker, waited, expected, received, .. } = self;
        match expected {
            1 => write!(f, "no message on topic {topic:?} within {waited:?}")?,
            _ => write!(f, "{received} of {expected} messages on topic {topic:?} within {waited:?}")?,
        }
        write!(f, " ({broker}): {}", self.finding())?;
        for state in &self.partitions {
            let PartitionState { partition, fence, position, .. } = state;
            write!(f, "\n  partition {partition}: fence {fence}, position {position}, end ")?;
            match state.end {
                Some(end) => write!(f, "{end}")?,
                None => write!(f, "unknown")?,
            }
            if let Some(at) = state.open_transaction {
                write!(f, ", a transaction open at {at}")?;
            }
            if !state.assigned {
                write!(f, ", not assigned")?;
            }
        }
        if let Some(error) = &self.last_error {
            write!(f, "\n  the client's last error: {error}")?;
        }
        if self.blocked_runtime {
            write!(
                f,
                "\n  recv() blocked a thread of a tokio runtime, where a task that should have sent may wait for it: \
                 call recv_async().await"
            )?;
        }
        Ok(())
    }
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

/// `1 message`, `2 messages`.
struct Count(usize);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} message{}", self.0, if self.0 == 1 { "" } else { "s" })
    }
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
        use std::error::Error as _;
        let mut message = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            message.push_str("\n  caused by: ");
            message.push_str(&error.to_string());
            cause = error.source();
        }
        panic!("{message}")
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
