//! The state of a consumer or a group after a timeout.

use std::fmt;
use std::time::Duration;

use rdkafka::error::KafkaError;

use super::codes::{code_of, is_unknown_topic};

/// The state of a consumer after a timeout.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReceiveTimeout {
    /// The name of the topic on the broker.
    pub topic: String,
    /// The kind and the addresses of the broker.
    pub broker: String,
    /// The timeout.
    pub waited: Duration,
    /// The number of expected messages.
    pub expected: usize,
    /// The number of received messages.
    pub received: usize,
    /// The state of each partition of the consumer.
    pub partitions: Vec<PartitionState>,
    /// Why the end offsets are unknown. `None` if they are known.
    pub end_offsets_error: Option<KafkaError>,
    /// The last error that the client reported during the wait.
    pub last_error: Option<String>,
    /// Whether the wait blocked a thread of a tokio runtime.
    pub blocked_runtime: bool,
}

/// One partition of a [`ReceiveTimeout`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionState {
    /// The number of the partition, starting at 0.
    pub partition: i32,
    /// The end offset when the lease first named the topic.
    pub fence: i64,
    /// The next offset of the consumer.
    pub position: i64,
    /// The current end offset. `None` if the broker did not report it.
    pub end: Option<i64>,
    /// The first offset of the oldest open transaction. `read_committed` consumers stop there.
    pub open_transaction: Option<i64>,
    /// Whether the partition is still assigned to the consumer.
    pub assigned: bool,
}

/// The state of a group after a timeout.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GroupLag {
    /// The id of the group.
    pub group: String,
    /// The kind and the addresses of the broker.
    pub broker: String,
    /// The timeout.
    pub waited: Duration,
    /// Each partition of the wait.
    pub partitions: Vec<LaggingPartition>,
    /// The state of the group. `None` if the broker did not report it.
    pub state: Option<String>,
    /// A line for each member of the group. Empty if the broker did not report the members.
    pub members: Vec<String>,
}

/// One partition of a [`GroupLag`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaggingPartition {
    /// The name of the topic on the broker.
    pub topic: String,
    /// The number of the partition, starting at 0.
    pub partition: i32,
    /// The end offset when the lease first named the topic.
    pub fence: i64,
    /// The committed offset. `None` if the group has not committed one.
    pub committed: Option<i64>,
    /// The expected committed offset.
    pub goal: i64,
}

impl LaggingPartition {
    /// Returns the number of offsets before the goal that are not committed. It is 0 if the goal is reached.
    pub fn lag(&self) -> i64 {
        (self.goal - self.committed.unwrap_or(self.fence)).max(0)
    }
}

impl fmt::Display for GroupLag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, broker, waited, partitions, state, members } = self;
        let lag: i64 = partitions.iter().map(LaggingPartition::lag).sum();
        write!(f, "group {group:?} has a lag of {lag} after {waited:?} ({broker})")?;
        if let Some(state) = state {
            write!(f, ", state {state}")?;
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
            write!(f, ", goal {goal}, lag {}", partition.lag())?;
        }
        for member in members {
            write!(f, "\n  member {member}")?;
        }
        // The broker does not know whether the service commits automatically, so this is only a hint.
        if lag > 0 && !members.is_empty() {
            write!(
                f,
                "\n  the group has members: automatic commits happen every 5 s by default (auto.commit.interval.ms); use \
                 kafka.consumer_config(&group), which sets 50 ms, or wait longer with group.within(duration)"
            )?;
        }
        if state.is_some() && members.is_empty() {
            write!(f, "\n  the group has no members: check that the service is running and uses this group id")?;
        }
        Ok(())
    }
}

impl ReceiveTimeout {
    /// Returns the sentence that distinguishes "nothing was sent" from "sent, not delivered".
    fn finding(&self) -> String {
        let is_unknown = self.end_offsets_error.as_ref().and_then(code_of).is_some_and(is_unknown_topic);
        if self.partitions.is_empty() && is_unknown {
            return "the topic does not exist: check that the service is running and uses this topic name".to_owned();
        }
        if is_unknown {
            return "the topic was deleted during this test".to_owned();
        }
        if self.partitions.is_empty() && self.end_offsets_error.is_none() {
            return "the topic was created only after the timeout".to_owned();
        }
        if self.partitions.is_empty() || self.partitions.iter().any(|p| p.end.is_none()) {
            let broker = &self.broker;
            return format!("the end offsets are unknown, because {broker} did not report them");
        }
        let written: i64 = self.partitions.iter().map(|p| p.end.unwrap_or(0) - p.fence).sum();
        let missing: i64 = self.partitions.iter().map(|p| (p.end.unwrap_or(0) - p.position).max(0)).sum();
        if self.partitions.iter().any(|p| p.end.unwrap_or(0) < p.fence) {
            "the topic ends before its fence: it was deleted or truncated during this test".to_owned()
        } else if written == 0 {
            "nothing was written to it after its fence".to_owned()
        } else if missing == 0 {
            format!("everything that was written to it after its fence ({written}) was already received")
        } else if self.partitions.iter().any(|p| !p.assigned && p.end.unwrap_or(0) > p.position) {
            format!("{missing} of {written} written, not delivered: the test changed the consumer's assignment")
        } else if let Some(at) = self.partitions.iter().find_map(|p| p.open_transaction.filter(|at| *at < p.fence)) {
            format!(
                "{missing} of {written} written, not delivered: an earlier test has left a transaction open (at offset {at}), \
                 which hides all later messages; commit or abort it in that test, or use an exclusive topic there"
            )
        } else if let Some(at) = self.partitions.iter().find_map(|p| p.open_transaction) {
            format!("{missing} of {written} written, not delivered: a transaction is open (at offset {at})")
        } else {
            format!(
                "{missing} of {written} written, not delivered: paused, in an open or aborted transaction, or the broker \
                 does not respond to the consumer"
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
                write!(f, ", open transaction at {at}")?;
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
                "\n  recv() blocked a thread of a tokio runtime, and the task that should send may need that thread: \
                 use nonblocking().recv().await"
            )?;
        }
        Ok(())
    }
}

/// Shows a number of messages: `1 message`, `2 messages`.
pub(super) struct Count(pub(super) usize);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} message{}", self.0, if self.0 == 1 { "" } else { "s" })
    }
}
