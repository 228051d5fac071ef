//! OffsetFetch: the committed offsets of groups.

use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{ApiKey, OffsetFetchRequest, OffsetFetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Cx};
use crate::state::acls::{Operation, ResourceType};
use crate::state::groups::{Committed, Group};

impl Api for OffsetFetchRequest {
    const KEY: ApiKey = ApiKey::OffsetFetch;
    const VERSIONS: RangeInclusive<i16> = 1..=9;
    type Response = OffsetFetchResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<OffsetFetchResponse> {
        let groups =
            groups(&self, cx.version).into_iter().map(|wanted| match fetch(cx, &wanted, self.require_stable) {
                Ok(topics) => OffsetFetchResponseGroup::default().with_group_id(wanted.group_id).with_topics(topics),
                Err(error) => refuse_group(&wanted, cx.version, error),
            });
        respond(cx.version, groups.collect()).into()
    }

    fn refuse(&self, cx: &Cx<'_>, error: ResponseError) -> OffsetFetchResponse {
        let groups = groups(self, cx.version).into_iter().map(|wanted| refuse_group(&wanted, cx.version, error));
        respond(cx.version, groups.collect())
    }
}

/// Returns the groups of the request. Before version 8, a request has one group.
fn groups(request: &OffsetFetchRequest, version: i16) -> Vec<OffsetFetchRequestGroup> {
    if version >= 8 {
        return request.groups.clone();
    }
    let topics = request.topics.as_ref().map(|topics| {
        let topics = topics.iter().map(|topic| {
            OffsetFetchRequestTopics::default()
                .with_name(topic.name.clone())
                .with_partition_indexes(topic.partition_indexes.clone())
        });
        topics.collect()
    });
    vec![OffsetFetchRequestGroup::default().with_group_id(request.group_id.clone()).with_topics(topics)]
}

fn fetch(
    cx: &Cx<'_>,
    wanted: &OffsetFetchRequestGroup,
    require_stable: bool,
) -> Result<Vec<OffsetFetchResponseTopics>, ResponseError> {
    cx.check_group(Operation::Describe, &wanted.group_id)?;
    cx.check_coordinator(&wanted.group_id)?;
    let may_see = |topic: &str| cx.authorized(Operation::Describe, ResourceType::Topic, topic);
    let group = cx.cluster.groups.get(&wanted.group_id);
    if let Some(group) = group {
        group.check_fetch(wanted.member_id.as_deref(), wanted.member_epoch)?;
    }
    Ok(match &wanted.topics {
        Some(topics) => {
            let (seen, unseen): (Vec<_>, Vec<_>) = topics.iter().partition(|topic| may_see(&topic.name));
            let denied = |index| without_offset(index).with_error_code(ResponseError::TopicAuthorizationFailed.code());
            let seen = seen.into_iter().map(|topic| {
                topic_of(topic, |index| {
                    let committed = group.and_then(|group| group.offsets.get(&topic.name, index));
                    partition(group, &topic.name, index, committed, require_stable)
                })
            });
            // Topics that the client may not see come last, as in Kafka.
            seen.chain(unseen.into_iter().map(|topic| topic_of(topic, denied))).collect()
        }
        None => group
            .into_iter()
            .flat_map(|group| group.offsets.topics())
            .filter(|(topic, _)| may_see(topic))
            .map(|(topic, partitions)| {
                let partitions = partitions
                    .map(|(index, committed)| partition(group, topic, index, Some(committed), require_stable))
                    .collect();
                let name = TopicName(StrBytes::from_string(topic.to_owned()));
                OffsetFetchResponseTopics::default().with_name(name).with_partitions(partitions)
            })
            .collect(),
    })
}

fn topic_of(
    topic: &OffsetFetchRequestTopics,
    partition: impl Fn(i32) -> OffsetFetchResponsePartitions,
) -> OffsetFetchResponseTopics {
    let partitions = topic.partition_indexes.iter().map(|&index| partition(index));
    OffsetFetchResponseTopics::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
}

fn partition(
    group: Option<&Group>,
    topic: &str,
    index: i32,
    committed: Option<&Committed>,
    require_stable: bool,
) -> OffsetFetchResponsePartitions {
    if require_stable && group.is_some_and(|group| group.is_pending(topic, index)) {
        return without_offset(index).with_error_code(ResponseError::UnstableOffsetCommit.code());
    }
    committed.map_or_else(
        || without_offset(index),
        |committed| {
            OffsetFetchResponsePartitions::default()
                .with_partition_index(index)
                .with_committed_offset(committed.offset)
                .with_committed_leader_epoch(committed.leader_epoch)
                .with_metadata(Some(StrBytes::from_string(committed.metadata.clone())))
        },
    )
}

fn without_offset(index: i32) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions::default()
        .with_partition_index(index)
        .with_committed_offset(-1)
        .with_committed_leader_epoch(-1)
        .with_metadata(Some(StrBytes::default()))
}

/// In version 1, only partitions have an error field.
fn refuse_group(wanted: &OffsetFetchRequestGroup, version: i16, error: ResponseError) -> OffsetFetchResponseGroup {
    let refused =
        OffsetFetchResponseGroup::default().with_group_id(wanted.group_id.clone()).with_error_code(error.code());
    if version >= 2 {
        return refused;
    }
    let topics = wanted.topics.iter().flatten().map(|topic| {
        let partitions =
            topic.partition_indexes.iter().map(|&index| without_offset(index).with_error_code(error.code())).collect();
        OffsetFetchResponseTopics::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    refused.with_topics(topics.collect())
}

fn respond(version: i16, groups: Vec<OffsetFetchResponseGroup>) -> OffsetFetchResponse {
    if version >= 8 {
        return OffsetFetchResponse::default().with_groups(groups);
    }
    let Some(only) = groups.into_iter().next() else { return OffsetFetchResponse::default() };
    let topics = only.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_committed_offset(partition.committed_offset)
                .with_committed_leader_epoch(partition.committed_leader_epoch)
                .with_metadata(partition.metadata)
                .with_error_code(partition.error_code)
        });
        OffsetFetchResponseTopic::default().with_name(topic.name).with_partitions(partitions.collect())
    });
    OffsetFetchResponse::default().with_error_code(only.error_code).with_topics(topics.collect())
}
