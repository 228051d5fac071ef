//! TxnOffsetCommit: commits the offsets of a group as part of a transaction.

use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{ApiKey, TxnOffsetCommitRequest, TxnOffsetCommitResponse};

use super::committals::Answers;
use super::{Answer, Api, Cx, error_code};
use crate::state::acls::Operation;
use crate::state::groups::{Commit, Committals, Committer, NewOffset};
use crate::state::transactions::TransactionSupport;

impl Api for TxnOffsetCommitRequest {
    const KEY: ApiKey = ApiKey::TxnOffsetCommit;
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    type Response = TxnOffsetCommitResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<TxnOffsetCommitResponse> {
        let rights = cx
            .check_transactional(Operation::Write, &self.transactional_id)
            .and_then(|()| cx.check_group(Operation::Read, &self.group_id));
        if let Err(error) = rights {
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

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> TxnOffsetCommitResponse {
        let topics = self.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| (partition.partition_index, Err(error)));
            (topic.name.clone(), partitions.collect())
        });
        answer(topics.collect())
    }
}

fn commit(
    request: &TxnOffsetCommitRequest,
    offsets: &[NewOffset<'_>],
    cx: &mut Cx<'_>,
) -> Result<Committals, ResponseError> {
    // If there is nothing to commit, the group is not checked.
    if offsets.is_empty() {
        return Ok(Vec::new());
    }
    if request.group_id.is_empty() {
        return Err(ResponseError::InvalidGroupId);
    }
    cx.check_coordinator(&request.group_id)?;
    let support = match cx.version {
        5.. => TransactionSupport::Add,
        4 => TransactionSupport::VerifyAbortable,
        _ => TransactionSupport::Verify,
    };
    let producer = (request.producer_id.0, request.producer_epoch);
    let transactional_id = &request.transactional_id;
    cx.cluster.admit_offsets(cx.now, transactional_id, producer, &request.group_id, support)?;
    let by = Committer {
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
        generation: request.generation_id,
    };
    let commit = Commit { group_id: &request.group_id, by, version: cx.version, retention: None, offsets };
    cx.cluster.commit_transactional(&commit, producer, cx.now)
}

fn answer(answers: Answers) -> TxnOffsetCommitResponse {
    let topics = answers.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(index, result)| {
            TxnOffsetCommitResponsePartition::default().with_partition_index(index).with_error_code(error_code(result))
        });
        TxnOffsetCommitResponseTopic::default().with_name(name).with_partitions(partitions.collect())
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}
