//! The state of one transactional id.
//!
//! The broker writes all markers at once. So the states that Kafka is in while it writes them (`PrepareCommit`,
//! `PrepareAbort`, `PrepareEpochFence`) are passed through in no time, unless a partition refuses its marker.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;

use crate::clock::Time;

/// What a producer signs its batches with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

/// The partitions of each topic. The offsets of groups are in partitions of [`internal::OFFSETS`](crate::state::internal::OFFSETS).
pub(crate) type Partitions = BTreeMap<String, BTreeSet<i32>>;

/// The epoch of a transactional id that nobody has had yet, and the last epoch where no retry is possible.
const NO_EPOCH: i16 = -1;
/// The last epoch that a producer is given. The one above it is kept for fencing.
const LAST_EPOCH: i16 = i16::MAX - 1;

/// A transactional id: its producer, and the state of its transaction.
#[derive(Debug)]
pub(crate) struct Transaction {
    producer: Producer,
    /// The producer id before the current one; -1 if there was none.
    previous_id: i64,
    /// The epoch before the last bump, where the producer may not have seen the answer to it.
    last_epoch: i16,
    /// How long a transaction may take, in milliseconds.
    timeout: i32,
    state: State,
    partitions: Partitions,
    /// When the transaction began that is open or was the last one.
    started: Option<Time>,
    updated: Time,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Empty,
    Ongoing,
    /// A partition that knows of a later epoch of the producer has refused the marker. Kafka does not write it again,
    /// and answers everything with `CONCURRENT_TRANSACTIONS` from then on.
    Prepare {
        commit: bool,
    },
    Complete {
        commit: bool,
    },
}

/// A transaction that has ended, with all that must learn of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// The producer id of the transaction, and the epoch that no older batch may follow.
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

    /// When the open transaction is to be aborted, or the transactional id to be forgotten.
    pub(super) fn deadline(&self, expiration: i64) -> Option<Time> {
        match (self.state, self.started) {
            // Kafka lets the timeout pass before it acts.
            (State::Ongoing, Some(started)) => Some(started.after(i64::from(self.timeout)).after(1)),
            (State::Prepare { .. }, _) => None,
            _ => Some(self.updated.after(expiration)),
        }
    }

    /// Whether the markers of the last transaction are written.
    pub(super) fn check_markers(&self) -> Result<(), ResponseError> {
        match self.state {
            State::Prepare { .. } => Err(ResponseError::ConcurrentTransactions),
            _ => Ok(()),
        }
    }

    /// Bumps the epoch for the producer that asks, or takes the `fresh` producer id where the epochs are used up.
    ///
    /// An open transaction must have been ended with [`fence`](Self::fence).
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
                // Kafka takes no other epoch for a retry here, and fails.
                if had.is_some_and(|had| had.epoch != epoch) {
                    return Err(ResponseError::UnknownServerError);
                }
                self.last_epoch = if had.is_some() { epoch } else { NO_EPOCH };
                self.producer = Producer { id: fresh, epoch: 0 };
            }
            // Nobody has had it, or the producer goes on after an error.
            Some(had) if epoch == NO_EPOCH || had.epoch == epoch => {
                (self.producer.epoch, self.last_epoch) = (epoch + 1, epoch);
            }
            // The answer to the last bump was lost, and nobody else has bumped it since.
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

    /// Whether a producer may ask for the next epoch with what it has.
    pub(super) fn knows(&self, had: Producer) -> bool {
        self.producer.epoch == NO_EPOCH
            || had.id == self.producer.id
            // The producer id was changed, and the producer has not seen the answer.
            || (had.id == self.previous_id && had.epoch >= LAST_EPOCH)
    }

    /// Takes partitions into the transaction, which begins with the first of them.
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

    /// Whether a producer that must have added the partition before has done so.
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

    /// Ends the transaction for a producer that keeps its epoch (version 1). Nothing has ended where it is a retry.
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

    /// Ends the transaction for a producer that has its epoch bumped by that (version 2, KIP-890), or its producer id
    /// changed to the `fresh` one where the epochs are used up. It may abort a transaction that has not begun, since it
    /// need not know whether the broker took any of its records.
    pub(super) fn end_and_bump(
        &mut self,
        producer: Producer,
        commit: bool,
        fresh: i64,
        now: Time,
    ) -> Result<(Producer, Option<Ended>), ResponseError> {
        self.check_markers()?;
        let current = self.producer;
        // Kafka does not ask whether it was the end of the last transaction that has bumped the epoch.
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
            // No producer was ever given this epoch, so Kafka does not expect it, and fails.
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

    /// Aborts the open transaction, so that its producer can do nothing more.
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

    /// Goes back to where Kafka is when partitions have refused the marker.
    pub(super) fn refuse_markers(&mut self, partitions: Partitions) {
        if let State::Complete { commit } = self.state {
            self.state = State::Prepare { commit };
            self.partitions = partitions;
        }
    }
}

impl State {
    /// All names that Kafka has for a state.
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
