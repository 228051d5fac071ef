//! The records inside a batch, uncompressed.

use super::batch::Batch;
use super::compression::{self, Unreadable};

/// A record of format 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: i32,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    /// The number of headers, and the encoded headers.
    headers: &'a [u8],
    /// The complete encoded record.
    pub(crate) bytes: &'a [u8],
}

impl<'a> Record<'a> {
    /// Returns the headers with their names and values.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> {
        let mut rest = self.headers;
        let count = varint(&mut rest).unwrap_or_default();
        (0..count).map_while(move |_| Some((byte_string(&mut rest)??, byte_string(&mut rest)?)))
    }
}

/// The records do not match the header of their batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Invalid;

/// Returns the bytes of a batch's records, decompressed if necessary.
pub(crate) fn uncompressed(batch: &Batch) -> Result<std::borrow::Cow<'_, [u8]>, Unreadable> {
    Ok(match batch.compression() {
        compression::NONE => batch.records().into(),
        _ => compression::decompress(batch)?.into(),
    })
}

/// Decodes the records of a batch one by one, up to the first invalid record.
#[derive(Debug)]
pub(crate) struct Records<'a> {
    rest: &'a [u8],
    left: i32,
}

impl<'a> Records<'a> {
    /// Decodes `count` records, with no bytes after them.
    pub(crate) fn new(bytes: &'a [u8], count: i32) -> Self {
        Self { rest: bytes, left: count }
    }

    fn read(&mut self) -> Option<Record<'a>> {
        let begin = self.rest;
        let length = usize::try_from(varint(&mut self.rest)?).ok()?;
        let (mut record, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        let (_attributes, after) = record.split_first()?;
        record = after;
        let timestamp_delta = varlong(&mut record)?;
        let offset_delta = varint(&mut record)?;
        let key = byte_string(&mut record)?;
        let value = byte_string(&mut record)?;
        let headers = record;
        for _ in 0..usize::try_from(varint(&mut record)?).ok()? {
            byte_string(&mut record)??;
            byte_string(&mut record)?;
        }
        let complete = record.is_empty() && (self.left > 0 || self.rest.is_empty());
        let bytes = &begin[..begin.len() - self.rest.len()];
        complete.then_some(Record { timestamp_delta, offset_delta, key, value, headers, bytes })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Invalid>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            return None;
        }
        self.left -= 1;
        let record = self.read().ok_or(Invalid);
        if record.is_err() {
            self.left = 0;
        }
        Some(record)
    }
}

fn byte_string<'a>(from: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    match usize::try_from(varint(from)?) {
        Ok(length) => {
            let (bytes, rest) = from.split_at_checked(length)?;
            *from = rest;
            Some(Some(bytes))
        }
        Err(_) => Some(None),
    }
}

fn varint(from: &mut &[u8]) -> Option<i32> {
    // A varint has at most five bytes. Bits after the 32nd are lost, as in Kafka.
    let number = unsigned(from, 5)? as u32;
    Some((number >> 1) as i32 ^ -((number & 1) as i32))
}

fn varlong(from: &mut &[u8]) -> Option<i64> {
    let number = unsigned(from, 10)?;
    Some((number >> 1) as i64 ^ -((number & 1) as i64))
}

fn unsigned(from: &mut &[u8], most: u32) -> Option<u64> {
    let mut number = 0;
    for n in 0..most {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(byte & 0x7f) << (7 * n);
        if *byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No attributes, timestamp delta 1, offset delta 0, key "k", value "v", one header "h" without a value.
    const RECORD: [u8; 12] = [22, 0, 2, 0, 2, b'k', 2, b'v', 2, 2, b'h', 1];

    #[test]
    fn records_are_read() {
        let bytes = [RECORD, RECORD].concat();
        let records: Vec<_> = Records::new(&bytes, 2).map(Result::unwrap).collect();
        assert_eq!(records.len(), 2);
        assert_eq!((records[1].key, records[1].value), (Some(&b"k"[..]), Some(&b"v"[..])));
        assert_eq!((records[1].timestamp_delta, records[1].offset_delta), (1, 0));
        assert_eq!(records[1].bytes, RECORD);
        assert_eq!(records[1].headers().collect::<Vec<_>>(), [(&b"h"[..], None)]);
    }

    #[test]
    fn a_batch_that_holds_fewer_or_more_than_it_says_is_invalid() {
        assert!(Records::new(&RECORD, 2).any(|record| record.is_err()));
        assert!(Records::new(&[&RECORD[..], &[0]].concat(), 1).any(|record| record.is_err()));
        assert!(Records::new(&[], i32::MAX).any(|record| record.is_err()));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        for at in 0..RECORD.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = RECORD;
                bytes[at] = byte;
                Records::new(&bytes, 1).for_each(drop);
                Records::new(&bytes[..at], 1).for_each(drop);
            }
        }
    }
}
