//! What a topic is now, and where its partitions end: what a fence is.

use std::sync::OnceLock;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use uuid::Uuid;

use super::client::{self, ClientErrors, code_of};
use super::control::{Control, LOOK_AGAIN, Partitions, is_passing, is_unknown_topic, take_in_errors};
use super::gather::{Answer, Gathering, Question};
use super::topics::describe;
use crate::error::Result;
use crate::wait::Deadline;

/// A process that never has more lanes than these at once gains nothing from a connection for their fences alone.
const FEW_LANES: usize = 4;

/// A topic as its broker has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicNow {
    /// Another one of the same name has another; nil where the broker gives its topics none.
    pub(crate) id: Uuid,
    /// The end offset of each partition.
    pub(crate) ends: Vec<i64>,
}

impl TopicNow {
    pub(crate) fn partitions(&self) -> i32 {
        self.ends.len() as i32
    }
}

/// What the lanes of a process that has many take their fences by.
#[derive(Default)]
pub(super) struct SharedFences {
    /// A connection for nothing else: a commit of a group's offsets takes Kafka 8 ms, and all behind it on its connection waits.
    /// Made when there are more than a few lanes; `None` in it: it could not be made.
    client: OnceLock<Option<BaseConsumer<ClientErrors>>>,
    gathering: Gathering,
}

impl Control {
    /// As [`topic_now`](Self::topic_now), for a lane: together with others that ask at the same time.
    pub(crate) fn topic_now_for(&self, lane: usize, topic: &str, deadline: Deadline) -> Result<Option<TopicNow>> {
        if let Some(now) = self.topic_here(topic) {
            return Ok(now);
        }
        let make = || client::create(&self.config, ClientErrors::default(), "control client", &self.broker).ok();
        let shared = match lane {
            ..FEW_LANES => self.fences.client.get(),
            _ => Some(self.fences.client.get_or_init(make)),
        };
        let Some(client) = shared.and_then(Option::as_ref) else {
            return self.topic_now(topic, deadline);
        };
        match self.fences.gathering.ask(topic, deadline, |question| ask(client, question, deadline)) {
            Some(now) => Ok(Some(now)),
            None => self.topic_now_by(client, topic, deadline),
        }
    }

    /// A topic of which every partition has a leader, as it is now: its partitions are asked for, then one request per broker for
    /// their ends.
    ///
    /// `Ok(None)` when the broker says that there is no such topic.
    pub(crate) fn topic_now(&self, topic: &str, deadline: Deadline) -> Result<Option<TopicNow>> {
        match self.topic_here(topic) {
            Some(now) => Ok(now),
            None => self.topic_now_by(self.client(), topic, deadline),
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
        let asked = [(topic.to_owned(), partitions)];
        loop {
            let mut beginnings = vec![0; partitions as usize];
            let outcome = offsets(client, &asked, Offset::Beginning, deadline, |_, partition, at| {
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

    fn topic_now_by(
        &self,
        client: &BaseConsumer<ClientErrors>,
        topic: &str,
        deadline: Deadline,
    ) -> Result<Option<TopicNow>> {
        let question = Question::from([topic.to_owned()]);
        take_in_errors(client);
        loop {
            let error = match ask(client, &question, deadline) {
                Ok(mut answer) => {
                    client.context().forget();
                    return Ok(answer.remove(topic));
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

/// One request for the topics, then one to each broker that leads any of their partitions.
fn ask(client: &BaseConsumer<ClientErrors>, question: &Question, deadline: Deadline) -> Result<Answer, KafkaError> {
    let topics: Vec<&str> = question.iter().map(String::as_str).collect();
    let mut answer = Answer::new();
    for (topic, described) in describe(client.client(), &topics, deadline)? {
        let described = described?;
        answer.insert(topic, TopicNow { id: described.id, ends: vec![-1; described.partitions as usize] });
    }
    let asked: Vec<(String, i32)> = answer.iter().map(|(topic, now)| (topic.clone(), now.partitions())).collect();
    offsets(client, &asked, Offset::End, deadline, |topic, partition, end| {
        if let Some(place) = answer.get_mut(topic).and_then(|now| now.ends.get_mut(partition)) {
            *place = end;
        }
    })?;
    if answer.values().flat_map(|now| &now.ends).any(|end| *end < 0) {
        return Err(KafkaError::OffsetFetch(RDKafkaErrorCode::OffsetNotAvailable));
    }
    Ok(answer)
}

/// One request to each broker that leads any of the partitions: where they begin, or end.
fn offsets(
    client: &BaseConsumer<ClientErrors>,
    topics: &[(String, i32)],
    which: Offset,
    deadline: Deadline,
    mut answered: impl FnMut(&str, usize, i64),
) -> Result<(), KafkaError> {
    let mut list = TopicPartitionList::with_capacity(topics.iter().map(|(_, partitions)| *partitions as usize).sum());
    for (topic, partitions) in topics {
        for partition in 0..*partitions {
            list.add_partition_offset(topic, partition, which)?;
        }
    }
    for element in client.offsets_for_times(list, deadline.remaining())?.elements() {
        element.error()?;
        if let Offset::Offset(offset) = element.offset() {
            answered(element.topic(), element.partition() as usize, offset);
        }
    }
    Ok(())
}
