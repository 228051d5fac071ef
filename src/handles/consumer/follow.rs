//! How a consumer follows its topic: when partitions are added, when their beginnings are deleted, when it is created again.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::Offset;

use super::LeasedConsumer;
use crate::cluster::pool;
use crate::model::error::{Error, Result};
use crate::model::record::Record;
use crate::model::topic::TopicNow;
use crate::sync::wait::{Calls, Deadline};

/// How long a consumer waits before it looks for what has come of its topic; each look doubles it.
const FIRST_LOOK: Duration = Duration::from_millis(100);

/// When to look at the topic again during one wait.
pub(super) struct Looks {
    pause: Duration,
}

impl Looks {
    /// The first look is not later than half of the wait.
    pub(super) fn during(wait: Duration) -> Self {
        Self { pause: FIRST_LOOK.min(wait / 2) }
    }

    /// The wait up to the next look.
    pub(super) fn next(&mut self, deadline: Deadline) -> Deadline {
        let next = Deadline::after(deadline.remaining().min(self.pause));
        self.pause *= 2;
        next
    }
}

/// Which topic a consumer reads after it has followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Followed {
    /// The one that it read before.
    Same,
    /// One of the same name, from its beginning.
    Another,
}

impl LeasedConsumer {
    pub(super) fn is_of_topic(&self, record: &Record) -> bool {
        record.topic() == self.topic.name()
    }

    /// Asks, on whichever thread, what the topic is now; one that is gone is an error.
    pub(super) fn ask_now(&self) -> impl FnOnce(Deadline) -> Result<TopicNow> + Send + 'static {
        let (ask, topic) = (self.ask_if_there(), self.topic.clone());
        let cluster = Arc::clone(self.lease.lease().cluster());
        move |deadline| ask(deadline)?.ok_or_else(|| cluster.broker().control().gone(topic.name()))
    }

    /// The same; `None` of one that does not exist.
    pub(super) fn ask_if_there(&self) -> impl FnOnce(Deadline) -> Result<Option<TopicNow>> + Send + 'static {
        let cluster = Arc::clone(self.lease.lease().cluster());
        let (client, topic) = (Arc::clone(&self.client), self.topic.clone());
        move |deadline| {
            let Some(now) = cluster.broker().control().topic_now(topic.name(), deadline)? else { return Ok(None) };
            // A client looks for the leader of a partition that it has not heard of only up to a second later.
            let context = client.context();
            if (context.ids().differ(topic.name(), now.id) || !context.knows_partitions(now.id, now.ends.len()))
                && client.fetch_metadata(Some(topic.name()), deadline.remaining()).is_ok()
            {
                context.note_partitions(now.id, now.ends.len());
            }
            Ok(Some(now))
        }
    }

    /// Also reads what the topic is now: partitions that were added, and one that was created again, if nothing of the one
    /// before was read.
    pub(super) fn follow(&self, now: &TopicNow) -> Result<Followed> {
        // Held all along, so that no partition is assigned twice; no broker is asked.
        let mut id = self.id.lock().unwrap_or_else(PoisonError::into_inner);
        let fences: Vec<(i32, i64)> = (0..).zip(self.topic.0.fence.on(now)).collect();
        if *id != now.id {
            if self.has_read.load(Ordering::Relaxed) {
                return Err(self.created_again());
            }
            *id = now.id;
            let is_first = std::mem::replace(&mut *self.starts(), fences.clone()).is_empty();
            // What the test has assigned before there was a topic is for the test to say.
            if is_first && self.touched.load(Ordering::Relaxed) && self.is_in_the_tests_hands() {
                return Ok(Followed::Same);
            }
            self.ahead().retain(|record| !self.is_of_topic(record));
            self.reassign(&fences)?;
            return Ok(Followed::Another);
        }
        let is_new = |(partition, _): &&(i32, i64)| !self.starts().iter().any(|(known, _)| known == partition);
        let added: Vec<(i32, i64)> = fences.iter().filter(is_new).copied().collect();
        if added.is_empty() {
            return Ok(Followed::Same);
        }
        self.starts().extend(&added);
        // What a member of a group reads is for the group to say. That it does not read these is told by its next wait.
        if pool::is_or_was_member(&self.client) {
            return Ok(Followed::Same);
        }
        let failed = |error| self.failed("assign a consumer to new partitions of", error);
        let assigned = self.client.assignment().map_err(failed)?;
        let mut list = TopicPartitionList::with_capacity(added.len());
        for (partition, start) in added {
            // The test may have been faster.
            if assigned.find_partition(self.topic.name(), partition).is_none() {
                list.add_partition_offset(self.topic.name(), partition, Offset::Offset(start)).map_err(failed)?;
            }
        }
        if list.count() > 0 {
            self.client.incremental_assign(&list).map_err(failed)?;
        }
        Ok(Followed::Same)
    }

    fn created_again(&self) -> Error {
        let control = self.lease.lease().cluster().broker().control();
        control.created_again(self.topic.name(), "get a new consumer with Kafka::consumer after that")
    }

    /// Whether the client reads another topic of this name than the consumer does.
    pub(super) fn reads_another(&self) -> bool {
        let ids = self.client.context().ids();
        let changes = ids.changes();
        if self.ids_seen.load(Ordering::Relaxed) == changes {
            return false;
        }
        let id = *self.id.lock().unwrap_or_else(PoisonError::into_inner);
        let differs = ids.differ(self.topic.name(), id);
        if !differs {
            self.ids_seen.store(changes, Ordering::Relaxed);
        }
        differs
    }

    /// This record is of another topic of the same name: one that was created since, or that was deleted before.
    pub(super) async fn leave_another(&self, record: &Record) -> Result<()> {
        let (ask, deadline) = (self.ask_now(), Deadline::after(self.timeout()));
        let now = Calls::OnAnotherThread.run(move || ask(deadline)).await?;
        if self.follow(&now)? == Followed::Same {
            // The client knew only the one that was deleted before.
            let back = |partition, at| if partition == record.partition() { record.offset() } else { at };
            self.assign_again(back)?;
        }
        Ok(())
    }

    /// The broker no longer has the offset at which a partition was to be read on.
    ///
    /// Where the beginning of a partition was deleted, the consumer goes on at the first record that is left.
    pub(super) async fn go_on(&self, error: KafkaError) -> Result<()> {
        // Its client has stopped to fetch: it must not rest as it is.
        self.touched.store(true, Ordering::Relaxed);
        let (ask, deadline) = (self.ask_now(), Deadline::after(self.timeout()));
        let (cluster, topic) = (Arc::clone(self.lease.lease().cluster()), self.topic.clone());
        let ask = move || {
            let now = ask(deadline)?;
            let beginnings = cluster.broker().control().beginnings(topic.name(), now.partitions(), deadline)?;
            Ok((now, beginnings))
        };
        let (now, beginnings) = Calls::OnAnotherThread.run(ask).await?;
        if self.follow(&now)? == Followed::Another {
            return Ok(());
        }
        let stands = self.places()?;
        self.check_ends(&stands, &now.ends)?;
        let first = |partition: i32| beginnings.get(partition as usize).copied().unwrap_or(0);
        let deleted = stands.iter().filter(|(partition, at)| *at < first(*partition)).count();
        if deleted == 0 && self.resets.fetch_add(1, Ordering::Relaxed) > stands.len() {
            return Err(self.failed("read on from its fence (was it truncated?)", error));
        }
        // librdkafka reports each partition by itself, also after the consumer has left the offset.
        self.assign_again(|partition, at| at.max(first(partition)))
    }

    /// Per partition where it reads on: after its last record, or where it was assigned, by the test too.
    fn places(&self) -> Result<Vec<(i32, i64)>> {
        let assigned = self.client.assignment().map_err(|error| self.failed("see what a consumer reads of", error))?;
        let starts: Vec<(i32, i64)> = self.starts().clone();
        let start = |(partition, start): (i32, i64)| match assigned
            .find_partition(self.topic.name(), partition)
            .map(|found| found.offset())
        {
            Some(Offset::Offset(at)) => (partition, at),
            _ => (partition, start),
        };
        let starts: Vec<(i32, i64)> = starts.into_iter().map(start).collect();
        Ok(pool::positions(&self.client, self.topic.name(), &starts))
    }

    /// Assigns the consumer again, to each partition of its topic at the offset that `place` makes of where it was: what it
    /// had fetched and reported before is discarded.
    ///
    /// What the test has assigned beside stays as it is.
    pub(super) fn assign_again(&self, place: impl Fn(i32, i64) -> i64) -> Result<()> {
        let failed = |error| self.failed("assign a consumer to", error);
        let places: Vec<(i32, i64)> =
            self.places()?.into_iter().map(|(partition, at)| (partition, place(partition, at))).collect();
        let (assigned, positions) =
            (self.client.assignment().map_err(failed)?, self.client.position().map_err(failed)?);
        let mut list = TopicPartitionList::with_capacity(assigned.count());
        for element in assigned.elements() {
            let (topic, partition) = (element.topic(), element.partition());
            let own = places.iter().find(|(of, _)| topic == self.topic.name() && *of == partition);
            let position = positions.find_partition(topic, partition).map(|found| found.offset());
            let offset = match (own, position) {
                (Some((_, at)), _) => Offset::Offset(*at),
                (None, Some(at @ Offset::Offset(_))) => at,
                (None, _) => element.offset(),
            };
            list.add_partition_offset(topic, partition, offset).map_err(failed)?;
        }
        *self.starts() = places;
        self.client.unassign().map_err(failed)?;
        self.client.assign(&list).map_err(failed)
    }

    /// The numbers of the partitions that the test has assigned of other topics: their ends are reported without a name.
    pub(super) fn other_partitions(&self) -> Vec<i32> {
        let assigned = self.client.assignment().unwrap_or_default();
        let others = assigned.elements().into_iter().filter(|element| element.topic() != self.topic.name());
        others.map(|element| element.partition()).collect()
    }
}
