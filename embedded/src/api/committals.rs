//! Shared parts of the requests that commit and delete offsets: the results of all offsets.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName;

use super::Cx;
use crate::state::groups::Committals;

/// The topics of a response, each with the results of its partitions.
pub(super) type Answers = Vec<(TopicName, Vec<(i32, Result<(), ResponseError>)>)>;

/// The offsets of a request whose partitions exist and which the client may read.
pub(super) struct Committable<'a, T> {
    pub(super) offsets: Vec<T>,
    names: Vec<(&'a TopicName, Vec<i32>)>,
    refused: Answers,
}

impl Cx<'_> {
    /// Selects the offsets of a request that may be committed or deleted.
    pub(super) fn committable<'a, T, P: Iterator<Item = (i32, T)>>(
        &self,
        topics: impl Iterator<Item = (&'a TopicName, P)>,
    ) -> Committable<'a, T> {
        let mut found = Committable { offsets: Vec::new(), names: Vec::new(), refused: Vec::new() };
        for (name, partitions) in topics {
            let mut indexes = Vec::new();
            for (index, offset) in partitions {
                match self.check_committable(name, index) {
                    Ok(()) => {
                        indexes.push(index);
                        found.offsets.push(offset);
                    }
                    Err(error) => add(&mut found.refused, name, vec![(index, Err(error))]),
                }
            }
            if !indexes.is_empty() {
                found.names.push((name, indexes));
            }
        }
        found
    }
}

impl<T> Committable<'_, T> {
    /// Returns the results of all partitions. If offsets were refused, they come first and each topic occurs once, as in Kafka.
    /// Otherwise each topic occurs as often as in the request.
    pub(super) fn answers(self, committals: Committals) -> Answers {
        let mut committals = committals.into_iter();
        let merged = !self.refused.is_empty();
        let mut answers = self.refused;
        for (name, indexes) in self.names {
            let partitions = indexes.into_iter().map(|index| (index, committals.next().unwrap_or(Ok(())))).collect();
            match merged {
                true => add(&mut answers, name, partitions),
                false => answers.push((name.clone(), partitions)),
            }
        }
        answers
    }
}

fn add(answers: &mut Answers, name: &TopicName, mut partitions: Vec<(i32, Result<(), ResponseError>)>) {
    match answers.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => known.append(&mut partitions),
        None => answers.push((name.clone(), partitions)),
    }
}
