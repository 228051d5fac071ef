//! Which of the topics of a name a consumer reads.
//!
//! librdkafka 2.12 reads on in a topic that was created again, at the offset where it was in the deleted one
//! (`rd_kafka_topic_metadata_update`, "an offset reset must be triggered"). It says so in a debug message alone, before it fetches
//! the first record of the new one.

use std::collections::HashMap;
use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rdkafka::ClientConfig;
use rdkafka::bindings as rdsys;
use rdkafka::config::RDKafkaLogLevel;
use uuid::Uuid;

/// The topics that a client has learned of, each with the id of the one that it reads now.
#[derive(Debug, Default)]
pub(crate) struct TopicIds {
    /// In librdkafka's own notation.
    ids: Mutex<HashMap<String, String>>,
    changes: AtomicU64,
}

/// Has a client say when the id of a topic changes, and no more than what belongs to metadata beside it.
pub(super) fn have_logged(config: &mut ClientConfig) {
    let debug = match config.get("debug") {
        Some(debug) if !debug.is_empty() => format!("{debug},metadata"),
        _ => "metadata".to_owned(),
    };
    config.set("debug", debug).set_log_level(RDKafkaLogLevel::Debug);
}

impl TopicIds {
    /// Takes the new id out of a message such as `Topic events changed id from … to …`.
    pub(super) fn note(&self, message: &str) {
        let Some((before, ids)) = message.split_once(" changed id from ") else { return };
        let (Some((_, topic)), Some((_, id))) = (before.rsplit_once("Topic "), ids.split_once(" to ")) else { return };
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).insert(topic.to_owned(), id.to_owned());
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// How many changes were noted.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Whether the client reads another topic of that name than this one.
    pub(crate) fn differ(&self, topic: &str, id: Uuid) -> bool {
        let ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.get(topic).is_some_and(|known| *known != notation(id))
    }
}

fn notation(id: Uuid) -> String {
    let (most, least) = id.as_u64_pair();
    // SAFETY: the id is made here and destroyed after its text, which belongs to it, has been copied; each is checked for null.
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
        ids.note(&changed(Uuid::nil(), one));
        ids.note("[thrd:main]: Topic events [0] Leader 1 Epoch 0");
        assert_eq!((ids.changes(), ids.differ("events", one), ids.differ("audit", other)), (1, false, false));
        ids.note(&changed(one, other));
        assert_eq!((ids.differ("events", one), ids.differ("events", other)), (true, false));
    }
}
