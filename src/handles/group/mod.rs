//! The group of a service under test: fenced, so that the service sees exactly this test's messages.

mod questions;
mod waiting;
mod within;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use self::questions::Questions;
use crate::broker::PartitionOffset;
use crate::handles::within::Within;
use crate::lease::LeaseGuard;
use crate::model::error::{Error, OrRaise, Result};
use crate::model::topic::Topic;

/// A group id for the service under test, whose committed offsets are the lease's fences.
///
/// A consumer that joins it starts at the fence of each of its topics, with any `auto.offset.reset`, with the classic and
/// the KIP-848 protocol, in this process or in another one, also on a topic full of old messages. Derefs to the group id.
/// Deleted when its lease is over and it has no members any more, at the latest at exit.
///
/// A topic that was only named and does not exist yet takes no commit, so that there `auto.offset.reset` decides: with
/// `earliest` the service sees all of it.
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
/// let service: BaseConsumer = kafka.consumer_config(&group).create().unwrap();
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
    /// Of each, which of those that had its name the group was made for; `None`: it did not exist then.
    ids: Vec<Option<Uuid>>,
}

impl Group {
    /// Makes the group by committing the fences: one request, on the connection that all groups share.
    pub(crate) fn make(lease: LeaseGuard, name: &str, topics: Vec<Topic>) -> Result<Self> {
        let held = lease.lease();
        let (cluster, deadline) = (held.cluster(), held.deadline());
        let id = held.names().service_group(name, cluster.next_group())?;
        if topics.is_empty() {
            return Err(Error::misuse(format!(
                "group {name:?} was asked for without a topic: name those that it reads"
            )));
        }
        let control = cluster.broker().control();
        let (mut fences, mut ids) = (Vec::new(), Vec::with_capacity(topics.len()));
        for topic in &topics {
            // One that was only named and does not exist has nothing old in it, and takes no commit.
            let now = control.topic_now(topic.name(), deadline)?;
            ids.push(now.as_ref().map(|now| now.id));
            let starts = now.map(|now| topic.0.fence.on(&now)).unwrap_or_default();
            fences.extend((0..).zip(starts).map(|(partition, offset)| PartitionOffset {
                topic: topic.name().to_owned(),
                partition,
                offset: Some(offset),
            }));
        }
        cluster.record_group(&id)?;
        held.note_group(&id, &topics);
        if !fences.is_empty() {
            control.commit_for(&id, &fences, deadline)?;
        }
        held.trace_group(name);
        Ok(Self { parts: Arc::new(GroupParts { id, topics, ids }), lease })
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
        self.usually().committed(topic, partition)
    }

    /// As [`committed`](Self::committed), without blocking the thread; on any runtime.
    ///
    /// # Panics
    /// As [`committed`](Self::committed), at no particular place: a panic in an async function has no caller to name.
    pub async fn committed_async(&self, topic: &Topic, partition: i32) -> Option<i64> {
        self.try_committed_async(topic, partition).await.or_raise()
    }

    /// As [`committed_async`](Self::committed_async).
    ///
    /// # Errors
    /// As [`try_committed`](Self::try_committed).
    pub async fn try_committed_async(&self, topic: &Topic, partition: i32) -> Result<Option<i64>> {
        self.usually().committed_async(topic, partition).await
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
        self.usually().lag()
    }

    /// As [`lag`](Self::lag), without blocking the thread.
    ///
    /// # Panics
    /// As [`lag`](Self::lag).
    pub async fn lag_async(&self) -> i64 {
        self.try_lag_async().await.or_raise()
    }

    /// As [`lag_async`](Self::lag_async).
    ///
    /// # Errors
    /// As [`try_lag`](Self::try_lag).
    pub async fn try_lag_async(&self) -> Result<i64> {
        self.usually().lag_async().await
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
    /// tell, [`Error::Misuse`] when a topic is gone.
    pub fn try_wait_until_consumed(&self) -> Result<()> {
        self.usually().wait_until_consumed()
    }

    /// Waits until it has committed past the message at `offset`, such as one that [`Kafka::send`](crate::Kafka::send)
    /// returned; also where that is still to be written.
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
    /// As [`try_wait_until_consumed`](Self::try_wait_until_consumed); [`Error::Misuse`] for a topic that the group does not
    /// read, or a partition that the topic does not have.
    pub fn try_wait_until_consumed_past(&self, topic: &Topic, partition: i32, offset: i64) -> Result<()> {
        self.usually().wait_until_consumed_past(topic, partition, offset)
    }

    /// As [`wait_until_consumed`](Self::wait_until_consumed), without blocking the thread; on any runtime.
    ///
    /// # Panics
    /// As [`wait_until_consumed`](Self::wait_until_consumed).
    pub async fn wait_until_consumed_async(&self) {
        self.try_wait_until_consumed_async().await.or_raise();
    }

    /// As [`wait_until_consumed_async`](Self::wait_until_consumed_async).
    ///
    /// # Errors
    /// As [`try_wait_until_consumed`](Self::try_wait_until_consumed).
    pub async fn try_wait_until_consumed_async(&self) -> Result<()> {
        self.usually().wait_until_consumed_async().await
    }

    /// As [`wait_until_consumed_past`](Self::wait_until_consumed_past), without blocking the thread.
    ///
    /// # Panics
    /// As [`wait_until_consumed`](Self::wait_until_consumed).
    pub async fn wait_until_consumed_past_async(&self, topic: &Topic, partition: i32, offset: i64) {
        self.try_wait_until_consumed_past_async(topic, partition, offset).await.or_raise();
    }

    /// As [`wait_until_consumed_past_async`](Self::wait_until_consumed_past_async).
    ///
    /// # Errors
    /// As [`try_wait_until_consumed`](Self::try_wait_until_consumed).
    pub async fn try_wait_until_consumed_past_async(&self, topic: &Topic, partition: i32, offset: i64) -> Result<()> {
        self.usually().wait_until_consumed_past_async(topic, partition, offset).await
    }

    fn questions(&self) -> Questions {
        Questions::of(Arc::clone(self.lease.lease().cluster()), Arc::clone(&self.parts))
    }

    /// All that waits, with this deadline in place of the configured one, and as a `Result`.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # fn consumes(group: rstest_kafka::Group) -> rstest_kafka::Result<()> {
    /// group.within(Duration::from_secs(30)).wait_until_consumed()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn within(&self, timeout: Duration) -> Within<'_, Self> {
        Within { of: self, timeout }
    }

    /// With the configured timeout.
    fn usually(&self) -> Within<'_, Self> {
        self.within(self.lease.lease().harness().timeout())
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
