//! Filters of ACLs.

use super::store::{Entry, LITERAL, PREFIXED, Pattern, WILDCARD};

/// The number that matches everything.
const ANY: i8 = 1;
/// The pattern type that matches all patterns that apply to a name.
const MATCH: i8 = 2;

/// The conditions of a filter. `None` and [`ANY`] match everything.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    pub(crate) resource_type: i8,
    pub(crate) name: Option<String>,
    pub(crate) pattern_type: i8,
    pub(crate) principal: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) operation: i8,
    pub(crate) permission: i8,
}

impl Filter {
    /// Returns whether all numbers are valid.
    pub(crate) fn is_known(&self) -> bool {
        (1..=7).contains(&self.resource_type)
            && (1..=4).contains(&self.pattern_type)
            && (1..=15).contains(&self.operation)
            && (1..=3).contains(&self.permission)
    }

    pub(super) fn fits_pattern(&self, pattern: &Pattern) -> bool {
        if self.resource_type != ANY && self.resource_type != pattern.resource_type {
            return false;
        }
        if ![ANY, MATCH, pattern.pattern_type].contains(&self.pattern_type) {
            return false;
        }
        let Some(name) = &self.name else { return true };
        match (self.pattern_type, pattern.pattern_type) {
            (MATCH, LITERAL) => *name == pattern.name || pattern.name == WILDCARD,
            (MATCH, PREFIXED) => name.starts_with(&pattern.name),
            _ => *name == pattern.name,
        }
    }

    pub(super) fn fits_entry(&self, entry: &Entry) -> bool {
        self.principal.as_ref().is_none_or(|principal| *principal == entry.principal)
            && self.host.as_ref().is_none_or(|host| *host == entry.host)
            && [ANY, entry.operation].contains(&self.operation)
            && [ANY, entry.permission].contains(&self.permission)
    }
}
