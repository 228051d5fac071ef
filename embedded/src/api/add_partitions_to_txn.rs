//! AddPartitionsToTxn: adds partitions to a transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, ApiKey, TopicName, TransactionalId,
};

use super::transactions::known_before;
use super::{Answer, Api, Cx, error_code};
use crate::state::acls::{self, Operation, ResourceType};
use crate::state::topics::names::is_internal;
use crate::state::transactions::{Producer, TransactionSupport};

impl Api for AddPartitionsToTxnRequest {
    const KEY: ApiKey = ApiKey::AddPartitionsToTxn;
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    type Response = AddPartitionsToTxnResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<AddPartitionsToTxnResponse> {
        if cx.version >= 4 {
            // Only brokers send several transactions in one request.
            if !cx.authorized(Operation::ClusterAction, ResourceType::Cluster, acls::CLUSTER) {
                return self.refuse(cx, ResponseError::ClusterAuthorizationFailed).into();
            }
            let results = self.transactions.iter().map(|transaction| {
                AddPartitionsToTxnResult::default()
                    .with_transactional_id(transaction.transactional_id.clone())
                    .with_topic_results(add(cx, transaction))
            });
            return AddPartitionsToTxnResponse::default().with_results_by_transaction(results.collect()).into();
        }
        if let Err(error) = cx.check_transactional(Operation::Write, &self.v3_and_below_transactional_id) {
            return self.refuse(cx, error).into();
        }
        let transaction = AddPartitionsToTxnTransaction::default()
            .with_transactional_id(self.v3_and_below_transactional_id)
            .with_producer_id(self.v3_and_below_producer_id)
            .with_producer_epoch(self.v3_and_below_producer_epoch)
            .with_topics(self.v3_and_below_topics);
        AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(add(cx, &transaction)).into()
    }

    fn refuse(&self, cx: &Cx<'_>, error: ResponseError) -> AddPartitionsToTxnResponse {
        if cx.version >= 4 {
            return AddPartitionsToTxnResponse::default().with_error_code(error.code());
        }
        let results = answer(&self.v3_and_below_topics, |_, _| Err(error));
        AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results)
    }
}

fn add(cx: &mut Cx<'_>, transaction: &AddPartitionsToTxnTransaction) -> Vec<AddPartitionsToTxnTopicResult> {
    let topics = &transaction.topics;
    let partitions =
        || topics.iter().flat_map(|topic| topic.partitions.iter().map(|partition| (&**topic.name, *partition)));
    let check = |topic: &str, partition| {
        let may_write = || !is_internal(topic) && cx.authorized(Operation::Write, ResourceType::Topic, topic);
        if cx.version < 4 && !may_write() {
            Err(ResponseError::TopicAuthorizationFailed)
        } else if !cx.cluster.topics.has_partition(topic, partition) {
            Err(ResponseError::UnknownTopicOrPartition)
        } else {
            Ok(())
        }
    };
    if partitions().any(|(topic, partition)| check(topic, partition).is_err()) {
        return answer_once(topics, |topic, partition| {
            check(topic, partition).and(Err(ResponseError::OperationNotAttempted))
        });
    }
    let TransactionalId(id) = &transaction.transactional_id;
    let producer = Producer { id: transaction.producer_id.0, epoch: transaction.producer_epoch };
    let mut result = cx.check_transaction_coordinator(id);
    if transaction.verify_only && result.is_ok() {
        return answer_once(topics, |topic, partition| {
            cx.cluster.transactions.verify(
                id,
                producer,
                (topic, partition),
                TransactionSupport::VerifyAbortable,
                cx.now,
            )
        });
    }
    result = result.and_then(|()| cx.cluster.transactions.add(id, producer, partitions(), cx.now));
    answer(topics, |_, _| result.map_err(|error| known_before(2, cx.version, error)))
}

/// Returns one result for each partition, even if the request names a partition several times.
fn answer_once(
    topics: &[AddPartitionsToTxnTopic],
    result: impl FnMut(&str, i32) -> Result<(), ResponseError>,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let mut unique: BTreeMap<&TopicName, BTreeSet<i32>> = BTreeMap::new();
    topics.iter().for_each(|topic| unique.entry(&topic.name).or_default().extend(&topic.partitions));
    let unique = unique.into_iter().map(|(name, partitions)| {
        AddPartitionsToTxnTopic::default().with_name(name.clone()).with_partitions(partitions.into_iter().collect())
    });
    answer(&unique.collect::<Vec<_>>(), result)
}

fn answer(
    topics: &[AddPartitionsToTxnTopic],
    mut result: impl FnMut(&str, i32) -> Result<(), ResponseError>,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let topics = topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*partition)
                .with_partition_error_code(error_code(result(&topic.name, *partition)))
        });
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(partitions.collect())
    });
    topics.collect()
}
