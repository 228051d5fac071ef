//! SyncGroup: a member asks for its assignment, and the leader sends the assignments of all members.

use std::ops::RangeInclusive;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ApiKey, SyncGroupRequest, SyncGroupResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Cx};
use crate::state::groups::classic::Sync;

impl Api for SyncGroupRequest {
    const KEY: ApiKey = ApiKey::SyncGroup;
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    type Response = SyncGroupResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<SyncGroupResponse> {
        if let Err(error) = check(&self, cx) {
            return self.refuse(cx, error).into();
        }
        let assignments = self.assignments.iter();
        let sync = Sync {
            waiter: cx.waiter(),
            member_id: self.member_id.to_string(),
            instance_id: self.group_instance_id.as_ref().map(StrBytes::to_string),
            generation: self.generation_id,
            protocol_type: self.protocol_type.as_ref().map(StrBytes::to_string),
            protocol: self.protocol_name.as_ref().map(StrBytes::to_string),
            // Copy the bytes, so that the group does not keep the request in memory.
            assignments: assignments
                .map(|a| (a.member_id.to_string(), Bytes::copy_from_slice(&a.assignment)))
                .collect(),
        };
        let (groups, around) = cx.groups();
        groups.sync(&self.group_id, sync, around);
        Answer::Later
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> SyncGroupResponse {
        SyncGroupResponse::default().with_error_code(error.code())
    }
}

fn check(request: &SyncGroupRequest, cx: &Cx<'_>) -> Result<(), ResponseError> {
    if cx.version >= 5 && (request.protocol_type.is_none() || request.protocol_name.is_none()) {
        return Err(ResponseError::InconsistentGroupProtocol);
    }
    cx.check_member_of(&request.group_id)
}
