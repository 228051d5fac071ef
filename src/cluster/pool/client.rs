//! The rdkafka consumer of a pooled consumer: how it is created, reset for the next lease, and closed.

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

/// The rdkafka consumer to which a [`PooledConsumer`](crate::PooledConsumer) derefs.
///
/// Its runtime is the crate's own, so that it outlives the tokio runtime of the test that made it.
pub(crate) type PoolClient = StreamConsumer<ConsumerContext, ConsumerRuntime>;

/// The context of a pooled consumer.
///
/// It remembers the last error, for the message of a timeout, and the id of the topic that the consumer reads.
#[derive(Debug, Default)]
pub struct ConsumerContext {
    errors: ClientErrors,
    ids: TopicIds,
    /// The topic id and the number of partitions in the last metadata that the client asked for.
    metadata: Mutex<(Uuid, usize)>,
    /// Whether the configuration asks for librdkafka's debug messages.
    debugs: bool,
}

impl ConsumerContext {
    pub(crate) fn errors(&self) -> &ClientErrors {
        &self.errors
    }

    /// The ids of the topics that the client reads.
    pub(crate) fn ids(&self) -> &TopicIds {
        &self.ids
    }

    /// Records that the client has metadata of this topic with this number of partitions.
    pub(crate) fn note_partitions(&self, id: Uuid, partitions: usize) {
        *self.metadata.lock().unwrap_or_else(PoisonError::into_inner) = (id, partitions);
    }

    /// Whether the client has metadata of this topic with at least this number of partitions.
    pub(crate) fn knows_partitions(&self, id: Uuid, partitions: usize) -> bool {
        let metadata = self.metadata.lock().unwrap_or_else(PoisonError::into_inner);
        metadata.0 == id && metadata.1 >= partitions
    }
}

impl ClientContext for ConsumerContext {
    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition is reported like an error, but it is not an error.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            self.errors.remember(error, reason);
        }
    }

    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        self.ids.note_log_message(message);
        if self.debugs || !matches!(level, RDKafkaLogLevel::Debug) {
            DefaultClientContext.log(level, fac, message);
        }
    }
}

impl RdConsumerContext for ConsumerContext {}

/// The runtime of a pooled consumer, which runs no tasks.
///
/// rdkafka spawns one task per consumer. The task wakes the consumer's streams every half `max.poll.interval.ms` (150
/// s), so that a waiting group member keeps its membership. A pooled consumer is assigned and never a member, and every
/// wait of this crate is shorter. So the task is dropped, and a consumer needs no timer and no thread.
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

/// The time for which a broker may hold a Fetch if there are no messages, in milliseconds.
///
/// librdkafka has one Fetch per broker in flight, and a new assignment waits for the response. So this is the longest
/// delay of a test whose fence differs from the position of its resting consumer. A shorter time costs the broker more
/// empty responses: at 5 ms, if many lanes share its cores, they take more of its time than the tests.
pub(super) const FETCH_WAIT_MS: u64 = 50;

/// The same for a consumer of several partitions.
///
/// After an assignment the first Fetch contains only the partitions that are ready by then. The other partitions wait
/// for its response: with librdkafka's default of 500 ms, most tests of three partitions took that long.
const FETCH_WAIT_OF_SEVERAL_MS: u64 = 5;

fn set_fetch_wait(config: &mut ClientConfig, partitions: usize) {
    if config.get("fetch.wait.max.ms").is_none() {
        let wait = if partitions <= 1 { FETCH_WAIT_MS } else { FETCH_WAIT_OF_SEVERAL_MS };
        config.set("fetch.wait.max.ms", wait.to_string());
    }
}

/// Creates a consumer for a topic with `partitions` partitions.
pub(crate) fn create_consumer(broker: &Broker, group: &str, partitions: usize) -> Result<PoolClient> {
    let mut config: ClientConfig = broker.own_client_config(Role::Consumer);
    config
        .set("client.id", "rstest-kafka-consumer")
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        // An offset that does not exist any more is handled in `PooledConsumer::go_on`. The consumer must not reset its
        // position.
        .set("auto.offset.reset", "error")
        // `assert_empty` and `drain` need the end of a partition, because records such as aborted messages are never
        // delivered.
        .set("enable.partition.eof", "true");
    set_fetch_wait(&mut config, partitions);
    let debugs = config.get("debug").is_some();
    topic_ids::log_id_changes(&mut config);
    create_client(&config, ConsumerContext { debugs, ..ConsumerContext::default() }, "consumer", broker.name())
}

/// Creates a consumer for the failure report. It reads the last messages, and no test uses it.
pub(crate) fn create_reader(broker: &Broker, group: &str, partitions: usize) -> Result<PoolClient> {
    let mut config: ClientConfig = broker.own_client_config(Role::Consumer);
    config
        .set("client.id", "rstest-kafka-report")
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        // An uncommitted transaction may be the cause of the failure.
        .set("isolation.level", "read_uncommitted")
        .set("enable.partition.eof", "true");
    set_fetch_wait(&mut config, partitions);
    create_client(&config, ConsumerContext::default(), "consumer", broker.name())
}

/// Resets a consumer for the pool. Returns false if it cannot be reset and must be closed.
///
/// The test may have left it paused, subscribed or broken, or may have assigned it. `starts` are the offsets at which
/// this crate assigned it last.
pub(crate) fn reset(client: &PoolClient, topic: &str, starts: &[(i32, i64)]) -> bool {
    if client.client().fatal_error().is_some() {
        return false;
    }
    if is_or_was_member(client) {
        return false;
    }
    let Ok(assignment) = client.assignment() else { return false };
    // A consumer that the test has assigned may have a Fetch in flight at an offset that does not exist. librdkafka
    // treats the response as current until it decides on the next Fetch (`rktp_fetch_version`), so it would stop the
    // partition of the next test.
    let as_assigned = |element: &TopicPartitionListElem<'_>| {
        let start = starts.iter().find(|(partition, _)| *partition == element.partition());
        element.topic() == topic && start.is_some_and(|(_, start)| element.offset() == Offset::Offset(*start))
    };
    if !assignment.elements().iter().all(as_assigned) {
        return false;
    }
    // A pause belongs to the partition and outlives the assignment, even an earlier assignment.
    let mut all = TopicPartitionList::new();
    for (partition, _) in starts {
        all.add_partition(topic, *partition);
    }
    if client.resume(&all).is_err() {
        return false;
    }
    // An assigned consumer would continue to fetch, including the messages of other tests.
    if client.unassign().is_err() {
        return false;
    }
    discard_queued(client);
    true
}

/// Whether a test has subscribed the consumer.
///
/// A member of a group cannot be assigned, and its group would wait for it. If the consumer was a member, the end of
/// its membership may still be pending and would revoke the assignment of the next test.
pub(crate) fn is_or_was_member(client: &PoolClient) -> bool {
    let was_member = !matches!(client.rebalance_protocol(), RebalanceProtocol::None);
    was_member || !client.subscription().is_ok_and(|topics| topics.count() == 0)
}

/// Discards what is left in the queue, such as an old error, so that the next test does not receive it.
pub(super) fn discard_queued(client: &PoolClient) {
    while wait::poll_now(client.recv()).is_some() {}
    client.context().errors().forget();
}

/// Whether the consumer has no fatal error and its queue contains only ends of partitions, which are discarded.
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

/// Returns the position on each partition of a consumer that was assigned at `starts`.
///
/// rdkafka's `position` asks for the assignment first, which is a request to another thread.
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

/// Assigns the partitions at absolute offsets. Messages that were fetched before are discarded.
pub(crate) fn assign(client: &PoolClient, topic: &str, starts: &[(i32, i64)]) -> Result<(), KafkaError> {
    let mut list = TopicPartitionList::with_capacity(starts.len());
    for (partition, offset) in starts {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
    }
    client.assign(&list)
}

/// Closes consumers at exit, in parallel: they leave their groups and stop fetching. Their memory is left to the
/// process.
///
/// rdkafka's Drop takes 100 ms per consumer and has no deadline. Returns how many consumers did not close in time.
pub(crate) fn close_all_at_exit(clients: Vec<Arc<PoolClient>>, deadline: Deadline) -> usize {
    let mut open: Vec<_> = clients
        .into_iter()
        .filter(|client| {
            // SAFETY: the handle is valid as long as `client`, which is never dropped below, and librdkafka's handles
            // may be used from any thread. The queue belongs to the consumer, and our reference to it is released at
            // once. The returned error may be null; otherwise it is ours to destroy.
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
        // Its Drop must not run, not even on a thread that hangs.
        .map(std::mem::ManuallyDrop::new)
        .collect();
    loop {
        open.retain(|client| {
            // A subscribed consumer closes only if its rebalance events are served.
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
    fn a_configured_fetch_wait_is_kept() {
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
