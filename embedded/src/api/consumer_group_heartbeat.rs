//! ConsumerGroupHeartbeat: a member of a consumer group joins, stays or leaves, and learns its partitions (KIP-848).

use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment as Assigned, TopicPartitions};
use kafka_protocol::messages::{ApiKey, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Cx};
use crate::state::acls::{Operation, ResourceType};
use crate::state::groups::consumer::{Assignment, Beat, Heartbeat, Refusal};

impl Api for ConsumerGroupHeartbeatRequest {
    const KEY: ApiKey = ApiKey::ConsumerGroupHeartbeat;
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    type Response = ConsumerGroupHeartbeatResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<ConsumerGroupHeartbeatResponse> {
        if let Err(error) = check_rights(&self, cx) {
            return self.refuse(cx, error).into();
        }
        let owned = self.topic_partitions.as_ref().map(|topics| {
            let mut owned = Assignment::new();
            for topic in topics {
                owned.entry(topic.topic_id).or_default().extend(&topic.partitions);
            }
            owned
        });
        let beat = Heartbeat {
            version: cx.version,
            group_id: &self.group_id,
            member_id: &self.member_id,
            epoch: self.member_epoch,
            instance_id: self.instance_id.as_deref(),
            rack_id: self.rack_id.as_deref(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            topics: self
                .subscribed_topic_names
                .as_ref()
                .map(|topics| topics.iter().map(|name| name.to_string()).collect()),
            regex: self.subscribed_topic_regex.as_deref(),
            assignor: self.server_assignor.as_deref(),
            owned,
            client_id: &cx.client.id,
            client_host: &cx.client.host,
            who: cx.client.who(),
        };
        if let Err(refusal) = beat.check() {
            return refused(refusal).into();
        }
        if let Err(error) = cx.check_coordinator(&self.group_id) {
            return self.refuse(cx, error).into();
        }
        let (groups, around) = cx.cluster.groups(cx.now, cx.outbox);
        groups.consumer_heartbeat(&beat, around).map_or_else(refused, answer).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> ConsumerGroupHeartbeatResponse {
        ConsumerGroupHeartbeatResponse::default().with_error_code(error.code())
    }
}

/// The right to read in the group, and to see each topic that is named.
fn check_rights(request: &ConsumerGroupHeartbeatRequest, cx: &Cx<'_>) -> Result<(), ResponseError> {
    cx.check_group(Operation::Read, &request.group_id)?;
    let mut names = request.subscribed_topic_names.iter().flatten();
    if names.all(|name| cx.authorized(Operation::Describe, ResourceType::Topic, name)) {
        Ok(())
    } else {
        Err(ResponseError::TopicAuthorizationFailed)
    }
}

fn refused(refusal: Refusal) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse::default()
        .with_error_code(refusal.error.code())
        .with_error_message(Some(StrBytes::from_string(refusal.message)))
}

fn answer(beat: Beat) -> ConsumerGroupHeartbeatResponse {
    let assignment = beat.assignment.map(|assignment| {
        let topics = assignment.into_iter().map(|(topic, partitions)| {
            TopicPartitions::default().with_topic_id(topic).with_partitions(partitions.into_iter().collect())
        });
        Assigned::default().with_topic_partitions(topics.collect())
    });
    ConsumerGroupHeartbeatResponse::default()
        .with_member_id(Some(StrBytes::from_string(beat.member_id)))
        .with_member_epoch(beat.epoch)
        .with_heartbeat_interval_ms(beat.interval_ms)
        .with_assignment(assignment)
}
