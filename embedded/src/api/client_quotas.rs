//! DescribeClientQuotas and AlterClientQuotas.

use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, ApiKey, DescribeClientQuotasRequest,
    DescribeClientQuotasResponse, alter_client_quotas_request, alter_client_quotas_response,
    describe_client_quotas_response,
};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Cx};
use crate::state::acls::{self, Operation, ResourceType};
use crate::state::api_error::ApiError;
use crate::state::quotas::check_filter;

impl Api for DescribeClientQuotasRequest {
    const KEY: ApiKey = ApiKey::DescribeClientQuotas;
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    type Response = DescribeClientQuotasResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<DescribeClientQuotasResponse> {
        if !cx.authorized(Operation::DescribeConfigs, ResourceType::Cluster, acls::CLUSTER) {
            return self.refuse(cx, ResponseError::ClusterAuthorizationFailed).into();
        }
        let strict = self.strict;
        let parts = self
            .components
            .into_iter()
            .map(|part| (part.entity_type.to_string(), part.match_type, part._match.map(|name| name.to_string())));
        let wanted = match check_filter(parts.collect()) {
            Ok(wanted) => wanted,
            Err(error) => return refusal(&error).into(),
        };
        let entries = cx.cluster.quotas.describe(&wanted, strict).map(|(entity, quotas)| {
            let text = |text: &String| StrBytes::from_string(text.clone());
            let entity = entity.iter().map(|(kind, name)| {
                describe_client_quotas_response::EntityData::default()
                    .with_entity_type(text(kind))
                    .with_entity_name(name.as_ref().map(text))
            });
            let values = quotas.iter().map(|(key, value)| {
                describe_client_quotas_response::ValueData::default().with_key(text(key)).with_value(*value)
            });
            describe_client_quotas_response::EntryData::default()
                .with_entity(entity.collect())
                .with_values(values.collect())
        });
        let entries = Some(entries.collect());
        DescribeClientQuotasResponse::default().with_error_message(None).with_entries(entries).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> DescribeClientQuotasResponse {
        refusal(&ApiError::plain(error))
    }
}

fn refusal(error: &ApiError) -> DescribeClientQuotasResponse {
    DescribeClientQuotasResponse::default()
        .with_error_code(error.error.code())
        .with_error_message(error.message.clone().map(StrBytes::from_string))
        .with_entries(None)
}

impl Api for AlterClientQuotasRequest {
    const KEY: ApiKey = ApiKey::AlterClientQuotas;
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    type Response = AlterClientQuotasResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<AlterClientQuotasResponse> {
        if !cx.authorized(Operation::AlterConfigs, ResourceType::Cluster, acls::CLUSTER) {
            return self.refuse(cx, ResponseError::ClusterAuthorizationFailed).into();
        }
        let entries = self.entries.into_iter().map(|entry| {
            let name = |name: &StrBytes| name.to_string();
            let entity = entry.entity.iter().map(|part| (name(&part.entity_type), part.entity_name.as_ref().map(name)));
            let changes = entry.ops.iter().map(|op| (name(&op.key), (!op.remove).then_some(op.value)));
            let result = cx.cluster.quotas.alter(entity.collect(), changes.collect(), !self.validate_only);
            result_of(entry.entity, result)
        });
        AlterClientQuotasResponse::default().with_entries(entries.collect()).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> AlterClientQuotasResponse {
        let entries = self.entries.iter().map(|entry| result_of(entry.entity.clone(), Err(ApiError::plain(error))));
        AlterClientQuotasResponse::default().with_entries(entries.collect())
    }
}

fn result_of(
    entity: Vec<alter_client_quotas_request::EntityData>,
    result: Result<(), ApiError>,
) -> alter_client_quotas_response::EntryData {
    let entity = entity.into_iter().map(|part| {
        alter_client_quotas_response::EntityData::default()
            .with_entity_type(part.entity_type)
            .with_entity_name(part.entity_name)
    });
    let (code, message) = match result {
        Ok(()) => (0, None),
        Err(ApiError { error, message }) => (error.code(), message),
    };
    alter_client_quotas_response::EntryData::default()
        .with_error_code(code)
        .with_error_message(message.map(StrBytes::from_string))
        .with_entity(entity.collect())
}
