//! AlterConfigs, which replaces the configuration of a resource, and IncrementalAlterConfigs, which changes single properties.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, ApiKey, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
    alter_configs_response, incremental_alter_configs_response,
};
use kafka_protocol::protocol::StrBytes;

use super::resources::{self, Kind};
use super::{Answer, Api, Cx};
use crate::state::acls::Operation;
use crate::state::api_error::ApiError;
use crate::state::configs::alter::Change;

/// The changes to one resource, from either API.
struct Wanted {
    kind: i8,
    name: String,
    /// The names of the properties, each with its operation and its value.
    changes: Vec<(String, i8, Option<String>)>,
}

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

impl Api for IncrementalAlterConfigsRequest {
    const KEY: ApiKey = ApiKey::IncrementalAlterConfigs;
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    type Response = IncrementalAlterConfigsResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<IncrementalAlterConfigsResponse> {
        let wanted = self.resources.iter().map(|resource| Wanted {
            kind: resource.resource_type,
            name: resource.resource_name.to_string(),
            changes: resource
                .configs
                .iter()
                .map(|config| {
                    (config.name.to_string(), config.config_operation, config.value.as_ref().map(|v| v.to_string()))
                })
                .collect(),
        });
        let wanted = wanted.collect();
        incremental_answer(&self, alter(cx, wanted, false, self.validate_only)).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> IncrementalAlterConfigsResponse {
        incremental_answer(self, vec![Err(ApiError::plain(error)); self.resources.len()])
    }
}

impl Api for AlterConfigsRequest {
    const KEY: ApiKey = ApiKey::AlterConfigs;
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    type Response = AlterConfigsResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<AlterConfigsResponse> {
        let wanted = self.resources.iter().map(|resource| Wanted {
            kind: resource.resource_type,
            name: resource.resource_name.to_string(),
            changes: resource
                .configs
                .iter()
                .map(|config| (config.name.to_string(), SET, config.value.as_ref().map(|value| value.to_string())))
                .collect(),
        });
        let wanted = wanted.collect();
        answer(&self, alter(cx, wanted, true, self.validate_only)).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> AlterConfigsResponse {
        answer(self, vec![Err(ApiError::plain(error)); self.resources.len()])
    }
}

/// Changes the configuration of each resource separately. Returns the result for each resource.
fn alter(cx: &mut Cx<'_>, wanted: Vec<Wanted>, replace: bool, validate_only: bool) -> Vec<Result<(), ApiError>> {
    let mut times: HashMap<(i8, String), usize> = HashMap::new();
    wanted.iter().for_each(|wanted| *times.entry((wanted.kind, wanted.name.clone())).or_default() += 1);
    let alter = |wanted: Wanted| {
        if times.get(&(wanted.kind, wanted.name.clone())).is_some_and(|times| *times > 1) {
            return invalid("Each resource must appear at most once.");
        }
        alter_one(cx, wanted, replace, validate_only)
    };
    wanted.into_iter().map(alter).collect()
}

fn alter_one(cx: &mut Cx<'_>, wanted: Wanted, replace: bool, validate_only: bool) -> Result<(), ApiError> {
    let mut names = HashSet::new();
    if !wanted.changes.iter().all(|(name, ..)| names.insert(name)) {
        return invalid("Error due to duplicate config keys");
    }
    let nulls = wanted.changes.iter().filter(|(_, operation, value)| *operation != DELETE && value.is_none());
    let nulls: Vec<&str> = nulls.map(|(name, ..)| name.as_str()).collect();
    if !nulls.is_empty() {
        return invalid(&format!("Null value not supported for : {}", nulls.join(", ")));
    }
    // AlterConfigs does not support loggers.
    let kind = Kind::of(wanted.kind).filter(|kind| !replace || *kind != Kind::BrokerLogger);
    let Some(kind) = kind else { return invalid(&format!("Unknown resource type {}", wanted.kind)) };
    let resource = resources::find(cx, kind, &wanted.name)?;
    resources::authorize(cx, kind, &wanted.name, Operation::AlterConfigs)?;
    let mut changes = Vec::with_capacity(wanted.changes.len());
    for (name, operation, value) in wanted.changes {
        let value = value.unwrap_or_default();
        let change = match operation {
            SET => Change::Set(value),
            DELETE => Change::Delete,
            APPEND => Change::Append(value),
            SUBTRACT => Change::Subtract(value),
            unknown if kind == Kind::BrokerLogger => {
                return invalid(&format!(
                    "Unknown operation type {unknown} is not allowed for the BROKER_LOGGER resource"
                ));
            }
            unknown => return invalid(&format!("Unknown operations type {unknown}")),
        };
        changes.push((name, change));
    }
    cx.cluster.alter_configs(&resource, changes, replace, validate_only)
}

fn invalid(message: &str) -> Result<(), ApiError> {
    Err(ApiError::new(ResponseError::InvalidRequest, message))
}

fn incremental_answer(
    request: &IncrementalAlterConfigsRequest,
    results: Vec<Result<(), ApiError>>,
) -> IncrementalAlterConfigsResponse {
    let responses = request.resources.iter().zip(results).map(|(resource, result)| {
        let (code, message) = code_and_message(result);
        incremental_alter_configs_response::AlterConfigsResourceResponse::default()
            .with_error_code(code)
            .with_error_message(message)
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone())
    });
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}

fn answer(request: &AlterConfigsRequest, results: Vec<Result<(), ApiError>>) -> AlterConfigsResponse {
    let responses = request.resources.iter().zip(results).map(|(resource, result)| {
        let (code, message) = code_and_message(result);
        alter_configs_response::AlterConfigsResourceResponse::default()
            .with_error_code(code)
            .with_error_message(message)
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone())
    });
    AlterConfigsResponse::default().with_responses(responses.collect())
}

fn code_and_message(result: Result<(), ApiError>) -> (i16, Option<StrBytes>) {
    match result {
        Ok(()) => (0, None),
        Err(ApiError { error, message }) => (error.code(), message.map(StrBytes::from_string)),
    }
}
