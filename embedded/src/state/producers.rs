//! The producers that write to a partition: their last batches and their transactions.
//!
//! The names are those of Kafka's `ProducerStateManager`.

use std::collections::{BTreeMap, HashMap, VecDeque};

use kafka_protocol::ResponseError;

use super::batch::{Batch, add_to_sequence};
use crate::clock::Time;

/// How many batches per producer are kept to detect duplicates.
const BATCHES: usize = 5;
/// For how many producers a partition remembers a question to the transaction coordinator. There is a limit because a client
/// can cause questions about producers that do not exist.
const MOST_UNVERIFIED: usize = 1000;
const NO_EPOCH: i16 = -1;
const NO_SEQUENCE: i32 = -1;

/// The producers of a partition, and the transactions in it.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    entries: HashMap<i64, Producer>,
    /// The open transactions by first offset, with their producers.
    open: BTreeMap<i64, i64>,
    /// In the order in which they ended.
    aborted: Vec<Aborted>,
    /// The producers whose next transactional batch has to be verified by the transaction coordinator.
    unverified: BTreeMap<i64, Unverified>,
}

/// A producer between the question to the transaction coordinator and the first appended batch of the transaction.
#[derive(Debug)]
struct Unverified {
    epoch: i16,
    /// The lowest sequence number that is accepted, because the producer may retry this batch.
    lowest_sequence: i32,
    /// Whether an otherwise unknown producer must start with sequence number 0, as in transactions of version 2. Otherwise it
    /// may start with any number, because its records may have been deleted.
    from_zero: bool,
    since: Time,
}

/// A producer with an id.
#[derive(Debug)]
pub(crate) struct Producer {
    pub(crate) epoch: i16,
    /// The epoch of the transaction coordinator that wrote the last marker, or -1.
    pub(crate) coordinator_epoch: i32,
    /// The largest timestamp of the last batch, or the timestamp of the last marker.
    pub(crate) last_timestamp: i64,
    /// The first offset of the open transaction.
    pub(crate) transaction_start: Option<i64>,
    batches: VecDeque<Appended>,
}

/// An appended batch: the data that is needed to detect its duplicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appended {
    first_sequence: i32,
    last_sequence: i32,
    pub(crate) base_offset: i64,
    pub(crate) last_offset: i64,
    pub(crate) max_timestamp: i64,
}

/// An aborted transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Aborted {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
    /// The offset of the marker.
    pub(crate) last_offset: i64,
    /// The last stable offset after the marker.
    last_stable_offset: i64,
}

impl Producer {
    fn new() -> Self {
        Self {
            epoch: NO_EPOCH,
            coordinator_epoch: -1,
            last_timestamp: -1,
            transaction_start: None,
            batches: VecDeque::new(),
        }
    }

    /// Returns the sequence number of the last record, or -1 if there is none in this epoch.
    pub(crate) fn last_sequence(&self) -> i32 {
        self.batches.back().map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }

    fn enter_epoch(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.batches.clear();
            self.epoch = epoch;
        }
    }
}

impl Producers {
    pub(crate) fn get(&self, producer_id: i64) -> Option<&Producer> {
        self.entries.get(&producer_id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, &Producer)> {
        self.entries.iter().map(|(id, producer)| (*id, producer))
    }

    /// Returns whether the producer has an open transaction of this epoch.
    pub(crate) fn has_open_transaction(&self, producer_id: i64, epoch: i16) -> bool {
        self.get(producer_id).is_some_and(|producer| producer.epoch == epoch && producer.transaction_start.is_some())
    }

    /// Returns the first offset of the first open transaction.
    pub(crate) fn first_unstable_offset(&self) -> Option<i64> {
        self.open.first_key_value().map(|(&offset, _)| offset)
    }

    /// Records that the transaction coordinator is asked about a batch, see [`Unverified`]. The batch must not have an old
    /// epoch.
    pub(crate) fn verifies(&mut self, batch: &Batch, from_zero: bool, now: Time) -> Result<(), ResponseError> {
        self.check_epoch((batch.producer_id, batch.producer_epoch))?;
        let (epoch, lowest_sequence) = (batch.producer_epoch, batch.base_sequence);
        let first = Unverified { epoch, lowest_sequence, from_zero, since: now };
        let known = self.unverified.entry(batch.producer_id).or_insert(first);
        if epoch > known.epoch || epoch == known.epoch && lowest_sequence < known.lowest_sequence {
            (known.epoch, known.lowest_sequence) = (epoch, lowest_sequence);
        }
        if self.unverified.len() > MOST_UNVERIFIED {
            self.unverified.pop_first();
        }
        Ok(())
    }

    /// Refuses an old epoch.
    pub(crate) fn check_epoch(&self, (producer_id, epoch): (i64, i16)) -> Result<(), ResponseError> {
        match self.get(producer_id) {
            Some(producer) if epoch < producer.epoch => Err(ResponseError::InvalidProducerEpoch),
            _ => Ok(()),
        }
    }

    /// Checks the epoch and the sequence number of a client's batch.
    pub(crate) fn check(&self, batch: &Batch) -> Result<(), ResponseError> {
        self.check_epoch((batch.producer_id, batch.producer_epoch))?;
        let producer = self.get(batch.producer_id);
        if let Some(unverified) = self.unverified.get(&batch.producer_id) {
            let begins_late = unverified.from_zero && producer.is_none() && batch.base_sequence != 0;
            if begins_late || batch.base_sequence > unverified.lowest_sequence {
                return Err(ResponseError::OutOfOrderSequenceNumber);
            }
        }
        let Some(producer) = producer else { return Ok(()) };
        let in_sequence = if batch.producer_epoch == producer.epoch {
            batch.base_sequence == add_to_sequence(producer.last_sequence(), 1)
        } else {
            batch.base_sequence == 0
        };
        if !in_sequence {
            return Err(ResponseError::OutOfOrderSequenceNumber);
        }
        if producer.transaction_start.is_some() && !batch.is_transactional() {
            return Err(ResponseError::InvalidTxnState);
        }
        Ok(())
    }

    /// Returns the earlier batch if this batch is a duplicate of one of the producer's last five batches.
    pub(crate) fn duplicate(&self, batch: &Batch) -> Option<Appended> {
        let producer = self.get(batch.producer_id).filter(|producer| producer.epoch == batch.producer_epoch)?;
        let range = (batch.base_sequence, batch.last_sequence());
        producer.batches.iter().find(|known| (known.first_sequence, known.last_sequence) == range).copied()
    }

    /// Records an appended batch.
    pub(crate) fn appended(&mut self, batch: &Batch) {
        if batch.is_transactional() {
            self.unverified.remove(&batch.producer_id);
        }
        let producer = self.entries.entry(batch.producer_id).or_insert_with(Producer::new);
        producer.enter_epoch(batch.producer_epoch);
        if producer.batches.len() == BATCHES {
            producer.batches.pop_front();
        }
        producer.batches.push_back(Appended {
            first_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence(),
            base_offset: batch.base_offset,
            last_offset: batch.last_offset(),
            max_timestamp: batch.max_timestamp,
        });
        producer.last_timestamp = batch.max_timestamp;
        if batch.is_transactional() && producer.transaction_start.is_none() {
            producer.transaction_start = Some(batch.base_offset);
            self.open.insert(batch.base_offset, batch.producer_id);
        }
    }

    /// Records the offsets of a group that a producer committed in a transaction, and that Kafka appends to this partition.
    pub(crate) fn committed_offsets(&mut self, (producer_id, epoch): (i64, i16), now: Time) {
        let producer = self.entries.entry(producer_id).or_insert_with(Producer::new);
        producer.enter_epoch(epoch);
        producer.last_timestamp = now.0;
        producer.transaction_start.get_or_insert(0);
    }

    /// Records the end of such a transaction.
    pub(crate) fn ended_offsets(&mut self, (producer_id, epoch): (i64, i16), coordinator_epoch: i32, now: Time) {
        let producer = self.entries.entry(producer_id).or_insert_with(Producer::new);
        producer.enter_epoch(epoch);
        (producer.coordinator_epoch, producer.last_timestamp) = (coordinator_epoch, now.0);
        producer.transaction_start = None;
    }

    /// Checks the epochs of a marker.
    pub(crate) fn check_marker(
        &self,
        producer_id: i64,
        producer_epoch: i16,
        coordinator_epoch: i32,
    ) -> Result<(), ResponseError> {
        match self.get(producer_id) {
            Some(producer) if producer_epoch < producer.epoch => Err(ResponseError::InvalidProducerEpoch),
            Some(producer) if coordinator_epoch < producer.coordinator_epoch => {
                Err(ResponseError::TransactionCoordinatorFenced)
            }
            _ => Ok(()),
        }
    }

    /// Records an appended transaction marker. If there is no open transaction, it ends none.
    pub(crate) fn ended(&mut self, marker: &Batch, coordinator_epoch: i32, commit: bool) {
        self.unverified.remove(&marker.producer_id);
        let producer = self.entries.entry(marker.producer_id).or_insert_with(Producer::new);
        producer.enter_epoch(marker.producer_epoch);
        producer.coordinator_epoch = coordinator_epoch;
        producer.last_timestamp = marker.max_timestamp;
        let Some(first_offset) = producer.transaction_start.take() else { return };
        self.open.remove(&first_offset);
        if !commit {
            let last_offset = marker.base_offset;
            self.aborted.push(Aborted {
                producer_id: marker.producer_id,
                first_offset,
                last_offset,
                last_stable_offset: self.first_unstable_offset().unwrap_or(last_offset + 1),
            });
        }
    }

    /// Returns the aborted transactions with records between `from` and `to`.
    pub(crate) fn aborted(&self, from: i64, to: i64) -> impl Iterator<Item = &Aborted> {
        let first = self.aborted.partition_point(|aborted| aborted.last_offset < from);
        // If the last stable offset after a transaction is beyond the range, all later transactions start beyond the range.
        let mut beyond = false;
        self.aborted[first..]
            .iter()
            .take_while(move |aborted| !std::mem::replace(&mut beyond, aborted.last_stable_offset >= to))
            .filter(move |aborted| aborted.first_offset < to)
    }

    /// Forgets the producers that have been idle for this many milliseconds.
    pub(crate) fn expire(&mut self, now: Time, idle: i64) {
        let is_idle = |producer: &Producer| now.0.saturating_sub(producer.last_timestamp) >= idle;
        self.entries.retain(|_, producer| producer.transaction_start.is_some() || !is_idle(producer));
        self.unverified.retain(|_, unverified| now.0.saturating_sub(unverified.since.0) < idle);
    }

    /// Forgets the transactions that ended before the start offset of the log.
    pub(crate) fn truncate(&mut self, log_start: i64) {
        self.aborted.drain(..self.aborted.partition_point(|aborted| aborted.last_offset < log_start));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::batch::MaxTimestamp;
    use crate::state::partition::Partition;

    /// A batch of two records.
    fn batch(offset: i64, epoch: i16, sequence: i32, transactional: bool) -> Batch {
        let mut batch = Batch::end_marker(offset, 0, MaxTimestamp::Created(1000), (7, epoch), 0, true);
        batch.attributes = if transactional { 1 << 4 } else { 0 };
        batch.base_sequence = sequence;
        batch.last_offset_delta = 1;
        batch
    }

    fn appended(sequences: &[(i16, i32)]) -> Producers {
        let mut producers = Producers::default();
        for (n, &(epoch, sequence)) in sequences.iter().enumerate() {
            let batch = batch(2 * n as i64, epoch, sequence, false);
            assert_eq!(producers.check(&batch), Ok(()), "{epoch}, {sequence}");
            producers.appended(&batch);
        }
        producers
    }

    fn check(producers: &Producers, epoch: i16, sequence: i32) -> Result<(), ResponseError> {
        producers.check(&batch(100, epoch, sequence, false))
    }

    #[test]
    fn the_last_five_batches_are_known_again() {
        let producers = appended(&[(0, 0), (0, 2), (0, 4), (0, 6), (0, 8), (0, 10)]);
        assert_eq!(producers.duplicate(&batch(100, 0, 0, false)), None);
        for sequence in [2, 4, 6, 8, 10] {
            let duplicate = producers.duplicate(&batch(100, 0, sequence, false)).unwrap();
            assert_eq!(duplicate.base_offset, i64::from(sequence));
        }
        assert_eq!(producers.duplicate(&batch(100, 1, 10, false)), None);
        assert_eq!(producers.duplicate(&batch(100, 0, 9, false)), None);
    }

    #[test]
    fn a_gap_and_an_old_epoch_are_refused() {
        let producers = appended(&[(3, 0)]);
        assert_eq!(check(&producers, 3, 2), Ok(()));
        assert_eq!(check(&producers, 3, 3), Err(ResponseError::OutOfOrderSequenceNumber));
        assert_eq!(check(&producers, 3, 0), Err(ResponseError::OutOfOrderSequenceNumber));
        assert_eq!(check(&producers, 2, 2), Err(ResponseError::InvalidProducerEpoch));
        assert_eq!(check(&producers, 4, 2), Err(ResponseError::OutOfOrderSequenceNumber));
        assert_eq!(check(&producers, 4, 0), Ok(()));
    }

    #[test]
    fn sequence_numbers_begin_again_after_the_largest() {
        let producers = appended(&[(0, i32::MAX - 1)]);
        assert_eq!(check(&producers, 0, 0), Ok(()));
        let producers = appended(&[(0, i32::MAX)]);
        assert_eq!(producers.get(7).unwrap().last_sequence(), 0);
        assert_eq!(check(&producers, 0, 1), Ok(()));
    }

    #[test]
    fn an_unknown_producer_begins_where_it_likes_but_with_transactions_of_version_2() {
        for (from_zero, sequence, expected) in
            [(false, 5, Ok(())), (true, 5, Err(ResponseError::OutOfOrderSequenceNumber)), (true, 0, Ok(()))]
        {
            let (mut producers, batch) = (Producers::default(), batch(0, 0, sequence, true));
            producers.verifies(&batch, from_zero, Time(0)).unwrap();
            assert_eq!(producers.check(&batch), expected);
        }
    }

    #[test]
    fn no_batch_goes_before_one_that_was_not_verified() {
        let mut producers = appended(&[(0, 0)]);
        producers.verifies(&batch(100, 0, 4, true), false, Time(0)).unwrap();
        producers.verifies(&batch(100, 0, 2, true), false, Time(0)).unwrap();
        producers.verifies(&batch(100, 0, 3, true), false, Time(0)).unwrap();
        assert_eq!(check(&producers, 0, 2), Ok(()));
        producers.appended(&batch(2, 0, 2, false));
        assert_eq!(check(&producers, 0, 4), Err(ResponseError::OutOfOrderSequenceNumber));
        producers.expire(Time(10), 10);
        assert_eq!(check(&producers, 0, 4), Ok(()));
        producers.verifies(&batch(100, 0, 2, true), false, Time(0)).unwrap();
        producers.verifies(&batch(100, 1, 0, true), false, Time(0)).unwrap();
        assert_eq!(check(&producers, 1, 0), Ok(()));
        producers.appended(&batch(4, 1, 0, true));
        assert_eq!(producers.check(&batch(6, 1, 2, true)), Ok(()));
    }

    #[test]
    fn a_partition_remembers_no_more_producers_than_a_thousand_that_are_not_verified() {
        let mut producers = Producers::default();
        for producer_id in 0..=MOST_UNVERIFIED as i64 {
            producers.verifies(&Batch { producer_id, ..batch(0, 0, 0, true) }, false, Time(0)).unwrap();
        }
        assert_eq!(producers.unverified.len(), MOST_UNVERIFIED);
    }

    #[test]
    fn what_was_aborted_is_told_for_the_offsets_it_touches() {
        let mut partition = Partition::new(vec![1]);
        let write = |partition: &mut Partition, producer_id: i64| {
            let batch = Batch { producer_id, base_sequence: 0, ..batch(partition.log.end(), 0, 0, true) };
            partition.producers.appended(&batch);
            partition.log.append(batch);
        };
        write(&mut partition, 1); // 0 and 1
        write(&mut partition, 2); // 2 and 3
        assert_eq!(partition.last_stable_offset(), 0);
        assert_eq!(partition.append_marker(MaxTimestamp::Created(5), (2, 0), 0, false), Ok(4));
        assert_eq!(partition.last_stable_offset(), 0);
        assert_eq!(partition.append_marker(MaxTimestamp::Created(5), (1, 0), 0, true), Ok(5));
        assert_eq!(partition.last_stable_offset(), 6);
        write(&mut partition, 1); // 6 and 7
        assert_eq!(partition.append_marker(MaxTimestamp::Created(5), (1, 0), 0, false), Ok(8));
        let aborted = |from, to| {
            let aborted = partition.aborted_transactions(from, to);
            aborted.map(|aborted| (aborted.producer_id, aborted.first_offset)).collect::<Vec<_>>()
        };
        assert_eq!(aborted(0, 9), [(2, 2), (1, 6)]);
        assert_eq!(aborted(5, 9), [(1, 6)]);
        assert_eq!(aborted(0, 6), [(2, 2)]);
        assert_eq!(aborted(0, 2), []);
    }

    #[test]
    fn a_marker_with_an_old_epoch_is_refused_and_a_newer_one_fences_the_producer() {
        let mut partition = Partition::new(vec![1]);
        partition.append_marker(MaxTimestamp::Created(5), (1, 3), 2, true).unwrap();
        assert_eq!(
            partition.append_marker(MaxTimestamp::Created(5), (1, 2), 2, true),
            Err(ResponseError::InvalidProducerEpoch)
        );
        assert_eq!(
            partition.append_marker(MaxTimestamp::Created(5), (1, 3), 1, true),
            Err(ResponseError::TransactionCoordinatorFenced)
        );
        let late = Batch { producer_id: 1, ..batch(1, 2, 0, true) };
        assert_eq!(partition.producers.check(&late), Err(ResponseError::InvalidProducerEpoch));
    }

    #[test]
    fn a_marker_is_a_batch_with_a_right_checksum() {
        let marker = Batch::end_marker(4, 2, MaxTimestamp::Created(1000), (7, 1), 9, true);
        let read = Batch::first(&marker.bytes).unwrap();
        assert!(read.has_right_checksum());
        assert_eq!((read.base_offset, read.count, read.producer_id, read.producer_epoch), (4, 1, 7, 1));
        assert!(read.is_control() && read.is_transactional());
        assert_eq!(read.records(), [32, 0, 0, 0, 8, 0, 0, 0, 1, 12, 0, 0, 0, 0, 0, 9, 0]);
    }
}
