//! The checks of a batch before it is appended, in the order of Kafka's `LogValidator`.

use kafka_protocol::ResponseError;

use super::batch::{BadBatch, Batch, MaxTimestamp};
use super::compression::Unreadable;
use super::configs::TopicSettings;
use super::records::{Records, uncompressed};
use crate::clock::Time;

/// The reason why a batch is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) error: ResponseError,
    pub(crate) message: Option<String>,
    /// The invalid records, by their index in the batch.
    pub(crate) records: Vec<(i32, String)>,
}

impl From<ResponseError> for Refusal {
    fn from(error: ResponseError) -> Self {
        Self { error, message: None, records: Vec::new() }
    }
}

impl From<BadBatch> for Refusal {
    fn from(bad: BadBatch) -> Self {
        match bad {
            BadBatch::Missing | BadBatch::OldFormat => ResponseError::InvalidRecord,
            BadBatch::Corrupt => ResponseError::CorruptMessage,
        }
        .into()
    }
}

impl TopicSettings {
    /// Checks a batch and its records. Returns the timestamp of the batch.
    pub(super) fn check(&self, batch: &Batch, now: Time) -> Result<MaxTimestamp, Refusal> {
        if batch.base_offset != 0 {
            return Err(ResponseError::InvalidRecord.into());
        }
        if batch.bytes.len() as i64 > i64::from(self.max_message_bytes) {
            return Err(ResponseError::MessageTooLarge.into());
        }
        if !batch.has_right_checksum() {
            return Err(ResponseError::CorruptMessage.into());
        }
        let consistent = batch.count > 0 && i64::from(batch.last_offset_delta) + 1 == i64::from(batch.count);
        if !consistent || batch.is_control() || batch.has_producer() && batch.base_sequence < 0 {
            return Err(ResponseError::InvalidRecord.into());
        }
        let largest = self.check_records(batch, now)?;
        Ok(self.timestamp(largest, now))
    }

    /// Returns the timestamp of a batch that is appended now.
    pub(super) fn timestamp(&self, created: i64, now: Time) -> MaxTimestamp {
        if self.log_append_time { MaxTimestamp::Appended(now) } else { MaxTimestamp::Created(created) }
    }

    /// Checks every record. Returns the largest timestamp.
    fn check_records(&self, batch: &Batch, now: Time) -> Result<i64, Refusal> {
        let records = uncompressed(batch).map_err(|unreadable| match unreadable {
            Unreadable::Corrupt => ResponseError::UnknownServerError,
            Unreadable::TooLarge => ResponseError::MessageTooLarge,
        })?;
        let (mut largest, mut faults, mut late) = (-1, Vec::new(), false);
        for (index, record) in (0..).zip(Records::new(&records, batch.count)) {
            let record = record.map_err(|_| ResponseError::InvalidRecord)?;
            let timestamp = batch.timestamp(record.timestamp_delta);
            largest = largest.max(timestamp);
            if self.compact && record.key.is_none() {
                faults.push((index, "a record of a compacted topic needs a key".to_owned()));
            } else if let Some(fault) = self.timestamp_fault(batch, timestamp, now) {
                late = true;
                faults.push((index, fault));
            }
        }
        if faults.is_empty() {
            return Ok(largest);
        }
        let (count, what) = (faults.len(), if late { "of their timestamps" } else { "they have no key" });
        Err(Refusal {
            error: if late { ResponseError::InvalidTimestamp } else { ResponseError::InvalidRecord },
            message: Some(format!("{count} of {} records are refused because {what}", batch.count)),
            records: faults,
        })
    }

    fn timestamp_fault(&self, batch: &Batch, timestamp: i64, now: Time) -> Option<String> {
        if !self.log_append_time && timestamp != -1 {
            let age = now.0.wrapping_sub(timestamp);
            let wrong = age > self.timestamp_before_max_ms || age.wrapping_neg() > self.timestamp_after_max_ms;
            return wrong.then(|| {
                format!(
                    "timestamp {timestamp} is more than {} ms before or {} ms after the broker's time {}",
                    self.timestamp_before_max_ms, self.timestamp_after_max_ms, now.0
                )
            });
        }
        batch.is_log_append_time().then(|| "only a broker sets the time of the append".to_owned())
    }
}
