//! The group of a service under test: fenced, so that the service sees exactly this test's messages.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::broker::PartitionOffset;
use crate::error::{Error, GroupLag, LaggingPartition, OrRaise, Result};
use crate::lease::LeaseGuard;
use crate::topic::Topic;
use crate::wait::Deadline;

/// How often a group's commits are looked at, at first; every look doubles it up to the longest.
const FIRST_LOOK: Duration = Duration::from_millis(2);
const LONGEST_LOOK: Duration = Duration::from_millis(50);
/// How long one look may take when the waiting is over.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// A group id for the service under test, whose committed offsets are the lease's fences.
///
/// A consumer that joins it starts at the fence of each of its topics, with any `auto.offset.reset`, with the classic and
/// the KIP-848 protocol, in this process or in another one, also on a topic full of old messages. Derefs to the group id.
/// Deleted at exit.
///
/// ```
/// use rstest_kafka::rdkafka::consumer::{BaseConsumer, Consumer};
/// # let harness = rstest_kafka::Harness::builder().embedded_brokers(1).build();
/// # let kafka = harness.lease();
///
/// let orders = kafka.topic("orders");
/// let group = kafka.group("billing", [&orders]);
/// kafka.send(&orders, "k", "v");
///
/// // The service under test: it joins the group by its id, and commits what it has worked off.
/// let mut config = kafka.client_config();
/// config.set("group.id", &*group).set("auto.offset.reset", "earliest").set("auto.commit.interval.ms", "50");
/// let service: BaseConsumer = config.create().unwrap();
/// service.subscribe(&[&orders]).unwrap();
/// while service.poll(std::time::Duration::from_secs(5)).is_none() {}
///
/// assert_eq!(group.lag(), 1); // nothing is committed yet
/// service.commit_consumer_state(rstest_kafka::rdkafka::consumer::CommitMode::Sync).unwrap();
/// group.wait_until_consumed();
/// assert_eq!(group.lag(), 0);
/// ```
#[must_use = "a group is for the service under test"]
#[derive(Clone)]
pub struct Group {
    parts: Arc<GroupParts>,
    lease: LeaseGuard,
}

pub(crate) struct GroupParts {
    id: String,
    topics: Vec<Topic>,
}

impl Group {
    /// Makes the group by committing the fences: one request, on the connection that all groups share.
    pub(crate) fn make(lease: LeaseGuard, name: &str, topics: Vec<Topic>) -> Result<Self> {
        let held = lease.lease();
        let (connection, deadline) = (held.connection(), held.deadline());
        let id = held.names().service_group(name, connection.next_group())?;
        if topics.is_empty() {
            return Err(Error::misuse(format!(
                "group {name:?} was asked for without a topic: name those that it reads"
            )));
        }
        let mut fences = Vec::new();
        for topic in &topics {
            // One that was only named and does not exist has nothing old in it, and takes no commit.
            let partitions = topic.partitions().unwrap_or(0);
            fences.extend((0..partitions).map(|partition| PartitionOffset {
                topic: topic.name().to_owned(),
                partition,
                offset: Some(topic.fence(partition)),
            }));
        }
        connection.record_group(&id)?;
        if !fences.is_empty() {
            connection.broker().control().commit_for(&id, &fences, deadline)?;
        }
        held.note_group(&id, &topics);
        Ok(Self { parts: Arc::new(GroupParts { id, topics }), lease })
    }

    /// The group id.
    pub fn id(&self) -> &str {
        &self.parts.id
    }

    /// The topics whose fences it has.
    pub fn topics(&self) -> &[Topic] {
        &self.parts.topics
    }

    /// What it has committed on a partition: the fence, until the service commits; `None` where it has nothing.
    ///
    /// # Panics
    /// When the broker does not tell; [`try_committed`](Self::try_committed) returns that as an error.
    #[track_caller]
    pub fn committed(&self, topic: &Topic, partition: i32) -> Option<i64> {
        self.try_committed(topic, partition).or_raise()
    }

    /// As [`committed`](Self::committed).
    ///
    /// # Errors
    /// [`Error::Broker`] or [`Error::Unreachable`] when the broker does not tell.
    pub fn try_committed(&self, topic: &Topic, partition: i32) -> Result<Option<i64>> {
        let lease = self.lease.lease();
        let asked = [PartitionOffset { topic: topic.name().to_owned(), partition, offset: None }];
        let committed = lease.connection().broker().control().committed(self.id(), &asked, lease.deadline())?;
        Ok(committed.into_iter().next().and_then(|committed| committed.offset))
    }

    /// How many offsets it is behind the ends of its topics, over all partitions.
    ///
    /// As in Kafka's own tools these are offsets, not messages: the marker of a transaction counts as one.
    ///
    /// # Panics
    /// When the broker does not tell; [`try_lag`](Self::try_lag) returns that as an error.
    #[track_caller]
    pub fn lag(&self) -> i64 {
        self.try_lag().or_raise()
    }

    /// As [`lag`](Self::lag).
    ///
    /// # Errors
    /// [`Error::Broker`] or [`Error::Unreachable`] when the broker does not tell.
    pub fn try_lag(&self) -> Result<i64> {
        let deadline = self.lease.lease().deadline();
        let goal = self.ends(deadline)?;
        Ok(self.lagging(&goal, deadline)?.iter().map(LaggingPartition::lag).sum())
    }

    /// Waits until its committed offsets have reached the ends that its topics have now.
    ///
    /// Offsets at the end that hold nothing for a reader, such as a transaction's marker, are not waited for.
    ///
    /// # Panics
    /// When the configured timeout passes first: with the lag of each partition, the group's state and, where the broker
    /// tells them, its members. [`try_wait_until_consumed`](Self::try_wait_until_consumed) returns that as an error.
    #[track_caller]
    pub fn wait_until_consumed(&self) {
        self.try_wait_until_consumed().or_raise();
    }

    /// As [`wait_until_consumed`](Self::wait_until_consumed).
    ///
    /// # Errors
    /// [`Error::Lag`] when the timeout passes first; [`Error::Broker`] or [`Error::Unreachable`] when the broker does not
    /// tell.
    pub fn try_wait_until_consumed(&self) -> Result<()> {
        let deadline = self.lease.lease().deadline();
        let goal = self.ends(deadline)?;
        self.wait_for(goal, deadline)
    }

    /// Waits until it has committed past the message at `offset`, such as one that [`Kafka::send`](crate::Kafka::send)
    /// returned.
    ///
    /// # Panics
    /// As [`wait_until_consumed`](Self::wait_until_consumed).
    #[track_caller]
    pub fn wait_until_consumed_past(&self, topic: &Topic, partition: i32, offset: i64) {
        self.try_wait_until_consumed_past(topic, partition, offset).or_raise();
    }

    /// As [`wait_until_consumed_past`](Self::wait_until_consumed_past).
    ///
    /// # Errors
    /// As [`try_wait_until_consumed`](Self::try_wait_until_consumed).
    pub fn try_wait_until_consumed_past(&self, topic: &Topic, partition: i32, offset: i64) -> Result<()> {
        let goal = PartitionOffset { topic: topic.name().to_owned(), partition, offset: Some(offset + 1) };
        self.wait_for(vec![goal], self.lease.lease().deadline())
    }

    /// As [`try_wait_until_consumed`](Self::try_wait_until_consumed), without blocking the thread; on any runtime.
    ///
    /// # Errors
    /// As [`try_wait_until_consumed`](Self::try_wait_until_consumed).
    pub async fn wait_until_consumed_async(&self) -> Result<()> {
        let deadline = self.lease.lease().deadline();
        let mut waiting = Waiting::for_goal(self, self.ends(deadline)?, deadline);
        while let Some(pause) = waiting.look()? {
            futures_timer::Delay::new(pause).await;
        }
        Ok(())
    }

    fn wait_for(&self, goal: Vec<PartitionOffset>, deadline: Deadline) -> Result<()> {
        let mut waiting = Waiting::for_goal(self, goal, deadline);
        while let Some(pause) = waiting.look()? {
            deadline.pause(pause);
        }
        Ok(())
    }

    /// Where each partition of its topics ends now.
    fn ends(&self, deadline: Deadline) -> Result<Vec<PartitionOffset>> {
        let control = self.lease.lease().connection().broker().control();
        let mut ends = Vec::new();
        for topic in self.topics() {
            let partitions = match topic.partitions() {
                Some(partitions) => partitions,
                None => control.wait_for_leaders(topic.name(), deadline)?,
            };
            let offsets = control.end_offsets(topic.name(), partitions, deadline)?;
            let offsets = offsets.ok_or_else(|| Error::misuse(format!("topic {:?} is gone", topic.name())))?;
            ends.extend((0..).zip(offsets).map(|(partition, end)| PartitionOffset {
                topic: topic.name().to_owned(),
                partition,
                offset: Some(end),
            }));
        }
        Ok(ends)
    }

    /// Each partition of the goal with what the group has committed on it.
    fn lagging(&self, goal: &[PartitionOffset], deadline: Deadline) -> Result<Vec<LaggingPartition>> {
        let control = self.lease.lease().connection().broker().control();
        let committed = control.committed(self.id(), goal, deadline)?;
        Ok(goal
            .iter()
            .zip(committed)
            .map(|(goal, committed)| {
                let topic = self.topics().iter().find(|topic| topic.name() == goal.topic);
                LaggingPartition {
                    topic: goal.topic.clone(),
                    partition: goal.partition,
                    fence: topic.map_or(0, |topic| topic.fence(goal.partition)),
                    committed: committed.offset,
                    goal: goal.offset.unwrap_or(0),
                }
            })
            .collect())
    }

    /// Whether nothing that a reader would get stands between what is committed and the goal.
    fn nothing_to_read(&self, partitions: &[LaggingPartition]) -> Result<bool> {
        for topic in self.topics() {
            let behind: Vec<(i32, i64, i64)> = partitions
                .iter()
                .filter(|partition| partition.topic == topic.name() && partition.lag() > 0)
                .map(|partition| (partition.partition, partition.committed.unwrap_or(partition.fence), partition.goal))
                .collect();
            if !behind.is_empty() {
                let consumer = self.lease.consumer(topic.into())?;
                if consumer.has_between(&behind)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// One waiting for a group: when to look again, and what was seen last.
struct Waiting<'a> {
    group: &'a Group,
    goal: Vec<PartitionOffset>,
    deadline: Deadline,
    pause: Duration,
    last: Vec<LaggingPartition>,
    /// A lag that holds nothing to read is looked for once per standstill: it costs a read.
    read_at: Option<Vec<LaggingPartition>>,
}

impl<'a> Waiting<'a> {
    fn for_goal(group: &'a Group, goal: Vec<PartitionOffset>, deadline: Deadline) -> Self {
        Self { group, goal, deadline, pause: FIRST_LOOK, last: Vec::new(), read_at: None }
    }

    /// `None` when the goal is reached, else how long to wait before the next look.
    fn look(&mut self) -> Result<Option<Duration>> {
        // The last look is given time too: its answer is what the error shows.
        let asking = Deadline::after(self.deadline.remaining().max(LAST_LOOK));
        let partitions = self.group.lagging(&self.goal, asking)?;
        if partitions.iter().all(|partition| partition.lag() == 0) {
            return Ok(None);
        }
        let stands_still = self.pause >= LONGEST_LOOK && partitions == self.last;
        if stands_still && self.read_at.as_ref() != Some(&partitions) {
            if self.group.nothing_to_read(&partitions)? {
                return Ok(None);
            }
            self.read_at = Some(partitions.clone());
        }
        self.last = partitions;
        if self.deadline.has_passed() {
            return Err(self.group.lags(std::mem::take(&mut self.last), self.deadline));
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_LOOK);
        Ok(Some(pause))
    }
}

impl Group {
    fn lags(&self, partitions: Vec<LaggingPartition>, deadline: Deadline) -> Error {
        let broker = self.lease.lease().connection().broker();
        let described = broker
            .capabilities()
            .describe_groups
            .then(|| broker.control().describe_group(self.id(), Deadline::after(Duration::from_secs(1))));
        let (state, members) = match described {
            Some(Ok(description)) => (Some(description.state), description.members),
            _ => (None, Vec::new()),
        };
        let (group, broker, waited) = (self.id().to_owned(), broker.name().to_owned(), deadline.allowed());
        Error::Lag(Arc::new(GroupLag { group, broker, waited, partitions, state, members }))
    }
}

impl Deref for Group {
    type Target = str;

    fn deref(&self) -> &str {
        self.id()
    }
}

impl AsRef<str> for Group {
    fn as_ref(&self) -> &str {
        self.id()
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("id", &self.id()).field("topics", &self.topics()).finish_non_exhaustive()
    }
}
