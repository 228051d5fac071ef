//! DescribeTopicPartitions: topics page by page.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{
    ApiKey, BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Cx};
use crate::state::acls::{Operation, ResourceType};
use crate::state::partition::Partition;
use crate::state::topics::names::{check_name, is_internal};

impl Api for DescribeTopicPartitionsRequest {
    const KEY: ApiKey = ApiKey::DescribeTopicPartitions;
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    type Response = DescribeTopicPartitionsResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<DescribeTopicPartitionsResponse> {
        let (first, first_partition) = match &self.cursor {
            Some(cursor) => (&**cursor.topic_name, cursor.partition_index),
            None => ("", 0),
        };
        let all = self.topics.is_empty();
        let names: BTreeSet<&str> = if all {
            cx.cluster.topics.iter().map(|topic| topic.name.as_str()).filter(|name| *name >= first).collect()
        } else {
            self.topics.iter().map(|topic| &**topic.name).filter(|name| *name >= first).collect()
        };
        let Ok(first_partition) = usize::try_from(first_partition) else {
            return self.refuse(cx, ResponseError::InvalidRequest).into();
        };
        if self.cursor.is_some() && !all && !names.contains(first) {
            return self.refuse(cx, ResponseError::InvalidRequest).into();
        }
        let most = cx.cluster.configs.broker_number("max.request.partition.size.limit");
        let mut left = most.min(self.response_partition_limit.into()).max(1) as usize;
        let (mut topics, mut denied, mut next) = (Vec::new(), Vec::new(), None);
        for name in names {
            if !cx.authorized(Operation::Describe, ResourceType::Topic, name) {
                if !all {
                    denied.push(failed(name, ResponseError::TopicAuthorizationFailed).with_is_internal(false));
                }
                continue;
            }
            if left == 0 {
                next = Some(cursor(name, 0));
                break;
            }
            let rights = cx.authorized_operations(ResourceType::Topic, name);
            let Some(topic) = cx.cluster.topics.get(name) else {
                let error = match check_name(name) {
                    Ok(()) => ResponseError::UnknownTopicOrPartition,
                    Err(_) => ResponseError::InvalidTopicException,
                };
                topics.push(failed(name, error).with_topic_authorized_operations(rights));
                continue;
            };
            let from = if name == first { first_partition.min(topic.partitions.len()) } else { 0 };
            let to = topic.partitions.len().min(from + left);
            left -= to - from;
            let shown = topic.partitions[from..to].iter().zip(from as i32..);
            topics.push(
                DescribeTopicPartitionsResponseTopic::default()
                    .with_name(Some(topic_name(name)))
                    .with_topic_id(topic.id)
                    .with_is_internal(topic.internal)
                    .with_partitions(shown.map(|(partition, index)| describe(cx, partition, index)).collect())
                    .with_topic_authorized_operations(rights),
            );
            if to < topic.partitions.len() {
                next = Some(cursor(name, to as i32));
                break;
            }
        }
        topics.append(&mut denied);
        DescribeTopicPartitionsResponse::default().with_topics(topics).with_next_cursor(next).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> DescribeTopicPartitionsResponse {
        let topics = self.topics.iter().map(|topic| failed(&topic.name, error).with_is_internal(false));
        DescribeTopicPartitionsResponse::default().with_topics(topics.collect())
    }
}

fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

fn cursor(name: &str, partition: i32) -> Cursor {
    Cursor::default().with_topic_name(topic_name(name)).with_partition_index(partition)
}

fn failed(name: &str, error: ResponseError) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic::default()
        .with_error_code(error.code())
        .with_name(Some(topic_name(name)))
        .with_is_internal(is_internal(name))
}

fn describe(cx: &Cx<'_>, partition: &Partition, index: i32) -> DescribeTopicPartitionsResponsePartition {
    let ids = |brokers: &[i32]| brokers.iter().copied().map(BrokerId).collect::<Vec<_>>();
    let offline: Vec<i32> = partition.replicas.iter().copied().filter(|id| !cx.cluster.is_up(*id)).collect();
    DescribeTopicPartitionsResponsePartition::default()
        .with_partition_index(index)
        .with_leader_id(BrokerId(partition.leader))
        .with_leader_epoch(partition.leader_epoch)
        .with_replica_nodes(ids(&partition.replicas))
        .with_isr_nodes(ids(&partition.isr))
        .with_eligible_leader_replicas(Some(Vec::new()))
        .with_last_known_elr(Some(Vec::new()))
        .with_offline_replicas(ids(&offline))
}
