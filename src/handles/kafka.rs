//! A test's Kafka.

use std::fmt;
use std::marker::PhantomData;

use rdkafka::ClientConfig;

use super::consumer::PooledConsumer;
use super::faults::Faults;
use super::group::{FencedGroup, Group};
use super::mode::{Checked, Mode, Nonblocking, Panics};
use super::{Consumers, TopicNames};
use crate::broker::Capabilities;
use crate::lease::LeaseGuard;
use crate::model::error::Result;
use crate::model::ids::{RunId, WorkerId};
use crate::model::topic::{Topic, TopicRef, TopicSpec};
use crate::report::stats::Stats;

/// A test's Kafka: topics, consumers, sending; one lease of one worker.
///
/// Everything that it hands out belongs to the running test: exactly its own messages, a worker that no other running
/// test has. `Kafka`, [`TopicNames`] and [`Consumers`] in one test are one lease, from the first of them to the drop of the
/// last of them and of what they have handed out.
///
/// It comes from the fixture [`kafka()`](crate::kafka()), or from [`Harness::lease`](crate::Harness::lease).
///
/// ```
/// # let harness = rstest_kafka::Harness::builder().embedded_brokers(1).build();
/// # let kafka = harness.lease();
/// let events = kafka.topic("events");
/// let consumer = kafka.consumer(&events);
/// let delivery = kafka.send(&events, "key", "value");
/// assert_eq!((delivery.partition, delivery.offset), (0, events.fence(0)));
/// assert_eq!(consumer.recv().text(), "value");
/// consumer.assert_empty();
/// ```
#[must_use = "a test's lease ends when its last fixture is dropped"]
#[derive(Clone)]
pub struct Kafka<M: Mode = Panics> {
    pub(crate) lease: LeaseGuard,
    mode: PhantomData<M>,
}

impl<M: Mode> Kafka<M> {
    pub(crate) fn new(lease: LeaseGuard) -> Self {
        Self { lease, mode: PhantomData }
    }

    /// Returns the same Kafka with calls that return a `Result`.
    pub fn checked(&self) -> Kafka<Checked> {
        Kafka::new(self.lease.clone())
    }

    /// Returns the same Kafka with calls that return a future if they wait, and a `Result` if they set something up.
    pub fn nonblocking(&self) -> Kafka<Nonblocking> {
        Kafka::new(self.lease.clone())
    }

    /// Returns a topic of this test. The topic exists, its partitions have leaders, and its fence is at its current end offsets.
    ///
    /// Takes a logical name or a [`TopicSpec`]. A second call for the same name returns the same topic, with the same fence.
    ///
    /// # Errors
    /// [`Error::Name`](crate::Error::Name) or [`Error::Config`](crate::Error::Config) before anything is sent;
    /// [`Error::Misuse`](crate::Error::Misuse) for a second shape in one test; [`Error::State`](crate::Error::State) if the topic
    /// cannot be recorded in the ledger; [`Error::Broker`](crate::Error::Broker),
    /// [`Error::Unreachable`](crate::Error::Unreachable) or [`Error::Unsupported`](crate::Error::Unsupported) from the broker.
    #[track_caller]
    pub fn topic(&self, spec: impl Into<TopicSpec>) -> M::Setup<Topic> {
        M::set_up(self.lease.lease().topic(spec.into()))
    }

    /// Returns several topics of this test, in the order of their specs. Topics that do not exist are created in one request.
    ///
    /// ```
    /// # let harness = rstest_kafka::Harness::builder().embedded_brokers(1).build();
    /// # let kafka = harness.lease();
    /// let [orders, invoices] = kafka.topics(["orders", "invoices"]);
    /// assert_eq!((orders.logical_name(), invoices.logical_name()), ("orders", "invoices"));
    /// ```
    ///
    /// # Errors
    /// The error of the first topic that fails, the same as for [`topic`](Self::topic).
    #[track_caller]
    pub fn topics<S: Into<TopicSpec>, const N: usize>(&self, specs: [S; N]) -> M::Setup<[Topic; N]> {
        let topics = self.lease.lease().topics_of(specs.into_iter().map(Into::into).collect());
        M::set_up(topics.map(|topics| topics.try_into().unwrap_or_else(|_| unreachable!("one topic for each spec"))))
    }

    /// Returns as many topics as there are specs, like [`topics`](Self::topics).
    ///
    /// # Errors
    /// The error of the first topic that fails, the same as for [`topic`](Self::topic).
    #[track_caller]
    pub fn topics_of(&self, specs: impl IntoIterator<Item = impl Into<TopicSpec>>) -> M::Setup<Vec<Topic>> {
        M::set_up(self.lease.lease().topics_of(specs.into_iter().map(Into::into).collect()))
    }

    /// Returns a consumer of the topic that starts at the fence of every partition, from the pool.
    ///
    /// Takes a [`Topic`] or a logical name. It does not matter when a test asks for the consumer, because the fence belongs to the
    /// topic. A topic of [`TopicNames::name`] need not exist yet: receiving waits until the service has created it.
    ///
    /// # Errors
    /// [`Error::Misuse`](crate::Error::Misuse) for a topic of another lease. Otherwise the same as [`topic`](Self::topic).
    #[track_caller]
    pub fn consumer(&self, topic: impl Into<TopicRef>) -> M::Setup<PooledConsumer<M>> {
        M::set_up(PooledConsumer::take(self.lease.clone(), topic.into()))
    }

    /// Returns a new group for a service under test. A consumer that joins it starts at the fences of these topics.
    ///
    /// The group is deleted soon after its lease, once it has no members, and at the latest at exit.
    ///
    /// # Errors
    /// [`Error::Name`](crate::Error::Name), or [`Error::Misuse`](crate::Error::Misuse) without a topic, before anything is sent.
    /// Otherwise the same as [`consumer`](Self::consumer).
    #[track_caller]
    pub fn group(&self, name: &str, topics: impl IntoIterator<Item = impl Into<TopicRef>>) -> M::Setup<Group<M>> {
        let lease = self.lease.lease();
        let topics = topics.into_iter().map(|topic| lease.resolve(topic.into())).collect::<Result<_>>();
        let fenced = topics.and_then(|topics| FencedGroup::create(self.lease.clone(), name, topics));
        M::set_up(fenced.map(Group::new))
    }

    /// The addresses of the broker, for a service under test.
    pub fn bootstrap_servers(&self) -> &str {
        self.lease.lease().choose_broker("bootstrap_servers()").broker().bootstrap_servers()
    }

    /// A client configuration for any client, such as an admin client: addresses and security.
    ///
    /// It holds what the harness was given, passwords too, without what only a consumer or only a producer takes.
    /// [`pairs`](crate::pairs()) makes plain text of it.
    pub fn client_config(&self) -> ClientConfig {
        self.lease.lease().choose_broker("client_config()").broker().client_config()
    }

    /// A configuration for a consumer of the service under test, as a member of this group.
    ///
    /// It is [`client_config`](Self::client_config) with what the harness was given for consumers, and with what a test wants where
    /// the harness was given nothing else. librdkafka's defaults are made for other things than tests:
    ///
    /// | property | is | by default | at that default |
    /// |---|---|---|---|
    /// | `group.id` | the group's | none | |
    /// | `auto.offset.reset` | `earliest` | `latest` | a topic that was only named is not read from its first message |
    /// | `auto.commit.interval.ms` | 50 | 5,000 | [`Group::wait_until_consumed`] waits 5 s, or in vain |
    /// | `fetch.wait.max.ms` | 50 | 500 | what is not ready for the first Fetch is read 500 ms late |
    /// | `fetch.error.backoff.ms` | 50 | 500 | it reads on 500 ms after a leader has moved |
    /// | `topic.metadata.refresh.interval.ms` | 200 | 300,000 | a new partition, or a topic of a pattern, is seen minutes late |
    /// | `reconnect.backoff.max.ms` | 500 | 10,000 | it connects up to 10 s late to a broker that was down |
    ///
    /// Left as they are: `heartbeat.interval.ms` (3 s), which is how late a classic group's member notices that another joins,
    /// and `session.timeout.ms` (45 s), which is how long a member may take to close while its broker is down. librdkafka refuses
    /// both where a service sets `group.protocol=consumer`, so set them where a test depends on them.
    pub fn consumer_config(&self, group: &str) -> ClientConfig {
        self.lease.lease().choose_broker("consumer_config()").broker().consumer_config(group)
    }

    /// A configuration for a producer of the service under test.
    ///
    /// It is [`client_config`](Self::client_config) with what the harness was given for producers, and with what a test wants where
    /// the harness was given nothing else:
    ///
    /// | property | is | by default | at that default |
    /// |---|---|---|---|
    /// | `linger.ms` | 0 | 5 | each message that the service waits for takes 5 ms longer |
    /// | `message.timeout.ms` | the configured timeout | 300,000 | one that nobody acknowledges holds the service for 5 minutes |
    /// | `reconnect.backoff.max.ms` | 500 | 10,000 | it connects up to 10 s late to a broker that was down |
    pub fn producer_config(&self) -> ClientConfig {
        let lease = self.lease.lease();
        lease.choose_broker("producer_config()").broker().producer_config(lease.harness().timeout())
    }

    /// The faults of a broker that this test has for itself: down, slow, answering with errors.
    ///
    /// The first call starts an embedded broker for this lease alone, which ends with it: no other test ever feels it. So
    /// it comes before the test's first topic, and before the address is given out. Later calls give the same broker.
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) on a real cluster, which has no faults on demand
    /// ([`Capabilities::faults`]); [`Error::Misuse`](crate::Error::Misuse) after the first topic, message or address.
    #[track_caller]
    pub fn faults(&self) -> M::Setup<Faults<M>> {
        M::set_up(Faults::of(self.lease.clone()))
    }

    /// What the broker can do.
    pub fn capabilities(&self) -> Capabilities {
        self.lease.lease().cluster().broker().capabilities()
    }

    /// The broker itself where it is in this process, for this crate's own tests: they count its requests and slow it down.
    #[cfg(feature = "__internal")]
    #[doc(hidden)]
    pub fn embedded(&self) -> Option<std::sync::Arc<embedded_kafka::EmbeddedKafka>> {
        self.lease.lease().choose_broker("the embedded broker").broker().as_embedded().cloned()
    }

    /// Counts this test as failed, whatever becomes of it: its worker's next test gets the next generation.
    pub fn mark_failed(&self) {
        self.lease.lease().held_lane().mark_failed();
    }

    /// This lease's topic names.
    pub fn topic_names(&self) -> TopicNames<M> {
        TopicNames::new(self.lease.clone())
    }

    /// This lease's consumers.
    pub fn consumers(&self) -> Consumers<M> {
        Consumers::new(self.lease.clone())
    }

    /// The worker that this test holds.
    pub fn worker_id(&self) -> &WorkerId {
        &self.lease.lease().names().worker_id
    }

    /// The run's id.
    pub fn run_id(&self) -> &RunId {
        &self.lease.lease().names().run_id
    }

    /// How many tests have failed on this worker before this one.
    pub fn generation(&self) -> u32 {
        self.lease.lease().names().generation
    }

    /// What this test's harness has made and reused so far, over all its tests.
    pub fn stats(&self) -> Stats {
        self.lease.lease().shared().stats()
    }
}

impl<M: Mode> fmt::Debug for Kafka<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Kafka").field(&self.lease).finish()
    }
}
