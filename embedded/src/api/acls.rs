//! DescribeAcls, CreateAcls and DeleteAcls.

use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::create_acls_response::AclCreationResult;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::delete_acls_response::{DeleteAclsFilterResult, DeleteAclsMatchingAcl};
use kafka_protocol::messages::describe_acls_response::{AclDescription, DescribeAclsResource};
use kafka_protocol::messages::{
    ApiKey, CreateAclsRequest, CreateAclsResponse, DeleteAclsRequest, DeleteAclsResponse, DescribeAclsRequest,
    DescribeAclsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Cx};
use crate::state::acls::{CLUSTER, Entry, Filter, LITERAL, Operation, PREFIXED, Pattern, ResourceType};
use crate::state::api_error::ApiError;

impl Api for DescribeAclsRequest {
    const KEY: ApiKey = ApiKey::DescribeAcls;
    const VERSIONS: RangeInclusive<i16> = 1..=3;
    type Response = DescribeAclsResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<DescribeAclsResponse> {
        let filter = Filter {
            resource_type: self.resource_type_filter,
            name: self.resource_name_filter.as_ref().map(|name| name.to_string()),
            pattern_type: self.pattern_type_filter,
            principal: self.principal_filter.as_ref().map(|principal| principal.to_string()),
            host: self.host_filter.as_ref().map(|host| host.to_string()),
            operation: self.operation,
            permission: self.permission_type,
        };
        if !filter.is_known() {
            return Answer::Close;
        }
        if !cx.authorized(Operation::Describe, ResourceType::Cluster, CLUSTER) {
            return self.refuse(cx, ResponseError::ClusterAuthorizationFailed).into();
        }
        if !cx.cluster.acls.is_enabled() {
            return describe_refusal(&disabled("No Authorizer is configured on the broker")).into();
        }
        let resources = cx.cluster.acls.matching(&filter).map(|(pattern, entries)| {
            let acls = entries.map(|entry| {
                AclDescription::default()
                    .with_principal(text(&entry.principal))
                    .with_host(text(&entry.host))
                    .with_operation(entry.operation)
                    .with_permission_type(entry.permission)
            });
            DescribeAclsResource::default()
                .with_resource_type(pattern.resource_type)
                .with_resource_name(text(&pattern.name))
                .with_pattern_type(pattern.pattern_type)
                .with_acls(acls.collect())
        });
        let resources = resources.filter(|resource| !resource.acls.is_empty()).collect();
        DescribeAclsResponse::default().with_error_message(None).with_resources(resources).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> DescribeAclsResponse {
        describe_refusal(&ApiError::plain(error))
    }
}

fn describe_refusal(error: &ApiError) -> DescribeAclsResponse {
    DescribeAclsResponse::default()
        .with_error_code(error.error.code())
        .with_error_message(error.message.as_deref().map(text))
}

impl Api for CreateAclsRequest {
    const KEY: ApiKey = ApiKey::CreateAcls;
    const VERSIONS: RangeInclusive<i16> = 1..=3;
    type Response = CreateAclsResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<CreateAclsResponse> {
        let unknown = |acl: &AclCreation| {
            !(1..=7).contains(&acl.resource_type)
                || !(1..=4).contains(&acl.resource_pattern_type)
                || !(1..=15).contains(&acl.operation)
                || !(1..=3).contains(&acl.permission_type)
        };
        if self.creations.iter().any(unknown) {
            return Answer::Close;
        }
        if !cx.authorized(Operation::Alter, ResourceType::Cluster, CLUSTER) {
            return self.refuse(cx, ResponseError::ClusterAuthorizationFailed).into();
        }
        // These values are valid only in a filter. Kafka fails on them with this error.
        let of_filters = |acl: &AclCreation| {
            acl.resource_type == 1
                || ![LITERAL, PREFIXED].contains(&acl.resource_pattern_type)
                || acl.operation == 1
                || acl.permission_type == 1
        };
        if cx.cluster.acls.is_enabled() && self.creations.iter().any(of_filters) {
            return self.refuse(cx, ResponseError::UnknownServerError).into();
        }
        if !cx.cluster.acls.is_enabled() {
            let error = disabled("No Authorizer is configured.");
            let results = self.creations.iter().map(|_| created(Err(error.clone()))).collect();
            return CreateAclsResponse::default().with_results(results).into();
        }
        let results = self.creations.iter().map(|acl| {
            let result = check(acl);
            if result.is_ok() {
                let pattern = Pattern {
                    resource_type: acl.resource_type,
                    pattern_type: acl.resource_pattern_type,
                    name: acl.resource_name.to_string(),
                };
                let entry = Entry {
                    principal: acl.principal.to_string(),
                    host: acl.host.to_string(),
                    operation: acl.operation,
                    permission: acl.permission_type,
                };
                cx.cluster.acls.add(pattern, entry);
            }
            created(result)
        });
        CreateAclsResponse::default().with_results(results.collect()).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> CreateAclsResponse {
        let results = self.creations.iter().map(|_| created(Err(ApiError::plain(error))));
        CreateAclsResponse::default().with_results(results.collect())
    }
}

fn check(acl: &AclCreation) -> Result<(), ApiError> {
    let invalid = |message: String| Err(ApiError::new(ResponseError::InvalidRequest, message));
    if acl.resource_type == ResourceType::Cluster as i8 && &*acl.resource_name != CLUSTER {
        return invalid(format!("The only valid name for the CLUSTER resource is {CLUSTER}"));
    }
    if acl.resource_name.is_empty() {
        return invalid("Invalid empty resource name".to_owned());
    }
    Ok(())
}

fn created(result: Result<(), ApiError>) -> AclCreationResult {
    match result {
        Ok(()) => AclCreationResult::default(),
        Err(ApiError { error, message }) => {
            AclCreationResult::default().with_error_code(error.code()).with_error_message(message.as_deref().map(text))
        }
    }
}

impl Api for DeleteAclsRequest {
    const KEY: ApiKey = ApiKey::DeleteAcls;
    const VERSIONS: RangeInclusive<i16> = 1..=3;
    type Response = DeleteAclsResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<DeleteAclsResponse> {
        let filters: Vec<Filter> = self.filters.iter().map(filter).collect();
        if !filters.iter().all(Filter::is_known) {
            return Answer::Close;
        }
        if !cx.authorized(Operation::Alter, ResourceType::Cluster, CLUSTER) {
            return self.refuse(cx, ResponseError::ClusterAuthorizationFailed).into();
        }
        if !cx.cluster.acls.is_enabled() {
            return refuse_filters(&self, &disabled("No Authorizer is configured.")).into();
        }
        // If two filters match an ACL, it is listed for both.
        let found: Vec<Vec<(Pattern, Entry)>> = filters
            .iter()
            .map(|filter| {
                let matching = cx.cluster.acls.matching(filter);
                matching.flat_map(|(pattern, entries)| entries.map(|entry| (pattern.clone(), entry.clone()))).collect()
            })
            .collect();
        filters.iter().for_each(|filter| cx.cluster.acls.remove(filter));
        let results = found.into_iter().map(|found| {
            let matching = found.into_iter().map(|(pattern, entry)| {
                DeleteAclsMatchingAcl::default()
                    .with_error_message(None)
                    .with_resource_type(pattern.resource_type)
                    .with_resource_name(text(&pattern.name))
                    .with_pattern_type(pattern.pattern_type)
                    .with_principal(text(&entry.principal))
                    .with_host(text(&entry.host))
                    .with_operation(entry.operation)
                    .with_permission_type(entry.permission)
            });
            DeleteAclsFilterResult::default().with_error_message(None).with_matching_acls(matching.collect())
        });
        DeleteAclsResponse::default().with_filter_results(results.collect()).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> DeleteAclsResponse {
        refuse_filters(self, &ApiError::plain(error))
    }
}

fn filter(filter: &DeleteAclsFilter) -> Filter {
    let owned = |text: &Option<StrBytes>| text.as_ref().map(|text| text.to_string());
    Filter {
        resource_type: filter.resource_type_filter,
        name: owned(&filter.resource_name_filter),
        pattern_type: filter.pattern_type_filter,
        principal: owned(&filter.principal_filter),
        host: owned(&filter.host_filter),
        operation: filter.operation,
        permission: filter.permission_type,
    }
}

fn refuse_filters(request: &DeleteAclsRequest, error: &ApiError) -> DeleteAclsResponse {
    let results = request.filters.iter().map(|_| {
        DeleteAclsFilterResult::default()
            .with_error_code(error.error.code())
            .with_error_message(error.message.as_deref().map(text))
    });
    DeleteAclsResponse::default().with_filter_results(results.collect())
}

fn disabled(message: &str) -> ApiError {
    ApiError::new(ResponseError::SecurityDisabled, message)
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
