//! The records of a partition.

use std::collections::HashMap;

use crate::state::batch::Batch;
use crate::state::partition::Partition;
use crate::state::records::{self, Records};

/// The records of a partition, including control records and records of aborted transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Log {
    /// The start offset: the offset of the first record.
    pub start: i64,
    /// The end offset: the offset of the next record.
    pub end: i64,
    /// The last stable offset: the first offset of the oldest open transaction, or the end offset if there is none.
    pub last_stable_offset: i64,
    /// All records, sorted by offset.
    pub records: Vec<Record>,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// The offset.
    pub offset: i64,
    /// The timestamp, in milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// The key, or `None` if it is null.
    pub key: Option<Vec<u8>>,
    /// The value, or `None` if it is null.
    pub value: Option<Vec<u8>>,
    /// The headers, in the order in which the producer sent them.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// The id of an idempotent or transactional producer.
    pub producer_id: Option<i64>,
    /// Whether the record is part of a transaction.
    pub transactional: bool,
    /// The type of a transaction marker, or `None` if a client wrote the record.
    pub marker: Option<Marker>,
    /// Whether the record is part of an aborted transaction.
    pub aborted: bool,
}

/// The type of a transaction marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// The transaction was committed.
    Commit,
    /// The transaction was aborted.
    Abort,
}

impl Log {
    pub(crate) fn of(partition: &Partition) -> Self {
        let mut records = Vec::new();
        for batch in partition.log.batches() {
            // Skip a batch that cannot be decompressed, because its records are unknown.
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

/// Marks the records of aborted transactions. The next marker of a producer decides about its records before the marker.
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

/// Reads the type of a marker from the key of a control record, which contains a version and a type.
fn marker(key: Option<&[u8]>) -> Marker {
    match key {
        Some([_, _, 0, 1, ..]) => Marker::Commit,
        _ => Marker::Abort,
    }
}
