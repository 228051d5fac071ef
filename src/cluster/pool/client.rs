//! The rdkafka consumer inside a pooled one: how it is made, made fit for the next lease, and closed.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::TopicPartitionList;
use rdkafka::bindings as rdsys;
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{Consumer, ConsumerContext as RdConsumerContext, RebalanceProtocol, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionListElem};
use rdkafka::util::AsyncRuntime;
use uuid::Uuid;

use super::topic_ids::{self, TopicIds};
use crate::broker::{Broker, ClientErrors, Role, create_client};
use crate::model::error::Result;
use crate::sync::wait::{self, Deadline};

/// The rdkafka consumer that a [`PooledConsumer`](crate::PooledConsumer) derefs to.
///
/// Its runtime is the crate's own, so that it outlives the tokio runtime of the test that made it.
pub(crate) type PoolClient = StreamConsumer<ConsumerContext, ConsumerRuntime>;

/// The context of a pooled consumer: it remembers the last error for the message of a timeout, and which topics it reads.
#[derive(Debug, Default)]
pub struct ConsumerContext {
    errors: ClientErrors,
    ids: TopicIds,
    /// The topic that its metadata were last asked for, and with how many partitions.
    learned: Mutex<(Uuid, usize)>,
    /// Whether the user has asked for librdkafka's debug messages.
    debugs: bool,
}

impl ConsumerContext {
    pub(crate) fn errors(&self) -> &ClientErrors {
        &self.errors
    }

    /// Which of the topics of a name the client reads.
    pub(crate) fn ids(&self) -> &TopicIds {
        &self.ids
    }

    /// Its metadata were asked for when the topic was this one, with so many partitions.
    pub(crate) fn has_learned(&self, id: Uuid, partitions: usize) {
        *self.learned.lock().unwrap_or_else(PoisonError::into_inner) = (id, partitions);
    }

    /// Whether it has heard of so many partitions of this topic.
    pub(crate) fn knows(&self, id: Uuid, partitions: usize) -> bool {
        let learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        learned.0 == id && learned.1 >= partitions
    }
}

impl ClientContext for ConsumerContext {
    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition is reported as an error, and is none.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            self.errors.remember(error, reason);
        }
    }

    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        self.ids.note(message);
        if self.debugs || !matches!(level, RDKafkaLogLevel::Debug) {
            DefaultClientContext.log(level, fac, message);
        }
    }
}

impl RdConsumerContext for ConsumerContext {}

/// The runtime of a pooled consumer: none.
///
/// rdkafka spawns one task per consumer, which wakes its streams every half `max.poll.interval.ms` (150 s) lest a group
/// member be thrown out while it waits. A pooled consumer is assigned, never a member, and every wait of this crate ends
/// sooner: the task is dropped, and no consumer costs a timer or a thread.
#[derive(Debug)]
pub struct ConsumerRuntime;

impl AsyncRuntime for ConsumerRuntime {
    type Delay = futures_timer::Delay;

    fn spawn<T: Future<Output = ()> + Send + 'static>(task: T) {
        drop(task);
    }

    fn delay_for(duration: Duration) -> Self::Delay {
        futures_timer::Delay::new(duration)
    }
}

/// How long a broker may keep a Fetch for want of messages, in milliseconds.
///
/// librdkafka has one Fetch on its way to a broker, and an assignment waits for the answer to the one before: what a test
/// waits for at worst, if it needs its consumer elsewhere than where it has rested. A short wait is paid by the broker, in
/// empty answers: at 5 ms they take more of it than the tests themselves where many lanes share its cores.
pub(super) const FETCH_WAIT_MS: u64 = 50;

/// The same for a consumer of several partitions.
///
/// After an assignment the first Fetch goes out with the partitions that are ready by then, the others wait for its
/// answer: at librdkafka's 500 ms a test of three partitions took that long in most cases.
const FETCH_WAIT_OF_SEVERAL_MS: u64 = 5;

fn set_fetch_wait(config: &mut ClientConfig, partitions: usize) {
    if config.get("fetch.wait.max.ms").is_none() {
        let wait = if partitions <= 1 { FETCH_WAIT_MS } else { FETCH_WAIT_OF_SEVERAL_MS };
        config.set("fetch.wait.max.ms", wait.to_string());
    }
}

/// A consumer of a topic with so many partitions.
pub(crate) fn make(broker: &Broker, group: &str, partitions: usize) -> Result<PoolClient> {
    let mut config: ClientConfig = broker.own_client_config(Role::Consumer);
    config
        .set("client.id", "rstest-kafka-consumer")
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        // An offset that is no longer there is looked into (`PooledConsumer::go_on`), no reason to start just anywhere.
        .set("auto.offset.reset", "error")
        // How assert_empty and drain learn that they have read past what is never delivered, such as aborted messages.
        .set("enable.partition.eof", "true");
    set_fetch_wait(&mut config, partitions);
    let debugs = config.get("debug").is_some();
    topic_ids::have_logged(&mut config);
    create_client(&config, ConsumerContext { debugs, ..ConsumerContext::default() }, "consumer", broker.name())
}

/// A consumer for the account of a failure: it reads what is there, and is never handed to a test.
pub(crate) fn make_reader(broker: &Broker, group: &str, partitions: usize) -> Result<PoolClient> {
    let mut config: ClientConfig = broker.own_client_config(Role::Consumer);
    config
        .set("client.id", "rstest-kafka-account")
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        // What a transaction has not committed may be the reason for the failure.
        .set("isolation.level", "read_uncommitted")
        .set("enable.partition.eof", "true");
    set_fetch_wait(&mut config, partitions);
    create_client(&config, ConsumerContext::default(), "consumer", broker.name())
}

/// Makes a consumer idle, as new; false if that cannot be had and it must be closed.
///
/// A test may have left it paused, assigned to something else, subscribed or broken. `starts` is where the crate assigned
/// it last.
pub(crate) fn make_idle(client: &PoolClient, topic: &str, starts: &[(i32, i64)]) -> bool {
    if client.client().fatal_error().is_some() {
        return false;
    }
    if is_or_was_member(client) {
        return false;
    }
    let Ok(assignment) = client.assignment() else { return false };
    // One that the test has assigned may have a Fetch out at an offset that is not there. librdkafka takes the answer to
    // it for current until it decides on the next Fetch (`rktp_fetch_version`): it would stop the next test's partition.
    let as_assigned = |element: &TopicPartitionListElem<'_>| {
        let start = starts.iter().find(|(partition, _)| *partition == element.partition());
        element.topic() == topic && start.is_some_and(|(_, start)| element.offset() == Offset::Offset(*start))
    };
    if !assignment.elements().iter().all(as_assigned) {
        return false;
    }
    // A pause belongs to the partition and outlives the assignment, also one that is over.
    let mut all = TopicPartitionList::new();
    for (partition, _) in starts {
        all.add_partition(topic, *partition);
    }
    if client.resume(&all).is_err() {
        return false;
    }
    // One that stayed assigned would go on fetching, its neighbours' messages too.
    if client.unassign().is_err() {
        return false;
    }
    discard_queued(client);
    true
}

/// Whether a test has subscribed it.
///
/// A member of a group cannot simply be assigned again, and its group would wait for it. Of one that was a member the end
/// of its membership may still be on its way, and would take the next test's assignment away.
pub(crate) fn is_or_was_member(client: &PoolClient) -> bool {
    let was_member = !matches!(client.rebalance_protocol(), RebalanceProtocol::None);
    was_member || !client.subscription().is_ok_and(|topics| topics.count() == 0)
}

/// What is left in its queue, such as an old error, is not the next test's.
pub(super) fn discard_queued(client: &PoolClient) {
    while wait::poll_now(client.recv()).is_some() {}
    client.context().errors().forget();
}

/// Whether all is well with it, and its queue holds nothing but ends of partitions, which are discarded.
pub(crate) fn has_nothing_queued(client: &PoolClient) -> bool {
    if client.client().fatal_error().is_some() {
        return false;
    }
    loop {
        match wait::poll_now(client.recv()) {
            None => break,
            Some(Err(KafkaError::PartitionEOF(_))) => {}
            Some(_) => return false,
        }
    }
    client.context().errors().forget();
    true
}

/// Per partition what comes next of a consumer that is assigned from `starts` on: rdkafka's `position` asks for the
/// assignment first, on the consumer's own thread.
pub(crate) fn positions(client: &PoolClient, topic: &str, starts: &[(i32, i64)]) -> Vec<(i32, i64)> {
    let mut list = TopicPartitionList::with_capacity(starts.len());
    for (partition, _) in starts {
        list.add_partition(topic, *partition);
    }
    // SAFETY: the handle and the list are valid for the call, which only writes into the list.
    unsafe { rdsys::rd_kafka_position(client.client().native_ptr(), list.ptr()) };
    let next =
        |(partition, start): &(i32, i64)| match list.find_partition(topic, *partition).map(|found| found.offset()) {
            Some(Offset::Offset(offset)) => (*partition, offset),
            _ => (*partition, *start),
        };
    starts.iter().map(next).collect()
}

/// Assigns the partitions at absolute offsets: what was prefetched before is discarded.
pub(crate) fn assign(client: &PoolClient, topic: &str, starts: &[(i32, i64)]) -> Result<(), KafkaError> {
    let mut list = TopicPartitionList::with_capacity(starts.len());
    for (partition, offset) in starts {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
    }
    client.assign(&list)
}

/// Closes consumers at exit, all at once: leaves their groups, stops fetching, and leaves the memory to the process.
///
/// rdkafka's own Drop takes 100 ms for each and has no deadline. Returns how many did not close in time.
pub(crate) fn close_all_at_exit(clients: Vec<Arc<PoolClient>>, deadline: Deadline) -> usize {
    let mut open: Vec<_> = clients
        .into_iter()
        .filter(|client| {
            // SAFETY: the handle is valid as long as `client`, which is never dropped below, and librdkafka's handles may
            // be used from any thread. The queue is the consumer's own; our reference to it is given back at once. The
            // returned error, which may be null, is ours to destroy.
            unsafe {
                let handle = client.client().native_ptr();
                let queue = rdsys::rd_kafka_queue_get_consumer(handle);
                if queue.is_null() {
                    return false;
                }
                let error = rdsys::rd_kafka_consumer_close_queue(handle, queue);
                rdsys::rd_kafka_queue_destroy(queue);
                let started = error.is_null();
                if !started {
                    rdsys::rd_kafka_error_destroy(error);
                }
                started
            }
        })
        // Its Drop must not run: neither here nor on a thread that hangs.
        .map(std::mem::ManuallyDrop::new)
        .collect();
    loop {
        open.retain(|client| {
            // Rebalance events of a subscribed consumer have to be served for its close to end.
            while wait::poll_now(client.recv()).is_some() {}
            // SAFETY: the handle is valid, as above.
            unsafe { rdsys::rd_kafka_consumer_closed(client.client().native_ptr()) == 0 }
        });
        if open.is_empty() || deadline.has_passed() {
            return open.len();
        }
        deadline.pause(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fetch_wait_of_the_users_own_stays() {
        let set = |own: Option<&str>, partitions| {
            let mut config = ClientConfig::new();
            own.map(|own| config.set("fetch.wait.max.ms", own));
            set_fetch_wait(&mut config, partitions);
            config.get("fetch.wait.max.ms").map(str::to_owned)
        };
        assert_eq!(set(Some("100"), 1).as_deref(), Some("100"));
        assert_eq!(set(None, 1).as_deref(), Some("50"));
        assert_eq!(set(None, 3).as_deref(), Some("5"));
    }
}
