//! What a test holds: `Kafka`, and its two parts for tests that want no more.

pub(crate) mod consumer;
pub(crate) mod faults;
pub(crate) mod group;
mod send;
pub(crate) mod within;

use std::fmt;

use rdkafka::ClientConfig;

use crate::broker::Capabilities;
use crate::handles::consumer::PooledConsumer;
use crate::handles::faults::Faults;
use crate::handles::group::Group;
use crate::lease::LeaseGuard;
use crate::model::error::{OrRaise, Result};
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
pub struct Kafka {
    pub(crate) lease: LeaseGuard,
}

impl Kafka {
    pub(crate) fn new(lease: LeaseGuard) -> Self {
        Self { lease }
    }

    /// A topic of this test: it exists, its partitions have leaders, and its fence stands where it ends now.
    ///
    /// Takes a logical name or a [`TopicSpec`]. The second time it is the same topic, with the same fence.
    ///
    /// # Panics
    /// When it cannot be had; [`try_topic`](Self::try_topic) returns that as an error.
    #[track_caller]
    pub fn topic(&self, spec: impl Into<TopicSpec>) -> Topic {
        self.try_topic(spec).or_raise()
    }

    /// As [`topic`](Self::topic).
    ///
    /// # Errors
    /// [`Error::Name`](crate::Error::Name) and [`Error::Config`](crate::Error::Config) before anything is sent, and
    /// [`Error::Misuse`](crate::Error::Misuse) for a second shape in one test; [`Error::State`](crate::Error::State) when it
    /// cannot be written down in the ledger; [`Error::Broker`](crate::Error::Broker),
    /// [`Error::Unreachable`](crate::Error::Unreachable) and [`Error::Unsupported`](crate::Error::Unsupported) from the broker.
    pub fn try_topic(&self, spec: impl Into<TopicSpec>) -> Result<Topic> {
        self.lease.lease().topic(spec.into())
    }

    /// Several topics of this test, in the order of their names: those that do not exist yet are made in one request.
    ///
    /// ```
    /// # let harness = rstest_kafka::Harness::builder().embedded_brokers(1).build();
    /// # let kafka = harness.lease();
    /// let [orders, invoices] = kafka.topics(["orders", "invoices"]);
    /// assert_eq!((orders.logical_name(), invoices.logical_name()), ("orders", "invoices"));
    /// ```
    ///
    /// # Panics
    /// When one cannot be had; [`try_topics`](Self::try_topics) returns that as an error.
    #[track_caller]
    pub fn topics<S: Into<TopicSpec>, const N: usize>(&self, specs: [S; N]) -> [Topic; N] {
        let topics = self.try_topics(specs).or_raise();
        topics.try_into().unwrap_or_else(|_| unreachable!("one topic for each spec"))
    }

    /// As [`topics`](Self::topics), of as many as there are at run time.
    ///
    /// # Errors
    /// As [`try_topic`](Self::try_topic), for the first that cannot be had.
    pub fn try_topics(&self, specs: impl IntoIterator<Item = impl Into<TopicSpec>>) -> Result<Vec<Topic>> {
        self.lease.lease().topics_of(specs.into_iter().map(Into::into).collect())
    }

    /// A consumer of the topic from the pool, standing at the fence on every partition.
    ///
    /// Takes a [`Topic`] or a logical name. Asking for it late changes nothing: the fence is the topic's. A topic of
    /// [`TopicNames::name`] need not exist yet: receiving waits until the service has created it.
    ///
    /// # Panics
    /// When it cannot be had; [`try_consumer`](Self::try_consumer) returns that as an error.
    #[track_caller]
    pub fn consumer(&self, topic: impl Into<TopicRef>) -> PooledConsumer {
        self.try_consumer(topic).or_raise()
    }

    /// As [`consumer`](Self::consumer).
    ///
    /// # Errors
    /// As [`try_topic`](Self::try_topic); [`Error::Misuse`](crate::Error::Misuse) for another lease's topic.
    pub fn try_consumer(&self, topic: impl Into<TopicRef>) -> Result<PooledConsumer> {
        PooledConsumer::check_out(self.lease.clone(), topic.into())
    }

    /// A group id for a service under test: a consumer that joins it starts at the fences of these topics.
    ///
    /// Each call makes a new group. It is deleted soon after its lease, once it has no members, and at the latest at exit.
    ///
    /// # Panics
    /// When it cannot be had; [`try_group`](Self::try_group) returns that as an error.
    #[track_caller]
    pub fn group(&self, name: &str, topics: impl IntoIterator<Item = impl Into<TopicRef>>) -> Group {
        self.try_group(name, topics).or_raise()
    }

    /// As [`group`](Self::group).
    ///
    /// # Errors
    /// [`Error::Name`](crate::Error::Name), and [`Error::Misuse`](crate::Error::Misuse) without a topic, before anything is sent;
    /// else as [`try_consumer`](Self::try_consumer).
    pub fn try_group(&self, name: &str, topics: impl IntoIterator<Item = impl Into<TopicRef>>) -> Result<Group> {
        let lease = self.lease.lease();
        let topics = topics.into_iter().map(|topic| lease.resolve(topic.into())).collect::<Result<_>>()?;
        Group::make(self.lease.clone(), name, topics)
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
    /// # Panics
    /// When it cannot be had; [`try_faults`](Self::try_faults) returns that as an error.
    #[track_caller]
    pub fn faults(&self) -> Faults {
        self.try_faults().or_raise()
    }

    /// As [`faults`](Self::faults).
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) on a real cluster, which has no faults on demand
    /// ([`Capabilities::faults`]); [`Error::Misuse`](crate::Error::Misuse) after the first topic, message or address.
    pub fn try_faults(&self) -> Result<Faults> {
        Faults::of(self.lease.clone())
    }

    /// What the broker can do.
    pub fn capabilities(&self) -> Capabilities {
        self.lease.lease().cluster().broker().capabilities()
    }

    /// The broker itself where it is in this process, for this crate's own tests: they count its requests and slow it down.
    #[doc(hidden)]
    pub fn embedded(&self) -> Option<std::sync::Arc<embedded_kafka::EmbeddedKafka>> {
        self.lease.lease().choose_broker("the embedded broker").broker().as_embedded().cloned()
    }

    /// Counts this test as failed, whatever becomes of it: its worker's next test gets the next generation.
    pub fn mark_failed(&self) {
        self.lease.lease().held_lane().mark_failed();
    }

    /// This lease's topic names.
    pub fn topic_names(&self) -> TopicNames {
        TopicNames::new(self.lease.clone())
    }

    /// This lease's consumers.
    pub fn consumers(&self) -> Consumers {
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

impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Kafka").field(&self.lease).finish()
    }
}

/// The names of a test's topics, for a service that makes its topics itself.
///
/// ```
/// use rstest_kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer};
/// # let harness = rstest_kafka::Harness::builder().embedded_brokers(1).build();
/// # let kafka = harness.lease();
/// # let topic_names = kafka.topic_names();
///
/// let audit = topic_names.name("audit");
/// let consumer = kafka.consumer(&audit); // need not exist yet
///
/// // The service under test: its first write makes the topic.
/// let service: BaseProducer = kafka.producer_config().create().unwrap();
/// service.send(BaseRecord::to(&audit).key("service").payload("started")).unwrap();
/// service.flush(std::time::Duration::from_secs(5)).unwrap();
///
/// assert_eq!(consumer.recv().text(), "started");
/// ```
#[must_use = "a test's lease ends when its last fixture is dropped"]
pub struct TopicNames {
    lease: LeaseGuard,
}

impl TopicNames {
    pub(crate) fn new(lease: LeaseGuard) -> Self {
        Self { lease }
    }

    /// Names a topic without making it, for a service that lets the broker create it.
    ///
    /// The fence is where the topic ends now, if an earlier test on this worker left it.
    ///
    /// # Panics
    /// When Kafka would refuse the name; [`try_name`](Self::try_name) returns that as an error.
    #[track_caller]
    pub fn name(&self, logical: &str) -> Topic {
        self.try_name(logical).or_raise()
    }

    /// As [`name`](Self::name).
    ///
    /// # Errors
    /// [`Error::Name`](crate::Error::Name) before anything is sent; [`Error::State`](crate::Error::State) when it cannot be
    /// written down in the ledger; [`Error::Unreachable`](crate::Error::Unreachable) and
    /// [`Error::Broker`](crate::Error::Broker) when the broker does not tell where an existing one ends.
    pub fn try_name(&self, logical: &str) -> Result<Topic> {
        self.lease.lease().named_topic(logical)
    }

    /// The name as text: nothing is asked, fenced or kept.
    ///
    /// For this crate's own benchmarks, which count what a name costs.
    #[doc(hidden)]
    pub fn text(&self, logical: &str) -> Result<String> {
        self.lease.lease().names().topic(logical)
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
}

impl fmt::Debug for TopicNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TopicNames").field(&self.lease).finish()
    }
}

/// A test's consumers, for a test that sends with clients of its own.
#[must_use = "a test's lease ends when its last fixture is dropped"]
pub struct Consumers {
    lease: LeaseGuard,
}

impl Consumers {
    pub(crate) fn new(lease: LeaseGuard) -> Self {
        Self { lease }
    }

    /// As [`Kafka::consumer`].
    ///
    /// # Panics
    /// When it cannot be had; [`try_consumer`](Self::try_consumer) returns that as an error.
    #[track_caller]
    pub fn consumer(&self, topic: impl Into<TopicRef>) -> PooledConsumer {
        self.try_consumer(topic).or_raise()
    }

    /// As [`Kafka::try_consumer`].
    ///
    /// # Errors
    /// As [`Kafka::try_consumer`].
    pub fn try_consumer(&self, topic: impl Into<TopicRef>) -> Result<PooledConsumer> {
        PooledConsumer::check_out(self.lease.clone(), topic.into())
    }
}

impl fmt::Debug for Consumers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Consumers").field(&self.lease).finish()
    }
}
