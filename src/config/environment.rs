//! The environment variables of this crate and their valid values.

use std::collections::BTreeMap;

use crate::model::error::{Error, Result};

/// The prefix of all variables of this crate.
const PREFIX: &str = "RSTEST_KAFKA_";

/// Each variable without its prefix, with its valid values.
const VARIABLES: &[(&str, &str)] = &[
    ("BOOTSTRAP_SERVERS", "host:port, separated by commas"),
    ("PROPERTIES", "the path of a Java-style client .properties file"),
    ("EMBEDDED_BROKERS", "a whole number from 1 to 9"),
    ("TOPIC_PREFIX", "letters, digits, '.', '_' and '-'"),
    ("GROUP_PREFIX", "letters, digits, '.', '_' and '-'"),
    ("WORKER_ID", "letters, digits, '.', '_' and '-'"),
    ("PARTITIONS", "a whole number from 1 to 1000"),
    ("REPLICATION_FACTOR", "a whole number from 1 to 32767"),
    ("TIMEOUT_MS", "milliseconds, a whole number from 1 to 600000"),
    ("EXIT_DEADLINE_MS", "milliseconds, a whole number from 1 to 600000"),
    ("MAX_IDLE_CONSUMERS", "a whole number from 0 to 10000"),
    ("KEEP_TOPICS", "never, failed or always"),
    ("FAILURE_REPORT", "off, on or long"),
    ("REPORT", "off, summary, or html: and the path of an HTML report"),
    ("STATE_DIR", "the path of a directory"),
];

/// A copy of the environment, so that tests can pass their own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    variables: BTreeMap<String, Option<String>>,
}

impl Environment {
    /// Reads the environment of this process. No other function of this crate reads it.
    pub(crate) fn of_process() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| {
                // A name that is not UTF-8 is not one of ours. A value that is not UTF-8 is kept as invalid.
                Some((name.into_string().ok()?, value.into_string().ok()))
            })
            .collect();
        Self { variables }
    }

    #[cfg(test)]
    pub(crate) fn of<const N: usize>(variables: [(&str, &str); N]) -> Self {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect();
        Self { variables }
    }

    /// Returns the value of a variable. An empty variable counts as unset, as in a shell's `VAR= command`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name)?.as_deref().filter(|value| !value.is_empty())
    }

    /// Parses the value of `RSTEST_KAFKA_{name}`. The error for an invalid value names the variable.
    pub(crate) fn setting<T>(&self, name: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>> {
        let variable = format!("{PREFIX}{name}");
        let takes = VARIABLES.iter().find(|(known, _)| *known == name).map_or("", |(_, takes)| takes);
        let Some(value) = self.variables.get(&variable) else { return Ok(None) };
        let error = |value: &str| Error::Config {
            setting: variable.clone(),
            value: value.to_owned(),
            takes: format!("it takes {takes}"),
        };
        let value = value.as_deref().ok_or_else(|| error("(not UTF-8)"))?;
        if value.is_empty() {
            return Ok(None);
        }
        parse(value).map(Some).ok_or_else(|| error(value))
    }

    /// Returns an error if a variable with our prefix is unknown, because a misspelt variable would have no effect.
    pub(crate) fn refuse_unknown(&self) -> Result<()> {
        let unknown = self.variables.keys().find(|name| {
            name.strip_prefix(PREFIX).is_some_and(|rest| !VARIABLES.iter().any(|(known, _)| *known == rest))
        });
        let Some(unknown) = unknown else { return Ok(()) };
        let known: Vec<String> = VARIABLES.iter().map(|(name, _)| format!("{PREFIX}{name}")).collect();
        Err(Error::Config {
            setting: unknown.clone(),
            // The value of an unknown variable may be a password.
            value: String::new(),
            takes: format!("unknown variable; the known variables are {}", known.join(", ")),
        })
    }
}
