//! The error of a receive in vain: what the broker says now, on whichever thread it is asked.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::{Offset, TopicPartitionList};

use super::LeasedConsumer;
use crate::model::error::{Error, PartitionState, ReceiveTimeout, Result};
use crate::model::topic::TopicNow;
use crate::sync::wait::{Calls, Deadline};

/// How long the message of a timeout may wait for the end offsets, and again for those of committed messages.
const ASK_FOR_ENDS: Duration = Duration::from_secs(1);

/// The ends of a topic's partitions.
pub(super) struct Ends {
    all: Result<TopicNow>,
    /// How far a reader of committed messages gets; none where that is all.
    stable: Vec<(i32, i64)>,
    /// Whether the consumer's own client was asked, and answered for every partition.
    own_answers: bool,
}

impl Ends {
    fn stable_of(&self, partition: i32) -> Option<i64> {
        self.stable.iter().find(|(of, _)| *of == partition).map(|(_, at)| *at)
    }
}

/// The partitions that stand before these ends, with the end of each.
fn behind(stands: &[(i32, i64)], ends: &[i64]) -> impl Iterator<Item = (i32, i64)> {
    let end_of = |partition: i32| ends.get(partition as usize).copied();
    stands.iter().filter_map(move |(partition, at)| Some((*partition, end_of(*partition).filter(|end| at < end)?)))
}

impl LeasedConsumer {
    pub(super) async fn timed_out(&self, calls: Calls, deadline: Deadline, expected: usize, received: usize) -> Error {
        let ends = calls.run(self.ask_all_ends()).await;
        let blocked_runtime = calls == Calls::OnThisThread && in_tokio();
        self.timed_out_at(ends, deadline, expected, received, blocked_runtime)
    }

    /// Whether there are offsets before these ends that were read past without a message: what a transaction has aborted, its
    /// markers, or one that is still open.
    pub(super) fn has_skipped_to(&self, ends: &[i64]) -> bool {
        behind(&self.stands(), ends).next().is_some()
    }

    /// Where a reader of committed messages does not get to these ends, nobody can tell what stands before them.
    pub(super) fn check_decided(&self, asked: Ends, ends: &[i64], deadline: Deadline) -> Result<()> {
        if behind(&self.stands(), ends).all(|(partition, end)| asked.stable_of(partition) >= Some(end)) {
            return Ok(());
        }
        Err(self.timed_out_at(asked, deadline, 0, 0, false))
    }

    pub(super) fn ask_all_ends(&self) -> impl FnOnce() -> Ends + Send + 'static {
        let ask = self.ask_now();
        // The consumer's own client, which asks as it reads: for committed messages, unless it is configured otherwise.
        let (client, topic, stands) = (Arc::clone(&self.client), self.topic().clone(), self.stands());
        move || {
            let all = ask(Deadline::after(ASK_FOR_ENDS));
            let (mut stable, mut own_answers) = (Vec::new(), false);
            if let Ok(TopicNow { ends, .. }) = &all
                && behind(&stands, ends).next().is_some()
            {
                let mut list = TopicPartitionList::with_capacity(stands.len());
                for (partition, _) in &stands {
                    // A topic's name has no 0 in it: it is left out of the answer then, as by a broker that does not say.
                    let _ = list.add_partition_offset(topic.name(), *partition, Offset::End);
                }
                if let Ok(answer) = client.offsets_for_times(list, ASK_FOR_ENDS) {
                    let answer = answer.elements_for_topic(topic.name());
                    own_answers = answer.iter().all(|element| element.error().is_ok());
                    stable.extend(answer.iter().filter_map(|element| match element.offset() {
                        Offset::Offset(offset) => Some((element.partition(), offset)),
                        _ => None,
                    }));
                }
            }
            Ends { all, stable, own_answers }
        }
    }

    fn timed_out_at(
        &self,
        ends: Ends,
        deadline: Deadline,
        expected: usize,
        received: usize,
        blocked_runtime: bool,
    ) -> Error {
        if let Ok(now) = &ends.all
            && let Err(error) = self.follow(now)
        {
            return error;
        }
        let broker = self.lease.lease().cluster().broker();
        let end_of = |partition: i32| ends.all.as_ref().ok().and_then(|now| now.ends.get(partition as usize)).copied();
        let partitions = self
            .positions()
            .into_iter()
            .map(|(partition, position, assigned)| PartitionState {
                partition,
                fence: self.topic().fence(partition),
                position,
                end: end_of(partition),
                open_transaction: ends.stable_of(partition).filter(|at| end_of(partition).is_some_and(|end| *at < end)),
                assigned,
            })
            .collect();
        let end_offsets_error = match &ends.all {
            Err(Error::Unreachable { source, .. } | Error::Broker { source, .. }) => source.clone(),
            _ => None,
        };
        Error::Timeout(Arc::new(ReceiveTimeout {
            topic: self.topic().name().to_owned(),
            broker: broker.name().to_owned(),
            waited: deadline.allowed(),
            expected: expected.max(1),
            received,
            partitions,
            end_offsets_error,
            last_error: self.standing_error(&ends),
            blocked_runtime,
        }))
    }

    /// What the client reported last, if that may be why nothing comes.
    ///
    /// What it reported of its connections may be from when nobody waited, and over: then there is nothing to deliver, or it
    /// answers.
    fn standing_error(&self, ends: &Ends) -> Option<String> {
        if let Some(error) = self.fetch_error().clone() {
            return Some(error);
        }
        let delivers = ends.all.as_ref().is_ok_and(|now| behind(&self.stands(), &now.ends).next().is_none());
        if delivers || ends.own_answers {
            return None;
        }
        self.client.context().errors().last().map(|(error, reason)| format!("{error} ({reason})"))
    }
}

/// Whether this thread belongs to a tokio runtime, whose tasks a blocking call may keep from running.
fn in_tokio() -> bool {
    #[cfg(feature = "tokio")]
    {
        tokio::runtime::Handle::try_current().is_ok()
    }
    #[cfg(not(feature = "tokio"))]
    {
        false
    }
}
