//! A message to send, and its position after the broker has acknowledged it.

use std::fmt;
use std::time::SystemTime;

use crate::model::bytes::{harmless, preview};
use crate::model::error::{Error, Result};

/// A message to send with [`Kafka::send_record`](crate::Kafka::send_record): a key, a value, and optional headers, partition and
/// timestamp.
///
/// The topic is not part of the record. A record without a key differs from a record with an empty key, and a tombstone differs
/// from a record with an empty value.
///
/// ```
/// use rstest_kafka::ProducerRecord;
/// # let harness = rstest_kafka::Harness::builder().embedded_brokers(1).build();
/// # let kafka = harness.lease();
///
/// let events = kafka.topic("events");
/// let record = ProducerRecord::value("v").header("trace", "a1").partition(0);
/// let delivery = kafka.send_record(&events, record);
/// assert_eq!((delivery.partition, delivery.offset), (0, events.fence(0)));
///
/// let received = kafka.consumer(&events).recv();
/// assert_eq!((received.key(), received.header("trace")), (None, Some(&b"a1"[..])));
/// ```
#[derive(Clone, PartialEq, Eq)]
#[must_use = "a record is sent by Kafka::send_record"]
pub struct ProducerRecord {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
    pub(crate) partition: Option<i32>,
    timestamp: Option<SystemTime>,
}

impl ProducerRecord {
    /// Creates a record with a key and a value.
    pub fn new(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        Self { key: Some(key.as_ref().to_vec()), ..Self::value(value) }
    }

    /// Creates a record without a key.
    pub fn value(value: impl AsRef<[u8]>) -> Self {
        let value = Some(value.as_ref().to_vec());
        Self { key: None, value, headers: Vec::new(), partition: None, timestamp: None }
    }

    /// Creates a record without a value. On a compacted topic, it deletes the key.
    pub fn tombstone(key: impl AsRef<[u8]>) -> Self {
        Self { value: None, ..Self::new(key, "") }
    }

    /// Adds a header. Several headers may have the same name.
    pub fn header(mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), Some(value.as_ref().to_vec())));
        self
    }

    /// Adds a header without a value, which differs from a header with an empty value.
    pub fn null_header(mut self, name: impl Into<String>) -> Self {
        self.headers.push((name.into(), None));
        self
    }

    /// Sets the partition. By default, librdkafka chooses a partition by the key (`consistent_random`).
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Sets the timestamp, which is rounded down to milliseconds. The default is the time of sending.
    pub fn timestamp(mut self, timestamp: SystemTime) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// Returns the timestamp in milliseconds since 1970.
    pub(crate) fn millis(&self) -> Option<i64> {
        let since = self.timestamp?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Some(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// Returns the number of bytes in the key, the value and the headers, which count towards the limits of a message's size.
    pub(crate) fn size(&self) -> usize {
        let of = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers = self.headers.iter().map(|(name, value)| name.len() + of(value)).sum::<usize>();
        of(&self.key) + of(&self.value) + headers
    }

    /// Returns an error for values that have a special meaning for librdkafka.
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(partition) = self.partition.filter(|partition| *partition < 0) {
            return Err(Error::misuse(format!(
                "could not send a message to partition {partition}: partitions are numbered from 0; if none is set, the client \
                 chooses one"
            )));
        }
        if self.millis() == Some(0) {
            return Err(Error::misuse(
                "could not send a message with a timestamp before 1970-01-01 00:00:00.001 UTC, because librdkafka would \
                 replace it with the current time: set a later timestamp",
            ));
        }
        Ok(())
    }
}

/// A record with a key and a value.
impl<K: AsRef<[u8]>, V: AsRef<[u8]>> From<(K, V)> for ProducerRecord {
    fn from((key, value): (K, V)) -> Self {
        Self::new(key, value)
    }
}

impl fmt::Debug for ProducerRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("key ")?;
        preview(f, self.key.as_deref())?;
        f.write_str(" value ")?;
        preview(f, self.value.as_deref())?;
        for (name, value) in &self.headers {
            write!(f, " {}=", name.chars().map(harmless).collect::<String>())?;
            preview(f, value.as_deref())?;
        }
        if let Some(partition) = self.partition {
            write!(f, " for partition {partition}")?;
        }
        if let Some(millis) = self.millis() {
            write!(f, " of {millis} ms")?;
        }
        Ok(())
    }
}

/// The position of a message that the broker has acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// The number of the partition, starting at 0.
    pub partition: i32,
    /// The offset of the message in the partition.
    pub offset: i64,
    /// The time of creation or appending, depending on the topic's `message.timestamp.type`. `None` if the message has no
    /// timestamp.
    pub time: Option<SystemTime>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use std::time::Duration;

    #[rstest]
    #[case::all(ProducerRecord::new("k", "v").header("trace", "a1").null_header("span").partition(2)
                    .timestamp(SystemTime::UNIX_EPOCH + Duration::from_millis(7)),
                r#"key "k" value "v" trace="a1" span=none for partition 2 of 7 ms"#)]
    #[case::no_key(ProducerRecord::value(""), r#"key none value """#)]
    #[case::no_value(ProducerRecord::tombstone(""), r#"key "" value none"#)]
    fn debug_is_one_line(#[case] record: ProducerRecord, #[case] shown: &str) {
        assert_eq!(format!("{record:?}"), shown);
    }

    #[rstest]
    #[case::the_clients_choice(ProducerRecord::value("v").partition(-1), "partition -1")]
    #[case::now(ProducerRecord::value("v").timestamp(SystemTime::UNIX_EPOCH), "before 1970-01-01")]
    #[case::before(ProducerRecord::value("v").timestamp(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), "before 1970-01-01")]
    fn special_values_of_librdkafka_are_refused(#[case] record: ProducerRecord, #[case] says: &str) {
        let refused = record.check().unwrap_err().to_string();
        assert!(refused.contains(says), "{refused}");
    }
}
