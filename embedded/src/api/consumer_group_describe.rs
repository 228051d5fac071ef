//! ConsumerGroupDescribe: a consumer group with its members, their assignments and their target assignments.

use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::consumer_group_describe_response::{
    Assignment as Described, DescribedGroup, Member as DescribedMember, TopicPartitions,
};
use kafka_protocol::messages::{
    ApiKey, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, GroupId, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Cx};
use crate::state::Topics;
use crate::state::acls::{Operation, ResourceType};
use crate::state::groups::consumer::{Assignment, ConsumerGroup, Member, Settings};

/// The value of authorized operations if the request did not ask for them.
const NOT_ASKED: i32 = i32::MIN;

impl Api for ConsumerGroupDescribeRequest {
    const KEY: ApiKey = ApiKey::ConsumerGroupDescribe;
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    type Response = ConsumerGroupDescribeResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<ConsumerGroupDescribeResponse> {
        let groups = self.group_ids.iter().map(|id| {
            if let Err(error) = cx.check_group(Operation::Describe, id).and_then(|()| cx.check_coordinator(id)) {
                return refused(id, error);
            }
            if id.is_empty() {
                return refused(id, ResponseError::InvalidGroupId);
            }
            let group = match cx.cluster.groups.consumer(id) {
                Ok(group) => group,
                Err(refusal) => {
                    return refused(id, refusal.error).with_error_message(Some(StrBytes::from_string(refusal.message)));
                }
            };
            let mut described = describe(cx, id, group);
            if self.include_authorized_operations {
                described.authorized_operations = cx.authorized_operations(ResourceType::Group, id);
            }
            hide_from_those_without_rights(cx, described)
        });
        ConsumerGroupDescribeResponse::default().with_groups(groups.collect()).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> ConsumerGroupDescribeResponse {
        let groups = self.group_ids.iter().map(|id| refused(id, error));
        ConsumerGroupDescribeResponse::default().with_groups(groups.collect())
    }
}

fn refused(id: &GroupId, error: ResponseError) -> DescribedGroup {
    DescribedGroup::default()
        .with_group_id(id.clone())
        .with_error_code(error.code())
        .with_authorized_operations(NOT_ASKED)
}

fn describe(cx: &Cx<'_>, id: &GroupId, group: &ConsumerGroup) -> DescribedGroup {
    let default = Settings::of(&cx.cluster.configs, id).default_assignor;
    let members = group.members.values().map(|member| describe_member(&cx.cluster.topics, group, member));
    DescribedGroup::default()
        .with_group_id(id.clone())
        .with_group_state(StrBytes::from_static_str(group.state().name()))
        .with_group_epoch(group.epoch)
        .with_assignment_epoch(group.assignment_epoch)
        .with_assignor_name(text(group.assignor(default)))
        .with_members(members.collect())
        .with_authorized_operations(NOT_ASKED)
}

/// If members read topics that the client may not see, the group is returned without its members.
fn hide_from_those_without_rights(cx: &Cx<'_>, group: DescribedGroup) -> DescribedGroup {
    let sees = |assignment: &Described| {
        let mut topics = assignment.topic_partitions.iter();
        topics.all(|topic| cx.authorized(Operation::Describe, ResourceType::Topic, &topic.topic_name))
    };
    if group.members.iter().all(|member| sees(&member.assignment) && sees(&member.target_assignment)) {
        return group;
    }
    let message = "The group has described topic(s) that the client is not authorized to describe.";
    group
        .with_error_code(ResponseError::TopicAuthorizationFailed.code())
        .with_error_message(Some(StrBytes::from_static_str(message)))
        .with_members(Vec::new())
}

fn describe_member(topics: &Topics, group: &ConsumerGroup, member: &Member) -> DescribedMember {
    let names = member.topics.iter().map(|name| TopicName(text(name)));
    DescribedMember::default()
        .with_member_id(text(&member.id))
        .with_instance_id(member.instance_id.as_deref().map(text))
        .with_rack_id(member.rack_id.as_deref().map(text))
        .with_member_epoch(member.epoch)
        .with_client_id(text(&member.client_id))
        .with_client_host(text(&member.client_host))
        .with_subscribed_topic_names(names.collect())
        .with_subscribed_topic_regex(Some(text(&member.regex)))
        .with_assignment(describe_assignment(topics, &member.assigned))
        .with_target_assignment(
            group.target(&member.id).map(|target| describe_assignment(topics, target)).unwrap_or_default(),
        )
        .with_member_type(if member.classic.is_some() { 0 } else { 1 })
}

/// Deleted topics are left out, because they have no names any more.
fn describe_assignment(topics: &Topics, assignment: &Assignment) -> Described {
    let topics = assignment.iter().filter_map(|(id, partitions)| {
        Some(
            TopicPartitions::default()
                .with_topic_id(*id)
                .with_topic_name(TopicName(text(topics.name_of(*id)?)))
                .with_partitions(partitions.iter().copied().collect()),
        )
    });
    Described::default().with_topic_partitions(topics.collect())
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
