//! Which topic a consumer reads, if a topic was deleted and created again under the same name.
//!
//! librdkafka 2.12 continues to read in the new topic at its offset in the deleted topic
//! (`rd_kafka_topic_metadata_update`, "an offset reset must be triggered"). It reports the change only in a debug
//! message, before it fetches the first record of the new topic.

use std::collections::HashMap;
use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rdkafka::ClientConfig;
use rdkafka::bindings as rdsys;
use rdkafka::config::RDKafkaLogLevel;
use uuid::Uuid;

/// The id of the topic that a client reads, by topic name.
#[derive(Debug, Default)]
pub(crate) struct TopicIds {
    /// The ids are in librdkafka's notation.
    ids: Mutex<HashMap<String, String>>,
    changes: AtomicU64,
}

/// Makes a client log when the id of a topic changes. Only the debug context `metadata` is added.
pub(super) fn log_id_changes(config: &mut ClientConfig) {
    let debug = match config.get("debug") {
        Some(debug) if !debug.is_empty() => format!("{debug},metadata"),
        _ => "metadata".to_owned(),
    };
    config.set("debug", debug).set_log_level(RDKafkaLogLevel::Debug);
}

impl TopicIds {
    /// Takes the new id from a message such as `Topic events changed id from … to …`.
    pub(super) fn note_log_message(&self, message: &str) {
        let Some((before, ids)) = message.split_once(" changed id from ") else { return };
        let (Some((_, topic)), Some((_, id))) = (before.rsplit_once("Topic "), ids.split_once(" to ")) else { return };
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).insert(topic.to_owned(), id.to_owned());
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// The number of changes so far.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Whether the client reads a topic of that name that has another id.
    pub(crate) fn differ(&self, topic: &str, id: Uuid) -> bool {
        let ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.get(topic).is_some_and(|known| *known != notation(id))
    }
}

fn notation(id: Uuid) -> String {
    let (most, least) = id.as_u64_pair();
    // SAFETY: the id is created here and destroyed after its text, which it owns, was copied. Both pointers are checked
    // for null.
    unsafe {
        let native = rdsys::rd_kafka_Uuid_new(most as i64, least as i64);
        if native.is_null() {
            return String::new();
        }
        let text = rdsys::rd_kafka_Uuid_base64str(native);
        let owned = if text.is_null() { String::new() } else { CStr::from_ptr(text).to_string_lossy().into_owned() };
        rdsys::rd_kafka_Uuid_destroy(native);
        owned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_id_of_each_topic_is_the_one_that_is_read() {
        let (one, other) = (Uuid::new_v4(), Uuid::new_v4());
        let ids = TopicIds::default();
        assert!(!ids.differ("events", one), "nothing is known yet");
        let changed =
            |from, to| format!("[thrd:main]: Topic events changed id from {} to {}", notation(from), notation(to));
        ids.note_log_message(&changed(Uuid::nil(), one));
        ids.note_log_message("[thrd:main]: Topic events [0] Leader 1 Epoch 0");
        assert_eq!((ids.changes(), ids.differ("events", one), ids.differ("audit", other)), (1, false, false));
        ids.note_log_message(&changed(one, other));
        assert_eq!((ids.differ("events", one), ids.differ("events", other)), (true, false));
    }
}
