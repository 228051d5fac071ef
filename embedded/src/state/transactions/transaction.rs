//! The state of one transactional id.
//!
//! The broker writes all markers at once. So it never stays in the states that Kafka has while it writes them (`PrepareCommit`,
//! `PrepareAbort`, `PrepareEpochFence`), unless a partition refuses its marker.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;

use crate::clock::Time;

/// The id and epoch of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

/// The partitions by topic. Offsets of groups are in partitions of [`internal::OFFSETS`](crate::state::internal::OFFSETS).
pub(crate) type Partitions = BTreeMap<String, BTreeSet<i32>>;

/// The epoch before the first producer, and the value of the last epoch if no retry is possible.
const NO_EPOCH: i16 = -1;
/// The last epoch of a producer. The epoch after it is reserved for fencing.
const LAST_EPOCH: i16 = i16::MAX - 1;

/// A transactional id: its producer, and the state of its transaction.
#[derive(Debug)]
pub(crate) struct Transaction {
    producer: Producer,
    /// The previous producer id, or -1.
    previous_id: i64,
    /// The epoch before the last bump, if the producer may not have received the response to it.
    last_epoch: i16,
    /// The transaction timeout, in milliseconds.
    timeout: i32,
    state: State,
    partitions: Partitions,
    /// When the current or last transaction started.
    started: Option<Time>,
    updated: Time,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Empty,
    Ongoing,
    /// A partition that knows a later epoch of the producer refused the marker. Kafka does not write it again, and responds to
    /// everything with `CONCURRENT_TRANSACTIONS` from then on.
    Prepare {
        commit: bool,
    },
    Complete {
        commit: bool,
    },
}

/// An ended transaction, with its partitions and groups.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// The producer id of the transaction, and the epoch that fences older batches.
    pub(crate) producer: Producer,
    pub(crate) commit: bool,
    pub(crate) partitions: Partitions,
}

impl Transaction {
    pub(super) fn new(producer_id: i64, timeout: i32, now: Time) -> Self {
        Self {
            producer: Producer { id: producer_id, epoch: NO_EPOCH },
            previous_id: -1,
            last_epoch: NO_EPOCH,
            timeout,
            state: State::Empty,
            partitions: Partitions::new(),
            started: None,
            updated: now,
        }
    }

    pub(crate) fn producer(&self) -> Producer {
        self.producer
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    pub(crate) fn timeout(&self) -> i32 {
        self.timeout
    }

    pub(crate) fn partitions(&self) -> &Partitions {
        &self.partitions
    }

    pub(crate) fn started(&self) -> Option<Time> {
        self.started
    }

    /// Returns when the open transaction times out, or when the transactional id expires.
    pub(super) fn deadline(&self, expiration: i64) -> Option<Time> {
        match (self.state, self.started) {
            // In Kafka, the timeout must have passed completely.
            (State::Ongoing, Some(started)) => Some(started.after(i64::from(self.timeout)).after(1)),
            (State::Prepare { .. }, _) => None,
            _ => Some(self.updated.after(expiration)),
        }
    }

    /// Returns whether the markers of the last transaction are written.
    pub(super) fn check_markers(&self) -> Result<(), ResponseError> {
        match self.state {
            State::Prepare { .. } => Err(ResponseError::ConcurrentTransactions),
            _ => Ok(()),
        }
    }

    /// Bumps the epoch for a producer. If the epochs are used up, assigns the `fresh` producer id.
    ///
    /// An open transaction must first be ended with [`fence`](Self::fence).
    pub(super) fn init(
        &mut self,
        timeout: i32,
        had: Option<Producer>,
        fresh: i64,
        now: Time,
    ) -> Result<Producer, ResponseError> {
        let Producer { id, epoch } = self.producer;
        match had {
            _ if epoch >= LAST_EPOCH => {
                // Kafka accepts no other epoch for a retry here, and fails.
                if had.is_some_and(|had| had.epoch != epoch) {
                    return Err(ResponseError::UnknownServerError);
                }
                self.last_epoch = if had.is_some() { epoch } else { NO_EPOCH };
                self.producer = Producer { id: fresh, epoch: 0 };
            }
            // The transactional id is new, or the producer continues after an error.
            Some(had) if epoch == NO_EPOCH || had.epoch == epoch => {
                (self.producer.epoch, self.last_epoch) = (epoch + 1, epoch);
            }
            // The response to the last bump was lost, and no other producer has bumped the epoch since.
            Some(had) if had.epoch == self.last_epoch => {}
            Some(_) => return Err(ResponseError::ProducerFenced),
            None => (self.producer.epoch, self.last_epoch) = (epoch + 1, NO_EPOCH),
        }
        self.previous_id = id;
        self.state = State::Empty;
        self.started = None;
        (self.timeout, self.updated) = (timeout, now);
        Ok(self.producer)
    }

    /// Checks whether a producer with this id and epoch may bump the epoch.
    pub(super) fn knows(&self, had: Producer) -> bool {
        self.producer.epoch == NO_EPOCH
            || had.id == self.producer.id
            // The producer id was changed, and the producer has not received the response.
            || (had.id == self.previous_id && had.epoch >= LAST_EPOCH)
    }

    /// Adds partitions to the transaction. The first partition starts it.
    pub(super) fn add<'a>(
        &mut self,
        producer: Producer,
        partitions: impl IntoIterator<Item = (&'a str, i32)>,
        now: Time,
    ) -> Result<(), ResponseError> {
        self.check_markers()?;
        self.check(producer)?;
        if self.state != State::Ongoing {
            (self.state, self.started) = (State::Ongoing, Some(now));
        }
        self.updated = now;
        for (topic, partition) in partitions {
            match self.partitions.get_mut(topic) {
                Some(of_topic) => _ = of_topic.insert(partition),
                None => _ = self.partitions.insert(topic.to_owned(), [partition].into()),
            }
        }
        Ok(())
    }

    /// Checks whether the producer has added the partition before.
    pub(super) fn contains(&self, producer: Producer, (topic, partition): (&str, i32)) -> Result<bool, ResponseError> {
        self.check(producer)?;
        self.check_markers()?;
        Ok(self.partitions.get(topic).is_some_and(|of_topic| of_topic.contains(&partition)))
    }

    fn check(&self, producer: Producer) -> Result<(), ResponseError> {
        if producer.id != self.producer.id {
            return Err(ResponseError::InvalidProducerIdMapping);
        }
        if producer.epoch != self.producer.epoch {
            return Err(ResponseError::ProducerFenced);
        }
        Ok(())
    }

    /// Ends the transaction of a producer that keeps its epoch (version 1). If the request is a retry, nothing has ended.
    pub(super) fn end(&mut self, producer: Producer, commit: bool, now: Time) -> Result<Option<Ended>, ResponseError> {
        self.check(producer)?;
        self.check_markers()?;
        match self.state {
            State::Ongoing => {
                let marker = self.producer;
                Ok(Some(self.complete(marker, commit, now)))
            }
            State::Complete { commit: before } if before == commit => Ok(None),
            State::Prepare { .. } | State::Complete { .. } | State::Empty => Err(ResponseError::InvalidTxnState),
        }
    }

    /// Ends the transaction and bumps the producer's epoch (version 2, KIP-890). If the epochs are used up, assigns the `fresh`
    /// producer id. The producer may abort a transaction that has not started, because it may not know whether the broker
    /// appended its records.
    pub(super) fn end_and_bump(
        &mut self,
        producer: Producer,
        commit: bool,
        fresh: i64,
        now: Time,
    ) -> Result<(Producer, Option<Ended>), ResponseError> {
        self.check_markers()?;
        let current = self.producer;
        // Kafka does not check whether the last bump was caused by the end of the last transaction.
        let ended = matches!(self.state, State::Complete { .. });
        let missed_bump = ended && Some(current.epoch) == producer.epoch.checked_add(1);
        let missed_change =
            ended && self.previous_id == producer.id && producer.epoch == LAST_EPOCH && current.epoch == 0;
        if producer.id != current.id && !missed_change {
            return Err(ResponseError::InvalidProducerIdMapping);
        }
        let retry = missed_bump || missed_change;
        if producer.epoch != current.epoch && !retry {
            return Err(ResponseError::ProducerFenced);
        }
        match self.state {
            State::Complete { commit: before } if retry => {
                if before == commit {
                    Ok((current, None))
                } else {
                    Err(ResponseError::InvalidTxnState)
                }
            }
            State::Complete { .. } | State::Empty if commit => Err(ResponseError::InvalidTxnState),
            // No producer ever gets this epoch, so Kafka does not expect it, and fails.
            _ if current.epoch == i16::MAX => Err(ResponseError::UnknownServerError),
            state => {
                if state != State::Ongoing {
                    self.started = Some(now);
                }
                let marker = self.bump();
                if current.epoch >= LAST_EPOCH {
                    self.producer = Producer { id: fresh, epoch: 0 };
                }
                self.previous_id = current.id;
                let ended = self.complete(marker, commit, now);
                Ok((self.producer, Some(ended)))
            }
        }
    }

    /// Aborts the open transaction, and fences its producer.
    pub(super) fn fence(&mut self, now: Time) -> Ended {
        let marker = self.bump();
        self.complete(marker, false, now)
    }

    fn bump(&mut self) -> Producer {
        self.last_epoch = self.producer.epoch;
        self.producer.epoch = self.producer.epoch.saturating_add(1);
        self.producer
    }

    fn complete(&mut self, producer: Producer, commit: bool, now: Time) -> Ended {
        self.state = State::Complete { commit };
        self.updated = now;
        Ended { producer, commit, partitions: std::mem::take(&mut self.partitions) }
    }

    /// Returns to Kafka's state after partitions have refused the marker.
    pub(super) fn refuse_markers(&mut self, partitions: Partitions) {
        if let State::Complete { commit } = self.state {
            self.state = State::Prepare { commit };
            self.partitions = partitions;
        }
    }
}

impl State {
    /// All names of Kafka's states.
    pub(crate) const NAMES: [&str; 8] = [
        "Empty",
        "Ongoing",
        "PrepareCommit",
        "PrepareAbort",
        "CompleteCommit",
        "CompleteAbort",
        "Dead",
        "PrepareEpochFence",
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::Prepare { commit: true } => "PrepareCommit",
            Self::Prepare { commit: false } => "PrepareAbort",
            Self::Complete { commit: true } => "CompleteCommit",
            Self::Complete { commit: false } => "CompleteAbort",
        }
    }
}
