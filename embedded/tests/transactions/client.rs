//! A transactional producer at the level of requests.

use embedded_kafka::EmbeddedKafka;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::*;

use crate::common::*;

/// A producer id with its epoch.
pub type Producer = (i64, i16);

/// A connection to the coordinator of one transactional id.
pub struct Transactional {
    pub raw: Raw,
    pub id: String,
    pub timeout: i32,
}

/// An embedded cluster, whatever the environment names.
pub fn embedded(brokers: usize) -> Kafka {
    let embedded = EmbeddedKafka::builder().brokers(brokers).start().unwrap();
    Kafka { bootstrap_servers: embedded.bootstrap_servers().to_owned(), embedded: Some(embedded) }
}

/// The answer's error, if any.
pub fn result<T>(code: i16, answer: T) -> Result<T, ResponseError> {
    match ResponseError::try_from_code(code) {
        None => Ok(answer),
        Some(error) => Err(error),
    }
}

/// Asks again while the transaction before is being ended: Kafka answers EndTxn before it has written the markers. So too
/// while a Kafka that has just started has no producer ids yet.
fn settled<T>(mut ask: impl FnMut() -> Result<T, ResponseError>) -> Result<T, ResponseError> {
    eventually(|| match ask() {
        Err(ResponseError::ConcurrentTransactions | ResponseError::CoordinatorLoadInProgress) => None,
        answer => Some(answer),
    })
}

impl Transactional {
    pub fn new(kafka: &Kafka, name: &str) -> Self {
        let id = unique(name);
        Self { raw: kafka.coordinator(&id, 1), id, timeout: 60_000 }
    }

    fn transactional_id(&self) -> TransactionalId {
        TransactionalId(text(&self.id))
    }

    /// Asks for a producer id once.
    pub fn try_init(&mut self, had: Option<Producer>, version: i16) -> Result<Producer, ResponseError> {
        let (producer_id, epoch) = had.unwrap_or((-1, -1));
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(self.transactional_id()))
            .with_transaction_timeout_ms(self.timeout)
            .with_producer_id(ProducerId(producer_id))
            .with_producer_epoch(epoch);
        let response = self.raw.call(&request, version);
        let producer = (response.producer_id.0, response.producer_epoch);
        if response.error_code != 0 {
            assert_eq!(producer, (-1, -1));
        }
        result(response.error_code, producer)
    }

    /// Asks for a producer id, until the transaction before it has ended. Apache Kafka answers `CONCURRENT_TRANSACTIONS`
    /// while it aborts that, an embedded broker does not.
    pub fn init_with(&mut self, had: Option<Producer>) -> Result<Producer, ResponseError> {
        settled(|| self.try_init(had, 5))
    }

    /// Asks for a producer id, as a producer that has just begun.
    pub fn init(&mut self) -> Producer {
        self.init_with(None).unwrap()
    }

    /// Adds partitions; the answer for each of them.
    pub fn add(
        &mut self,
        producer: Producer,
        partitions: &[(&str, i32)],
        version: i16,
    ) -> Vec<Result<(), ResponseError>> {
        eventually(|| {
            let results = self.try_add(producer, partitions, version);
            (!results.contains(&Err(ResponseError::ConcurrentTransactions))).then_some(results)
        })
    }

    /// The same, once.
    pub fn try_add(
        &mut self,
        (producer_id, epoch): Producer,
        partitions: &[(&str, i32)],
        version: i16,
    ) -> Vec<Result<(), ResponseError>> {
        let topics = partitions.iter().map(|(topic, partition)| {
            AddPartitionsToTxnTopic::default().with_name(topic_name(topic)).with_partitions(vec![*partition])
        });
        let topics: Vec<_> = topics.collect();
        let request = if version < 4 {
            AddPartitionsToTxnRequest::default()
                .with_v3_and_below_transactional_id(self.transactional_id())
                .with_v3_and_below_producer_id(ProducerId(producer_id))
                .with_v3_and_below_producer_epoch(epoch)
                .with_v3_and_below_topics(topics)
        } else {
            let transaction = AddPartitionsToTxnTransaction::default()
                .with_transactional_id(self.transactional_id())
                .with_producer_id(ProducerId(producer_id))
                .with_producer_epoch(epoch)
                .with_topics(topics);
            AddPartitionsToTxnRequest::default().with_transactions(vec![transaction])
        };
        let response = self.raw.call(&request, version);
        assert_error(response.error_code, None);
        let topics = match version {
            ..4 => response.results_by_topic_v3_and_below,
            _ => {
                let transactions = response.results_by_transaction.into_iter();
                transactions.flat_map(|transaction| transaction.topic_results).collect()
            }
        };
        let results = topics.iter().flat_map(|topic| &topic.results_by_partition);
        results.map(|result| self::result(result.partition_error_code, ())).collect()
    }

    /// Adds one partition, as a producer of the first protocol does.
    pub fn add_one(&mut self, producer: Producer, topic: &str, partition: i32) -> Result<(), ResponseError> {
        let mut results = self.add(producer, &[(topic, partition)], 3);
        assert_eq!(results.len(), 1);
        results.remove(0)
    }

    pub fn add_offsets(
        &mut self,
        (producer_id, epoch): Producer,
        group: &str,
        version: i16,
    ) -> Result<(), ResponseError> {
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(self.transactional_id())
            .with_producer_id(ProducerId(producer_id))
            .with_producer_epoch(epoch)
            .with_group_id(GroupId(text(group)));
        settled(|| result(self.raw.call(&request, version).error_code, ()))
    }

    /// What a producer sends to the group's coordinator.
    pub fn offset_commit(
        &self,
        (producer_id, epoch): Producer,
        group: &str,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> TxnOffsetCommitRequest {
        let partition =
            TxnOffsetCommitRequestPartition::default().with_partition_index(partition).with_committed_offset(offset);
        let topic =
            TxnOffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
        TxnOffsetCommitRequest::default()
            .with_transactional_id(self.transactional_id())
            .with_group_id(GroupId(text(group)))
            .with_producer_id(ProducerId(producer_id))
            .with_producer_epoch(epoch)
            .with_generation_id(-1)
            .with_topics(vec![topic])
    }

    /// Sends the offset to the group's coordinator.
    pub fn commit(&self, group: &mut Raw, request: &TxnOffsetCommitRequest, version: i16) -> Result<(), ResponseError> {
        settled(|| {
            let response = group.call(request, version);
            result(response.topics[0].partitions[0].error_code, ())
        })
    }

    /// Ends the transaction. What the answer gives for a producer is `(-1, -1)` before version 5.
    pub fn end(
        &mut self,
        (producer_id, epoch): Producer,
        commit: bool,
        version: i16,
    ) -> Result<Producer, ResponseError> {
        let request = EndTxnRequest::default()
            .with_transactional_id(self.transactional_id())
            .with_producer_id(ProducerId(producer_id))
            .with_producer_epoch(epoch)
            .with_committed(commit);
        let response = self.raw.call(&request, version);
        let producer = (response.producer_id.0, response.producer_epoch);
        if response.error_code != 0 {
            assert_eq!(producer, (-1, -1));
        }
        result(response.error_code, producer)
    }

    pub fn describe(&mut self) -> describe_transactions_response::TransactionState {
        let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![self.transactional_id()]);
        self.raw.call(&request, 0).transaction_states.remove(0)
    }

    /// Waits until the transaction is in this state.
    pub fn wait_for(&mut self, state: &str) -> describe_transactions_response::TransactionState {
        eventually(|| {
            let described = self.describe();
            (&*described.transaction_state == state).then_some(described)
        })
    }

    /// Produces one record in the transaction, with a sequence number.
    pub fn produce(
        &self,
        leader: &mut Raw,
        (producer_id, epoch): Producer,
        (topic, partition): (&str, i32),
        sequence: i32,
        version: i16,
    ) -> Result<i64, ResponseError> {
        let value = format!("{epoch}/{sequence}");
        let batch = Batch::of(&[&value]).producer(producer_id, epoch, sequence).transactional();
        let request =
            produce_request(topic, partition, batch.encode()).with_transactional_id(Some(self.transactional_id()));
        settled(|| {
            let mut response = leader.call(&request, version);
            let answer = response.responses.remove(0).partition_responses.remove(0);
            result(answer.error_code, answer.base_offset)
        })
    }
}
