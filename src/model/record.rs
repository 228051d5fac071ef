//! A received message.

use std::ffi::CStr;
use std::fmt;
use std::ops::Deref;
use std::ptr;
use std::slice;
use std::time::{Duration, SystemTime};

use rdkafka::Timestamp;
use rdkafka::bindings as rdsys;
use rdkafka::message::{BorrowedMessage, Header, Message, OwnedMessage};

use crate::model::bytes::{self, harmless, preview};
use crate::model::error::{Error, OrRaise, Result};

/// A received message.
///
/// Its methods need no trait to be imported. A record dereferences to rdkafka's [`OwnedMessage`]. The `Debug` output shows the
/// partition, the offset, and at most 120 bytes of the key and of the value.
///
/// ```
/// # let harness = rstest_kafka::Harness::builder().embedded_brokers(1).build();
/// # let kafka = harness.lease();
/// let consumer = kafka.consumer("events");
/// kafka.send("events", "customer-7", r#"{"id":1}"#);
///
/// let record = consumer.recv();
/// assert_eq!(record.key(), Some(&b"customer-7"[..]));
/// assert_eq!(record.text(), r#"{"id":1}"#);
/// assert_eq!(format!("{record:?}"), r#"0@0 key "customer-7" value "{\"id\":1}""#);
/// # #[cfg(feature = "json")]
/// # {
///
/// // With the feature `json`:
/// let value: std::collections::HashMap<String, u64> = record.json();
/// assert_eq!(value["id"], 1);
/// # }
/// ```
#[derive(Clone)]
pub struct Record {
    message: OwnedMessage,
    /// Names and values. Not read with rdkafka, whose accessors panic if a name is not UTF-8.
    headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Two records are equal if they have the same topic, partition, offset, time, key, value and headers.
impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        let parts = |record: &Self| (record.partition(), record.offset(), record.message.timestamp());
        parts(self) == parts(other)
            && self.topic() == other.topic()
            && (self.key(), self.payload(), &self.headers) == (other.key(), other.payload(), &other.headers)
    }
}

impl Eq for Record {}

impl Record {
    pub(crate) fn of(message: &BorrowedMessage<'_>) -> Self {
        Self { message: message.detach(), headers: headers_of(message) }
    }

    /// Returns the value, or `None` for a tombstone.
    pub fn payload(&self) -> Option<&[u8]> {
        self.message.payload()
    }

    /// Returns the key, or `None` if the message has no key.
    pub fn key(&self) -> Option<&[u8]> {
        self.message.key()
    }

    /// Returns the value as text.
    ///
    /// # Panics
    /// Panics if the message is a tombstone or its value is not UTF-8. Use [`try_text`](Self::try_text) to get an error instead.
    #[track_caller]
    pub fn text(&self) -> &str {
        self.try_text().or_raise()
    }

    /// Returns the value as text, like [`text`](Self::text), but returns an error instead of panicking.
    ///
    /// # Errors
    /// Returns [`Error::Value`] if the message is a tombstone or its value is not UTF-8.
    pub fn try_text(&self) -> Result<&str> {
        let payload = self.payload().ok_or_else(|| self.value_error("expected text, got a tombstone"))?;
        std::str::from_utf8(payload)
            .map_err(|error| self.value_error(format!("expected text, got bytes that are not UTF-8 ({error})")))
    }

    /// Parses the value as JSON.
    ///
    /// # Panics
    /// Panics if the value is not JSON of this type. Use [`try_json`](Self::try_json) to get an error instead.
    #[cfg(feature = "json")]
    #[track_caller]
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> T {
        self.try_json().or_raise()
    }

    /// Parses the value as JSON, like [`json`](Self::json), but returns an error instead of panicking.
    ///
    /// # Errors
    /// Returns [`Error::Value`] if the value is not JSON of this type. The error shows the path, line and column of the difference,
    /// and the message.
    #[cfg(feature = "json")]
    pub fn try_json<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        let payload = self.payload().ok_or_else(|| self.value_error("expected JSON, got a tombstone"))?;
        let mut parser = serde_json::Deserializer::from_slice(payload);
        let value = serde_path_to_error::deserialize(&mut parser).map_err(|error| {
            // "." is the value as a whole, and "?" is invalid JSON.
            let path = Some(error.path().to_string()).filter(|path| !matches!(path.as_str(), "." | "?"));
            self.json_error::<T>(path, error.inner())
        })?;
        parser.end().map_err(|error| self.json_error::<T>(None, &error))?;
        Ok(value)
    }

    #[cfg(feature = "json")]
    fn json_error<T>(&self, path: Option<String>, error: &serde_json::Error) -> Error {
        let place = path.as_ref().map(|path| format!("{path}: ")).unwrap_or_default();
        let reason = format!("expected JSON of type {}: {place}{error}", std::any::type_name::<T>());
        Error::Value { reason, path, record: Box::new(self.clone()) }
    }

    /// Returns the value of the first header with this name. Returns `None` if there is no such header or it has no value.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers_iter().find(|header| header.key == name).and_then(|header| header.value)
    }

    /// Returns all headers in order. Several headers may have the same name.
    ///
    /// Bytes of a name that are not UTF-8 are shown as escapes such as `\xff`. rdkafka's own accessors panic if a name is not UTF-8.
    pub fn headers_iter(&self) -> impl Iterator<Item = Header<'_, &[u8]>> {
        self.headers.iter().map(|(key, value)| Header { key, value: value.as_deref() })
    }

    /// Returns the partition of the message.
    pub fn partition(&self) -> i32 {
        self.message.partition()
    }

    /// Returns the offset of the message in its partition.
    pub fn offset(&self) -> i64 {
        self.message.offset()
    }

    /// Returns the name of the topic on the broker.
    pub fn topic(&self) -> &str {
        self.message.topic()
    }

    /// Returns the time of creation or appending, depending on the topic's `message.timestamp.type`. Returns `None` if the message
    /// has no timestamp.
    pub fn time(&self) -> Option<SystemTime> {
        time_of(self.message.timestamp())
    }

    /// Converts the record into rdkafka's message.
    pub fn into_inner(self) -> OwnedMessage {
        self.message
    }

    fn value_error(&self, reason: impl Into<String>) -> Error {
        Error::Value { reason: reason.into(), path: None, record: Box::new(self.clone()) }
    }
}

impl Deref for Record {
    type Target = OwnedMessage;

    fn deref(&self) -> &OwnedMessage {
        &self.message
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{} key ", self.partition(), self.offset())?;
        preview(f, self.key())?;
        write!(f, " value ")?;
        preview(f, self.payload())?;
        for header in self.headers_iter() {
            write!(f, " {}=", header.key.chars().map(harmless).collect::<String>())?;
            preview(f, header.value)?;
        }
        Ok(())
    }
}

pub(crate) fn time_of(timestamp: Timestamp) -> Option<SystemTime> {
    let millis = u64::try_from(timestamp.to_millis()?).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

/// Copies the headers of a message, with their names as text.
fn headers_of(message: &BorrowedMessage<'_>) -> Vec<(String, Option<Vec<u8>>)> {
    const DONE: rdsys::rd_kafka_resp_err_t = rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
    let mut headers = Vec::new();
    let mut native = ptr::null_mut();
    // SAFETY: the native message is valid as long as `message`. The headers, their names and their values belong to it. Names end
    // with a 0, and each value has the length `size`. All are copied before this function returns.
    unsafe {
        if rdsys::rd_kafka_message_headers(message.ptr(), &mut native) != DONE {
            return headers;
        }
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        while rdsys::rd_kafka_header_get_all(native, headers.len(), &mut name, &mut value, &mut size) == DONE {
            let name = bytes::as_text(CStr::from_ptr(name).to_bytes());
            let value = (!value.is_null()).then(|| slice::from_raw_parts(value.cast::<u8>(), size).to_vec());
            headers.push((name, value));
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn record(payload: Option<&[u8]>) -> Record {
        let headers = ["a1", "a2"].map(|value| ("trace".to_owned(), Some(value.as_bytes().to_vec()))).to_vec();
        let payload = payload.map(<[u8]>::to_vec);
        let (key, topic, time) = (Some(b"k".to_vec()), "t".to_owned(), Timestamp::CreateTime(1_000));
        Record { message: OwnedMessage::new(payload, key, topic, time, 2, 7, None), headers }
    }

    #[rstest]
    fn methods_return_the_parts() {
        let one = record(Some(b"one"));
        assert_eq!((one.payload(), one.key(), one.text()), (Some(&b"one"[..]), Some(&b"k"[..]), "one"));
        assert_eq!((one.partition(), one.offset(), one.topic()), (2, 7, "t"));
        assert_eq!((one.header("trace"), one.header("span")), (Some(&b"a1"[..]), None));
        assert_eq!(one.headers_iter().count(), 2);
        assert_eq!(one.time(), Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1)));
        assert_eq!(format!("{one:?}"), r#"2@7 key "k" value "one" trace="a1" trace="a2""#);
    }

    #[rstest]
    #[case::tombstone(None, "tombstone")]
    #[case::bytes(Some(&[0xff, 0x00][..]), "0xff00")]
    fn the_error_for_a_value_that_is_not_text_shows_the_value(#[case] payload: Option<&[u8]>, #[case] says: &str) {
        let message = record(payload).try_text().unwrap_err().to_string();
        assert!(message.contains(says), "{message}");
    }

    #[cfg(feature = "json")]
    #[rstest]
    #[case::deep(br#"{"items":[{"price":1},{"price":"x"}]}"#, Some("items[1].price"), "invalid type: string \"x\"")]
    #[case::missing(br#"{"items":[{"price":1},{}]}"#, Some("items[1]"), "missing field `price`")]
    #[case::whole(b"[]", None, "expected struct Order")]
    #[case::no_json(b"{", None, "EOF while parsing")]
    #[case::trailing(br#"{"items":[]} x"#, None, "trailing characters")]
    fn the_error_for_other_json_names_the_path(
        #[case] payload: &[u8],
        #[case] place: Option<&str>,
        #[case] says: &str,
    ) {
        #[derive(Debug, serde::Deserialize)]
        struct Order {
            #[expect(dead_code, reason = "only read")]
            items: Vec<Item>,
        }
        #[derive(Debug, serde::Deserialize)]
        struct Item {
            #[expect(dead_code, reason = "only read")]
            price: u64,
        }
        let error = record(Some(payload)).try_json::<Order>().unwrap_err();
        let message = error.to_string();
        assert!(message.contains("Order") && message.contains(says), "{message}");
        assert!(message.contains("of topic \"t\"") && message.contains("2@7 key \"k\" value"), "{message}");
        let Error::Value { path, .. } = error else { panic!("{error}") };
        assert_eq!(path.as_deref(), place, "{message}");
        assert!(place.is_none_or(|place| message.contains(&format!("{place}: "))), "{message}");
    }

    #[rstest]
    fn a_preview_is_cut_between_characters() {
        let long = "ä".repeat(500);
        let shown = format!("{:?}", record(Some(long.as_bytes())));
        assert!(shown.contains("… (1000 bytes)") && shown.len() < 300, "{shown}");
        let bytes = format!("{:?}", record(Some(&[0xff; 500])));
        assert!(bytes.contains("… (500 bytes)") && bytes.len() < 300, "{bytes}");
    }
}
