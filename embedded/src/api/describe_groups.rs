//! DescribeGroups: the state and the members of classic groups.

use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{ApiKey, DescribeGroupsRequest, DescribeGroupsResponse, GroupId};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Cx};
use crate::state::acls::{Operation, ResourceType};
use crate::state::groups::Membership;
use crate::state::groups::classic::{ClassicGroup, State};

/// Since this version, a missing group is an error. Before, it is a group in the state Dead (KIP-1043).
const NOT_FOUND: i16 = 6;

impl Api for DescribeGroupsRequest {
    const KEY: ApiKey = ApiKey::DescribeGroups;
    const VERSIONS: RangeInclusive<i16> = 0..=6;
    type Response = DescribeGroupsResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<DescribeGroupsResponse> {
        let asks_for_operations = cx.version >= 3 && self.include_authorized_operations;
        let groups = self.groups.iter().map(|id| {
            let mut described = describe(cx, id).unwrap_or_else(|error| refuse(id, error));
            if asks_for_operations && described.error_code == 0 {
                described.authorized_operations = cx.authorized_operations(ResourceType::Group, id);
            }
            described.with_group_id(id.clone())
        });
        DescribeGroupsResponse::default().with_groups(groups.collect()).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> DescribeGroupsResponse {
        DescribeGroupsResponse::default().with_groups(self.groups.iter().map(|id| refuse(id, error)).collect())
    }
}

fn refuse(id: &GroupId, error: ResponseError) -> DescribedGroup {
    DescribedGroup::default().with_group_id(id.clone()).with_error_code(error.code())
}

fn describe(cx: &Cx<'_>, id: &str) -> Result<DescribedGroup, ResponseError> {
    cx.check_group(Operation::Describe, id)?;
    cx.check_coordinator(id)?;
    let message = match cx.cluster.groups.get(id).map(|group| &group.membership) {
        Some(Membership::Classic(group)) => return Ok(describe_classic(group)),
        Some(Membership::Consumer(_)) => format!("Group {id} is not a classic group."),
        None => format!("Group {id} not found."),
    };
    let dead = DescribedGroup::default().with_group_state(StrBytes::from_static_str("Dead"));
    Ok(if cx.version >= NOT_FOUND {
        dead.with_error_code(ResponseError::GroupIdNotFound.code())
            .with_error_message(Some(StrBytes::from_string(message)))
    } else {
        dead
    })
}

/// The protocol and the subscriptions are returned only if the group is stable.
fn describe_classic(group: &ClassicGroup) -> DescribedGroup {
    let text = |text: &str| StrBytes::from_string(text.to_owned());
    let protocol = group.protocol().filter(|_| group.state() == State::Stable);
    let members = group.members().map(|(id, member)| {
        DescribedGroupMember::default()
            .with_member_id(text(id))
            .with_group_instance_id(member.instance_id.as_deref().map(text))
            .with_client_id(text(&member.client_id))
            .with_client_host(text(&member.client_host))
            .with_member_metadata(protocol.map(|protocol| member.metadata(protocol)).unwrap_or_default())
            .with_member_assignment(member.assignment.clone())
    });
    DescribedGroup::default()
        .with_group_state(StrBytes::from_static_str(group.state().name()))
        .with_protocol_type(text(group.protocol_type().unwrap_or_default()))
        .with_protocol_data(text(protocol.unwrap_or_default()))
        .with_members(members.collect())
}
