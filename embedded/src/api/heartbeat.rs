//! Heartbeat: a member is alive. The response says whether it has to rejoin.

use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ApiKey, HeartbeatRequest, HeartbeatResponse};

use super::{Answer, Api, Cx, error_code};

impl Api for HeartbeatRequest {
    const KEY: ApiKey = ApiKey::Heartbeat;
    const VERSIONS: RangeInclusive<i16> = 0..=4;
    type Response = HeartbeatResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<HeartbeatResponse> {
        HeartbeatResponse::default().with_error_code(error_code(heartbeat(&self, cx))).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> HeartbeatResponse {
        HeartbeatResponse::default().with_error_code(error.code())
    }
}

fn heartbeat(request: &HeartbeatRequest, cx: &mut Cx<'_>) -> Result<(), ResponseError> {
    cx.check_member_of(&request.group_id)?;
    let (groups, around) = cx.groups();
    let instance_id = request.group_instance_id.as_deref();
    groups.heartbeat(&request.group_id, &request.member_id, instance_id, request.generation_id, around)
}
