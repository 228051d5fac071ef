//! DeleteGroups: deletes groups without members, with their offsets.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{ApiKey, DeleteGroupsRequest, DeleteGroupsResponse};

use super::{Answer, Api, Cx, error_code};
use crate::state::acls::Operation;

impl Api for DeleteGroupsRequest {
    const KEY: ApiKey = ApiKey::DeleteGroups;
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    type Response = DeleteGroupsResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<DeleteGroupsResponse> {
        answer(&self, |id| {
            cx.check_group(Operation::Delete, id)?;
            cx.check_coordinator(id)?;
            cx.cluster.groups.delete(id)
        })
        .into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> DeleteGroupsResponse {
        answer(self, |_| Err(error))
    }
}

/// Returns one result for each group, even if the request names a group several times.
fn answer(
    request: &DeleteGroupsRequest,
    mut result: impl FnMut(&str) -> Result<(), ResponseError>,
) -> DeleteGroupsResponse {
    let mut seen = HashSet::new();
    let groups = request.groups_names.iter().filter(|id| seen.insert(*id));
    let results = groups
        .map(|id| DeletableGroupResult::default().with_group_id(id.clone()).with_error_code(error_code(result(id))));
    DeleteGroupsResponse::default().with_results(results.collect())
}
