//! Producers: plain, idempotent and transactional ones, with the right sequence numbers and wrong ones.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::*;

use super::random::Random;
use super::side::Side;
use super::topics::TOPICS;
use crate::common::Batch;

/// A producer as its client knows it. The first two are idempotent, the others transactional.
#[derive(Debug)]
pub struct Producer {
    pub id: i64,
    pub epoch: i16,
    /// By partition.
    sent: BTreeMap<(u8, u8), Sent>,
}

/// The next sequence number, and the batches that were taken: the first number and the count of each.
type Sent = (i32, Vec<(i32, u8)>);

impl Producer {
    /// Before it has asked for its id, it pretends to have one.
    pub fn new(slot: u8) -> Self {
        Self { id: 1_000_000 + i64::from(slot), epoch: 0, sent: BTreeMap::new() }
    }

    /// Starts again with what the broker has given it.
    pub fn given(&mut self, id: i64, epoch: i16) {
        if (self.id, self.epoch) != (id, epoch) {
            (self.id, self.epoch) = (id, epoch);
            self.sent.clear();
        }
    }
}

pub const FIRST_TRANSACTIONAL: u8 = 2;

#[derive(Debug, Clone)]
pub struct Op {
    topic: u8,
    partition: u8,
    count: u8,
    /// Seconds from the time of the case.
    time: i32,
    acks: i16,
    version: u8,
    by: Writer,
}

#[derive(Debug, Clone)]
enum Writer {
    Plain,
    Producer { slot: u8, sequence: Sequence, epoch: i8, transactional: bool },
}

#[derive(Debug, Clone, Copy)]
enum Sequence {
    Next,
    /// A batch that was sent before, the last one or an earlier one.
    Again(u8),
    Skip(i8),
    First,
}

impl Op {
    pub fn random(random: &mut Random) -> Self {
        let sequence = match random.below(20) {
            0..3 => Sequence::Again(0),
            3 => Sequence::Again(random.below(7)),
            4 => Sequence::Skip(random.pick(&[1, 2, -1])),
            5 => Sequence::First,
            _ => Sequence::Next,
        };
        let slot = random.below(4);
        let transactional = slot >= FIRST_TRANSACTIONAL && !random.chance(8) || random.chance(3);
        let by = match random.chance(30) {
            true => Writer::Plain,
            false => Writer::Producer { slot, sequence, epoch: random.slip(8), transactional },
        };
        Self {
            topic: random.below(TOPICS),
            partition: random.pick(&[0, 0, 0, 1, 1, 2, 3]),
            count: 1 + random.below(3),
            time: random.pick(&[0, 0, 0, 1, 2, 5, -1, -5, 7200, -7200]),
            acks: match by {
                Writer::Plain => random.pick(&[-1, -1, -1, 1, 1, 0, 2]),
                Writer::Producer { .. } => random.pick(&[-1, -1, -1, -1, 1, 1, 0, 2]),
            },
            version: random.below(20),
            by,
        }
    }

    pub fn apply(&self, side: &mut Side) -> Result<String, String> {
        // Versions before the third are only told.
        let version = side.version::<ProduceRequest>(self.version).max(3);
        let values: Vec<String> = (0..self.count).map(|n| format!("v{n}")).collect();
        let mut batch = Batch::of(&values.iter().map(String::as_str).collect::<Vec<_>>());
        batch.timestamp = side.time + i64::from(self.time) * 1000;
        batch.key = Some(b"k".to_vec());
        let at = (self.topic, self.partition);
        let mut next = None;
        let mut transactional_id = None;
        if let Writer::Producer { slot, sequence, epoch, transactional } = self.by {
            let producer = side.producers.get_mut(slot as usize).expect("a slot");
            let (due, taken) = producer.sent.entry(at).or_default();
            let (first, count) = match sequence {
                Sequence::Next => (*due, self.count),
                Sequence::First => (0, self.count),
                Sequence::Skip(by) => (due.saturating_add(i32::from(by)).max(0), self.count),
                Sequence::Again(back) => match taken.iter().rev().nth(back as usize) {
                    Some(&batch) => batch,
                    None => return Ok("nothing was sent".to_owned()),
                },
            };
            batch.values.truncate(count as usize);
            while batch.values.len() < count as usize {
                batch.values.push(b"more".to_vec());
            }
            batch = batch.producer(producer.id, (producer.epoch + i16::from(epoch)).max(0), first);
            if transactional {
                batch = batch.transactional();
                transactional_id = Some(TransactionalId(side.transactional_id(slot)));
            }
            next = Some((slot, first, count));
        }
        let request = self.request(side, version, batch.encode(), transactional_id);
        if self.acks == 0 {
            side.tell(&request, version)?;
            // It cannot be known whether it was taken; the client goes on as if it was.
            self.sent(side, next);
            return Ok(String::new());
        }
        let response = side.call(&request, version)?;
        if response.responses.first().is_some_and(|topic| topic.partition_responses[0].error_code == 0) {
            self.sent(side, next);
        }
        Ok(side.show(&response))
    }

    fn request(
        &self,
        side: &Side,
        version: i16,
        records: Bytes,
        transactional_id: Option<TransactionalId>,
    ) -> ProduceRequest {
        let partition =
            PartitionProduceData::default().with_index(i32::from(self.partition)).with_records(Some(records));
        let topic = TopicProduceData::default().with_partition_data(vec![partition]);
        let topic = match version {
            13.. => topic.with_topic_id(side.topic_id(self.topic)),
            _ => topic.with_name(side.topic(self.topic)),
        };
        ProduceRequest::default()
            .with_acks(self.acks)
            .with_timeout_ms(20_000)
            .with_transactional_id(transactional_id)
            .with_topic_data(vec![topic])
    }

    fn sent(&self, side: &mut Side, batch: Option<(u8, i32, u8)>) {
        let Some((slot, first, count)) = batch else { return };
        let producer = side.producers.get_mut(slot as usize).expect("a slot");
        let (due, taken) = producer.sent.entry((self.topic, self.partition)).or_default();
        if !taken.contains(&(first, count)) {
            taken.push((first, count));
            *due = first + i32::from(count);
        }
    }
}
