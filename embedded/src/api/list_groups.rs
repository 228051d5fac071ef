//! ListGroups: the groups that this broker coordinates.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{ApiKey, GroupId, ListGroupsRequest, ListGroupsResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Cx};
use crate::state::acls::{self, Operation, ResourceType};
use crate::state::groups::Membership;
use crate::state::groups::classic;

impl Api for ListGroupsRequest {
    const KEY: ApiKey = ApiKey::ListGroups;
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    type Response = ListGroupsResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<ListGroupsResponse> {
        let wanted =
            |filter: &[StrBytes]| -> HashSet<String> { filter.iter().map(|word| word.trim().to_lowercase()).collect() };
        let (states, types) = (wanted(&self.states_filter), wanted(&self.types_filter));
        let suits = |wanted: &HashSet<String>, word: &str| wanted.is_empty() || wanted.contains(&word.to_lowercase());
        let sees_all = cx.authorized(Operation::Describe, ResourceType::Cluster, acls::CLUSTER);
        let mut groups = Vec::new();
        for (id, group) in cx.cluster.groups.iter() {
            let (kind, state, protocol_type) = match &group.membership {
                Membership::Classic(group) => {
                    ("classic", group.state().name(), group.protocol_type().unwrap_or_default())
                }
                Membership::Consumer(group) => ("consumer", group.state().name(), classic::CONSUMER),
            };
            if !suits(&states, state) || !suits(&types, kind) || cx.check_coordinator(id).is_err() {
                continue;
            }
            if !sees_all && !cx.authorized(Operation::Describe, ResourceType::Group, id) {
                continue;
            }
            let mut listed = ListedGroup::default()
                .with_group_id(GroupId(StrBytes::from_string(id.to_owned())))
                .with_protocol_type(StrBytes::from_string(protocol_type.to_owned()));
            if cx.version >= 4 {
                listed.group_state = StrBytes::from_static_str(state);
            }
            if cx.version >= 5 {
                listed.group_type = StrBytes::from_static_str(kind);
            }
            groups.push(listed);
        }
        ListGroupsResponse::default().with_groups(groups).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> ListGroupsResponse {
        ListGroupsResponse::default().with_error_code(error.code())
    }
}
