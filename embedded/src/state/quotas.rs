//! Client quotas. They are stored and described, but not enforced.

use std::collections::{BTreeMap, HashSet};

use kafka_protocol::ResponseError;

use super::api_error::ApiError;

/// The entity of a quota: its component types with their names. `None` is the default name.
pub(crate) type Entity = BTreeMap<String, Option<String>>;

const USER: &str = "user";
const CLIENT_ID: &str = "client-id";
const IP: &str = "ip";

/// A filter for components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Match {
    /// This name, or the default.
    Exact(Option<String>),
    /// Any name, or the default.
    Any,
}

#[derive(Debug, Default)]
pub(crate) struct Quotas(BTreeMap<Entity, BTreeMap<String, f64>>);

impl Quotas {
    /// Sets the quotas of an entity. `None` deletes a quota. If `apply` is false, the quotas are only checked.
    pub(crate) fn alter(
        &mut self,
        entity: Vec<(String, Option<String>)>,
        changes: Vec<(String, Option<f64>)>,
        apply: bool,
    ) -> Result<(), ApiError> {
        let entity = check_entity(entity)?;
        for (key, value) in &changes {
            if let Some(value) = value {
                check_quota(&entity, key, *value)?;
            }
        }
        if !apply {
            return Ok(());
        }
        let quotas = self.0.entry(entity.clone()).or_default();
        for (key, value) in changes {
            match value {
                Some(value) => quotas.insert(key, value),
                None => quotas.remove(&key),
            };
        }
        if quotas.is_empty() {
            self.0.remove(&entity);
        }
        Ok(())
    }

    /// Returns the entities that match all filters. With `strict`, an entity must have no other components.
    pub(crate) fn describe(
        &self,
        wanted: &BTreeMap<String, Match>,
        strict: bool,
    ) -> impl Iterator<Item = (&Entity, &BTreeMap<String, f64>)> {
        self.0.iter().filter(move |(entity, _)| {
            let fits = |(kind, wanted): (&String, &Match)| match (entity.get(kind), wanted) {
                (None, _) => false,
                (Some(name), Match::Exact(wanted)) => name == wanted,
                (Some(_), Match::Any) => true,
            };
            wanted.iter().all(fits) && (!strict || entity.len() == wanted.len())
        })
    }
}

/// Checks the filters: each component type may occur once, with a valid match type.
///
/// # Errors
/// Returns `UNSUPPORTED_VERSION` for an unknown component type, and `INVALID_REQUEST` for other errors.
pub(crate) fn check_filter(parts: Vec<(String, i8, Option<String>)>) -> Result<BTreeMap<String, Match>, ApiError> {
    let mut wanted = BTreeMap::new();
    for (kind, how, name) in parts {
        if kind.is_empty() {
            return Err(invalid("Invalid empty entity type."));
        }
        if wanted.contains_key(&kind) {
            return Err(invalid(format!("Entity type {kind} cannot appear more than once in the filter.")));
        }
        if ![USER, CLIENT_ID, IP].contains(&kind.as_str()) {
            return Err(ApiError::new(ResponseError::UnsupportedVersion, format!("Unsupported entity type {kind}")));
        }
        let matching = match (how, name) {
            (0, Some(name)) => Match::Exact(Some(name)),
            (0, None) => return Err(invalid("Request specified MATCH_TYPE_EXACT, but set match string to null.")),
            (1, None) => Match::Exact(None),
            (1, _) => {
                return Err(invalid("Request specified MATCH_TYPE_DEFAULT, but also specified a match string."));
            }
            (2, None) => Match::Any,
            (2, _) => {
                return Err(invalid("Request specified MATCH_TYPE_SPECIFIED, but also specified a match string."));
            }
            (how, _) => return Err(invalid(format!("Unknown match type {how}"))),
        };
        wanted.insert(kind, matching);
    }
    if wanted.contains_key(IP) && wanted.len() > 1 {
        return Err(invalid(
            "Invalid entity filter component combination. IP filter component should not be used with user or clientId \
             filter component.",
        ));
    }
    Ok(wanted)
}

fn check_entity(parts: Vec<(String, Option<String>)>) -> Result<Entity, ApiError> {
    let mut seen = HashSet::new();
    for (kind, name) in &parts {
        if !seen.insert(kind.as_str()) {
            return Err(invalid(format!("Invalid client quota entity, duplicate entity entry {kind}")));
        }
        if ![USER, CLIENT_ID, IP].contains(&kind.as_str()) {
            return Err(invalid(format!("Unhandled client quota entity type: {kind}")));
        }
        if name.as_deref() == Some("") {
            return Err(invalid(format!("Empty {kind} not supported")));
        }
    }
    let entity: Entity = parts.into_iter().collect();
    match entity.get(IP) {
        None if entity.is_empty() => Err(invalid("Invalid empty client quota entity")),
        Some(_) if entity.len() > 1 => {
            Err(invalid("Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId"))
        }
        Some(Some(ip)) if ip != "localhost" && ip.parse::<std::net::IpAddr>().is_err() => {
            Err(invalid(format!("{ip} is not a valid IP or resolvable host.")))
        }
        _ => Ok(entity),
    }
}

fn check_quota(entity: &Entity, key: &str, value: f64) -> Result<(), ApiError> {
    let whole = match key {
        "connection_creation_rate" if entity.contains_key(IP) => Some((f64::from(i32::MAX), "an INT")),
        "consumer_byte_rate" | "producer_byte_rate" if !entity.contains_key(IP) => Some((i64::MAX as f64, "a LONG")),
        "controller_mutation_rate" | "request_percentage" if !entity.contains_key(IP) => None,
        _ => return Err(invalid(format!("Invalid configuration key {key}"))),
    };
    if value.is_nan() || value <= 0.0 {
        return Err(invalid(format!("Quota {key} must be greater than 0")));
    }
    match whole {
        Some((most, kind)) if value > most => {
            Err(invalid(format!("Proposed value for {key} is too large for {kind}.")))
        }
        Some(_) if (value % 1.0).abs() > 1e-6 => Err(invalid(format!("{key} cannot be a fractional value."))),
        _ => Ok(()),
    }
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(ResponseError::InvalidRequest, message)
}
