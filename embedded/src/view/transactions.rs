//! Transactional ids and their transactions.

use crate::state::Cluster;
use crate::state::transactions::State;

/// A transactional id, with its transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transaction {
    /// The transactional id.
    pub transactional_id: String,
    /// The id of the producer that has it.
    pub producer_id: i64,
    /// The epoch of that producer. A producer with a smaller one is fenced.
    pub producer_epoch: i16,
    /// The state of the transaction.
    pub state: TransactionState,
    /// The partitions that are part of the open transaction, by topic and number. Offsets of groups are in partitions of
    /// `__consumer_offsets`.
    pub partitions: Vec<(String, i32)>,
    /// When the transaction began that is open or was the last one, in milliseconds since the Unix epoch.
    pub started: Option<i64>,
    /// After how many milliseconds the broker aborts a transaction.
    pub timeout: i32,
}

/// The state of a transaction, by Kafka's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransactionState {
    /// The producer has begun none yet.
    Empty,
    /// It is open.
    Ongoing,
    /// It was committed, but a partition has refused to end it, because it knows of a later epoch of the producer.
    /// Kafka does not try again.
    PrepareCommit,
    /// The same of one that was aborted.
    PrepareAbort,
    /// The last one was committed.
    CompleteCommit,
    /// The last one was aborted, by the producer, by its successor or by its timeout.
    CompleteAbort,
}

impl Transaction {
    pub(crate) fn all(cluster: &Cluster) -> Vec<Self> {
        let transactions = cluster.transactions.iter().map(|(id, transaction)| {
            let partitions = transaction.partitions().iter();
            let partitions = partitions
                .flat_map(|(topic, partitions)| partitions.iter().map(|partition| (topic.clone(), *partition)));
            Self {
                transactional_id: id.to_owned(),
                producer_id: transaction.producer().id,
                producer_epoch: transaction.producer().epoch,
                state: match transaction.state() {
                    State::Empty => TransactionState::Empty,
                    State::Ongoing => TransactionState::Ongoing,
                    State::Prepare { commit: true } => TransactionState::PrepareCommit,
                    State::Prepare { commit: false } => TransactionState::PrepareAbort,
                    State::Complete { commit: true, .. } => TransactionState::CompleteCommit,
                    State::Complete { commit: false, .. } => TransactionState::CompleteAbort,
                },
                partitions: partitions.collect(),
                started: transaction.started().map(|started| started.0),
                timeout: transaction.timeout(),
            }
        });
        transactions.collect()
    }
}
