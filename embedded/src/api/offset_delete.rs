//! OffsetDelete: deletes committed offsets of topics that the group does not read.

use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use kafka_protocol::messages::{ApiKey, OffsetDeleteRequest, OffsetDeleteResponse};

use super::{Answer, Api, Cx, error_code};
use crate::state::acls::Operation;

impl Api for OffsetDeleteRequest {
    const KEY: ApiKey = ApiKey::OffsetDelete;
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    type Response = OffsetDeleteResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<OffsetDeleteResponse> {
        match delete(&self, cx) {
            Ok(response) => response,
            Err(error) => self.refuse(cx, error),
        }
        .into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> OffsetDeleteResponse {
        OffsetDeleteResponse::default().with_error_code(error.code())
    }
}

fn delete(request: &OffsetDeleteRequest, cx: &mut Cx<'_>) -> Result<OffsetDeleteResponse, ResponseError> {
    cx.check_group(Operation::Delete, &request.group_id)?;
    if request.group_id.is_empty() {
        return Err(ResponseError::InvalidGroupId);
    }
    cx.check_coordinator(&request.group_id)?;
    let found = cx.committable(request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| partition.partition_index);
        (&topic.name, partitions.map(|index| (index, (&**topic.name, index))))
    }));
    let results = cx.cluster.groups.delete_offsets(&request.group_id, &found.offsets)?;
    let topics = found.answers(results).into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(index, result)| {
            OffsetDeleteResponsePartition::default().with_partition_index(index).with_error_code(error_code(result))
        });
        OffsetDeleteResponseTopic::default().with_name(name).with_partitions(partitions.collect())
    });
    Ok(OffsetDeleteResponse::default().with_topics(topics.collect()))
}
