//! ElectLeaders: elects the preferred replica, or any replica if none in sync is available.

use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ApiKey, ElectLeadersRequest, ElectLeadersResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Cx};
use crate::state::acls::{self, Operation, ResourceType};
use crate::state::api_error::ApiError;
use crate::state::leaders::Election;

type Results = Vec<(TopicName, Vec<(i32, Result<(), ApiError>)>)>;

impl Api for ElectLeadersRequest {
    const KEY: ApiKey = ApiKey::ElectLeaders;
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    type Response = ElectLeadersResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<ElectLeadersResponse> {
        if !cx.authorized(Operation::Alter, ResourceType::Cluster, acls::CLUSTER) {
            return self.refuse(cx, ResponseError::ClusterAuthorizationFailed).into();
        }
        // Version 0 supports only this kind of election.
        let election = match self.election_type {
            0 => Election::Preferred,
            1 => Election::Unclean,
            _ => return self.refuse(cx, ResponseError::InvalidRequest).into(),
        };
        let wanted: Vec<(TopicName, Vec<i32>)> = match &self.topic_partitions {
            Some(topics) => topics.iter().map(|topic| (topic.topic.clone(), topic.partitions.clone())).collect(),
            None => {
                let all = cx.cluster.topics.iter().map(|topic| {
                    let name = TopicName(StrBytes::from_string(topic.name.clone()));
                    (name, (0..topic.partitions.len() as i32).collect())
                });
                all.collect()
            }
        };
        let mut results: Results = Vec::with_capacity(wanted.len());
        for (name, partitions) in wanted {
            let mut of_topic = Vec::with_capacity(partitions.len());
            for index in partitions {
                let result = cx.cluster.elect(&name, index, election);
                let needless = |error: &ApiError| error.error == ResponseError::ElectionNotNeeded;
                // If the request is for all topics, the response lists only partitions that needed an election.
                if self.topic_partitions.is_some() || !result.as_ref().is_err_and(needless) {
                    of_topic.push((index, result));
                }
            }
            results.push((name, of_topic));
        }
        answer(results, 0).into()
    }

    fn refuse(&self, cx: &Cx<'_>, error: ResponseError) -> ElectLeadersResponse {
        let topics = self.topic_partitions.iter().flatten().map(|topic| {
            let partitions = topic.partitions.iter().map(|index| (*index, Err(ApiError::plain(error)))).collect();
            (topic.topic.clone(), partitions)
        });
        answer(topics.collect(), if cx.version >= 1 { error.code() } else { 0 })
    }
}

fn answer(results: Results, code: i16) -> ElectLeadersResponse {
    let topics = results.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(index, result)| {
            let (code, message) = match result {
                Ok(()) => (0, None),
                Err(ApiError { error, message }) => (error.code(), message),
            };
            PartitionResult::default()
                .with_partition_id(index)
                .with_error_code(code)
                .with_error_message(message.map(StrBytes::from_string))
        });
        ReplicaElectionResult::default().with_topic(name).with_partition_result(partitions.collect())
    });
    ElectLeadersResponse::default().with_error_code(code).with_replica_election_results(topics.collect())
}
