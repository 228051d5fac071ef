//! What a topic is now, and where its partitions end: what a fence is.

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use uuid::Uuid;

use super::client::ClientErrors;
use super::control::{Control, LOOK_AGAIN, Partitions, take_in_errors};
use super::topics::describe;
use crate::model::error::Result;
use crate::model::error::codes::{code_of, is_passing, is_unknown_topic};
use crate::model::topic::TopicNow;
use crate::sync::wait::Deadline;

impl Control {
    /// A topic of which every partition has a leader, as it is now: its partitions are asked for, then one request per broker for
    /// their ends.
    ///
    /// `Ok(None)` when the broker says that there is no such topic.
    pub(crate) fn topic_now(&self, topic: &str, deadline: Deadline) -> Result<Option<TopicNow>> {
        match self.topic_here(topic) {
            Some(now) => Ok(now),
            None => self.ask_what_it_is(topic, deadline),
        }
    }

    /// The same where the broker is in this process and nothing is wrong with it: read from its memory, without a request,
    /// which would cost a case as much again as half its message. What a fault may change is asked for over the network, so that a test
    /// meets the fault.
    fn topic_here(&self, topic: &str) -> Option<Option<TopicNow>> {
        let embedded = self.embedded.as_ref().filter(|embedded| !embedded.has_faults())?;
        Some(embedded.end_offsets(topic).map(|now| TopicNow { id: Uuid::from_u128(now.topic_id), ends: now.offsets }))
    }

    /// Where each of the partitions of a topic begins: at the first record that was not deleted.
    pub(crate) fn beginnings(&self, topic: &str, partitions: i32, deadline: Deadline) -> Result<Vec<i64>> {
        let client = self.client();
        loop {
            let mut beginnings = vec![0; partitions as usize];
            let outcome = offsets(client, topic, partitions, Offset::Beginning, deadline, |partition, at| {
                if let Some(beginning) = beginnings.get_mut(partition) {
                    *beginning = at;
                }
            });
            let error = match outcome {
                Ok(()) => return Ok(beginnings),
                Err(error) => error,
            };
            // The client may still know the leaders of before, where the topic was created again.
            match code_of(&error) {
                Some(code) if (is_passing(code) || is_unknown_topic(code)) && !deadline.has_passed() => {
                    self.partitions_by(client, topic, deadline)?;
                    deadline.pause(LOOK_AGAIN);
                }
                Some(code) if is_passing(code) => return Err(self.unreachable_by(client, deadline, Some(error))),
                _ => return Err(self.failed(format!("read the first offsets of topic {topic:?}"), error)),
            }
        }
    }

    fn ask_what_it_is(&self, topic: &str, deadline: Deadline) -> Result<Option<TopicNow>> {
        let client = self.client();
        take_in_errors(client);
        loop {
            let error = match ask(client, topic, deadline) {
                Ok(now) => {
                    client.context().forget();
                    return Ok(Some(now));
                }
                Err(error) => error,
            };
            match code_of(&error) {
                // A client says so, too, of a topic whose leader has just gone: only the metadata tells. It is this client
                // that has to ask: librdkafka 2.12 keeps the answer of a broker that had not heard of the topic yet until
                // every topic that it had learned of before has expired (`metadata.max.age.ms`, 15 minutes), or until it
                // asks again.
                Some(code) if is_unknown_topic(code) => {
                    if self.partitions_by(client, topic, deadline)? == Partitions::Unknown {
                        return Ok(None);
                    }
                    if deadline.has_passed() {
                        return Err(self.unreachable_by(client, deadline, Some(error)));
                    }
                    deadline.pause(LOOK_AGAIN);
                }
                Some(code) if is_passing(code) && !deadline.has_passed() => deadline.pause(LOOK_AGAIN),
                Some(code) if is_passing(code) => return Err(self.unreachable_by(client, deadline, Some(error))),
                _ => return Err(self.failed(format!("read the end offsets of topic {topic:?}"), error)),
            }
        }
    }
}

/// One request for the topic, then one to each broker that leads any of its partitions.
fn ask(client: &BaseConsumer<ClientErrors>, topic: &str, deadline: Deadline) -> Result<TopicNow, KafkaError> {
    let described = describe(client.client(), topic, deadline)?;
    let mut ends = vec![-1; described.partitions as usize];
    offsets(client, topic, described.partitions, Offset::End, deadline, |partition, end| {
        if let Some(place) = ends.get_mut(partition) {
            *place = end;
        }
    })?;
    if ends.iter().any(|end| *end < 0) {
        return Err(KafkaError::OffsetFetch(RDKafkaErrorCode::OffsetNotAvailable));
    }
    Ok(TopicNow { id: described.id, ends })
}

/// One request to each broker that leads any of the partitions: where they begin, or end.
fn offsets(
    client: &BaseConsumer<ClientErrors>,
    topic: &str,
    partitions: i32,
    which: Offset,
    deadline: Deadline,
    mut answered: impl FnMut(usize, i64),
) -> Result<(), KafkaError> {
    let mut list = TopicPartitionList::with_capacity(partitions as usize);
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, which)?;
    }
    for element in client.offsets_for_times(list, deadline.remaining())?.elements() {
        element.error()?;
        if let Offset::Offset(offset) = element.offset() {
            answered(element.partition() as usize, offset);
        }
    }
    Ok(())
}
