//! The topics of a lease: their names, fences and specifications.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use uuid::Uuid;

use crate::model::error::{Error, Result};

/// A topic of a lease, with its name and its fence.
///
/// A topic dereferences to its name on the broker, so it can be passed as a `&str`. It is cheap to clone. It belongs to the lease
/// that created it, and is refused by the `Kafka` of another lease.
#[derive(Clone)]
pub struct Topic(pub(crate) Arc<TopicParts>);

/// Identifies a lease within a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct LeaseId(pub(crate) u64);

pub(crate) struct TopicParts {
    pub(crate) logical: String,
    pub(crate) name: String,
    pub(crate) lease: LeaseId,
    /// Whether a later lease may reuse consumers of the topic.
    pub(crate) shared: bool,
    pub(crate) fence: Fence,
}

/// The current state of a topic on its broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicNow {
    /// Differs after the topic is created again. Nil if the broker does not support topic ids.
    pub(crate) id: Uuid,
    /// The end offset of each partition.
    pub(crate) ends: Vec<i64>,
}

impl TopicNow {
    pub(crate) fn partitions(&self) -> i32 {
        self.ends.len() as i32
    }
}

/// The offsets at which a lease's messages start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fence {
    /// The topic existed when the lease first named it. Partitions that are added later start at 0.
    Ends(TopicNow),
    /// The topic did not exist when the lease first named it, so every partition starts at 0.
    Beginning,
}

impl Fence {
    pub(crate) fn offset(&self, partition: i32) -> i64 {
        match self {
            Self::Ends(then) => {
                usize::try_from(partition).ok().and_then(|index| then.ends.get(index)).copied().unwrap_or(0)
            }
            Self::Beginning => 0,
        }
    }

    /// Returns the offset at which the lease's messages start in each current partition. Every offset is 0 if the topic was
    /// created again.
    pub(crate) fn on(&self, now: &TopicNow) -> Vec<i64> {
        let is_same = matches!(self, Self::Ends(then) if then.id == now.id);
        (0..now.partitions()).map(|partition| if is_same { self.offset(partition) } else { 0 }).collect()
    }
}

impl Topic {
    /// Returns the name on the broker, such as `test-events-main-1a2b3c4d`.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns the logical name, such as `events`.
    pub fn logical_name(&self) -> &str {
        &self.0.logical
    }

    /// Returns the end offset of the partition when the lease first named the topic, or 0 if the partition was added later.
    ///
    /// The end offset is the high watermark. With several replicas and `acks=1`, a message can be acknowledged before it is below
    /// the high watermark, and may then be after the fence of the next test.
    pub fn fence(&self, partition: i32) -> i64 {
        self.0.fence.offset(partition)
    }

    /// Returns the fence of each partition that the topic had when the lease first named it, for a service that takes offsets
    /// instead of a group.
    ///
    /// ```
    /// # let harness = rstest_kafka::Harness::builder().embedded_brokers(1).build();
    /// # let kafka = harness.lease();
    /// use rstest_kafka::rdkafka::{Offset, TopicPartitionList};
    ///
    /// let events = kafka.topic("events");
    /// let mut assignment = TopicPartitionList::new();
    /// for (partition, fence) in events.fences() {
    ///     assignment.add_partition_offset(&events, partition, Offset::Offset(fence)).unwrap();
    /// }
    /// ```
    pub fn fences(&self) -> impl Iterator<Item = (i32, i64)> + '_ {
        (0..self.partitions().unwrap_or(0)).map(|partition| (partition, self.fence(partition)))
    }

    /// Returns the number of partitions when the lease first named the topic, or `None` if the topic did not exist.
    pub fn partitions(&self) -> Option<i32> {
        match &self.0.fence {
            Fence::Ends(then) => Some(then.partitions()),
            Fence::Beginning => None,
        }
    }
}

impl Deref for Topic {
    type Target = str;

    fn deref(&self) -> &str {
        self.name()
    }
}

impl AsRef<str> for Topic {
    fn as_ref(&self) -> &str {
        self.name()
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic").field("name", &self.name()).field("fence", &self.0.fence).finish_non_exhaustive()
    }
}

impl PartialEq for Topic {
    fn eq(&self, other: &Self) -> bool {
        self.0.lease == other.0.lease && self.0.name == other.0.name
    }
}

impl Eq for Topic {}

impl Hash for Topic {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

/// Compares the name on the broker.
impl PartialEq<str> for Topic {
    fn eq(&self, other: &str) -> bool {
        self.name() == other
    }
}

/// Compares the name on the broker.
impl PartialEq<&str> for Topic {
    fn eq(&self, other: &&str) -> bool {
        self.name() == *other
    }
}

/// The specification of a topic: its logical name, partitions, replication factor and configuration.
///
/// Values that are not set have the harness's defaults. If leases of a worker specify different shapes for one logical name, each
/// shape has a separate topic, and each is reused. The first topic has the plain name. The names of the others end with their
/// shape: `-p6`, `-p6-r3`, or `-c` and a hash of the configuration.
///
/// ```
/// use rstest_kafka::TopicSpec;
///
/// let spec = TopicSpec::new("events").partitions(6).config("cleanup.policy", "compact").exclusive();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a spec does not create a topic: pass it to Kafka::topic"]
pub struct TopicSpec {
    pub(crate) logical: String,
    pub(crate) partitions: Option<i32>,
    pub(crate) replication_factor: Option<i32>,
    pub(crate) config: Vec<(String, String)>,
    pub(crate) exclusive: bool,
}

impl TopicSpec {
    /// Creates a specification with the harness's defaults.
    pub fn new(logical: impl Into<String>) -> Self {
        Self {
            logical: logical.into(),
            partitions: None,
            replication_factor: None,
            config: Vec::new(),
            exclusive: false,
        }
    }

    /// Sets the number of partitions, 1 to 1000.
    pub fn partitions(mut self, partitions: i32) -> Self {
        self.partitions = Some(partitions);
        self
    }

    /// Sets the number of replicas of each partition, 1 to the number of brokers. The default is the harness's, or the broker's if
    /// the harness has none.
    pub fn replication_factor(mut self, replication_factor: i32) -> Self {
        self.replication_factor = Some(replication_factor);
        self
    }

    /// Sets a topic configuration such as `cleanup.policy`.
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.push((key.into(), value.into()));
        self
    }

    /// Makes the topic exclusive: no other lease ever uses it. For tests that fill, alter or delete the topic, or leave writers
    /// running.
    pub fn exclusive(mut self) -> Self {
        self.exclusive = true;
        self
    }

    /// Whether only the logical name is set.
    pub(crate) fn is_plain(&self) -> bool {
        let Self { logical: _, partitions, replication_factor, config, exclusive } = self;
        partitions.is_none() && replication_factor.is_none() && config.is_empty() && !exclusive
    }

    /// Returns an error if the number of partitions or the replication factor is out of range.
    pub(crate) fn check(&self) -> Result<()> {
        let bad = |what: &str, value: i32, most: i32| {
            Err(Error::Config {
                setting: format!("TopicSpec::new({:?}).{what}", self.logical),
                value: value.to_string(),
                takes: format!("it takes 1 to {most}"),
            })
        };
        match (self.partitions, self.replication_factor) {
            (Some(partitions), _) if !(1..=1_000).contains(&partitions) => bad("partitions", partitions, 1_000),
            (_, Some(factor)) if !(1..=32_767).contains(&factor) => bad("replication_factor", factor, 32_767),
            _ => Ok(()),
        }
    }
}

impl From<&str> for TopicSpec {
    fn from(logical: &str) -> Self {
        Self::new(logical)
    }
}

impl From<&String> for TopicSpec {
    fn from(logical: &String) -> Self {
        Self::new(logical)
    }
}

impl From<&&str> for TopicSpec {
    fn from(logical: &&str) -> Self {
        Self::new(*logical)
    }
}

impl From<&TopicSpec> for TopicSpec {
    fn from(spec: &TopicSpec) -> Self {
        spec.clone()
    }
}

impl From<String> for TopicSpec {
    fn from(logical: String) -> Self {
        Self::new(logical)
    }
}

/// A topic argument: a [`Topic`], or a specification or logical name from which the lease creates one.
#[derive(Debug, Clone)]
pub enum TopicRef {
    /// A topic of the lease.
    Topic(Topic),
    /// The specification of a topic. If the lease does not have the topic yet, the topic is created.
    Spec(TopicSpec),
}

impl From<&Topic> for TopicRef {
    fn from(topic: &Topic) -> Self {
        Self::Topic(topic.clone())
    }
}

impl From<Topic> for TopicRef {
    fn from(topic: Topic) -> Self {
        Self::Topic(topic)
    }
}

impl From<TopicSpec> for TopicRef {
    fn from(spec: TopicSpec) -> Self {
        Self::Spec(spec)
    }
}

impl From<&TopicSpec> for TopicRef {
    fn from(spec: &TopicSpec) -> Self {
        Self::Spec(spec.clone())
    }
}

impl From<&&str> for TopicRef {
    fn from(logical: &&str) -> Self {
        Self::Spec(logical.into())
    }
}

impl From<&str> for TopicRef {
    fn from(logical: &str) -> Self {
        Self::Spec(logical.into())
    }
}

impl From<&String> for TopicRef {
    fn from(logical: &String) -> Self {
        Self::Spec(logical.into())
    }
}

impl From<String> for TopicRef {
    fn from(logical: String) -> Self {
        Self::Spec(logical.into())
    }
}
