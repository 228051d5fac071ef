//! One partition: its leader, its log, and the limits of what readers may read.

use kafka_protocol::ResponseError;

use super::batch::{Batch, MaxTimestamp};
use super::configs::TopicSettings;
use super::log::Log;
use super::producers::{Aborted, Producers};
use super::validator::Refusal;
use crate::clock::Time;

/// A partition. All of its replicas are in this process, so a record is replicated as soon as it is appended.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) leader: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) replicas: Vec<i32>,
    pub(crate) isr: Vec<i32>,
    pub(crate) log: Log,
    pub(crate) producers: Producers,
}

/// The result of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) base_offset: i64,
    /// The time of the append if the topic uses it as the timestamp, and -1 otherwise. For a duplicate, the largest timestamp
    /// of the earlier batch.
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

    /// Makes the first running replica the leader of a new partition. Replicas on stopped brokers are not in sync.
    pub(crate) fn lead_by_live(&mut self, up: &[i32]) {
        self.isr.retain(|id| up.contains(id));
        self.leader = self.isr.first().copied().unwrap_or(-1);
    }

    /// Checks whether the client knows the current leader epoch. -1 means that the client does not send an epoch.
    pub(crate) fn check_leader_epoch(&self, known: i32) -> Result<(), ResponseError> {
        match known {
            ..0 => Ok(()),
            _ if known < self.leader_epoch => Err(ResponseError::FencedLeaderEpoch),
            _ if known > self.leader_epoch => Err(ResponseError::UnknownLeaderEpoch),
            _ => Ok(()),
        }
    }

    /// Returns the high watermark, the limit of readers of uncommitted records.
    pub(crate) fn high_watermark(&self) -> i64 {
        self.log.end()
    }

    /// Returns the last stable offset, the limit of readers of committed records: the start of the first open transaction.
    pub(crate) fn last_stable_offset(&self) -> i64 {
        let first_unstable = self.producers.first_unstable_offset();
        first_unstable.map_or(self.high_watermark(), |offset| offset.max(self.log.start()))
    }

    /// Moves the start offset of the log.
    pub(crate) fn truncate_before(&mut self, start: i64) {
        self.log.truncate_before(start);
        self.producers.truncate(self.log.start());
    }

    /// Returns the aborted transactions between `from` and `to`, for a reader of committed records.
    pub(crate) fn aborted_transactions(&self, from: i64, to: i64) -> impl Iterator<Item = &Aborted> {
        self.producers.aborted(from, to)
    }

    /// Ends the producer's transaction with a marker, and returns the marker's offset. The caller must check the waiting
    /// fetches, as [`Topics::append_marker`](super::Topics::append_marker) does.
    ///
    /// # Errors
    /// Returns `INVALID_PRODUCER_EPOCH` or `TRANSACTION_COORDINATOR_FENCED` if the epoch is too old. The coordinator
    /// then assumes that the transaction was ended by another coordinator.
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

    /// Returns the required number of in-sync replicas for a write with `acks=all`. It is at most the number of replicas.
    pub(crate) fn min_in_sync(&self, configured: i32) -> usize {
        usize::try_from(configured).unwrap_or_default().min(self.replicas.len())
    }

    /// Appends a batch of a client.
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
