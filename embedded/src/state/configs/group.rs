//! The configuration properties of groups and client metrics.

use std::collections::BTreeMap;

use super::Configs;
use super::setting::Check::*;
use super::setting::Kind::*;
use super::setting::{Check, Kind, Setting};

const fn setting(name: &'static str, kind: Kind, default: Option<&'static str>, check: Check) -> Setting {
    Setting { name, kind, default, check }
}

/// Sorted by name.
#[rustfmt::skip]
pub(crate) static GROUP: &[Setting] = &[
    setting("consumer.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1)),
    setting("consumer.session.timeout.ms", Int, Some("45000"), AtLeast(1)),
    setting("share.auto.offset.reset", Text, Some("latest"), OffsetReset),
    setting("share.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1)),
    setting("share.isolation.level", Text, Some("read_uncommitted"), OneOf(&["read_committed", "read_uncommitted"])),
    setting("share.record.lock.duration.ms", Int, Some("30000"), AtLeast(1000)),
    setting("share.session.timeout.ms", Int, Some("45000"), AtLeast(1)),
    setting("streams.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1)),
    setting("streams.num.standby.replicas", Int, Some("0"), AtLeast(0)),
    setting("streams.session.timeout.ms", Int, Some("45000"), AtLeast(1)),
];

/// Sorted by name.
#[rustfmt::skip]
pub(crate) static CLIENT_METRICS: &[Setting] = &[
    setting("interval.ms", Int, Some("300000"), Any),
    setting("match", List, Some(""), Any),
    setting("metrics", List, Some(""), Any),
];

/// Returns the broker property that is the default of a group property.
pub(crate) fn broker_setting(name: &str) -> String {
    format!("group.{name}")
}

impl Configs {
    /// Returns the value of a group property: the group's own value, the broker's value, or Kafka's default.
    pub(crate) fn group(&self, group: &str, name: &str) -> String {
        let own = self.groups.get(group).and_then(|own| own.get(name));
        let default = || GROUP.iter().find(|known| known.name == name).and_then(|known| known.default);
        let broker = || self.broker_with_source(None, &broker_setting(name)).map(|(value, _)| value);
        own.map(String::as_str).or_else(broker).or_else(default).unwrap_or_default().to_owned()
    }

    /// Returns the value of a numeric group property.
    pub(crate) fn group_number(&self, group: &str, name: &str) -> i64 {
        self.group(group, name).parse().unwrap_or_default()
    }

    /// Checks all properties of a group.
    pub(super) fn check_group(&self, given: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, String> {
        if let Some(unknown) = given.keys().find(|name| GROUP.iter().all(|known| known.name != **name)) {
            return Err(format!("Unknown group config name: {unknown}"));
        }
        let mut parsed = BTreeMap::new();
        for known in GROUP {
            if let Some(value) = given.get(known.name) {
                parsed.insert(known.name.to_owned(), known.parse(value)?);
            }
        }
        // Kafka compares missing properties by its own default, not by the broker's.
        let number = |name: &str| -> i64 {
            let default = || GROUP.iter().find(|known| known.name == name).and_then(|known| known.default);
            parsed.get(name).map(String::as_str).or_else(default).unwrap_or_default().parse().unwrap_or_default()
        };
        for (kind, name) in [
            ("consumer", "heartbeat.interval.ms"),
            ("consumer", "session.timeout.ms"),
            ("share", "heartbeat.interval.ms"),
            ("share", "session.timeout.ms"),
            ("share", "record.lock.duration.ms"),
            ("streams", "heartbeat.interval.ms"),
            ("streams", "session.timeout.ms"),
        ] {
            let (own, least) = (format!("{kind}.{name}"), format!("group.{kind}.min.{name}"));
            let most = format!("group.{kind}.max.{name}");
            if parsed.contains_key(&own) && number(&own) < self.broker_number(&least) {
                return Err(format!("{own} must be greater than or equal to {least}"));
            }
            if parsed.contains_key(&own) && number(&own) > self.broker_number(&most) {
                return Err(format!("{own} must be less than or equal to {most}"));
            }
        }
        for kind in ["consumer", "share", "streams"] {
            let (session, heartbeat) = (format!("{kind}.session.timeout.ms"), format!("{kind}.heartbeat.interval.ms"));
            if number(&session) <= number(&heartbeat) {
                return Err(format!("{session} must be greater than {heartbeat}"));
            }
        }
        Ok(parsed)
    }
}
