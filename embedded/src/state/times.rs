//! Offsets by time: the first record of a time or later, and the record with the largest timestamp.

use super::batch::Batch;
use super::partition::Partition;
use super::records::{Records, uncompressed};

/// A record with its timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timed {
    pub(crate) timestamp: i64,
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
}

impl Partition {
    /// Returns the first record of this time or later.
    pub(crate) fn since(&self, timestamp: i64) -> Option<Timed> {
        let batches = self.log.since(timestamp).filter(|batch| batch.max_timestamp >= timestamp);
        batches.filter_map(|batch| first(batch, |found| found >= timestamp, self.log.start())).next()
    }

    /// Returns the first record with the largest timestamp.
    pub(crate) fn latest_timestamp(&self) -> Option<Timed> {
        let largest = self.log.largest_timestamp()?;
        let batch = self.log.since(largest).next()?;
        first(batch, |timestamp| timestamp == largest, batch.base_offset)
    }
}

/// Returns the first record from `start` on whose timestamp matches. Only its batch is decompressed.
fn first(batch: &Batch, is_it: impl Fn(i64) -> bool, start: i64) -> Option<Timed> {
    let bytes = uncompressed(batch).ok()?;
    let records = Records::new(&bytes, batch.count).map_while(Result::ok);
    let mut timed = records.map(|record| Timed {
        timestamp: batch.timestamp(record.timestamp_delta),
        offset: batch.base_offset + i64::from(record.offset_delta),
        leader_epoch: batch.leader_epoch(),
    });
    timed.find(|timed| is_it(timed.timestamp) && timed.offset >= start)
}
