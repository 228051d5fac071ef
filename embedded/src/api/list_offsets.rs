//! ListOffsets: the first and last offset of a partition, and offsets by time.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::{ApiKey, BrokerId, ListOffsetsRequest, ListOffsetsResponse, TopicName};

use super::{Answer, Api, Cx};
use crate::state::acls::{Operation, ResourceType};
use crate::state::times::Timed;

// Special values of the timestamp.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

/// The replica id of a client that may read any replica, for debugging.
const DEBUGGING: BrokerId = BrokerId(-2);

impl Api for ListOffsetsRequest {
    const KEY: ApiKey = ApiKey::ListOffsets;
    const VERSIONS: RangeInclusive<i16> = 1..=10;
    type Response = ListOffsetsResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<ListOffsetsResponse> {
        answer(&self, |topic, partition| find(cx, &self, topic, partition)).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> ListOffsetsResponse {
        answer(self, |_, _| Err(error))
    }
}

fn find(
    cx: &Cx<'_>,
    request: &ListOffsetsRequest,
    topic: &str,
    wanted: &[&ListOffsetsPartition],
) -> Result<Option<Timed>, ResponseError> {
    if !cx.authorized(Operation::Describe, ResourceType::Topic, topic) {
        return Err(ResponseError::TopicAuthorizationFailed);
    }
    // A partition must occur only once in a request.
    let &[wanted] = wanted else { return Err(ResponseError::InvalidRequest) };
    let since = match wanted.timestamp {
        0.. => 1,
        LATEST | EARLIEST => 1,
        MAX_TIMESTAMP => 7,
        EARLIEST_LOCAL => 8,
        LATEST_TIERED => 9,
        _ => i16::MAX,
    };
    if cx.version < since {
        return Err(ResponseError::UnsupportedVersion);
    }
    let missing = ResponseError::UnknownTopicOrPartition;
    let topic = cx.cluster.topics.get(topic).ok_or(missing)?;
    let partition = topic.partition(wanted.partition_index).ok_or(missing)?;
    partition.check_leader_epoch(wanted.current_leader_epoch)?;
    let replica = request.replica_id == DEBUGGING && partition.replicas.contains(&cx.broker);
    if partition.leader != cx.broker && !replica {
        return Err(ResponseError::NotLeaderOrFollower);
    }
    let end = if request.isolation_level == 1 { partition.last_stable_offset() } else { partition.high_watermark() };
    let at = |offset, leader_epoch| Some(Timed { timestamp: -1, offset, leader_epoch });
    let found = match wanted.timestamp {
        LATEST => at(end, partition.leader_epoch),
        EARLIEST | EARLIEST_LOCAL => at(partition.log.start(), partition.log.first_epoch(partition.leader_epoch)),
        LATEST_TIERED => None,
        MAX_TIMESTAMP => partition.latest_timestamp().filter(|found| found.offset < end),
        timestamp => partition.since(timestamp).filter(|found| found.offset < end),
    };
    // Earlier versions have no field for the epoch.
    Ok(found.map(|found| if cx.version < 4 { Timed { leader_epoch: -1, ..found } } else { found }))
}

/// Returns one result for each partition, even if the request names a partition several times.
fn answer(
    request: &ListOffsetsRequest,
    find: impl Fn(&str, &[&ListOffsetsPartition]) -> Result<Option<Timed>, ResponseError>,
) -> ListOffsetsResponse {
    let mut wanted: BTreeMap<&TopicName, BTreeMap<i32, Vec<&ListOffsetsPartition>>> = BTreeMap::new();
    for topic in &request.topics {
        let of_topic = wanted.entry(&topic.name).or_default();
        topic.partitions.iter().for_each(|asked| of_topic.entry(asked.partition_index).or_default().push(asked));
    }
    let topics = wanted.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(index, asked)| {
            let response = ListOffsetsPartitionResponse::default().with_partition_index(index);
            match find(name, &asked) {
                Ok(Some(found)) => response
                    .with_timestamp(found.timestamp)
                    .with_offset(found.offset)
                    .with_leader_epoch(found.leader_epoch),
                Ok(None) => response,
                Err(error) => response.with_error_code(error.code()),
            }
        });
        ListOffsetsTopicResponse::default().with_name(name.clone()).with_partitions(partitions.collect())
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}
