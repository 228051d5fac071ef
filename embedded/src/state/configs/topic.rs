//! The configuration properties of topics.

use std::collections::BTreeMap;

use super::Configs;
use super::setting::Check::*;
use super::setting::Kind::*;
use super::setting::{Check, Kind, Setting};

/// A topic property, with the broker property that is its default.
#[derive(Debug)]
pub(crate) struct TopicSetting {
    pub(crate) setting: Setting,
    /// The name of the broker property, or an empty string.
    pub(crate) broker: &'static str,
}

const fn topic(
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    check: Check,
    broker: &'static str,
) -> TopicSetting {
    TopicSetting { setting: Setting { name, kind, default, check }, broker }
}

/// Returns the property with this name.
pub(crate) fn find(name: &str) -> Option<&'static TopicSetting> {
    let at = SETTINGS.binary_search_by(|known| known.setting.name.cmp(name)).ok()?;
    Some(&SETTINGS[at])
}

/// Sorted by name.
#[rustfmt::skip]
pub(crate) static SETTINGS: &[TopicSetting] = &[
    topic("cleanup.policy", List, Some("delete"), OneOf(&["compact", "delete"]), "log.cleanup.policy"),
    topic("compression.gzip.level", Int, Some("-1"), RangeOr(1, 9, -1), "compression.gzip.level"),
    topic("compression.lz4.level", Int, Some("9"), Range(1, 17), "compression.lz4.level"),
    topic("compression.type", Text, Some("producer"), OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), "compression.type"),
    topic("compression.zstd.level", Int, Some("3"), Range(-131072, 22), "compression.zstd.level"),
    topic("delete.retention.ms", Long, Some("86400000"), AtLeast(0), "log.cleaner.delete.retention.ms"),
    topic("file.delete.delay.ms", Long, Some("60000"), AtLeast(0), "log.segment.delete.delay.ms"),
    topic("flush.messages", Long, Some("9223372036854775807"), AtLeast(1), "log.flush.interval.messages"),
    topic("flush.ms", Long, Some("9223372036854775807"), AtLeast(0), "log.flush.interval.ms"),
    topic("follower.replication.throttled.replicas", List, Some(""), ThrottledReplicas, ""),
    topic("index.interval.bytes", Int, Some("4096"), AtLeast(0), "log.index.interval.bytes"),
    topic("leader.replication.throttled.replicas", List, Some(""), ThrottledReplicas, ""),
    topic("local.retention.bytes", Long, Some("-2"), AtLeast(-2), "log.local.retention.bytes"),
    topic("local.retention.ms", Long, Some("-2"), AtLeast(-2), "log.local.retention.ms"),
    topic("max.compaction.lag.ms", Long, Some("9223372036854775807"), AtLeast(1), "log.cleaner.max.compaction.lag.ms"),
    topic("max.message.bytes", Int, Some("1048588"), AtLeast(0), "message.max.bytes"),
    topic("message.timestamp.after.max.ms", Long, Some("3600000"), AtLeast(0), "log.message.timestamp.after.max.ms"),
    topic("message.timestamp.before.max.ms", Long, Some("9223372036854775807"), AtLeast(0), "log.message.timestamp.before.max.ms"),
    topic("message.timestamp.type", Text, Some("CreateTime"), OneOf(&["CreateTime", "LogAppendTime"]), "log.message.timestamp.type"),
    topic("min.cleanable.dirty.ratio", Double, Some("0.5"), Ratio(0.0, 1.0), "log.cleaner.min.cleanable.ratio"),
    topic("min.compaction.lag.ms", Long, Some("0"), AtLeast(0), "log.cleaner.min.compaction.lag.ms"),
    topic("min.insync.replicas", Int, Some("1"), AtLeast(1), "min.insync.replicas"),
    topic("preallocate", Boolean, Some("false"), Any, "log.preallocate"),
    topic("remote.log.copy.disable", Boolean, Some("false"), Any, ""),
    topic("remote.log.delete.on.disable", Boolean, Some("false"), Any, ""),
    topic("remote.storage.enable", Boolean, Some("false"), Any, ""),
    topic("retention.bytes", Long, Some("-1"), Any, "log.retention.bytes"),
    topic("retention.ms", Long, Some("604800000"), AtLeast(-1), "log.retention.ms"),
    topic("segment.bytes", Int, Some("1073741824"), AtLeast(1048576), "log.segment.bytes"),
    topic("segment.index.bytes", Int, Some("10485760"), AtLeast(4), "log.index.size.max.bytes"),
    topic("segment.jitter.ms", Long, Some("0"), AtLeast(0), "log.roll.jitter.ms"),
    topic("segment.ms", Long, Some("604800000"), AtLeast(1), "log.roll.ms"),
    topic("unclean.leader.election.enable", Boolean, Some("false"), Any, "unclean.leader.election.enable"),
];

/// Checks all properties of a topic, and returns them in the form that Kafka shows.
pub(crate) fn check(given: &BTreeMap<String, String>, broker: &Configs) -> Result<BTreeMap<String, String>, String> {
    if let Some(unknown) = given.keys().find(|name| find(name).is_none()) {
        return Err(format!("Unknown topic config name: {unknown}"));
    }
    let known = given.iter().filter_map(|(name, value)| Some((find(name)?, value)));
    let parsed: BTreeMap<String, String> = known
        .map(|(known, value)| Ok((known.setting.name.to_owned(), known.setting.parse(value)?)))
        .collect::<Result<_, String>>()?;
    let settings = broker.effective(&parsed);
    let (least, most) = (settings.all.min_compaction_lag_ms, settings.all.max_compaction_lag_ms);
    if least > most {
        return Err(format!(
            "conflict topic config setting min.compaction.lag.ms ({least}) > max.compaction.lag.ms ({most})"
        ));
    }
    if parsed.get("remote.storage.enable").is_some_and(|enabled| enabled == "true") {
        return Err(
            "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage."
                .to_owned(),
        );
    }
    Ok(parsed)
}
