//! JoinGroup: a member joins a group.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ApiKey, JoinGroupRequest, JoinGroupResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Cx};
use crate::state::acls::Operation;
use crate::state::groups::classic::Join;

impl Api for JoinGroupRequest {
    const KEY: ApiKey = ApiKey::JoinGroup;
    const VERSIONS: RangeInclusive<i16> = 0..=9;
    type Response = JoinGroupResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<JoinGroupResponse> {
        if let Err(error) = check(&self, cx) {
            let refused = self.refuse(cx, error);
            let no_right = error == ResponseError::GroupAuthorizationFailed;
            return if no_right { refused } else { refused.with_member_id(self.member_id) }.into();
        }
        let mut names = HashSet::new();
        let protocols = self.protocols.iter().filter(|protocol| names.insert(&protocol.name));
        let join = Join {
            waiter: cx.waiter(),
            member_id: self.member_id.to_string(),
            instance_id: self.group_instance_id.as_ref().map(StrBytes::to_string),
            client_id: cx.client.id.clone(),
            client_host: cx.client.host.clone(),
            // Version 0 has a single timeout for the session and the rebalance.
            rebalance_timeout: if cx.version == 0 { self.session_timeout_ms } else { self.rebalance_timeout_ms },
            session_timeout: self.session_timeout_ms,
            protocol_type: self.protocol_type.to_string(),
            // Copy the bytes, so that the group does not keep the request in memory.
            protocols: protocols.map(|p| (p.name.to_string(), Bytes::copy_from_slice(&p.metadata))).collect(),
        };
        let (groups, around) = cx.groups();
        groups.join(&self.group_id, join, around);
        Answer::Later
    }

    fn refuse(&self, cx: &Cx<'_>, error: ResponseError) -> JoinGroupResponse {
        let response = JoinGroupResponse::default().with_error_code(error.code());
        if cx.version >= 7 { response.with_protocol_name(None) } else { response }
    }
}

fn check(request: &JoinGroupRequest, cx: &Cx<'_>) -> Result<(), ResponseError> {
    cx.check_group(Operation::Read, &request.group_id)?;
    if request.group_id.is_empty() {
        return Err(ResponseError::InvalidGroupId);
    }
    let limit = |name| cx.cluster.configs.broker_number(name);
    let timeouts = limit("group.min.session.timeout.ms")..=limit("group.max.session.timeout.ms");
    if !timeouts.contains(&i64::from(request.session_timeout_ms)) {
        return Err(ResponseError::InvalidSessionTimeout);
    }
    cx.check_coordinator(&request.group_id)
}
