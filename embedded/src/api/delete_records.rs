//! DeleteRecords: moves the start offset of a log.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::{ApiKey, DeleteRecordsRequest, DeleteRecordsResponse, TopicName};

use super::{Answer, Api, Cx, error_code};
use crate::state::acls::{Operation, ResourceType};

impl Api for DeleteRecordsRequest {
    const KEY: ApiKey = ApiKey::DeleteRecords;
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    type Response = DeleteRecordsResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<DeleteRecordsResponse> {
        answer(&self, |topic, index, offset| delete(cx, topic, index, offset)).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> DeleteRecordsResponse {
        answer(self, |_, _, _| Err(error))
    }
}

/// Deletes the records before an offset, or all records if the offset is -1. Returns the new start offset.
fn delete(cx: &mut Cx<'_>, topic: &str, index: i32, offset: i64) -> Result<i64, ResponseError> {
    if !cx.authorized(Operation::Delete, ResourceType::Topic, topic) {
        return Err(ResponseError::TopicAuthorizationFailed);
    }
    let missing = ResponseError::UnknownTopicOrPartition;
    let broker = cx.broker;
    let topic = cx.cluster.topics.get_mut(topic).ok_or(missing)?;
    let (id, internal, deletable) = (topic.id, topic.internal, topic.settings.on(broker).delete);
    let partition = topic.partition_mut(index).ok_or(missing)?;
    if internal {
        return Err(ResponseError::InvalidTopicException);
    }
    if partition.leader != broker {
        return Err(ResponseError::NotLeaderOrFollower);
    }
    if !deletable {
        return Err(ResponseError::PolicyViolation);
    }
    let offset = if offset == -1 { partition.high_watermark() } else { offset };
    if !(0..=partition.high_watermark()).contains(&offset) {
        return Err(ResponseError::OffsetOutOfRange);
    }
    partition.truncate_before(offset);
    let start = partition.log.start();
    cx.cluster.topics.touch(id, index);
    Ok(start)
}

/// Returns one result for each partition. If a partition is named twice, the last offset counts.
fn answer(
    request: &DeleteRecordsRequest,
    mut delete: impl FnMut(&str, i32, i64) -> Result<i64, ResponseError>,
) -> DeleteRecordsResponse {
    let mut wanted: BTreeMap<&TopicName, BTreeMap<i32, i64>> = BTreeMap::new();
    for topic in &request.topics {
        let offsets = topic.partitions.iter().map(|partition| (partition.partition_index, partition.offset));
        wanted.entry(&topic.name).or_default().extend(offsets);
    }
    let topics = wanted.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(index, offset)| {
            let result = delete(name, index, offset);
            DeleteRecordsPartitionResult::default()
                .with_partition_index(index)
                .with_low_watermark(*result.as_ref().unwrap_or(&-1))
                .with_error_code(error_code(result))
        });
        DeleteRecordsTopicResult::default().with_name(name.clone()).with_partitions(partitions.collect())
    });
    DeleteRecordsResponse::default().with_topics(topics.collect())
}
