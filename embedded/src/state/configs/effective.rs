//! The effective topic configuration for records. It is computed when a property changes, not with each request.

use std::collections::BTreeMap;

/// The configuration of a topic on each broker. A broker may have its own defaults.
#[derive(Debug, Default)]
pub(crate) struct Effective {
    pub(super) all: TopicSettings,
    own: BTreeMap<i32, TopicSettings>,
}

impl Effective {
    pub(super) fn new(all: TopicSettings, own: BTreeMap<i32, TopicSettings>) -> Self {
        Self { all, own }
    }

    /// Returns the configuration on this broker.
    pub(crate) fn on(&self, broker: i32) -> &TopicSettings {
        self.own.get(&broker).unwrap_or(&self.all)
    }
}

/// The properties of a topic as numbers and flags: the topic's own values, or the broker's.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct TopicSettings {
    pub(crate) max_message_bytes: i32,
    /// Whether the timestamp is the time of the append.
    pub(crate) log_append_time: bool,
    pub(crate) timestamp_before_max_ms: i64,
    pub(crate) timestamp_after_max_ms: i64,
    pub(crate) min_insync_replicas: i32,
    pub(crate) compact: bool,
    pub(crate) delete: bool,
    pub(crate) compression_type: String,
    pub(crate) retention_ms: i64,
    pub(crate) retention_bytes: i64,
    pub(crate) delete_retention_ms: i64,
    pub(crate) min_compaction_lag_ms: i64,
    pub(crate) max_compaction_lag_ms: i64,
    pub(crate) unclean_leader_election: bool,
}

impl TopicSettings {
    pub(super) fn new(value: impl Fn(&str) -> String) -> Self {
        let int = |name| value(name).parse().unwrap_or_default();
        let long = |name| value(name).parse().unwrap_or_default();
        let policy = value("cleanup.policy");
        let cleans_by = |word| policy.split(',').any(|policy| policy == word);
        Self {
            max_message_bytes: int("max.message.bytes"),
            log_append_time: value("message.timestamp.type") == "LogAppendTime",
            timestamp_before_max_ms: long("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: long("message.timestamp.after.max.ms"),
            min_insync_replicas: int("min.insync.replicas"),
            compact: cleans_by("compact"),
            delete: cleans_by("delete"),
            compression_type: value("compression.type"),
            retention_ms: long("retention.ms"),
            retention_bytes: long("retention.bytes"),
            delete_retention_ms: long("delete.retention.ms"),
            min_compaction_lag_ms: long("min.compaction.lag.ms"),
            max_compaction_lag_ms: long("max.compaction.lag.ms"),
            unclean_leader_election: value("unclean.leader.election.enable") == "true",
        }
    }
}
