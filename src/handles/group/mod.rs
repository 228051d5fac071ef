//! The group of a service under test: fenced, so that the service sees exactly this test's messages.

mod fenced;
mod questions;
mod waiting;

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::time::Duration;

pub(crate) use self::fenced::FencedGroup;
use self::waiting::Waiting;
use crate::handles::mode::{Checked, Mode, Nonblocking, Panics};
use crate::model::topic::Topic;
use crate::sync::wait::{Calls, Deadline};

/// A group id for the service under test, whose committed offsets are the lease's fences.
///
/// A consumer that joins the group starts at the fence of each of its topics: with any `auto.offset.reset`, with the classic and the
/// KIP-848 protocol, in this process or in another one, and on a topic full of old messages. The group derefs to its id. It is
/// deleted when its lease is over and it has no members, and at the latest at exit.
///
/// A topic that was only named and does not exist yet accepts no commit. There `auto.offset.reset` decides: with `earliest` the
/// service sees every message.
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
/// // The service under test joins the group by its id, and commits what it has processed.
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
pub struct Group<M: Mode = Panics> {
    fenced: FencedGroup,
    /// `None`: the configured timeout.
    timeout: Option<Duration>,
    mode: PhantomData<M>,
}

impl<M: Mode> Group<M> {
    pub(crate) fn new(fenced: FencedGroup) -> Self {
        Self { fenced, timeout: None, mode: PhantomData }
    }

    fn in_mode<N: Mode>(&self, timeout: Option<Duration>) -> Group<N> {
        Group { fenced: self.fenced.clone(), timeout, mode: PhantomData }
    }

    /// Returns the same group with calls that return a `Result`.
    pub fn checked(&self) -> Group<Checked> {
        self.in_mode(self.timeout)
    }

    /// Returns the same group with calls that return a future, for async tests.
    pub fn nonblocking(&self) -> Group<Nonblocking> {
        self.in_mode(self.timeout)
    }

    /// Returns the same group with another deadline than the configured one. Each call has the whole time for itself.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # fn consumes(group: rstest_kafka::Group) -> rstest_kafka::Result<()> {
    /// group.within(Duration::from_secs(30)).wait_until_consumed()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn within(&self, timeout: Duration) -> Group<M::Fallible> {
        self.in_mode(Some(timeout))
    }

    fn deadline(&self) -> Deadline {
        Deadline::after(self.timeout.unwrap_or_else(|| self.fenced.timeout()))
    }

    /// Returns the group id.
    pub fn id(&self) -> &str {
        self.fenced.id()
    }

    /// Returns the topics that the group was created for.
    pub fn topics(&self) -> &[Topic] {
        self.fenced.topics()
    }

    /// Returns the committed offset of a partition: the fence, until the service commits. `None` if nothing is committed.
    ///
    /// # Errors
    /// [`Error::Broker`](crate::Error::Broker) or [`Error::Unreachable`](crate::Error::Unreachable) if the broker does not report
    /// the offset.
    #[track_caller]
    pub fn committed(&self, topic: &Topic, partition: i32) -> M::Wait<'static, Option<i64>> {
        let (group, topic) = (self.in_mode::<M>(self.timeout), topic.clone());
        M::wait(async move {
            let (questions, deadline) = (group.fenced.questions(), group.deadline());
            Calls::of::<M>().run(move || questions.committed(&topic, partition, deadline)).await
        })
    }

    /// Returns by how many offsets the group is behind the end offsets of its topics, over all partitions.
    ///
    /// As in Kafka's own tools these are offsets, not messages: the marker of a transaction counts as one.
    ///
    /// # Errors
    /// [`Error::Broker`](crate::Error::Broker) or [`Error::Unreachable`](crate::Error::Unreachable) if the broker does not report
    /// the offsets, [`Error::Misuse`](crate::Error::Misuse) if a topic was deleted.
    #[track_caller]
    pub fn lag(&self) -> M::Wait<'static, i64> {
        let group = self.in_mode::<M>(self.timeout);
        M::wait(async move {
            let (questions, deadline) = (group.fenced.questions(), group.deadline());
            Calls::of::<M>().run(move || questions.lag(deadline)).await
        })
    }

    /// Waits until the committed offsets of the group have reached the end offsets that its topics have at the time of the call.
    ///
    /// Offsets at the end that contain nothing for a reader, such as the marker of a transaction, are not waited for.
    ///
    /// # Errors
    /// [`Error::Lag`](crate::Error::Lag) if the timeout passes first: with the lag of each partition, the state of the group and its
    /// members. [`Error::Broker`](crate::Error::Broker) or [`Error::Unreachable`](crate::Error::Unreachable) if the broker does not
    /// report the offsets, [`Error::Misuse`](crate::Error::Misuse) if a topic was deleted.
    #[track_caller]
    pub fn wait_until_consumed(&self) -> M::Wait<'static, ()> {
        let group = self.in_mode::<M>(self.timeout);
        M::wait(async move { Waiting::to_the_end(&group.fenced, group.deadline(), Calls::of::<M>()).await })
    }

    /// Waits until the group has committed past the message at `offset`, for example one that
    /// [`Kafka::send`](crate::Kafka::send) returned. The message need not be written yet.
    ///
    /// # Errors
    /// [`Error::Misuse`](crate::Error::Misuse) if the group was not created for the topic, or the topic does not have the
    /// partition. Otherwise the same as [`wait_until_consumed`](Self::wait_until_consumed).
    #[track_caller]
    pub fn wait_until_consumed_past(&self, topic: &Topic, partition: i32, offset: i64) -> M::Wait<'static, ()> {
        let (group, topic) = (self.in_mode::<M>(self.timeout), topic.clone());
        M::wait(async move {
            let message = (&topic, partition, offset);
            Waiting::past(&group.fenced, message, group.deadline(), Calls::of::<M>()).await
        })
    }
}

impl<M: Mode> Deref for Group<M> {
    type Target = str;

    fn deref(&self) -> &str {
        self.id()
    }
}

impl<M: Mode> AsRef<str> for Group<M> {
    fn as_ref(&self) -> &str {
        self.id()
    }
}

impl<M: Mode> fmt::Display for Group<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl<M: Mode> fmt::Debug for Group<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("id", &self.id()).field("topics", &self.topics()).finish_non_exhaustive()
    }
}
