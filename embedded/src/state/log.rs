//! The batches of one partition, in the order of their offsets.

mod epochs;

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

pub(crate) use self::epochs::EpochEnd;
use self::epochs::Epochs;
use super::batch::Batch;

/// A log. A batch is found by offset, time or size in logarithmic time.
#[derive(Debug, Default)]
pub(crate) struct Log {
    batches: VecDeque<Stored>,
    /// The first readable offset. The batch that contains it may start before it.
    start: i64,
    /// The end offset: the offset of the next record.
    end: i64,
    bytes: usize,
    epochs: Epochs,
}

/// A batch and its position.
#[derive(Debug)]
struct Stored {
    batch: Batch,
    /// The number of bytes that were appended before the batch. Only differences are meaningful.
    position: u64,
    /// The largest timestamp up to the end of the batch.
    largest_timestamp: i64,
}

impl Stored {
    fn end(&self) -> u64 {
        self.position + self.batch.bytes.len() as u64
    }
}

impl Log {
    pub(crate) fn start(&self) -> i64 {
        self.start
    }

    pub(crate) fn end(&self) -> i64 {
        self.end
    }

    /// Returns the size of the batches in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn batches(&self) -> impl DoubleEndedIterator<Item = &Batch> {
        self.batches.iter().map(|stored| &stored.batch)
    }

    /// Appends a batch whose base offset is [`end`](Self::end).
    pub(crate) fn append(&mut self, batch: Batch) {
        debug_assert_eq!(batch.base_offset, self.end, "a batch follows the one before it");
        self.epochs.assign(batch.leader_epoch(), batch.base_offset);
        self.end = batch.last_offset() + 1;
        self.push(batch);
    }

    fn push(&mut self, batch: Batch) {
        self.bytes += batch.bytes.len();
        let position = self.batches.back().map_or(0, Stored::end);
        let before = self.batches.back().map_or(-1, |stored| stored.largest_timestamp);
        let largest_timestamp = before.max(batch.max_timestamp);
        self.batches.push_back(Stored { batch, position, largest_timestamp });
    }

    /// Moves the start offset, and drops the batches before it.
    pub(crate) fn truncate_before(&mut self, start: i64) {
        if start <= self.start {
            return;
        }
        self.start = start;
        while let Some(stored) = self.batches.front()
            && stored.batch.last_offset() < start
        {
            self.bytes -= stored.batch.bytes.len();
            self.batches.pop_front();
        }
        let mut largest = -1;
        for stored in &mut self.batches {
            largest = stored.batch.max_timestamp.max(largest);
            // If the deleted batches did not determine the largest timestamps, nothing changes from here on.
            if std::mem::replace(&mut stored.largest_timestamp, largest) == largest {
                break;
            }
        }
        self.epochs.truncate_before(start);
    }

    /// Replaces all batches. Offsets may be left out, but not moved.
    pub(crate) fn replace(&mut self, batches: Vec<Batch>) {
        self.batches.clear();
        self.bytes = 0;
        batches.into_iter().for_each(|batch| self.push(batch));
    }

    /// Returns the batches from the batch that contains `offset`, or from the next batch.
    #[cfg(test)]
    pub(crate) fn from(&self, offset: i64) -> impl Iterator<Item = &Batch> {
        self.batches.range(self.index(offset)..).map(|stored| &stored.batch)
    }

    /// Returns the batches from the first batch with a record of this time or later.
    pub(crate) fn since(&self, timestamp: i64) -> impl Iterator<Item = &Batch> {
        let first = self.batches.partition_point(|stored| stored.largest_timestamp < timestamp);
        self.batches.range(first..).map(|stored| &stored.batch)
    }

    /// Returns the largest timestamp of all batches.
    pub(crate) fn largest_timestamp(&self) -> Option<i64> {
        self.batches.back().map(|stored| stored.largest_timestamp)
    }

    fn index(&self, offset: i64) -> usize {
        // Most readers are at the end.
        if offset >= self.end {
            return self.batches.len();
        }
        self.batches.partition_point(|stored| stored.batch.last_offset() < offset)
    }

    /// Returns the size of the batches from the batch that contains `offset` on. Batches that start at `limit` or later do not
    /// count.
    pub(crate) fn size(&self, offset: i64, limit: i64) -> usize {
        let first = self.index(offset);
        let after = if limit >= self.end {
            self.batches.len()
        } else {
            self.batches.partition_point(|stored| stored.batch.base_offset < limit)
        };
        match after.checked_sub(1) {
            Some(last) if last >= first => (self.batches[last].end() - self.batches[first].position) as usize,
            _ => 0,
        }
    }

    /// Reads at most `most` bytes from the batch that contains `offset` on. Batches that start at `limit` or later are not
    /// read. With `one`, the first batch is read even if it is larger.
    pub(crate) fn read(&self, offset: i64, limit: i64, most: usize, one: bool) -> Read {
        let available = self.size(offset, limit);
        let first = self.index(offset);
        if available == 0 {
            return Read::default();
        }
        let length = self.batches[first].batch.bytes.len();
        if length > most && !one {
            return Read::default();
        }
        let most = most.max(length);
        let end = self.batches[first].position + most as u64;
        let after = if available <= most {
            self.batches.partition_point(|stored| stored.position < self.batches[first].position + available as u64)
        } else {
            self.batches.partition_point(|stored| stored.end() <= end)
        };
        let counted = available.min(most);
        if after == first + 1 {
            return Read { records: self.batches[first].batch.bytes.clone(), counted };
        }
        let size = self.batches[after - 1].end() - self.batches[first].position;
        let mut records = BytesMut::with_capacity(size as usize);
        self.batches.range(first..after).for_each(|stored| records.extend_from_slice(&stored.batch.bytes));
        Read { records: records.freeze(), counted }
    }

    /// Returns where a leader epoch ends.
    pub(crate) fn epoch_end(&self, epoch: i32, current: i32) -> Option<EpochEnd> {
        self.epochs.end_of(epoch, current, self.end)
    }

    /// Returns the epoch of the first record, or the current epoch if there are no records.
    pub(crate) fn first_epoch(&self, current: i32) -> i32 {
        self.epochs.first().unwrap_or(current)
    }
}

/// The result of a read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    /// Complete batches.
    pub(crate) records: Bytes,
    /// The number of bytes that Kafka would have sent, because Kafka cuts the last batch off at the limit.
    pub(crate) counted: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::batch::MaxTimestamp;

    /// Creates a log of batches with one record each, with these timestamps.
    fn log(timestamps: &[i64]) -> Log {
        let mut log = Log::default();
        for timestamp in timestamps {
            log.append(Batch::end_marker(log.end(), 0, MaxTimestamp::Created(*timestamp), (1, 0), 0, true));
        }
        log
    }

    fn length() -> usize {
        Batch::end_marker(0, 0, MaxTimestamp::Created(0), (1, 0), 0, true).bytes.len()
    }

    fn offsets<'a>(batches: impl Iterator<Item = &'a Batch>) -> Vec<i64> {
        batches.map(|batch| batch.base_offset).collect()
    }

    #[test]
    fn a_read_ends_with_a_whole_batch_but_counts_the_piece_of_the_next() {
        let (log, length) = (log(&[0; 5]), length());
        let read = |offset, limit, most, one| {
            let read = log.read(offset, limit, most, one);
            (read.records.len(), read.counted)
        };
        assert_eq!(read(0, 5, 10 * length, false), (5 * length, 5 * length));
        assert_eq!(read(1, 3, 10 * length, false), (2 * length, 2 * length));
        assert_eq!(read(1, 5, 2 * length + 1, false), (2 * length, 2 * length + 1));
        assert_eq!(read(1, 5, 2 * length, false), (2 * length, 2 * length));
        assert_eq!(read(0, 5, length - 1, false), (0, 0));
        assert_eq!(read(0, 5, length - 1, true), (length, length));
        assert_eq!(read(0, 5, 0, true), (length, length));
        assert_eq!(read(5, 5, length, true), (0, 0));
        assert_eq!(read(3, 2, length, true), (0, 0));
    }

    #[test]
    fn a_log_that_begins_later_has_only_what_is_left() {
        let mut log = log(&[9, 5, 7, 3, 8]);
        assert_eq!(offsets(log.since(6)), [0, 1, 2, 3, 4]);
        log.truncate_before(1);
        assert_eq!((log.start(), log.bytes()), (1, 4 * length()));
        assert_eq!(offsets(log.since(6)), [2, 3, 4]);
        assert_eq!(offsets(log.since(8)), [4]);
        assert_eq!(log.largest_timestamp(), Some(8));
        log.truncate_before(0);
        assert_eq!(log.start(), 1);
        log.truncate_before(5);
        assert_eq!((log.start(), log.end(), log.bytes(), log.largest_timestamp()), (5, 5, 0, None));
    }

    #[test]
    fn a_replaced_log_is_read_over_its_holes() {
        let mut log = log(&[0; 6]);
        let kept = log.batches().filter(|batch| batch.base_offset % 3 == 1).cloned().collect();
        log.replace(kept);
        assert_eq!((log.end(), log.bytes()), (6, 2 * length()));
        assert_eq!(offsets(log.from(0)), [1, 4]);
        assert_eq!(log.size(2, 6), length());
        assert_eq!(log.read(5, 6, 1000, true), Read::default());
    }
}
