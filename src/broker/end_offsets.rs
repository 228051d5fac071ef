//! Where the partitions of a topic end: what a fence is.

use std::sync::OnceLock;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::client::{self, ClientErrors, code_of};
use super::control::{Control, LOOK_AGAIN, Partitions, is_passing, is_unknown_topic};
use super::gather::{Answer, Gathering, Question};
use crate::error::Result;
use crate::wait::Deadline;

/// A process that never has more lanes than these at once gains nothing from a connection for their fences alone.
const FEW_LANES: usize = 4;

/// What the lanes of a process that has many take their fences by.
#[derive(Default)]
pub(super) struct SharedFences {
    /// A connection for nothing else: a commit of a group's offsets takes Kafka 8 ms, and all behind it on its connection waits.
    /// Made when there are more than a few lanes; `None` in it: it could not be made.
    client: OnceLock<Option<BaseConsumer<ClientErrors>>>,
    gathering: Gathering,
}

impl Control {
    /// As [`end_offsets`](Self::end_offsets), for a lane: together with others that ask at the same time.
    pub(crate) fn end_offsets_for(
        &self,
        lane: usize,
        topic: &str,
        partitions: i32,
        deadline: Deadline,
    ) -> Result<Option<Vec<i64>>> {
        let make = || client::create(&self.config, ClientErrors::default(), "control client", &self.broker).ok();
        let shared = match lane {
            ..FEW_LANES => self.fences.client.get(),
            _ => Some(self.fences.client.get_or_init(make)),
        };
        let Some(client) = shared.and_then(Option::as_ref) else {
            return self.end_offsets(topic, partitions, deadline);
        };
        let request = |question: &Question| ask(client, question, deadline);
        match self.fences.gathering.ask(topic, partitions, deadline, request) {
            Some(offsets) => Ok(Some(offsets)),
            None => self.end_offsets_by(client, topic, partitions, deadline),
        }
    }

    /// The end offset of each partition of a topic that has leaders: one request per broker.
    ///
    /// `Ok(None)` when the broker says that there is no such topic.
    pub(crate) fn end_offsets(&self, topic: &str, partitions: i32, deadline: Deadline) -> Result<Option<Vec<i64>>> {
        self.end_offsets_by(self.client(), topic, partitions, deadline)
    }

    fn end_offsets_by(
        &self,
        client: &BaseConsumer<ClientErrors>,
        topic: &str,
        partitions: i32,
        deadline: Deadline,
    ) -> Result<Option<Vec<i64>>> {
        let question = Question::from([(topic.to_owned(), partitions)]);
        loop {
            let error = match ask(client, &question, deadline) {
                Ok(mut answer) => return Ok(answer.remove(topic)),
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
                        return Err(self.unreachable(deadline, Some(error)));
                    }
                    deadline.pause(LOOK_AGAIN);
                }
                Some(code) if is_passing(code) && !deadline.has_passed() => deadline.pause(LOOK_AGAIN),
                Some(code) if is_passing(code) => return Err(self.unreachable(deadline, Some(error))),
                _ => return Err(self.failed(format!("read the end offsets of topic {topic:?}"), error)),
            }
        }
    }
}

/// One request to each broker that leads any of the partitions.
fn ask(client: &BaseConsumer<ClientErrors>, question: &Question, deadline: Deadline) -> Result<Answer, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(question.values().map(|partitions| *partitions as usize).sum());
    for (topic, partitions) in question {
        for partition in 0..*partitions {
            list.add_partition_offset(topic, partition, Offset::End)?;
        }
    }
    let answer = client.offsets_for_times(list, deadline.remaining())?;
    let unanswered = |(topic, partitions): (&String, &i32)| (topic.clone(), vec![-1; *partitions as usize]);
    let mut offsets: Answer = question.iter().map(unanswered).collect();
    for element in answer.elements() {
        element.error()?;
        let place = offsets.get_mut(element.topic()).and_then(|ends| ends.get_mut(element.partition() as usize));
        if let (Some(place), Offset::Offset(offset)) = (place, element.offset()) {
            *place = offset;
        }
    }
    if offsets.values().flatten().any(|end| *end < 0) {
        return Err(KafkaError::OffsetFetch(RDKafkaErrorCode::OffsetNotAvailable));
    }
    Ok(offsets)
}
