//! Reads the current state of a topic, and the first and end offsets of its partitions.

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use uuid::Uuid;

use super::client::ClientErrors;
use super::control::{Control, POLL_INTERVAL, Partitions, process_events};
use super::topics::describe;
use crate::model::error::Result;
use crate::model::error::codes::{code_of, is_passing, is_unknown_topic};
use crate::model::topic::TopicNow;
use crate::sync::wait::Deadline;

impl Control {
    /// Returns the topic's id and end offsets, once every partition has a leader. Returns `Ok(None)` if the topic does not exist.
    ///
    /// This takes one request for the partitions, and one request per broker for the end offsets.
    pub(crate) fn topic_now(&self, topic: &str, deadline: Deadline) -> Result<Option<TopicNow>> {
        match self.topic_in_memory(topic) {
            Some(now) => Ok(now),
            None => self.request_topic(topic, deadline),
        }
    }

    /// Reads the topic from the memory of an embedded broker, because a request would take half as long as sending a message.
    /// Returns `None` if the broker is not embedded or has faults, because a test must see its faults.
    fn topic_in_memory(&self, topic: &str) -> Option<Option<TopicNow>> {
        let embedded = self.embedded.as_ref().filter(|embedded| !embedded.has_faults())?;
        Some(embedded.end_offsets(topic).map(|now| TopicNow { id: Uuid::from_u128(now.topic_id), ends: now.offsets }))
    }

    /// Returns the first offset of each partition: the offset of the first message that was not deleted.
    pub(crate) fn beginnings(&self, topic: &str, partitions: i32, deadline: Deadline) -> Result<Vec<i64>> {
        let client = self.client();
        loop {
            let mut beginnings = vec![0; partitions as usize];
            let outcome = offsets(client, topic, partitions, Offset::Beginning, deadline, |partition, at| {
                if let Some(first) = beginnings.get_mut(partition) {
                    *first = at;
                }
            });
            let error = match outcome {
                Ok(()) => return Ok(beginnings),
                Err(error) => error,
            };
            // If the topic was created again, the client may still have the leaders of the old topic.
            match code_of(&error) {
                Some(code) if (is_passing(code) || is_unknown_topic(code)) && !deadline.has_passed() => {
                    self.partitions_by(client, topic, deadline)?;
                    deadline.pause(POLL_INTERVAL);
                }
                Some(code) if is_passing(code) => return Err(self.unreachable_by(client, deadline, Some(error))),
                _ => return Err(self.failed(format!("read the first offsets of topic {topic:?}"), error)),
            }
        }
    }

    fn request_topic(&self, topic: &str, deadline: Deadline) -> Result<Option<TopicNow>> {
        let client = self.client();
        process_events(client);
        loop {
            let error = match request_once(client, topic, deadline) {
                Ok(now) => {
                    client.context().forget();
                    return Ok(Some(now));
                }
                Err(error) => error,
            };
            match code_of(&error) {
                // A client reports this for a topic that has just lost its leader too, so only the metadata is conclusive.
                // This client has to request the metadata. Otherwise librdkafka 2.12 caches the response of a broker that
                // did not know the topic yet, until every older topic has expired (`metadata.max.age.ms`, 15 minutes).
                Some(code) if is_unknown_topic(code) => {
                    if self.partitions_by(client, topic, deadline)? == Partitions::Unknown {
                        return Ok(None);
                    }
                    if deadline.has_passed() {
                        return Err(self.unreachable_by(client, deadline, Some(error)));
                    }
                    deadline.pause(POLL_INTERVAL);
                }
                Some(code) if is_passing(code) && !deadline.has_passed() => deadline.pause(POLL_INTERVAL),
                Some(code) if is_passing(code) => return Err(self.unreachable_by(client, deadline, Some(error))),
                _ => return Err(self.failed(format!("read the end offsets of topic {topic:?}"), error)),
            }
        }
    }
}

/// Sends one request for the topic, then one to each broker that leads any of its partitions.
fn request_once(client: &BaseConsumer<ClientErrors>, topic: &str, deadline: Deadline) -> Result<TopicNow, KafkaError> {
    let described = describe(client.client(), topic, deadline)?;
    let mut ends = vec![-1; described.partitions as usize];
    offsets(client, topic, described.partitions, Offset::End, deadline, |partition, end| {
        if let Some(slot) = ends.get_mut(partition) {
            *slot = end;
        }
    })?;
    if ends.iter().any(|end| *end < 0) {
        return Err(KafkaError::OffsetFetch(RDKafkaErrorCode::OffsetNotAvailable));
    }
    Ok(TopicNow { id: described.id, ends })
}

/// Reads the first offsets or the end offsets, with one request to each broker that leads any of the partitions.
fn offsets(
    client: &BaseConsumer<ClientErrors>,
    topic: &str,
    partitions: i32,
    which: Offset,
    deadline: Deadline,
    mut set: impl FnMut(usize, i64),
) -> Result<(), KafkaError> {
    let mut list = TopicPartitionList::with_capacity(partitions as usize);
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, which)?;
    }
    for element in client.offsets_for_times(list, deadline.remaining())?.elements() {
        element.error()?;
        if let Offset::Offset(offset) = element.offset() {
            set(element.partition() as usize, offset);
        }
    }
    Ok(())
}
