//! LeaveGroup: members leave a group.

use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{ApiKey, LeaveGroupRequest, LeaveGroupResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Cx, error_code};
use crate::state::groups::classic::Leaving;

impl Api for LeaveGroupRequest {
    const KEY: ApiKey = ApiKey::LeaveGroup;
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    type Response = LeaveGroupResponse;

    fn handle(mut self, cx: &mut Cx<'_>) -> Answer<LeaveGroupResponse> {
        if let Err(error) = cx.check_member_of(&self.group_id) {
            return self.refuse(cx, error).into();
        }
        if cx.version < 3 {
            self.members = vec![MemberIdentity::default().with_member_id(self.member_id.clone())];
        }
        let leaving: Vec<Leaving> = self
            .members
            .iter()
            .map(|member| Leaving {
                member_id: member.member_id.to_string(),
                instance_id: member.group_instance_id.as_ref().map(StrBytes::to_string),
            })
            .collect();
        let (groups, around) = cx.groups();
        let results = groups.leave(&self.group_id, &leaving, around);
        if cx.version < 3 {
            let result = results.into_iter().next().unwrap_or(Ok(()));
            return LeaveGroupResponse::default().with_error_code(error_code(result)).into();
        }
        let members = self.members.into_iter().zip(results).map(|(member, result)| {
            MemberResponse::default()
                .with_member_id(member.member_id)
                .with_group_instance_id(member.group_instance_id)
                .with_error_code(error_code(result))
        });
        LeaveGroupResponse::default().with_members(members.collect()).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> LeaveGroupResponse {
        LeaveGroupResponse::default().with_error_code(error.code())
    }
}
