//! OffsetCommit: commits the offsets of a group.

use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::{ApiKey, OffsetCommitRequest, OffsetCommitResponse};

use super::committals::Answers;
use super::{Answer, Api, Cx, error_code};
use crate::state::acls::Operation;
use crate::state::groups::{Commit, Committals, Committer, NewOffset};

impl Api for OffsetCommitRequest {
    const KEY: ApiKey = ApiKey::OffsetCommit;
    const VERSIONS: RangeInclusive<i16> = 2..=9;
    type Response = OffsetCommitResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<OffsetCommitResponse> {
        if let Err(error) = cx.check_group(Operation::Read, &self.group_id) {
            return self.refuse(cx, error).into();
        }
        let found = cx.committable(self.topics.iter().map(|topic| {
            let offsets = topic.partitions.iter().map(|partition| {
                let offset = NewOffset {
                    topic: &topic.name,
                    partition: partition.partition_index,
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: partition.committed_metadata.as_deref(),
                };
                (partition.partition_index, offset)
            });
            (&topic.name, offsets)
        }));
        let results = match commit(&self, &found.offsets, cx) {
            Ok(results) => results,
            Err(error) => vec![Err(error); found.offsets.len()],
        };
        answer(found.answers(results)).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> OffsetCommitResponse {
        let topics = self.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| (partition.partition_index, Err(error)));
            (topic.name.clone(), partitions.collect())
        });
        answer(topics.collect())
    }
}

fn commit(
    request: &OffsetCommitRequest,
    offsets: &[NewOffset<'_>],
    cx: &mut Cx<'_>,
) -> Result<Committals, ResponseError> {
    // If there is nothing to commit, the group is not checked.
    if offsets.is_empty() {
        return Ok(Vec::new());
    }
    cx.check_coordinator(&request.group_id)?;
    let commit = Commit {
        group_id: &request.group_id,
        by: Committer {
            member_id: &request.member_id,
            instance_id: request.group_instance_id.as_deref(),
            generation: request.generation_id_or_member_epoch,
        },
        version: cx.version,
        retention: (request.retention_time_ms != -1).then_some(request.retention_time_ms),
        offsets,
    };
    let (groups, around) = cx.groups();
    groups.commit(&commit, around)
}

fn answer(answers: Answers) -> OffsetCommitResponse {
    let topics = answers.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(index, result)| {
            OffsetCommitResponsePartition::default().with_partition_index(index).with_error_code(error_code(result))
        });
        OffsetCommitResponseTopic::default().with_name(name).with_partitions(partitions.collect())
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}
