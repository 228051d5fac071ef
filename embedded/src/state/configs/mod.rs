//! The settings of brokers and topics, by Kafka's names.

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

/// The settings that the cluster was started with or was given since; what is not in it has Kafka's default.
#[derive(Debug, Default)]
pub(crate) struct Configs {
    /// What the brokers were started with.
    fixed: BTreeMap<String, String>,
    /// What all brokers were given since.
    dynamic_default: BTreeMap<String, String>,
    /// What one broker was given since.
    dynamic: BTreeMap<i32, BTreeMap<String, String>>,
    groups: BTreeMap<String, BTreeMap<String, String>>,
    client_metrics: BTreeMap<String, BTreeMap<String, String>>,
    /// The levels of the loggers of a broker.
    loggers: BTreeMap<(i32, String), String>,
}

/// The loggers that can be described and set: the roots of Kafka's.
const LOGGERS: [&str; 4] = ["kafka", "org.apache.kafka", "root", "state.change.logger"];

/// Where a value comes from, numbered as in DescribeConfigs.
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

/// The settings that a cluster of this many brokers is started with by default: no time to wait where Kafka has one,
/// and no more replicas than there are brokers.
fn fitting(brokers: usize) -> [(&'static str, usize); 6] {
    [
        // A member of a consumer group hears of a change by its next heartbeat, and no earlier.
        ("group.consumer.heartbeat.interval.ms", 20),
        ("group.consumer.min.heartbeat.interval.ms", 20),
        ("group.initial.rebalance.delay.ms", 0),
        ("offsets.topic.replication.factor", brokers.min(3)),
        ("transaction.state.log.min.isr", brokers.min(2)),
        ("transaction.state.log.replication.factor", brokers.min(3)),
    ]
}

impl Configs {
    /// Takes the settings that the brokers are started with; a name or a value that Kafka does not know is refused with
    /// the name, the value, and what was expected.
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
        // With eligible leader replicas (KIP-966) a new cluster keeps this one for all brokers.
        let min_isr = fixed.get("min.insync.replicas").map_or("1", String::as_str);
        let dynamic_default = [("min.insync.replicas".to_owned(), min_isr.to_owned())].into();
        Ok(Self { fixed, dynamic_default, ..Self::default() })
    }

    /// A setting with its source, of one broker or of all that have none of their own; `None` if it has neither a value
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

    /// A setting that all brokers share; empty where it has no value.
    pub(crate) fn broker(&self, name: &str) -> &str {
        self.broker_with_source(None, name).map_or("", |(value, _)| value)
    }

    /// The rack of the brokers, if they have one.
    pub(crate) fn rack(&self) -> Option<&str> {
        Some(self.broker("broker.rack")).filter(|rack| !rack.is_empty())
    }

    /// The groups with settings of their own.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(String::as_str)
    }

    /// The subscriptions of client metrics.
    pub(crate) fn client_metrics(&self) -> impl Iterator<Item = &str> {
        self.client_metrics.keys().map(String::as_str)
    }

    /// A setting that all brokers share and that is a number; 0 where it has no value.
    pub(crate) fn broker_number(&self, name: &str) -> i64 {
        self.broker(name).parse().unwrap_or_default()
    }

    /// A setting of one broker that is a number; 0 where it has no value.
    pub(crate) fn number_of(&self, broker: i32, name: &str) -> i64 {
        self.broker_with_source(Some(broker), name).and_then(|(value, _)| value.parse().ok()).unwrap_or_default()
    }

    /// The settings of a topic as each broker goes by them.
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
