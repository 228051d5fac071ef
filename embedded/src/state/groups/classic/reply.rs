//! The responses to JoinGroup and SyncGroup.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupResponse, SyncGroupResponse};
use kafka_protocol::protocol::StrBytes;

use super::ClassicGroup;
use crate::state::groups::env::{Env, Waiter};

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

impl Env<'_> {
    pub(crate) fn answer_join(&mut self, waiter: Waiter, mut response: JoinGroupResponse) {
        // Since version 7, a missing protocol is null. Earlier versions cannot represent that.
        response.protocol_name = response.protocol_name.filter(|name| !name.is_empty());
        if waiter.version < 7 {
            response.protocol_name.get_or_insert_default();
        }
        self.outbox.reply(waiter.ticket, response);
    }

    pub(crate) fn refuse_join(&mut self, waiter: Waiter, member_id: &str, error: ResponseError) {
        let response = JoinGroupResponse::default().with_error_code(error.code()).with_member_id(text(member_id));
        self.answer_join(waiter, response);
    }

    pub(crate) fn refuse_sync(&mut self, waiter: Waiter, error: ResponseError) {
        self.outbox.reply(waiter.ticket, SyncGroupResponse::default().with_error_code(error.code()));
    }
}

impl ClassicGroup {
    /// Returns the response to a member that has joined. The leader gets all members, to assign the partitions.
    pub(super) fn joined(&self, member_id: &str, with_members: bool) -> JoinGroupResponse {
        let members = if with_members { self.joined_members() } else { Vec::new() };
        JoinGroupResponse::default()
            .with_generation_id(self.generation)
            .with_protocol_type(self.protocol_type().map(text))
            .with_protocol_name(self.protocol().map(text))
            .with_leader(text(self.leader().unwrap_or_default()))
            .with_member_id(text(member_id))
            .with_members(members)
    }

    fn joined_members(&self) -> Vec<JoinGroupResponseMember> {
        let protocol = self.protocol().unwrap_or_default();
        let members = self.members.iter().map(|(id, member)| {
            JoinGroupResponseMember::default()
                .with_member_id(text(id))
                .with_group_instance_id(member.instance_id.as_deref().map(text))
                .with_metadata(member.metadata(protocol))
        });
        members.collect()
    }

    pub(super) fn synced(&self, assignment: Bytes) -> SyncGroupResponse {
        SyncGroupResponse::default()
            .with_protocol_type(self.protocol_type().map(text))
            .with_protocol_name(self.protocol().map(text))
            .with_assignment(assignment)
    }
}
