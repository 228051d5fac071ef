//! The configuration of brokers and topics, by Kafka's property names.

pub(crate) mod alter;
pub(crate) mod broker;
mod describe;
mod effective;
mod group;
pub(crate) mod setting;
pub(crate) mod topic;

use std::collections::BTreeMap;

pub(crate) use self::describe::Described;
pub(crate) use self::effective::{Effective, TopicSettings};

/// The properties of the cluster. A property that is not set has Kafka's default.
#[derive(Debug, Default)]
pub(crate) struct Configs {
    /// The properties at the start.
    fixed: BTreeMap<String, String>,
    /// The properties that were set for all brokers since.
    dynamic_default: BTreeMap<String, String>,
    /// The properties that were set for one broker since.
    dynamic: BTreeMap<i32, BTreeMap<String, String>>,
    groups: BTreeMap<String, BTreeMap<String, String>>,
    client_metrics: BTreeMap<String, BTreeMap<String, String>>,
    /// The log levels of the loggers of each broker.
    loggers: BTreeMap<(i32, String), String>,
}

/// The loggers that can be described and changed: the roots of Kafka's loggers.
const LOGGERS: [&str; 4] = ["kafka", "org.apache.kafka", "root", "state.change.logger"];

/// The source of a value, with its number in DescribeConfigs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Topic = 1,
    DynamicBroker = 2,
    DynamicDefaultBroker = 3,
    StaticBroker = 4,
    Default = 5,
    DynamicBrokerLogger = 6,
    ClientMetrics = 7,
    Group = 8,
}

/// Returns the default properties of a cluster with this many brokers: no delays, and no more replicas than brokers.
fn fitting(brokers: usize) -> [(&'static str, usize); 6] {
    [
        // A member of a consumer group learns about a change only from its next heartbeat.
        ("group.consumer.heartbeat.interval.ms", 20),
        ("group.consumer.min.heartbeat.interval.ms", 20),
        ("group.initial.rebalance.delay.ms", 0),
        ("offsets.topic.replication.factor", brokers.min(3)),
        ("transaction.state.log.min.isr", brokers.min(2)),
        ("transaction.state.log.replication.factor", brokers.min(3)),
    ]
}

impl Configs {
    /// Validates the properties at the start. If a name or a value is invalid, returns the name, the value and what was
    /// expected.
    pub(crate) fn new(given: Vec<(String, String)>, brokers: usize) -> Result<Self, (String, String, String)> {
        let mut fixed: BTreeMap<String, String> =
            fitting(brokers).into_iter().map(|(name, value)| (name.to_owned(), value.to_string())).collect();
        for (name, value) in given {
            let Some(known) = broker::find(&name) else {
                return Err((name, value, "Kafka 4.1 has no broker setting of this name".to_owned()));
            };
            match known.setting.parse(&value) {
                Ok(parsed) => fixed.insert(name, parsed),
                Err(message) => return Err((name, value, message)),
            };
        }
        // With eligible leader replicas (KIP-966), a new cluster stores this property for all brokers.
        let min_isr = fixed.get("min.insync.replicas").map_or("1", String::as_str);
        let dynamic_default = [("min.insync.replicas".to_owned(), min_isr.to_owned())].into();
        Ok(Self { fixed, dynamic_default, ..Self::default() })
    }

    /// Returns the value and source of a property, for one broker or for all brokers. Returns `None` if it has neither a value
    /// nor a default.
    fn broker_with_source(&self, broker: Option<i32>, name: &str) -> Option<(&str, Source)> {
        if let Some(value) = broker.and_then(|id| self.dynamic.get(&id)?.get(name)) {
            return Some((value, Source::DynamicBroker));
        }
        if let Some(value) = self.dynamic_default.get(name) {
            return Some((value, Source::DynamicDefaultBroker));
        }
        if let Some(value) = self.fixed.get(name) {
            return Some((value, Source::StaticBroker));
        }
        broker::find(name)?.setting.default.map(|value| (value, Source::Default))
    }

    /// Returns the value of a property for all brokers, or an empty string.
    pub(crate) fn broker(&self, name: &str) -> &str {
        self.broker_with_source(None, name).map_or("", |(value, _)| value)
    }

    /// Returns the rack of the brokers, if they have one.
    pub(crate) fn rack(&self) -> Option<&str> {
        Some(self.broker("broker.rack")).filter(|rack| !rack.is_empty())
    }

    /// Returns the groups with own properties.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(String::as_str)
    }

    /// Returns the subscriptions of client metrics.
    pub(crate) fn client_metrics(&self) -> impl Iterator<Item = &str> {
        self.client_metrics.keys().map(String::as_str)
    }

    /// Returns the value of a numeric property for all brokers, or 0.
    pub(crate) fn broker_number(&self, name: &str) -> i64 {
        self.broker(name).parse().unwrap_or_default()
    }

    /// Returns the value of a numeric property for one broker, or 0.
    pub(crate) fn number_of(&self, broker: i32, name: &str) -> i64 {
        self.broker_with_source(Some(broker), name).and_then(|(value, _)| value.parse().ok()).unwrap_or_default()
    }

    /// Returns the effective configuration of a topic on each broker.
    pub(crate) fn effective(&self, config: &BTreeMap<String, String>) -> Effective {
        let on = |broker| {
            TopicSettings::new(|name| match config.get(name) {
                Some(value) => value.clone(),
                None => topic::find(name).map(|known| self.topic_default(known, broker).0).unwrap_or_default(),
            })
        };
        Effective::new(on(None), self.dynamic.keys().map(|id| (*id, on(Some(*id)))).collect())
    }
}
