//! Changes of the configuration while the brokers run.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;

use super::broker::{self, Access};
use super::group::{CLIENT_METRICS, GROUP};
use super::setting::{Kind, Setting};
use super::{LOGGERS, topic};
use crate::state::Cluster;
use crate::state::api_error::ApiError;
use crate::state::topics::names::check_name;

/// A resource that has a configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Resource {
    Topic(String),
    Group(String),
    /// All brokers, or one broker.
    Broker(Option<i32>),
    Logger(i32),
    ClientMetrics(String),
}

/// A change of one property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Set(String),
    Delete,
    Append(String),
    Subtract(String),
}

/// The broker properties of a listener. There is one listener, and clients cannot change it.
const PER_BROKER: [&str; 2] = ["listeners", "listener.security.protocol.map"];

const LEVELS: [&str; 6] = ["DEBUG", "ERROR", "FATAL", "INFO", "TRACE", "WARN"];

fn invalid_config(message: impl Into<String>) -> ApiError {
    ApiError::new(ResponseError::InvalidConfig, message)
}

fn invalid_request(message: impl Into<String>) -> ApiError {
    ApiError::new(ResponseError::InvalidRequest, message)
}

impl Cluster {
    /// Changes properties. With `replace`, properties that are not named are reset to their defaults. With `validate_only`,
    /// nothing is changed.
    pub(crate) fn alter_configs(
        &mut self,
        resource: &Resource,
        changes: Vec<(String, Change)>,
        replace: bool,
        validate_only: bool,
    ) -> Result<(), ApiError> {
        if let Resource::Logger(broker) = resource {
            return self.alter_loggers(*broker, changes, validate_only);
        }
        let current = self.own_config(resource);
        let mut next = if replace { BTreeMap::new() } else { current.clone() };
        for (name, change) in changes {
            let value = match change {
                Change::Set(value) => Some(value),
                Change::Delete => None,
                Change::Append(value) => Some(in_list(resource, &name, current.get(&name), &value, true)?),
                Change::Subtract(value) => Some(in_list(resource, &name, current.get(&name), &value, false)?),
            };
            match value {
                Some(value) => next.insert(name, value),
                None => next.remove(&name),
            };
        }
        let next = self.check_config(resource, next, &current)?;
        if !validate_only {
            self.set_config(resource, next);
        }
        Ok(())
    }

    /// Returns the properties that are set on a resource.
    fn own_config(&self, resource: &Resource) -> BTreeMap<String, String> {
        let configs = &self.configs;
        let found = match resource {
            Resource::Topic(name) => self.topics.get(name).map(|topic| &topic.config),
            Resource::Group(name) => configs.groups.get(name),
            Resource::Broker(None) => Some(&configs.dynamic_default),
            Resource::Broker(Some(id)) => configs.dynamic.get(id),
            Resource::ClientMetrics(name) => configs.client_metrics.get(name),
            Resource::Logger(_) => None,
        };
        found.cloned().unwrap_or_default()
    }

    fn check_config(
        &self,
        resource: &Resource,
        next: BTreeMap<String, String>,
        current: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, ApiError> {
        match resource {
            Resource::Topic(name) => {
                if name.is_empty() {
                    return Err(invalid_request("Default topic resources are not allowed."));
                }
                check_name(name).map_err(|message| ApiError::new(ResponseError::InvalidTopicException, message))?;
                let parsed = topic::check(&next, &self.configs).map_err(invalid_config)?;
                match self.topics.get(name) {
                    Some(_) => Ok(parsed),
                    None => Err(ApiError::new(
                        ResponseError::UnknownTopicOrPartition,
                        format!("The topic '{name}' does not exist."),
                    )),
                }
            }
            Resource::Group(name) if name.is_empty() => {
                Err(invalid_request("Default group resources are not allowed."))
            }
            Resource::Group(_) => self.configs.check_group(&next).map_err(invalid_config),
            Resource::Broker(id) => {
                check_broker(&next, id.is_some())?;
                let changed = next.get(MIN_ISR) != current.get(MIN_ISR);
                match id {
                    Some(_) if changed => {
                        Err(invalid_config("Broker-level min.insync.replicas cannot be altered while ELR is enabled."))
                    }
                    None if !next.contains_key(MIN_ISR) => {
                        Err(invalid_config("Cluster-level min.insync.replicas cannot be removed while ELR is enabled."))
                    }
                    _ => Ok(next),
                }
            }
            Resource::ClientMetrics(name) if name.is_empty() => {
                Err(invalid_request("Subscription name can't be empty"))
            }
            Resource::ClientMetrics(_) => check_client_metrics(next),
            Resource::Logger(_) => Ok(next),
        }
    }

    fn set_config(&mut self, resource: &Resource, next: BTreeMap<String, String>) {
        let configs = &mut self.configs;
        let keep =
            |map: &mut BTreeMap<String, BTreeMap<String, String>>, name: &str, next: BTreeMap<String, String>| {
                if next.is_empty() {
                    map.remove(name)
                } else {
                    map.insert(name.to_owned(), next)
                };
            };
        match resource {
            Resource::Topic(name) => {
                let settings = configs.effective(&next);
                if let Some(topic) = self.topics.get_mut(name) {
                    (topic.config, topic.settings) = (next, settings);
                }
            }
            Resource::Group(name) => keep(&mut configs.groups, name, next),
            Resource::ClientMetrics(name) => keep(&mut configs.client_metrics, name, next),
            Resource::Broker(id) => {
                match id {
                    None => configs.dynamic_default = next,
                    Some(id) => {
                        configs.dynamic.insert(*id, next);
                    }
                }
                for topic in self.topics.iter_mut() {
                    topic.settings = self.configs.effective(&topic.config);
                }
            }
            Resource::Logger(_) => {}
        }
    }

    fn alter_loggers(
        &mut self,
        broker: i32,
        changes: Vec<(String, Change)>,
        validate_only: bool,
    ) -> Result<(), ApiError> {
        for (name, change) in &changes {
            let exists = || match LOGGERS.contains(&name.as_str()) {
                true => Ok(()),
                false => Err(invalid_config(format!("Logger {name} does not exist!"))),
            };
            match change {
                Change::Set(level) => {
                    exists()?;
                    if !LEVELS.contains(&level.as_str()) {
                        return Err(invalid_config(format!(
                            "Cannot set the log level of {name} to {level} as it is not a supported log level. Valid log \
                             levels are {}",
                            LEVELS.join(", ")
                        )));
                    }
                }
                Change::Delete => {
                    exists()?;
                    if name == "root" {
                        return Err(invalid_request("Removing the log level of the root logger is not allowed"));
                    }
                }
                Change::Append(_) => {
                    return Err(invalid_request("APPEND operation is not allowed for the BROKER_LOGGER resource"));
                }
                Change::Subtract(_) => {
                    return Err(invalid_request("SUBTRACT operation is not allowed for the BROKER_LOGGER resource"));
                }
            }
        }
        for (name, change) in changes.into_iter().filter(|_| !validate_only) {
            match change {
                Change::Set(level) => self.configs.loggers.insert((broker, name), level),
                _ => self.configs.loggers.remove(&(broker, name)),
            };
        }
        Ok(())
    }
}

const MIN_ISR: &str = "min.insync.replicas";

/// Returns the definition of the property of a resource.
fn find(resource: &Resource, name: &str) -> Option<&'static Setting> {
    match resource {
        Resource::Topic(_) => topic::find(name).map(|known| &known.setting),
        Resource::Broker(_) => broker::find(name).map(|known| &known.setting),
        Resource::Group(_) => GROUP.iter().find(|known| known.name == name),
        Resource::ClientMetrics(_) => CLIENT_METRICS.iter().find(|known| known.name == name),
        Resource::Logger(_) => None,
    }
}

/// Adds or removes elements of a list.
fn in_list(
    resource: &Resource,
    name: &str,
    current: Option<&String>,
    elements: &str,
    append: bool,
) -> Result<String, ApiError> {
    let known = find(resource, name);
    let operation = if append { "append" } else { "subtract" };
    match (resource, known.map(|known| known.kind)) {
        (_, Some(Kind::List)) => {}
        (Resource::Broker(_), None) => return Err(invalid_config(format!("Unknown config name: {name}"))),
        (Resource::Broker(_), _) => {
            return Err(invalid_config(format!("Config value {operation} is not allowed for config key: {name}")));
        }
        _ => {
            let operation = operation.to_uppercase();
            return Err(invalid_config(format!("Can't {operation} to key {name} because its type is not LIST.")));
        }
    }
    let default = || known.and_then(|known| known.default).unwrap_or_default();
    let mut list: Vec<&str> =
        current.map_or_else(default, String::as_str).split(',').filter(|part| !part.is_empty()).collect();
    for element in elements.split(',') {
        match list.iter().position(|known| *known == element) {
            None if append => list.push(element),
            Some(place) if !append => {
                list.remove(place);
            }
            _ => {}
        }
    }
    Ok(list.join(","))
}

/// Checks whether brokers accept these properties while they run. An unknown property may be for a plug-in.
fn check_broker(next: &BTreeMap<String, String>, per_broker: bool) -> Result<(), ApiError> {
    let set = |names: BTreeSet<&str>| format!("Set({})", names.into_iter().collect::<Vec<_>>().join(", "));
    let of = |which: &dyn Fn(&str) -> bool| next.keys().map(String::as_str).filter(|name| which(name)).collect();
    let fixed: BTreeSet<&str> = of(&|name| broker::find(name).is_some_and(|known| known.access != Access::Dynamic));
    if !fixed.is_empty() {
        return Err(invalid_request(format!("Cannot update these configs dynamically: {}", set(fixed))));
    }
    let security: BTreeSet<&str> =
        of(&|name| (name.starts_with("ssl.") || name.starts_with("sasl.")) && broker::find(name).is_some());
    if !security.is_empty() {
        return Err(invalid_request(format!(
            "These security configs can be dynamically updated only per-listener using the listener prefix: {}",
            set(security)
        )));
    }
    for (name, value) in next {
        if let Some(known) = broker::find(name) {
            known.setting.parse(value).map_err(invalid_request)?;
        }
    }
    let own: BTreeSet<&str> = of(&|name| PER_BROKER.contains(&name) || name.starts_with("listener.name."));
    if !per_broker && !own.is_empty() {
        return Err(invalid_request(format!(
            "Cannot update these configs at default cluster level, broker id must be specified: {}",
            set(own)
        )));
    }
    Ok(())
}

fn check_client_metrics(next: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, ApiError> {
    for (name, value) in &next {
        let Some(known) = CLIENT_METRICS.iter().find(|known| known.name == name) else {
            return Err(invalid_request(format!("Unknown client metrics configuration: {name}")));
        };
        let parsed = known.parse(value).map_err(invalid_config)?;
        if name == "interval.ms" && !parsed.parse().is_ok_and(|ms: i64| (100..=3_600_000).contains(&ms)) {
            return Err(invalid_request(format!(
                "Invalid value {parsed} for interval.ms, interval must be between 100 and 3600000 (1 hour)"
            )));
        }
        if name == "match" {
            let wrong = parsed.split(',').find(|pattern| !pattern.is_empty() && !is_pattern(pattern));
            if let Some(pattern) = wrong {
                return Err(invalid_config(format!("Illegal client matching pattern: {pattern}")));
            }
        }
    }
    Ok(next)
}

fn is_pattern(pattern: &str) -> bool {
    const OF: [&str; 6] = [
        "client_id",
        "client_instance_id",
        "client_software_name",
        "client_software_version",
        "client_source_address",
        "client_source_port",
    ];
    pattern.split_once('=').is_some_and(|(of, pattern)| OF.contains(&of.trim()) && !pattern.contains('='))
}
