//! What stood in the way when a timeout passed: of a consumer, of a group.

use std::fmt;
use std::time::Duration;

use rdkafka::error::KafkaError;

use super::codes::{code_of, is_unknown_topic};

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
        // Whether the service commits by itself cannot be seen from here.
        if lag > 0 && !members.is_empty() {
            write!(
                f,
                "\n  it has members: if they commit automatically, that is every 5 s by default (auto.commit.interval.ms); \
                 kafka.consumer_config(&group) makes it 50 ms, group.within(duration) waits longer"
            )?;
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
        let is_unknown = self.end_offsets_error.as_ref().and_then(code_of).is_some_and(is_unknown_topic);
        if self.partitions.is_empty() && is_unknown {
            return "the topic does not exist: check the name that the service uses, or whether it has started"
                .to_owned();
        }
        if is_unknown {
            return "the topic is gone: it was deleted during this test".to_owned();
        }
        if self.partitions.is_empty() && self.end_offsets_error.is_none() {
            return "the topic was created only now".to_owned();
        }
        if self.partitions.is_empty() || self.partitions.iter().any(|p| p.end.is_none()) {
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

/// `1 message`, `2 messages`.
pub(super) struct Count(pub(super) usize);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} message{}", self.0, if self.0 == 1 { "" } else { "s" })
    }
}
