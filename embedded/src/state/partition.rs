//! One partition: its leader, its log, and up to where each reader may read.

use kafka_protocol::ResponseError;

use super::batch::{Batch, MaxTimestamp};
use super::configs::TopicSettings;
use super::log::Log;
use super::producers::{Aborted, Producers};
use super::validator::Refusal;
use crate::clock::Time;

/// A partition. All its replicas are in this process, so what is appended is replicated at once.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) leader: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) replicas: Vec<i32>,
    pub(crate) isr: Vec<i32>,
    pub(crate) log: Log,
    pub(crate) producers: Producers,
}

/// Where records were appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) base_offset: i64,
    /// The time of the append, where the topic has that for a timestamp, else -1; the largest timestamp of a batch that
    /// has come before.
    pub(crate) append_time: i64,
}

impl Partition {
    pub(crate) fn new(replicas: Vec<i32>) -> Self {
        Self {
            leader: replicas.first().copied().unwrap_or(-1),
            leader_epoch: 0,
            isr: replicas.clone(),
            replicas,
            log: Log::default(),
            producers: Producers::default(),
        }
    }

    /// Has the first replica that is up lead a new partition; those that are down are not in sync.
    pub(crate) fn lead_by_live(&mut self, up: &[i32]) {
        self.isr.retain(|id| up.contains(id));
        self.leader = self.isr.first().copied().unwrap_or(-1);
    }

    /// Whether a client knows the leader of now; -1 says that it does not tell.
    pub(crate) fn check_leader_epoch(&self, known: i32) -> Result<(), ResponseError> {
        match known {
            ..0 => Ok(()),
            _ if known < self.leader_epoch => Err(ResponseError::FencedLeaderEpoch),
            _ if known > self.leader_epoch => Err(ResponseError::UnknownLeaderEpoch),
            _ => Ok(()),
        }
    }

    /// Up to where a reader of uncommitted records may read.
    pub(crate) fn high_watermark(&self) -> i64 {
        self.log.end()
    }

    /// Up to where a reader of committed records may read: the first record of the first open transaction.
    pub(crate) fn last_stable_offset(&self) -> i64 {
        let first_unstable = self.producers.first_unstable_offset();
        first_unstable.map_or(self.high_watermark(), |offset| offset.max(self.log.start()))
    }

    /// Has the log begin later.
    pub(crate) fn truncate_before(&mut self, start: i64) {
        self.log.truncate_before(start);
        self.producers.truncate(self.log.start());
    }

    /// The aborted transactions that a reader of committed records from `from` on and before `to` must know.
    pub(crate) fn aborted_transactions(&self, from: i64, to: i64) -> impl Iterator<Item = &Aborted> {
        self.producers.aborted(from, to)
    }

    /// Ends the producer's transaction with a marker; its offset. Whoever calls it has the waiting fetches looked at
    /// ([`Topics::append_marker`](super::Topics::append_marker) does).
    ///
    /// # Errors
    /// `INVALID_PRODUCER_EPOCH` or `TRANSACTION_COORDINATOR_FENCED` for epochs that are over: a coordinator then takes
    /// the transaction for ended by another.
    pub(crate) fn append_marker(
        &mut self,
        timestamp: MaxTimestamp,
        (producer_id, producer_epoch): (i64, i16),
        coordinator_epoch: i32,
        commit: bool,
    ) -> Result<i64, ResponseError> {
        self.producers.check_marker(producer_id, producer_epoch, coordinator_epoch)?;
        let offset = self.log.end();
        let producer = (producer_id, producer_epoch);
        let marker = Batch::end_marker(offset, self.leader_epoch, timestamp, producer, coordinator_epoch, commit);
        self.producers.ended(&marker, coordinator_epoch, commit);
        self.log.append(marker);
        Ok(offset)
    }

    /// How many replicas must be in sync for a write that wants all of them: more than there are is not asked for.
    pub(crate) fn min_in_sync(&self, configured: i32) -> usize {
        usize::try_from(configured).unwrap_or_default().min(self.replicas.len())
    }

    /// Appends a batch that a client has produced.
    pub(crate) fn append(&mut self, batch: &Batch, settings: &TopicSettings, now: Time) -> Result<Appended, Refusal> {
        let timestamp = settings.check(batch, now)?;
        if batch.has_producer() {
            if let Some(known) = self.producers.duplicate(batch) {
                return Ok(Appended { base_offset: known.base_offset, append_time: known.max_timestamp });
            }
            self.producers.check(batch)?;
        }
        let placed = batch.placed(self.log.end(), self.leader_epoch, timestamp);
        let append_time = if settings.log_append_time { now.0 } else { -1 };
        let appended = Appended { base_offset: placed.base_offset, append_time };
        if placed.has_producer() {
            self.producers.appended(&placed);
        }
        self.log.append(placed);
        Ok(appended)
    }
}
