//! Transactions, in the right order and in wrong ones.

use std::time::{Duration, Instant};

use kafka_protocol::messages::add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::*;

use super::offsets::{As, GROUPS};
use super::producers::FIRST_TRANSACTIONAL;
use super::random::Random;
use super::side::Side;
use super::topics::TOPICS;

/// What is seen of a transaction whose marker a partition refuses.
pub const NEVER_ENDS: &str = "the transaction does not end";

#[derive(Debug, Clone)]
pub enum Op {
    Init { slot: u8, known: bool, epoch: i8, version: u8 },
    Add { slot: u8, topic: u8, partition: u8, epoch: i8, version: u8 },
    AddOffsets { slot: u8, group: u8, epoch: i8, version: u8 },
    Commit { slot: u8, group: u8, by: As, topic: u8, partition: u8, offset: i64, epoch: i8, version: u8 },
    End { slot: u8, commit: bool, epoch: i8, version: u8 },
    Describe { slot: u8 },
    List { ongoing: bool },
}

impl Op {
    pub fn random(random: &mut Random) -> Self {
        let slot = FIRST_TRANSACTIONAL + random.below(2);
        let (topic, partition, group) = (random.below(TOPICS), random.pick(&[0, 0, 1, 2]), random.below(GROUPS));
        let (epoch, version) = (random.slip(6), random.below(20));
        match random.below(20) {
            0..3 => Self::Init { slot: random.below(4), known: random.chance(20), epoch, version },
            3..8 => Self::Add { slot, topic, partition, epoch, version },
            8 => Self::AddOffsets { slot, group, epoch, version },
            9..12 => {
                let (by, offset) = (As::random(random), random.below(20).into());
                Self::Commit { slot, group, by, topic, partition, offset, epoch, version }
            }
            12..17 => Self::End { slot, commit: random.chance(60), epoch, version },
            17..19 => Self::Describe { slot },
            _ => Self::List { ongoing: random.chance(50) },
        }
    }

    pub fn reads(&self) -> bool {
        matches!(self, Self::Describe { .. } | Self::List { .. })
    }

    pub fn apply(&self, side: &mut Side) -> Result<String, String> {
        match *self {
            Self::Init { slot, known, epoch, version } => init(side, slot, known, epoch, version),
            Self::Add { slot, topic, partition, epoch, version } => {
                let version = side.version::<AddPartitionsToTxnRequest>(version);
                let (id, name) = (TransactionalId(side.transactional_id(slot)), side.topic(topic));
                let (producer_id, producer_epoch) = producer(side, slot, epoch);
                let topic = AddPartitionsToTxnTopic::default().with_name(name).with_partitions(vec![partition.into()]);
                let request = match version {
                    ..4 => AddPartitionsToTxnRequest::default()
                        .with_v3_and_below_transactional_id(id)
                        .with_v3_and_below_producer_id(producer_id)
                        .with_v3_and_below_producer_epoch(producer_epoch)
                        .with_v3_and_below_topics(vec![topic]),
                    _ => AddPartitionsToTxnRequest::default().with_transactions(vec![
                        AddPartitionsToTxnTransaction::default()
                            .with_transactional_id(id)
                            .with_producer_id(producer_id)
                            .with_producer_epoch(producer_epoch)
                            .with_topics(vec![topic]),
                    ]),
                };
                let response = side.call(&request, version)?;
                Ok(side.show(&response))
            }
            Self::AddOffsets { slot, group, epoch, version } => {
                let version = side.version::<AddOffsetsToTxnRequest>(version);
                let (producer_id, producer_epoch) = producer(side, slot, epoch);
                let request = AddOffsetsToTxnRequest::default()
                    .with_transactional_id(TransactionalId(side.transactional_id(slot)))
                    .with_producer_id(producer_id)
                    .with_producer_epoch(producer_epoch)
                    .with_group_id(GroupId(side.group(group)));
                let response = side.call(&request, version)?;
                Ok(side.show(&response))
            }
            Self::Commit { slot, group, by, topic, partition, offset, epoch, version } => {
                let version = side.version::<TxnOffsetCommitRequest>(version);
                let (producer_id, producer_epoch) = producer(side, slot, epoch);
                let (member_id, generation) = by.of(side, group);
                let committed = TxnOffsetCommitRequestPartition::default()
                    .with_partition_index(partition.into())
                    .with_committed_offset(offset);
                let topic = TxnOffsetCommitRequestTopic::default()
                    .with_name(side.topic(topic))
                    .with_partitions(vec![committed]);
                let mut request = TxnOffsetCommitRequest::default()
                    .with_transactional_id(TransactionalId(side.transactional_id(slot)))
                    .with_group_id(GroupId(side.group(group)))
                    .with_producer_id(producer_id)
                    .with_producer_epoch(producer_epoch)
                    .with_topics(vec![topic]);
                if version >= 3 {
                    request = request.with_member_id(member_id).with_generation_id(generation);
                }
                let response = side.call(&request, version)?;
                Ok(side.show(&response))
            }
            Self::End { slot, commit, epoch, version } => {
                let version = side.version::<EndTxnRequest>(version);
                let (producer_id, producer_epoch) = producer(side, slot, epoch);
                let request = EndTxnRequest::default()
                    .with_transactional_id(TransactionalId(side.transactional_id(slot)))
                    .with_producer_id(producer_id)
                    .with_producer_epoch(producer_epoch)
                    .with_committed(commit);
                let response = side.call(&request, version)?;
                if response.error_code == 0 && version >= 5 {
                    side.learn_producer(response.producer_id.0);
                    side.producers[slot as usize].given(response.producer_id.0, response.producer_epoch);
                }
                settled(side, slot)?;
                Ok(side.show(&response))
            }
            Self::Describe { slot } => describe(side, slot),
            Self::List { ongoing } => {
                let mut request = ListTransactionsRequest::default();
                if ongoing {
                    request.state_filters = vec!["Ongoing".to_owned().into()];
                }
                let mut response = side.call(&request, 0)?;
                let ours = side.transactional_id(0).replace("x0", "");
                response.transaction_states.retain(|state| state.transactional_id.starts_with(&ours));
                response.transaction_states.sort_by(|left, right| left.transactional_id.cmp(&right.transactional_id));
                Ok(side.show(&response))
            }
        }
    }
}

fn init(side: &mut Side, slot: u8, known: bool, epoch: i8, version: u8) -> Result<String, String> {
    let version = side.version::<InitProducerIdRequest>(version);
    let transactional = slot >= FIRST_TRANSACTIONAL;
    let mut request = InitProducerIdRequest::default()
        .with_transactional_id(transactional.then(|| TransactionalId(side.transactional_id(slot))))
        .with_transaction_timeout_ms(60_000);
    if known && version >= 3 {
        let (id, epoch) = producer(side, slot, epoch);
        request = request.with_producer_id(id).with_producer_epoch(epoch);
    }
    let response = side.call(&request, version)?;
    if response.error_code == 0 {
        side.learn_producer(response.producer_id.0);
        side.producers[slot as usize].given(response.producer_id.0, response.producer_epoch);
    }
    if transactional {
        settled(side, slot)?;
    }
    Ok(side.show(&response))
}

fn producer(side: &Side, slot: u8, epoch: i8) -> (ProducerId, i16) {
    let producer = &side.producers[slot as usize];
    (ProducerId(producer.id), (producer.epoch + i16::from(epoch)).max(0))
}

/// Waits until the markers of a transaction that ends are written.
fn settled(side: &mut Side, slot: u8) -> Result<(), String> {
    let began = Instant::now();
    while describe(side, slot)?.contains("Prepare") {
        if began.elapsed() > Duration::from_secs(10) {
            return Err(NEVER_ENDS.to_owned());
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    Ok(())
}

fn describe(side: &mut Side, slot: u8) -> Result<String, String> {
    let request = DescribeTransactionsRequest::default()
        .with_transactional_ids(vec![TransactionalId(side.transactional_id(slot))]);
    let mut response = side.call(&request, 0)?;
    for state in &mut response.transaction_states {
        state.topics.sort_by(|left, right| left.topic.cmp(&right.topic));
        for topic in &mut state.topics {
            topic.partitions.sort_unstable();
            // How many partitions it has is a setting of the broker's.
            if topic.topic.starts_with("__consumer_offsets") {
                topic.partitions.clear();
            }
        }
    }
    Ok(side.show(&response))
}
