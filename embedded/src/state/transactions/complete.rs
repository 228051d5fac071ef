//! The end of a transaction in its partitions and groups.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;

use super::transaction::Partitions;
use super::{Producer, TransactionSupport};
use crate::clock::Time;
use crate::state::groups::{Commit, Committals};
use crate::state::{Cluster, internal};

/// The epoch of every coordinator. It never changes, because a transactional id never moves to another coordinator.
const COORDINATOR_EPOCH: i32 = 0;

impl Cluster {
    /// Assigns a transactional id to a producer after its open transaction is aborted, see
    /// [`Transactions::init`](super::Transactions::init).
    pub(crate) fn init_transactional_id(
        &mut self,
        id: &str,
        timeout: i32,
        had: Option<Producer>,
        now: Time,
    ) -> Result<Producer, ResponseError> {
        self.transactions.fence(id, timeout, had, now)?;
        self.write_markers(now);
        self.transactions.init(id, timeout, had, now)
    }

    /// Ends a transaction, see [`Transactions::end`](super::Transactions::end).
    pub(crate) fn end_transaction(
        &mut self,
        id: &str,
        producer: Producer,
        commit: bool,
        bump: bool,
        now: Time,
    ) -> Result<Producer, ResponseError> {
        let result = self.transactions.end(id, producer, commit, bump, now);
        self.write_markers(now);
        result
    }

    /// Checks whether a producer may write to a partition within its transaction (KIP-890). Produce asks this before the first
    /// batch of a transaction in a partition, and TxnOffsetCommit asks it too. With [`TransactionSupport::Add`], the partition
    /// is added to the transaction.
    pub(crate) fn admit_to_transaction(
        &mut self,
        now: Time,
        transactional_id: &str,
        (id, epoch): (i64, i16),
        partition: (&str, i32),
        support: TransactionSupport,
    ) -> Result<(), ResponseError> {
        let producer = Producer { id, epoch };
        self.transactions.verify(transactional_id, producer, partition, support, now).map_err(|error| match error {
            // Return the error that a producer expects from a write.
            ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
            error => error,
        })
    }

    /// Checks whether a producer may commit offsets of a group within its transaction. The group's partition of
    /// `__consumer_offsets` checks first. It refuses an old epoch, and skips the transactional id if it knows the transaction.
    pub(crate) fn admit_offsets(
        &mut self,
        now: Time,
        transactional_id: &str,
        producer: (i64, i16),
        group_id: &str,
        support: TransactionSupport,
    ) -> Result<(), ResponseError> {
        let partition = self.coordinator_partition(group_id);
        if let Some(producers) = self.offset_producers(partition) {
            producers.check_epoch(producer)?;
            if producers.has_open_transaction(producer.0, producer.1) {
                return Ok(());
            }
        }
        self.admit_to_transaction(now, transactional_id, producer, (internal::OFFSETS, partition), support)
    }

    /// Commits the offsets of a producer that was [admitted](Self::admit_offsets).
    pub(crate) fn commit_transactional(
        &mut self,
        commit: &Commit<'_>,
        producer: (i64, i16),
        now: Time,
    ) -> Result<Committals, ResponseError> {
        let results = self.groups.commit_transactional(commit, producer.0, &self.configs, now)?;
        let partition = self.coordinator_partition(commit.group_id);
        if let Some(producers) = self.offset_producers(partition).filter(|_| results.iter().any(Result::is_ok)) {
            producers.committed_offsets(producer, now);
        }
        Ok(results)
    }

    /// Processes the timeouts of transactions that are over by now.
    pub(in crate::state) fn expire_transactions(&mut self, now: Time) {
        self.transactions.expire(now);
        self.write_markers(now);
    }

    fn write_markers(&mut self, now: Time) {
        for (transactional_id, ended) in std::mem::take(&mut self.transactions.ended) {
            let Producer { id, epoch } = ended.producer;
            let mut refused = Partitions::new();
            for (topic, partitions) in ended.partitions {
                if topic == internal::OFFSETS {
                    self.groups.complete_transaction(id, ended.commit);
                    for partition in partitions {
                        if let Some(producers) = self.offset_producers(partition) {
                            producers.ended_offsets((id, epoch), COORDINATOR_EPOCH, now);
                        }
                    }
                    continue;
                }
                let refuses = |partition: &i32| {
                    let partition = (topic.as_str(), *partition);
                    // A topic may have been deleted during the transaction.
                    let result =
                        self.topics.append_marker(now, partition, (id, epoch), COORDINATOR_EPOCH, ended.commit);
                    result == Err(ResponseError::InvalidProducerEpoch)
                };
                let refusing: BTreeSet<i32> = partitions.into_iter().filter(refuses).collect();
                if !refusing.is_empty() {
                    refused.insert(topic, refusing);
                }
            }
            if !refused.is_empty() {
                self.transactions.refuse_markers(&transactional_id, refused);
            }
        }
    }
}
