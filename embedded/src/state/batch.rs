//! The header of a record batch of format 2, the only format that Kafka 4 accepts.
//!
//! The layout is that of Kafka's documentation, "Record Batch".

use bytes::{BufMut, Bytes, BytesMut};

use crate::clock::Time;

/// The length of the header of a batch, which ends before the records.
pub(crate) const HEADER: usize = 61;
/// The smallest value of the length field in any format.
const SHORTEST: usize = 14;
/// The bytes that the length field does not count: the base offset and the length field.
const LOG_OVERHEAD: usize = 12;

const COMPRESSION: i16 = 7;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;
const LOG_APPEND_TIME: i16 = 1 << 3;
const NO_SEQUENCE: i32 = -1;

/// A batch: the fields of its header, and its bytes.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) base_offset: i64,
    pub(crate) last_offset_delta: i32,
    pub(crate) attributes: i16,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) count: i32,
    /// The complete batch, including its header.
    pub(crate) bytes: Bytes,
}

/// The reason why bytes are not a valid batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadBatch {
    /// The bytes contain no complete batch.
    Missing,
    /// The length or the format number is invalid.
    Corrupt,
    /// A record format that Kafka 4 does not accept.
    OldFormat,
}

impl Batch {
    /// Parses the batch at the start of `bytes`. The checksum is not checked.
    pub(crate) fn first(bytes: &Bytes) -> Result<Self, BadBatch> {
        let length = bytes.get(8..12).and_then(|length| length.first_chunk()).ok_or(BadBatch::Missing)?;
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| BadBatch::Corrupt)?;
        if length < SHORTEST {
            return Err(BadBatch::Corrupt);
        }
        match bytes.get(16).ok_or(BadBatch::Missing)? {
            0..=2 if bytes.len() < LOG_OVERHEAD + length => return Err(BadBatch::Missing),
            2 => {}
            0 | 1 => return Err(BadBatch::OldFormat),
            _ => return Err(BadBatch::Corrupt),
        }
        let bytes = bytes.slice(..LOG_OVERHEAD + length);
        let header = bytes.first_chunk::<HEADER>().ok_or(BadBatch::Corrupt)?;
        Ok(Self {
            base_offset: i64::from_be_bytes(field(header, 0)),
            attributes: i16::from_be_bytes(field(header, 21)),
            last_offset_delta: i32::from_be_bytes(field(header, 23)),
            base_timestamp: i64::from_be_bytes(field(header, 27)),
            max_timestamp: i64::from_be_bytes(field(header, 35)),
            producer_id: i64::from_be_bytes(field(header, 43)),
            producer_epoch: i16::from_be_bytes(field(header, 51)),
            base_sequence: i32::from_be_bytes(field(header, 53)),
            count: i32::from_be_bytes(field(header, 57)),
            bytes,
        })
    }

    /// Returns whether `bytes` start with a complete batch.
    pub(crate) fn is_in(bytes: &Bytes) -> bool {
        !matches!(Self::first(bytes), Err(BadBatch::Missing))
    }

    pub(crate) fn has_right_checksum(&self) -> bool {
        self.bytes[17..21] == crc32c::crc32c(&self.bytes[21..]).to_be_bytes()
    }

    /// Creates the control batch that ends a transaction.
    pub(crate) fn end_marker(
        offset: i64,
        leader_epoch: i32,
        timestamp: MaxTimestamp,
        (producer_id, producer_epoch): (i64, i16),
        coordinator_epoch: i32,
        commit: bool,
    ) -> Self {
        let (attributes, time) = match timestamp {
            MaxTimestamp::Created(time) => (TRANSACTIONAL | CONTROL, time),
            MaxTimestamp::Appended(time) => (TRANSACTIONAL | CONTROL | LOG_APPEND_TIME, time.0),
        };
        // Of length 16: no attributes, timestamp and offset of the batch; a key of 4 bytes with its version and what it
        // is; a value of 6 bytes with its version and the coordinator's epoch; no headers. Lengths are zigzag varints.
        let mut record = BytesMut::from(&[32, 0, 0, 0, 8, 0, 0, 0, u8::from(commit), 12, 0, 0][..]);
        record.put_i32(coordinator_epoch);
        record.put_u8(0);
        let mut bytes = BytesMut::with_capacity(HEADER + record.len());
        bytes.put_i64(offset);
        bytes.put_i32((HEADER - LOG_OVERHEAD + record.len()) as i32);
        bytes.put_i32(leader_epoch);
        bytes.put_u8(2);
        bytes.put_u32(0);
        bytes.put_i16(attributes);
        bytes.put_i32(0);
        bytes.put_i64(time);
        bytes.put_i64(time);
        bytes.put_i64(producer_id);
        bytes.put_i16(producer_epoch);
        bytes.put_i32(NO_SEQUENCE);
        bytes.put_i32(1);
        bytes.put(record);
        let checksum = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&checksum.to_be_bytes());
        Self {
            base_offset: offset,
            last_offset_delta: 0,
            attributes,
            base_timestamp: time,
            max_timestamp: time,
            producer_id,
            producer_epoch,
            base_sequence: NO_SEQUENCE,
            count: 1,
            bytes: bytes.freeze(),
        }
    }

    pub(crate) fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    /// Returns the sequence number of the last record. The sequence starts at 0 again after the largest number.
    pub(crate) fn last_sequence(&self) -> i32 {
        add_to_sequence(self.base_sequence, self.last_offset_delta)
    }

    pub(crate) fn has_producer(&self) -> bool {
        self.producer_id >= 0
    }

    pub(crate) fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    pub(crate) fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    pub(crate) fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }

    /// Returns the compression type: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
    pub(crate) fn compression(&self) -> i16 {
        self.attributes & COMPRESSION
    }

    /// Returns the epoch of the leader that appended the batch.
    pub(crate) fn leader_epoch(&self) -> i32 {
        i32::from_be_bytes([self.bytes[12], self.bytes[13], self.bytes[14], self.bytes[15]])
    }

    /// Returns the timestamp of a record.
    pub(crate) fn timestamp(&self, delta: i64) -> i64 {
        if self.is_log_append_time() { self.max_timestamp } else { self.base_timestamp.wrapping_add(delta) }
    }

    /// Returns the bytes of the records, possibly compressed.
    pub(crate) fn records(&self) -> &[u8] {
        &self.bytes[HEADER..]
    }

    /// Returns the batch with only some of its records, uncompressed.
    pub(crate) fn with_records(&self, records: &[u8], count: i32, max_timestamp: i64) -> Self {
        let attributes = self.attributes & !COMPRESSION;
        let mut bytes = BytesMut::with_capacity(HEADER + records.len());
        bytes.put_slice(&self.bytes[..HEADER]);
        bytes.put_slice(records);
        bytes[8..12].copy_from_slice(&((HEADER - LOG_OVERHEAD + records.len()) as i32).to_be_bytes());
        bytes[21..23].copy_from_slice(&attributes.to_be_bytes());
        bytes[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        bytes[35..43].copy_from_slice(&max_timestamp.to_be_bytes());
        bytes[57..61].copy_from_slice(&count.to_be_bytes());
        let checksum = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&checksum.to_be_bytes());
        Self { attributes, count, max_timestamp, bytes: bytes.freeze(), ..*self }
    }

    /// Returns the batch as it is stored in the log. It has a new offset and leader epoch, which the checksum does not cover,
    /// and a new largest timestamp, which the checksum covers.
    pub(crate) fn placed(&self, offset: i64, leader_epoch: i32, timestamp: MaxTimestamp) -> Self {
        // Copy the bytes, so that the log does not keep the whole request in memory.
        let mut bytes = BytesMut::from(&self.bytes[..]);
        bytes[..8].copy_from_slice(&offset.to_be_bytes());
        bytes[12..16].copy_from_slice(&leader_epoch.to_be_bytes());
        let mut placed = Self { base_offset: offset, ..self.clone() };
        match timestamp {
            MaxTimestamp::Created(time) => {
                placed.attributes &= !LOG_APPEND_TIME;
                placed.max_timestamp = time;
            }
            MaxTimestamp::Appended(time) => {
                placed.attributes |= LOG_APPEND_TIME;
                placed.max_timestamp = time.0;
            }
        }
        if (placed.attributes, placed.max_timestamp) != (self.attributes, self.max_timestamp) {
            bytes[21..23].copy_from_slice(&placed.attributes.to_be_bytes());
            bytes[35..43].copy_from_slice(&placed.max_timestamp.to_be_bytes());
            let checksum = crc32c::crc32c(&bytes[21..]);
            bytes[17..21].copy_from_slice(&checksum.to_be_bytes());
        }
        placed.bytes = bytes.freeze();
        placed
    }
}

/// The largest timestamp that a batch gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MaxTimestamp {
    /// The largest timestamp of its records.
    Created(i64),
    /// The time of the append, which is then the timestamp of every record.
    Appended(Time),
}

/// Returns the sequence number `count` numbers later. 0 follows the largest number.
pub(crate) fn add_to_sequence(sequence: i32, count: i32) -> i32 {
    if sequence > i32::MAX - count { count - (i32::MAX - sequence) - 1 } else { sequence + count }
}

fn field<const N: usize>(header: &[u8; HEADER], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&header[at..at + N]);
    field
}
