//! The configuration in the form of DescribeConfigs: each property with its synonyms.

use std::collections::BTreeMap;

use super::broker::{self, Access};
use super::group::{CLIENT_METRICS, GROUP};
use super::setting::{Kind, Setting};
use super::topic;
use super::{Configs, LOGGERS, Source};

/// A described property.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
    pub(crate) source: Source,
    /// The definition, or `None` if Kafka does not know the property.
    pub(crate) kind: Option<Kind>,
    pub(crate) read_only: bool,
    /// The values of its synonyms by name, the effective value first.
    pub(crate) synonyms: Vec<(String, Option<String>, Source)>,
}

impl Described {
    /// Whether the value is hidden.
    pub(crate) fn sensitive(&self) -> bool {
        matches!(self.kind, None | Some(Kind::Password))
    }
}

/// Broker properties that are synonyms, in the order of precedence.
fn alternatives(name: &str) -> &'static [(&'static str, i64)] {
    match name {
        "log.retention.ms" | "log.retention.minutes" | "log.retention.hours" => {
            &[("log.retention.ms", 1), ("log.retention.minutes", 60_000), ("log.retention.hours", 3_600_000)]
        }
        "log.roll.ms" | "log.roll.hours" => &[("log.roll.ms", 1), ("log.roll.hours", 3_600_000)],
        "log.roll.jitter.ms" | "log.roll.jitter.hours" => {
            &[("log.roll.jitter.ms", 1), ("log.roll.jitter.hours", 3_600_000)]
        }
        "log.flush.interval.ms" => &[("log.flush.interval.ms", 1), ("log.flush.scheduler.interval.ms", 1)],
        _ => &[],
    }
}

impl Configs {
    /// Returns the value of a topic property that is not set on the topic, for one broker or in general.
    pub(super) fn topic_default(&self, known: &topic::TopicSetting, broker: Option<i32>) -> (String, Source) {
        if let Some((value, source)) = self.broker_with_source(broker, known.broker) {
            return (value.to_owned(), source);
        }
        for (name, factor) in alternatives(known.broker) {
            if let Some((value, source)) = self.broker_with_source(broker, name)
                && let Ok(number) = value.parse::<i64>()
            {
                return (number.saturating_mul(*factor).to_string(), source);
            }
        }
        (known.setting.default.unwrap_or_default().to_owned(), Source::Default)
    }

    /// Returns the values of a broker property's synonyms, in the order of precedence.
    fn synonyms(&self, name: &str, broker: Option<i32>, hidden: bool) -> Vec<(String, Option<String>, Source)> {
        let names: Vec<&str> = match alternatives(name) {
            [] => vec![name],
            names => names.iter().map(|(name, _)| *name).collect(),
        };
        let dynamic = broker.and_then(|id| self.dynamic.get(&id));
        let none = BTreeMap::new();
        let sources = [
            (dynamic.unwrap_or(&none), Source::DynamicBroker),
            (&self.dynamic_default, Source::DynamicDefaultBroker),
            (&self.fixed, Source::StaticBroker),
        ];
        let mut found = Vec::new();
        let mut add = |name: &str, value: &str, source: Source| {
            found.push((name.to_owned(), Some(value.to_owned()).filter(|_| !hidden), source));
        };
        for (values, source) in sources {
            for name in &names {
                if let Some(value) = values.get(*name) {
                    add(name, value, source);
                }
            }
        }
        for name in &names {
            if let Some(default) = broker::find(name).and_then(|known| known.setting.default) {
                add(name, default, Source::Default);
            }
        }
        // Synonyms before the property's own name are not shown.
        let first = found.iter().position(|(found, ..)| found == name).unwrap_or(found.len());
        found.split_off(first)
    }

    /// Returns all properties of a topic, sorted by name, as this broker sees them. `config` contains the properties that are
    /// set on the topic.
    pub(crate) fn describe_topic(&self, config: &BTreeMap<String, String>, broker: Option<i32>) -> Vec<Described> {
        let describe = |known: &'static topic::TopicSetting| {
            let own = config.get(known.setting.name);
            let (value, source) = match own {
                Some(value) => (value.clone(), Source::Topic),
                None => self.topic_default(known, broker),
            };
            let own = own.map(|value| (known.setting.name.to_owned(), Some(value.clone()), Source::Topic));
            let synonyms = own.into_iter().chain(self.synonyms(known.broker, broker, false)).collect();
            described(&known.setting, Some(value), source, synonyms)
        };
        topic::SETTINGS.iter().map(describe).collect()
    }

    /// Returns all properties of a broker, including the properties of its listener.
    pub(crate) fn describe_broker(&self, id: i32, own: &[(&str, String)]) -> Vec<Described> {
        let custom = self.dynamic.get(&id).into_iter().flatten().chain(&self.dynamic_default);
        let mut names: Vec<&str> =
            custom.map(|(name, _)| name.as_str()).filter(|name| broker::find(name).is_none()).collect();
        names.sort_unstable();
        names.dedup();
        let unknown = names.into_iter().map(|name| self.describe_unknown(name, Some(id)));
        let known = broker::SETTINGS.iter().filter(|known| known.access != Access::Hidden).map(|known| {
            let name = known.setting.name;
            let hidden = known.setting.kind == Kind::Password;
            let mut synonyms = self.synonyms(name, Some(id), hidden);
            if let Some((_, value)) = own.iter().find(|(own, _)| *own == name) {
                synonyms.insert(0, (name.to_owned(), Some(value.clone()), Source::StaticBroker));
            }
            let source = synonyms.first().map_or(Source::Default, |(.., source)| *source);
            let value = synonyms.iter().find(|(synonym, ..)| synonym == name).and_then(|(_, value, _)| value.clone());
            let read_only = known.access != Access::Dynamic;
            Described { read_only, ..described(&known.setting, value, source, synonyms) }
        });
        known.chain(unknown).collect()
    }

    /// Returns the properties that were set for all brokers while they run.
    pub(crate) fn describe_brokers(&self) -> Vec<Described> {
        let describe = |(name, value): (&String, &String)| match broker::find(name) {
            None => self.describe_unknown(name, None),
            Some(known) => {
                let hidden = known.setting.kind == Kind::Password;
                let mut synonyms = self.synonyms(name, None, hidden);
                synonyms.retain(|(.., source)| *source == Source::DynamicDefaultBroker);
                let value = Some(value.clone()).filter(|_| !hidden);
                let read_only = known.access != Access::Dynamic;
                let source = Source::DynamicDefaultBroker;
                Described { read_only, ..described(&known.setting, value, source, synonyms) }
            }
        };
        self.dynamic_default.iter().map(describe).collect()
    }

    fn describe_unknown(&self, name: &str, broker: Option<i32>) -> Described {
        let synonyms = self.synonyms(name, broker, true);
        let source = synonyms.first().map_or(Source::Default, |(.., source)| *source);
        Described { name: name.to_owned(), value: None, source, kind: None, read_only: true, synonyms }
    }

    /// Returns all properties of a group, which need not exist.
    pub(crate) fn describe_group(&self, group: &str) -> Vec<Described> {
        let own = self.groups.get(group);
        let describe = |known: &'static Setting| {
            let value = self.group(group, known.name);
            let source = match own.is_some_and(|own| own.contains_key(known.name)) {
                true => Source::Group,
                false => Source::Default,
            };
            let first = (known.name.to_owned(), Some(value.clone()), source);
            described(known, Some(value), source, vec![first])
        };
        GROUP.iter().map(describe).collect()
    }

    /// Returns the properties of a client metrics subscription, which need not exist.
    pub(crate) fn describe_client_metrics(&self, name: &str) -> Vec<Described> {
        let own = self.client_metrics.get(name);
        let describe = |known: &'static Setting| {
            let given = own.and_then(|own| own.get(known.name)).cloned();
            let source = if given.is_some() { Source::ClientMetrics } else { Source::Default };
            described(known, given.or_else(|| known.default.map(str::to_owned)), source, Vec::new())
        };
        CLIENT_METRICS.iter().map(describe).collect()
    }

    /// Returns the loggers of a broker with their levels.
    pub(crate) fn describe_loggers(&self, broker: i32) -> Vec<Described> {
        let describe = |name: &&str| {
            let level = self.loggers.get(&(broker, (*name).to_owned())).map_or("INFO", String::as_str);
            Described {
                name: (*name).to_owned(),
                value: Some(level.to_owned()),
                source: Source::DynamicBrokerLogger,
                kind: None,
                read_only: false,
                synonyms: Vec::new(),
            }
        };
        LOGGERS.iter().map(describe).collect()
    }
}

fn described(
    known: &Setting,
    value: Option<String>,
    source: Source,
    synonyms: Vec<(String, Option<String>, Source)>,
) -> Described {
    Described { name: known.name.to_owned(), value, source, kind: Some(known.kind), read_only: false, synonyms }
}
