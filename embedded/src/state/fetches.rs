//! Fetches: their parameters, their sessions, and the fetches that wait for records.

mod parked;
mod sessions;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

pub(crate) use self::parked::Parked;
pub(crate) use self::sessions::{Changes, Context, Sessions};
use super::log::EpochEnd;
use super::partition::Partition;
use super::topics::Topics;
use crate::clock::Time;

/// The fetches of a cluster.
#[derive(Default)]
pub(crate) struct Fetches {
    pub(crate) parked: Parked,
    pub(crate) sessions: Sessions,
}

impl Fetches {
    /// Returns when the next wait of a fetch is over.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.parked.next_deadline()
    }

    /// Marks the fetches whose wait is over by now.
    pub(crate) fn expire(&mut self, now: Time) {
        self.parked.expire(now);
    }

    /// Drops the fetch of a closed connection.
    pub(crate) fn forget(&mut self, connection: usize) {
        self.parked.forget(connection);
    }
}

/// A fetch, independent of its version and its session.
#[derive(Debug, Clone)]
pub(crate) struct Fetch {
    pub(crate) version: i16,
    /// The broker that received the fetch.
    pub(crate) broker: i32,
    /// Whether the client claims to be a broker.
    pub(crate) follower: bool,
    /// Whether the fetch reads only committed records.
    pub(crate) committed: bool,
    pub(crate) min_bytes: usize,
    pub(crate) max_bytes: usize,
    pub(crate) context: Context,
    pub(crate) wanted: Vec<Wanted>,
}

/// The parameters of a fetch for one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The topic name, or `None` if the topic id is unknown.
    pub(crate) topic: Option<TopicName>,
    /// The topic id, or nil if the client uses topic names.
    pub(crate) id: Uuid,
    pub(crate) index: i32,
    pub(crate) offset: i64,
    pub(crate) max_bytes: usize,
    /// The leader epoch that the client knows, or -1.
    pub(crate) leader_epoch: i32,
    /// The epoch of the last record that the client has, or -1.
    pub(crate) last_epoch: i32,
    /// Whether the client lacks the right to read the partition.
    pub(crate) denied: bool,
}

/// The result of a fetch for one partition.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) records: Bytes,
    /// The number of bytes that count against the limits.
    pub(crate) counted: usize,
    pub(crate) high_watermark: i64,
    pub(crate) last_stable_offset: i64,
    pub(crate) log_start: i64,
    /// The producers and first offsets of aborted transactions, for readers of committed records.
    pub(crate) aborted: Option<Vec<(i64, i64)>>,
    /// Where the log of the client diverges from this log.
    pub(crate) diverging: Option<EpochEnd>,
}

/// The results of a fetch for its partitions.
pub(crate) struct Outcome {
    pub(crate) found: Vec<Result<Found, ResponseError>>,
    /// Whether the response is sent now.
    pub(crate) enough: bool,
}

impl Fetch {
    /// Reads all partitions.
    pub(crate) fn read(&self, topics: &Topics) -> Outcome {
        let (mut left, mut counted, mut urgent) = (self.max_bytes, 0, false);
        let mut found = Vec::with_capacity(self.wanted.len());
        let mut finder = Finder { topics, last: None };
        for wanted in &self.wanted {
            let partition = finder.find(self, wanted);
            let result = partition.and_then(|partition| self.read_one(partition, wanted, left, counted == 0));
            match &result {
                Ok(found) => {
                    counted += found.counted;
                    left = left.saturating_sub(found.counted);
                    urgent |= found.diverging.is_some();
                }
                Err(_) => urgent = true,
            }
            found.push(result);
        }
        Outcome { found, enough: urgent || self.wanted.is_empty() || counted >= self.min_bytes }
    }

    /// Returns how many available bytes of a partition count for a waiting fetch.
    fn available(&self, topics: &Topics, wanted: &Wanted) -> Result<usize, ResponseError> {
        let partition = Finder { topics, last: None }.find(self, wanted)?;
        check_offset(partition, wanted)?;
        Ok(partition.log.size(wanted.offset, self.limit(partition)).min(wanted.max_bytes))
    }

    fn limit(&self, partition: &Partition) -> i64 {
        if self.committed { partition.last_stable_offset() } else { partition.high_watermark() }
    }

    fn read_one(
        &self,
        partition: &Partition,
        wanted: &Wanted,
        left: usize,
        first: bool,
    ) -> Result<Found, ResponseError> {
        let limit = self.limit(partition);
        let mut found = Found {
            records: Bytes::new(),
            counted: 0,
            high_watermark: partition.high_watermark(),
            last_stable_offset: partition.last_stable_offset(),
            log_start: partition.log.start(),
            aborted: None,
            diverging: None,
        };
        if wanted.last_epoch >= 0 {
            let end = partition.log.epoch_end(wanted.last_epoch, partition.leader_epoch);
            let end = end.ok_or(ResponseError::OffsetOutOfRange)?;
            if wanted.offset >= partition.log.start()
                && (end.epoch < wanted.last_epoch || end.end_offset < wanted.offset)
            {
                return Ok(Found { diverging: Some(end), ..found });
            }
        }
        check_offset(partition, wanted)?;
        let read = partition.log.read(wanted.offset, limit, wanted.max_bytes.min(left), first);
        found.aborted = self.committed.then(|| {
            let Some(last) = last_offset(&read.records) else { return Vec::new() };
            let aborted = partition.aborted_transactions(wanted.offset, last + 1);
            aborted.map(|aborted| (aborted.producer_id, aborted.first_offset)).collect()
        });
        (found.records, found.counted) = (read.records, read.counted);
        Ok(found)
    }
}

/// A lookup of partitions. It is fast if partitions of the same topic follow each other.
struct Finder<'a> {
    topics: &'a Topics,
    last: Option<(&'a str, Option<&'a super::topics::Topic>)>,
}

impl<'a> Finder<'a> {
    /// Returns the partition if this broker may serve it.
    fn find(&mut self, fetch: &Fetch, wanted: &'a Wanted) -> Result<&'a Partition, ResponseError> {
        let name = wanted.topic.as_ref().ok_or(ResponseError::UnknownTopicId)?;
        if wanted.denied {
            return Err(ResponseError::TopicAuthorizationFailed);
        }
        let topic = match self.last {
            Some((last, topic)) if last == &***name => topic,
            _ => self.topics.get(name),
        };
        self.last = Some((name, topic));
        let missing = ResponseError::UnknownTopicOrPartition;
        let topic = topic.ok_or(missing)?;
        let partition = topic.partition(wanted.index).ok_or(missing)?;
        // Since version 11, a client may read from any replica.
        if !(partition.leader == fetch.broker || fetch.version >= 11 && partition.replicas.contains(&fetch.broker)) {
            return Err(ResponseError::NotLeaderOrFollower);
        }
        if !wanted.id.is_nil() && wanted.id != topic.id {
            return Err(ResponseError::InconsistentTopicId);
        }
        partition.check_leader_epoch(wanted.leader_epoch)?;
        // All replicas are in this process, so a client that fetches as a replica is none.
        if fetch.follower {
            return Err(ResponseError::NotLeaderOrFollower);
        }
        Ok(partition)
    }
}

fn check_offset(partition: &Partition, wanted: &Wanted) -> Result<(), ResponseError> {
    let readable = partition.log.start()..=partition.log.end();
    if readable.contains(&wanted.offset) { Ok(()) } else { Err(ResponseError::OffsetOutOfRange) }
}

/// Returns the offset of the last record in batches that the log has stored.
fn last_offset(records: &Bytes) -> Option<i64> {
    let (mut rest, mut last) = (&records[..], None);
    while let Some(header) = rest.first_chunk::<27>() {
        let base = i64::from_be_bytes(*header.first_chunk()?);
        let length = i32::from_be_bytes(*header[8..].first_chunk()?) as usize;
        last = Some(base + i64::from(i32::from_be_bytes(*header[23..].first_chunk()?)));
        rest = rest.get(12 + length..)?;
    }
    last
}

/// Returns the name of a topic by its id.
pub(crate) fn topic_name(topics: &Topics, id: Uuid) -> Option<TopicName> {
    topics.name_of(id).map(|name| TopicName(StrBytes::from_string(name.to_owned())))
}
