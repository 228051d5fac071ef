//! Transactional ids and their transactions.

use crate::state::Cluster;
use crate::state::transactions::State;

/// A transactional id with its current or last transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transaction {
    /// The transactional id.
    pub transactional_id: String,
    /// The id of the producer that uses the transactional id.
    pub producer_id: i64,
    /// The epoch of the producer. A producer with a smaller epoch is fenced.
    pub producer_epoch: i16,
    /// The state of the transaction.
    pub state: TransactionState,
    /// The partitions in the open transaction, as topic and partition number.
    ///
    /// If the transaction contains offsets of a group, this includes the group's partition of `__consumer_offsets`.
    pub partitions: Vec<(String, i32)>,
    /// The start of the current or last transaction, in milliseconds since the Unix epoch.
    pub started: Option<i64>,
    /// The timeout in milliseconds, after which the broker aborts a transaction.
    pub timeout: i32,
}

/// The state of a transaction. The variants have the names of Kafka's states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransactionState {
    /// The producer has not begun a transaction.
    Empty,
    /// The transaction is open.
    Ongoing,
    /// The transaction was committed, but a partition refused the marker because it knows a later epoch of the producer. Kafka
    /// does not retry.
    PrepareCommit,
    /// The transaction was aborted, but a partition refused the marker because it knows a later epoch of the producer. Kafka
    /// does not retry.
    PrepareAbort,
    /// The last transaction was committed.
    CompleteCommit,
    /// The last transaction was aborted by the producer, by a new producer with the same transactional id, or by its timeout.
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
