//! Producer ids, and the transactional ids of the transaction coordinators.
//!
//! The names are those of Kafka's `TransactionCoordinator` and `TransactionMetadata`.

mod complete;
#[cfg(test)]
mod tests;
mod timeouts;
mod transaction;

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;

pub(crate) use self::transaction::{Producer, State, Transaction};

use self::transaction::{Ended, Partitions};
use crate::clock::Time;
use crate::state::timers::Timers;

/// All producer ids and transactional ids of a cluster, for all coordinators.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    by_id: BTreeMap<String, Transaction>,
    next_producer_id: i64,
    /// When a transactional id has its next timeout.
    timers: Timers<String>,
    /// How long an unused transactional id is kept, in milliseconds.
    expiration: i64,
    /// The ended transactions whose partitions have no marker yet, with their transactional ids.
    ended: Vec<(String, Ended)>,
}

/// The transaction support of a client's version of Produce or TxnOffsetCommit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransactionSupport {
    /// The partition must have been added. If not, the error is `INVALID_TXN_STATE`.
    Verify,
    /// The partition must have been added, and the client knows `TRANSACTION_ABORTABLE`.
    VerifyAbortable,
    /// The write adds the partition: transactions of version 2.
    Add,
}

impl Transactions {
    pub(crate) fn new(expiration: i64) -> Self {
        Self { expiration, ..Self::default() }
    }

    /// Returns a new producer id.
    pub(crate) fn new_producer_id(&mut self) -> i64 {
        let id = self.next_producer_id;
        self.next_producer_id += 1;
        id
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Transaction> {
        self.by_id.get(id)
    }

    /// Returns all transactional ids, sorted.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Transaction)> {
        self.by_id.iter().map(|(id, transaction)| (id.as_str(), transaction))
    }

    /// Aborts the open transaction of a transactional id for a new producer, which may send the id and epoch that it `had`.
    ///
    /// Kafka refuses with `CONCURRENT_TRANSACTIONS` while it aborts the transaction, and clients retry. Here, the markers are
    /// written at once, so there is nothing to wait for.
    pub(super) fn fence(
        &mut self,
        id: &str,
        timeout: i32,
        had: Option<Producer>,
        now: Time,
    ) -> Result<(), ResponseError> {
        if !self.by_id.contains_key(id) {
            let producer_id = self.new_producer_id();
            self.by_id.insert(id.to_owned(), Transaction::new(producer_id, timeout, now));
        }
        self.change(id, |transaction, _| {
            transaction.check_markers()?;
            if !had.is_none_or(|had| transaction.knows(had)) {
                return Err(ResponseError::ProducerFenced);
            }
            let ended = (transaction.state() == State::Ongoing).then(|| transaction.fence(now));
            Ok(((), ended))
        })
    }

    /// Assigns the transactional id to a producer, and fences the previous producer. An open transaction must first be ended
    /// with [`fence`](Self::fence).
    pub(super) fn init(
        &mut self,
        id: &str,
        timeout: i32,
        had: Option<Producer>,
        now: Time,
    ) -> Result<Producer, ResponseError> {
        self.change(id, |transaction, fresh| {
            transaction.check_markers()?;
            Ok((transaction.init(timeout, had, fresh, now)?, None))
        })
    }

    /// Adds partitions to the transaction.
    pub(crate) fn add<'a>(
        &mut self,
        id: &str,
        producer: Producer,
        partitions: impl IntoIterator<Item = (&'a str, i32)>,
        now: Time,
    ) -> Result<(), ResponseError> {
        self.change(id, |transaction, _| Ok((transaction.add(producer, partitions, now)?, None)))
    }

    /// Checks whether a producer may write to a partition. With [`TransactionSupport::Add`], adds the partition to the
    /// transaction.
    pub(crate) fn verify(
        &mut self,
        id: &str,
        producer: Producer,
        partition: (&str, i32),
        support: TransactionSupport,
        now: Time,
    ) -> Result<(), ResponseError> {
        if id.is_empty() {
            return Err(ResponseError::InvalidRequest);
        }
        let transaction = self.by_id.get(id).ok_or(ResponseError::InvalidProducerIdMapping)?;
        match (transaction.contains(producer, partition), support) {
            (Ok(true), _) => Ok(()),
            (_, TransactionSupport::Add) => self.add(id, producer, [partition], now),
            (Ok(false), TransactionSupport::Verify) => Err(ResponseError::InvalidTxnState),
            (Ok(false), TransactionSupport::VerifyAbortable) => Err(ResponseError::TransactionAbortable),
            (Err(error), _) => Err(error),
        }
    }

    /// Ends the transaction. Returns the producer's id and epoch from now on. With `bump` (version 2), the epoch is bumped.
    pub(super) fn end(
        &mut self,
        id: &str,
        producer: Producer,
        commit: bool,
        bump: bool,
        now: Time,
    ) -> Result<Producer, ResponseError> {
        self.change(id, |transaction, fresh| {
            if bump {
                transaction.end_and_bump(producer, commit, fresh, now)
            } else {
                Ok((producer, transaction.end(producer, commit, now)?))
            }
        })
    }

    /// Reverts the end of a transaction whose markers were refused by partitions.
    fn refuse_markers(&mut self, id: &str, partitions: Partitions) {
        if let Some(transaction) = self.by_id.get_mut(id) {
            transaction.refuse_markers(partitions);
            self.set_timer(id);
        }
    }

    /// Changes a transaction, which may use the fresh producer id and may end.
    fn change<R>(
        &mut self,
        id: &str,
        change: impl FnOnce(&mut Transaction, i64) -> Result<(R, Option<Ended>), ResponseError>,
    ) -> Result<R, ResponseError> {
        let transaction = self.by_id.get_mut(id).ok_or(ResponseError::InvalidProducerIdMapping)?;
        let result = change(transaction, self.next_producer_id);
        if transaction.producer().id == self.next_producer_id {
            self.next_producer_id += 1;
        }
        self.set_timer(id);
        let (result, ended) = result?;
        self.ended.extend(ended.map(|ended| (id.to_owned(), ended)));
        Ok(result)
    }

    fn set_timer(&mut self, id: &str) {
        match self.by_id.get(id).and_then(|transaction| transaction.deadline(self.expiration)) {
            Some(deadline) => self.timers.set(id.to_owned(), deadline),
            None => self.timers.cancel(&id.to_owned()),
        }
    }
}
