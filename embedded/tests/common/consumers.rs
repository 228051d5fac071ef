//! Members of consumer groups (KIP-848), heartbeat by heartbeat.

use std::collections::BTreeSet;

use kafka_protocol::messages::consumer_group_describe_response::{DescribedGroup, Member as DescribedMember};
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::*;
use uuid::Uuid;

use super::groups::group_id;
use super::*;

impl Kafka {
    /// Connects to the coordinator of a group. Returns when the coordinator knows these topics.
    ///
    /// Kafka updates the coordinator of a new topic after the clients, each of its partitions separately. So a group of the
    /// same partition tries first.
    pub fn coordinator_that_knows(&self, group: &str, topics: &[&Topic]) -> Raw {
        let mut raw = self.coordinator(group, 0);
        let parts = metadata(&mut raw, "__consumer_offsets").partitions.len().max(1) as i32;
        let is_near = |scout: &String| coordinated_in(scout, parts) == coordinated_in(group, parts);
        let scout = std::iter::repeat_with(|| unique("scout")).find(is_near).unwrap();
        let names: Vec<&str> = topics.iter().map(|topic| &*topic.name).collect();
        let (mut epoch, mut known) = beat(&mut raw, &join_request(&scout, "scout", &names));
        eventually(|| {
            let seen: BTreeSet<Uuid> = known.iter().flatten().map(|(topic, _)| *topic).collect();
            if topics.iter().all(|topic| seen.contains(&topic.id)) {
                return Some(());
            }
            let assignment;
            (epoch, assignment) = beat(&mut raw, &beat_request(&scout, "scout", epoch));
            known = assignment.or(known.take());
            None
        });
        beat(&mut raw, &beat_request(&scout, "scout", -1));
        raw
    }
}

/// Partitions by the id of their topic.
pub type Partitions = BTreeSet<(Uuid, i32)>;

/// The heartbeat of a member that joins.
pub fn join_request(group: &str, member: &str, topics: &[&str]) -> ConsumerGroupHeartbeatRequest {
    beat_request(group, member, 0)
        .with_rebalance_timeout_ms(30_000)
        .with_subscribed_topic_names(Some(topics.iter().map(|name| topic_name(name)).collect()))
        .with_topic_partitions(Some(vec![]))
}

/// The heartbeat of a member that joins with a regular expression instead of topics.
pub fn join_by_regex(group: &str, member: &str, regex: &str) -> ConsumerGroupHeartbeatRequest {
    join_request(group, member, &[]).with_subscribed_topic_names(None).with_subscribed_topic_regex(Some(text(regex)))
}

/// The heartbeat of a member without changes.
pub fn beat_request(group: &str, member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group_id(group))
        .with_member_id(text(member))
        .with_member_epoch(epoch)
        .with_rebalance_timeout_ms(-1)
}

/// The heartbeat of a member that reports its partitions.
pub fn owning(group: &str, member: &str, epoch: i32, owned: &[(Uuid, &[i32])]) -> ConsumerGroupHeartbeatRequest {
    let owned = owned.iter().map(|(topic, partitions)| {
        TopicPartitions::default().with_topic_id(*topic).with_partitions(partitions.to_vec())
    });
    beat_request(group, member, epoch).with_topic_partitions(Some(owned.collect()))
}

/// Returns the response to a valid heartbeat: the epoch, and the assignment if there is one.
#[track_caller]
pub fn beat(raw: &mut Raw, request: &ConsumerGroupHeartbeatRequest) -> (i32, Option<Partitions>) {
    let response = raw.call(request, 1);
    assert_error(response.error_code, None);
    assert_eq!(response.member_id.as_deref(), Some(&*request.member_id));
    let assignment = response.assignment.map(|assignment| {
        let topics = assignment.topic_partitions.into_iter();
        topics.flat_map(|topic| topic.partitions.into_iter().map(move |index| (topic.topic_id, index))).collect()
    });
    (response.member_epoch, assignment)
}

/// An assignment of one topic.
pub fn of(topic: &Topic, partitions: &[i32]) -> Option<Partitions> {
    Some(partitions.iter().map(|index| (topic.id, *index)).collect())
}

/// Returns the error and the message of a refused heartbeat.
#[track_caller]
pub fn refused(
    raw: &mut Raw,
    request: &ConsumerGroupHeartbeatRequest,
    version: i16,
) -> (Option<ResponseError>, String) {
    let response = raw.call(request, version);
    assert_eq!((response.member_id, response.member_epoch, response.heartbeat_interval_ms), (None, 0, 0));
    assert_eq!(response.assignment, None);
    let message = response.error_message.map(|message| message.to_string()).unwrap_or_default();
    (ResponseError::try_from_code(response.error_code), message)
}

/// Returns a group from ConsumerGroupDescribe, with its members sorted by id.
pub fn describe(raw: &mut Raw, group: &str) -> DescribedGroup {
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group_id(group)]);
    let mut group = raw.call(&request, 1).groups.remove(0);
    group.members.sort_by(|left, right| left.member_id.cmp(&right.member_id));
    group
}

/// Returns a group's state, its epoch, and the epoch of its assignment.
#[track_caller]
pub fn state(raw: &mut Raw, group: &str) -> (String, i32, i32) {
    let group = describe(raw, group);
    assert_error(group.error_code, None);
    (group.group_state.to_string(), group.group_epoch, group.assignment_epoch)
}

/// Returns the assignment and the target assignment of a described member.
pub fn partitions_of(member: &DescribedMember) -> (Partitions, Partitions) {
    let partitions = |assignment: &consumer_group_describe_response::Assignment| {
        let topics = assignment.topic_partitions.iter();
        topics.flat_map(|topic| topic.partitions.iter().map(|index| (topic.topic_id, *index))).collect()
    };
    (partitions(&member.assignment), partitions(&member.target_assignment))
}
