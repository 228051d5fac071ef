//! DescribeLogDirs: the size of the replicas of a broker in bytes.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{ApiKey, DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Cx};
use crate::state::acls::{self, Operation, ResourceType};

impl Api for DescribeLogDirsRequest {
    const KEY: ApiKey = ApiKey::DescribeLogDirs;
    const VERSIONS: RangeInclusive<i16> = 1..=4;
    type Response = DescribeLogDirsResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<DescribeLogDirsResponse> {
        if !cx.authorized(Operation::Describe, ResourceType::Cluster, acls::CLUSTER) {
            return self.refuse(cx, ResponseError::ClusterAuthorizationFailed).into();
        }
        let wanted: Option<HashMap<&str, HashSet<i32>>> = self.topics.as_ref().map(|topics| {
            let mut wanted: HashMap<&str, HashSet<i32>> = HashMap::new();
            topics.iter().for_each(|topic| wanted.entry(&topic.topic).or_default().extend(&topic.partitions));
            wanted
        });
        let mut topics = Vec::new();
        for topic in cx.cluster.topics.iter() {
            let of_topic = wanted.as_ref().map(|wanted| wanted.get(topic.name.as_str()));
            let asked = |index: i32| of_topic.is_none_or(|of_topic| of_topic.is_some_and(|of| of.contains(&index)));
            let partitions: Vec<DescribeLogDirsPartition> = topic
                .partitions
                .iter()
                .zip(0..)
                .filter(|(partition, index)| asked(*index) && partition.replicas.contains(&cx.broker))
                .map(|(partition, index)| {
                    DescribeLogDirsPartition::default()
                        .with_partition_index(index)
                        .with_partition_size(partition.log.bytes() as i64)
                })
                .collect();
            if !partitions.is_empty() {
                let name = TopicName(StrBytes::from_string(topic.name.clone()));
                topics.push(DescribeLogDirsTopic::default().with_name(name).with_partitions(partitions));
            }
        }
        // There is no disk, so there is no disk size to report.
        let directory = cx.cluster.configs.broker("log.dir").to_owned();
        let result =
            DescribeLogDirsResult::default().with_log_dir(StrBytes::from_string(directory)).with_topics(topics);
        DescribeLogDirsResponse::default().with_results(vec![result]).into()
    }

    fn refuse(&self, cx: &Cx<'_>, error: ResponseError) -> DescribeLogDirsResponse {
        let code = if cx.version >= 3 { error.code() } else { 0 };
        DescribeLogDirsResponse::default().with_error_code(code)
    }
}
