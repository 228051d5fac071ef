//! The parts of a name, and whether Kafka accepts them.

use std::fmt;

use crate::model::error::{Error, Result};

/// A part of a name. Errors show it with its `Display` text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NamePart {
    Topic,
    TopicPrefix,
    GroupPrefix,
    WorkerId,
    Group,
}

impl fmt::Display for NamePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Topic => "topic",
            Self::TopicPrefix => "topic prefix",
            Self::GroupPrefix => "group prefix",
            Self::WorkerId => "worker id",
            Self::Group => "group",
        })
    }
}

/// Returns an error if Kafka would refuse the part as a topic name.
pub(crate) fn check_part(part: NamePart, value: &str) -> Result<()> {
    let invalid = value.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')));
    let reason = match invalid {
        Some(c) => format!("has the character {c:?}; Kafka accepts letters, digits, '.', '_' and '-'"),
        None if value.is_empty() => "is empty".to_owned(),
        None if value == "." || value == ".." => "is refused by Kafka".to_owned(),
        None => return Ok(()),
    };
    Err(Error::Name { part: part.to_string(), value: value.to_owned(), reason })
}
