//! A message that a test received.

use std::fmt;
use std::ops::Deref;
use std::time::{Duration, SystemTime};

use rdkafka::message::{Header, Headers, Message, OwnedMessage};

use crate::error::{Error, OrRaise, Result};

/// A message as a test wants it: owned, its parts as methods, no trait to import.
///
/// Derefs to rdkafka's [`OwnedMessage`]. `Debug` shows partition, offset, key and a preview of the value, 120 bytes at most.
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
pub struct Record(OwnedMessage);

impl Record {
    pub(crate) fn new(message: OwnedMessage) -> Self {
        Self(message)
    }

    /// The value; `None` is a tombstone.
    pub fn payload(&self) -> Option<&[u8]> {
        self.0.payload()
    }

    /// The key, if it has one.
    pub fn key(&self) -> Option<&[u8]> {
        self.0.key()
    }

    /// The value as text.
    ///
    /// # Panics
    /// When it is a tombstone or not UTF-8; [`try_text`](Self::try_text) returns that as an error.
    #[track_caller]
    pub fn text(&self) -> &str {
        self.try_text().or_raise()
    }

    /// The value as text.
    ///
    /// # Errors
    /// [`Error::Value`] when it is a tombstone or not UTF-8.
    pub fn try_text(&self) -> Result<&str> {
        let payload = self.payload().ok_or_else(|| self.unlike("expected text, got a tombstone"))?;
        std::str::from_utf8(payload).map_err(|error| self.unlike(format!("expected text, got other bytes ({error})")))
    }

    /// The value, read as JSON.
    ///
    /// # Panics
    /// When it is no such JSON; [`try_json`](Self::try_json) returns that as an error.
    #[cfg(feature = "json")]
    #[track_caller]
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> T {
        self.try_json().or_raise()
    }

    /// The value, read as JSON.
    ///
    /// # Errors
    /// [`Error::Value`] with the path, line and column where it differs, and the value.
    #[cfg(feature = "json")]
    pub fn try_json<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        let payload = self.payload().ok_or_else(|| self.unlike("expected JSON, got a tombstone"))?;
        let mut parser = serde_json::Deserializer::from_slice(payload);
        let value = serde_path_to_error::deserialize(&mut parser).map_err(|error| {
            // "." is the value as a whole, "?" what is no JSON.
            let path = Some(error.path().to_string()).filter(|path| !matches!(path.as_str(), "." | "?"));
            self.unlike_json::<T>(path, error.inner())
        })?;
        parser.end().map_err(|error| self.unlike_json::<T>(None, &error))?;
        Ok(value)
    }

    #[cfg(feature = "json")]
    fn unlike_json<T>(&self, path: Option<String>, error: &serde_json::Error) -> Error {
        let place = path.as_ref().map(|path| format!("{path}: ")).unwrap_or_default();
        let reason = format!("expected JSON of a {}: {place}{error}", std::any::type_name::<T>());
        Error::Value { reason, path, record: Box::new(self.clone()) }
    }

    /// The value of the first header of that name; `None` where there is none, or where it has no value.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers_iter().find(|header| header.key == name).and_then(|header| header.value)
    }

    /// All headers in their order, also several of one name.
    pub fn headers_iter(&self) -> impl Iterator<Item = Header<'_, &[u8]>> {
        self.0.headers().into_iter().flat_map(|headers| headers.iter())
    }

    /// The partition that it came from.
    pub fn partition(&self) -> i32 {
        self.0.partition()
    }

    /// Its offset in the partition.
    pub fn offset(&self) -> i64 {
        self.0.offset()
    }

    /// The topic, as the broker calls it.
    pub fn topic(&self) -> &str {
        self.0.topic()
    }

    /// When it was made or appended, as the topic's `message.timestamp.type` says; `None` where the broker keeps none.
    pub fn time(&self) -> Option<SystemTime> {
        let millis = u64::try_from(self.0.timestamp().to_millis()?).ok()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))
    }

    /// The message itself.
    pub fn into_inner(self) -> OwnedMessage {
        self.0
    }

    fn unlike(&self, reason: impl Into<String>) -> Error {
        Error::Value { reason: reason.into(), path: None, record: Box::new(self.clone()) }
    }
}

impl Deref for Record {
    type Target = OwnedMessage;

    fn deref(&self) -> &OwnedMessage {
        &self.0
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{} key ", self.partition(), self.offset())?;
        preview(f, self.key())?;
        write!(f, " value ")?;
        preview(f, self.payload())?;
        for header in self.headers_iter() {
            write!(f, " {}=", header.key)?;
            preview(f, header.value)?;
        }
        Ok(())
    }
}

/// How many bytes of a key or a value a preview shows.
const PREVIEW: usize = 120;

/// Text as a quoted string, other bytes in hex, both cut at a length that leaves a line readable.
fn preview(f: &mut fmt::Formatter<'_>, bytes: Option<&[u8]>) -> fmt::Result {
    let Some(bytes) = bytes else { return f.write_str("none") };
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            let end = text.char_indices().map(|(at, _)| at).chain([text.len()]).take_while(|at| *at <= PREVIEW).last();
            write!(f, "{:?}", &text[..end.unwrap_or(0)])?;
        }
        Err(_) => {
            f.write_str("0x")?;
            for byte in bytes.iter().take(PREVIEW / 2) {
                write!(f, "{byte:02x}")?;
            }
        }
    }
    let shown = if std::str::from_utf8(bytes).is_ok() { PREVIEW } else { PREVIEW / 2 };
    if bytes.len() > shown { write!(f, "… ({} bytes)", bytes.len()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::Timestamp;
    use rdkafka::message::OwnedHeaders;
    use rstest::rstest;

    fn record(payload: Option<&[u8]>) -> Record {
        let headers = OwnedHeaders::new()
            .insert(Header { key: "trace", value: Some("a1") })
            .insert(Header { key: "trace", value: Some("a2") });
        let payload = payload.map(<[u8]>::to_vec);
        let (key, topic, time) = (Some(b"k".to_vec()), "t".to_owned(), Timestamp::CreateTime(1_000));
        Record::new(OwnedMessage::new(payload, key, topic, time, 2, 7, Some(headers)))
    }

    #[rstest]
    fn its_parts_are_methods() {
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
    fn what_is_no_text_says_what_it_is(#[case] payload: Option<&[u8]>, #[case] says: &str) {
        let message = record(payload).try_text().unwrap_err().to_string();
        assert!(message.contains(says), "{message}");
    }

    #[cfg(feature = "json")]
    #[rstest]
    #[case::deep(br#"{"items":[{"price":1},{"price":"x"}]}"#, Some("items[1].price"), "invalid type: string \"x\"")]
    #[case::missing(br#"{"items":[{"price":1},{}]}"#, Some("items[1]"), "missing field `price`")]
    #[case::whole(b"[]", None, "expected struct Order")]
    #[case::no_json(b"{", None, "EOF while parsing")]
    #[case::more_behind(br#"{"items":[]} x"#, None, "trailing characters")]
    fn what_is_other_json_says_where(#[case] payload: &[u8], #[case] place: Option<&str>, #[case] says: &str) {
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
    fn a_preview_is_cut_at_a_character() {
        let long = "ä".repeat(500);
        let shown = format!("{:?}", record(Some(long.as_bytes())));
        assert!(shown.contains("… (1000 bytes)") && shown.len() < 300, "{shown}");
        let bytes = format!("{:?}", record(Some(&[0xff; 500])));
        assert!(bytes.contains("… (500 bytes)") && bytes.len() < 300, "{bytes}");
    }
}
