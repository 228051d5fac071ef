//! OffsetForLeaderEpoch: the end offset of a leader epoch. A client uses it to detect that a log was truncated.

use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use kafka_protocol::messages::{ApiKey, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use super::{Answer, Api, Cx};
use crate::state::acls::{self, Operation, ResourceType};
use crate::state::log::EpochEnd;

impl Api for OffsetForLeaderEpochRequest {
    const KEY: ApiKey = ApiKey::OffsetForLeaderEpoch;
    const VERSIONS: RangeInclusive<i16> = 2..=4;
    type Response = OffsetForLeaderEpochResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<OffsetForLeaderEpochResponse> {
        answer(&self, |topic, partition| find(cx, topic, partition)).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> OffsetForLeaderEpochResponse {
        answer(self, |_, _| Err(error))
    }
}

fn find(cx: &Cx<'_>, topic: &str, wanted: &OffsetForLeaderPartition) -> Result<Option<EpochEnd>, ResponseError> {
    if !cx.authorized(Operation::ClusterAction, ResourceType::Cluster, acls::CLUSTER)
        && !cx.authorized(Operation::Describe, ResourceType::Topic, topic)
    {
        return Err(ResponseError::TopicAuthorizationFailed);
    }
    let missing = ResponseError::UnknownTopicOrPartition;
    let topic = cx.cluster.topics.get(topic).ok_or(missing)?;
    let partition = topic.partition(wanted.partition).ok_or(missing)?;
    if !partition.replicas.contains(&cx.broker) {
        return Err(ResponseError::NotLeaderOrFollower);
    }
    partition.check_leader_epoch(wanted.current_leader_epoch)?;
    if partition.leader != cx.broker {
        return Err(ResponseError::NotLeaderOrFollower);
    }
    Ok(partition.log.epoch_end(wanted.leader_epoch, partition.leader_epoch))
}

fn answer(
    request: &OffsetForLeaderEpochRequest,
    find: impl Fn(&str, &OffsetForLeaderPartition) -> Result<Option<EpochEnd>, ResponseError>,
) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let response = EpochEndOffset::default().with_partition(partition.partition);
            match find(&topic.topic, partition) {
                Ok(Some(end)) => response.with_leader_epoch(end.epoch).with_end_offset(end.end_offset),
                Ok(None) => response,
                Err(error) => response.with_error_code(error.code()),
            }
        });
        OffsetForLeaderTopicResult::default().with_topic(topic.topic.clone()).with_partitions(partitions.collect())
    });
    OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
}
