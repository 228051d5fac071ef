//! A test's topics: what they shall be like, and where this test's messages begin.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use uuid::Uuid;

use crate::model::error::{Error, Result};

/// A topic of a lease: what the broker calls it, and where this test's messages begin.
///
/// Derefs to the broker's name, so that it goes wherever a `&str` is taken. Cheap to clone. It belongs to the lease
/// that made it; with another lease's `Kafka` it is an error.
#[derive(Clone)]
pub struct Topic(pub(crate) Arc<TopicParts>);

/// Tells the leases of a process apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct LeaseId(pub(crate) u64);

pub(crate) struct TopicParts {
    pub(crate) logical: String,
    pub(crate) name: String,
    pub(crate) lease: LeaseId,
    /// Whether consumers of it may serve a later lease.
    pub(crate) shared: bool,
    pub(crate) fence: Fence,
}

/// A topic as its broker has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicNow {
    /// Another one of the same name has another; nil where the broker gives its topics none.
    pub(crate) id: Uuid,
    /// The end offset of each partition.
    pub(crate) ends: Vec<i64>,
}

impl TopicNow {
    pub(crate) fn partitions(&self) -> i32 {
        self.ends.len() as i32
    }
}

/// Where a lease's messages begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fence {
    /// What the topic was when the lease first learned the name. A partition that came later begins at 0.
    Ends(TopicNow),
    /// The topic did not exist then, so every partition begins at 0, however many there will be.
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

    /// Where the lease's messages begin on each partition of what the topic is now: at 0 where it was created again since.
    pub(crate) fn on(&self, now: &TopicNow) -> Vec<i64> {
        let is_same = matches!(self, Self::Ends(then) if then.id == now.id);
        (0..now.partitions()).map(|partition| if is_same { self.offset(partition) } else { 0 }).collect()
    }
}

impl Topic {
    /// What the broker calls it: `test-events-main-1a2b3c4d`.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What the test calls it: `events`.
    pub fn logical_name(&self) -> &str {
        &self.0.logical
    }

    /// The end offset of the partition at the moment when the lease first learned the name; 0 if the partition came later.
    ///
    /// It is as far as a reader gets: with several replicas, a message of a writer with `acks=1` can be acknowledged before it
    /// counts, and appear behind the fence of the next test.
    pub fn fence(&self, partition: i32) -> i64 {
        self.0.fence.offset(partition)
    }

    /// How many partitions it had at its fence; `None` for a topic that was only named and did not exist then.
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

/// What a topic shall be like: its logical name, partitions, replication factor, configuration.
///
/// What is left out is the harness's default. A topic that another lease of this worker made in another shape is not
/// altered: each shape has a topic of its own, reused like any other. The first has the plain name, the names of the
/// others tell their shape: they end with `-p6`, `-p6-r3`, or `-c` and a hash of the configuration.
///
/// ```
/// use rstest_kafka::TopicSpec;
///
/// let spec = TopicSpec::new("events").partitions(6).config("cleanup.policy", "compact").exclusive();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a spec is only a description: give it to Kafka::topic"]
pub struct TopicSpec {
    pub(crate) logical: String,
    pub(crate) partitions: Option<i32>,
    pub(crate) replication_factor: Option<i32>,
    pub(crate) config: Vec<(String, String)>,
    pub(crate) exclusive: bool,
}

impl TopicSpec {
    /// A topic in the harness's default shape.
    pub fn new(logical: impl Into<String>) -> Self {
        Self {
            logical: logical.into(),
            partitions: None,
            replication_factor: None,
            config: Vec::new(),
            exclusive: false,
        }
    }

    /// How many partitions, 1 to 1000.
    pub fn partitions(mut self, partitions: i32) -> Self {
        self.partitions = Some(partitions);
        self
    }

    /// How many replicas of each partition, 1 to the number of brokers; without it the harness's, else the broker's default.
    pub fn replication_factor(mut self, replication_factor: i32) -> Self {
        self.replication_factor = Some(replication_factor);
        self
    }

    /// A topic configuration such as `cleanup.policy`.
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.push((key.into(), value.into()));
        self
    }

    /// A topic that no other lease ever gets: for tests that fill, alter or delete it or leave writers running.
    pub fn exclusive(mut self) -> Self {
        self.exclusive = true;
        self
    }

    /// Whether it says no more than a name.
    pub(crate) fn is_plain(&self) -> bool {
        let Self { logical: _, partitions, replication_factor, config, exclusive } = self;
        partitions.is_none() && replication_factor.is_none() && config.is_empty() && !exclusive
    }

    /// The partition count and the replication factor are in Kafka's range; nothing was sent yet.
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

impl From<String> for TopicSpec {
    fn from(logical: String) -> Self {
        Self::new(logical)
    }
}

/// What stands for a topic of a lease: the [`Topic`] itself, or the logical name (or spec) of one to be made.
#[derive(Debug, Clone)]
pub enum TopicRef {
    /// A topic that the lease has handed out.
    Topic(Topic),
    /// One to be handed out now, or again.
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
