//! The records of a partition.

use std::collections::HashMap;

use crate::state::batch::Batch;
use crate::state::partition::Partition;
use crate::state::records::{self, Records};

/// What a partition holds, also what no consumer is shown: control records and records of aborted transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Log {
    /// The offset of the first record that is there.
    pub start: i64,
    /// The offset of the next record.
    pub end: i64,
    /// Up to where committed records can be read: before the first open transaction.
    pub last_stable_offset: i64,
    /// All records, in the order of their offsets.
    pub records: Vec<Record>,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp, in milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// Its key, if it has one.
    pub key: Option<Vec<u8>>,
    /// Its value, if it has one.
    pub value: Option<Vec<u8>>,
    /// Its headers, in their order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// The producer that has written it, where that is idempotent or transactional.
    pub producer_id: Option<i64>,
    /// Whether it belongs to a transaction.
    pub transactional: bool,
    /// The end of a transaction that it marks; `None` for all records that a client has written.
    pub marker: Option<Marker>,
    /// Whether its transaction was aborted.
    pub aborted: bool,
}

/// How a transaction has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// It was committed.
    Commit,
    /// It was aborted.
    Abort,
}

impl Log {
    pub(crate) fn of(partition: &Partition) -> Self {
        let mut records = Vec::new();
        for batch in partition.log.batches() {
            // A batch whose inside cannot be read has no records to show.
            if let Ok(inside) = records::uncompressed(batch) {
                records.extend(Records::new(&inside, batch.count).flatten().map(|record| Record::of(batch, &record)));
            }
        }
        records.retain(|record| record.offset >= partition.log.start());
        note_aborted(&mut records);
        Self {
            start: partition.log.start(),
            end: partition.log.end(),
            last_stable_offset: partition.last_stable_offset(),
            records,
        }
    }
}

impl Record {
    fn of(batch: &Batch, record: &records::Record<'_>) -> Self {
        let timestamp = match batch.is_log_append_time() {
            true => batch.max_timestamp,
            false => batch.base_timestamp.saturating_add(record.timestamp_delta),
        };
        let header = |(name, value): (&[u8], Option<&[u8]>)| {
            (String::from_utf8_lossy(name).into_owned(), value.map(<[u8]>::to_vec))
        };
        Self {
            offset: batch.base_offset.saturating_add(i64::from(record.offset_delta)),
            timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers().map(header).collect(),
            producer_id: batch.has_producer().then_some(batch.producer_id),
            transactional: batch.is_transactional(),
            marker: batch.is_control().then(|| marker(record.key)),
            aborted: false,
        }
    }
}

/// The next marker of a producer decides what became of its records before.
fn note_aborted(records: &mut [Record]) {
    let mut next = HashMap::new();
    for record in records.iter_mut().rev() {
        match record.marker {
            Some(marker) => _ = next.insert(record.producer_id, marker),
            None if record.transactional => record.aborted = next.get(&record.producer_id) == Some(&Marker::Abort),
            None => {}
        }
    }
}

/// The key of a control record is its version and its type.
fn marker(key: Option<&[u8]>) -> Marker {
    match key {
        Some([_, _, 0, 1, ..]) => Marker::Commit,
        _ => Marker::Abort,
    }
}
