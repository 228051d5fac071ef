//! How messages come out of a client: the next one, all up to an end, and what was read ahead of the test.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::PooledConsumer;
use crate::broker::is_passing;
use crate::error::{Error, Result};
use crate::pool;
use crate::record::Record;
use crate::wait::{self, Deadline};

/// What comes out of a consumer.
enum Event {
    Record(Record),
    /// The partition was read to its end, as it was then.
    End(i32),
}

impl PooledConsumer {
    /// Per partition what the client would give out next.
    pub(super) fn stands(&self) -> Vec<(i32, i64)> {
        pool::positions(&self.client, self.topic().name(), &self.starts())
    }

    /// A topic that ends before the place where the consumer stood already is not the one that was read: what it has now, at
    /// the same offsets, was never looked at.
    pub(super) fn check_ends(&self, stands: &[(i32, i64)], ends: &[i64]) -> Result<()> {
        let beyond = |(partition, at): &&(i32, i64)| ends.get(*partition as usize).is_some_and(|end| end < at);
        let Some((partition, at)) = stands.iter().find(beyond) else { return Ok(()) };
        Err(Error::Broker {
            action: format!("read on in topic {:?}", self.topic().name()),
            broker: self.lease.lease().connection().broker().name().to_owned(),
            advice: format!(
                "partition {partition} ends at {}, and {at} was read before: it was deleted or truncated during this test",
                ends[*partition as usize]
            ),
            source: None,
        })
    }

    /// Of those that were read ahead, the first that matches.
    pub(super) fn take_ahead(&self, matches: impl FnMut(&Record) -> bool) -> Option<Record> {
        // Taken out meanwhile: the predicate is the test's code, which may use the consumer, or panic.
        let mut kept = Unread { consumer: self, records: std::mem::take(&mut *self.ahead()).into() };
        let at = kept.records.iter().position(matches)?;
        Some(kept.records.remove(at))
    }

    pub(super) fn none_of(&self, records: Vec<Record>) -> Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        Err(Error::NotEmpty { topic: self.topic().name().to_owned(), records: records.into() })
    }

    /// Whether there is anything to read between the two offsets of any of the partitions; also if it cannot be told by the
    /// deadline.
    pub(crate) async fn has_between(&self, ranges: &[(i32, i64, i64)], deadline: Deadline) -> Result<bool> {
        let mut ends = self.starts().iter().map(|(_, start)| *start).collect::<Vec<i64>>();
        let starts: Vec<(i32, i64)> = ranges.iter().map(|(partition, from, _)| (*partition, *from)).collect();
        for (partition, _, to) in ranges {
            ends[*partition as usize] = *to;
        }
        *self.starts() = starts.clone();
        self.reassign(&starts)?;
        // The first report of an end comes from a fetch that began after the offsets were known.
        let mut read = Vec::new();
        match wait::timeout(self.read_to(&ends, &mut read), deadline).await {
            Some(outcome) => outcome.map(|()| !read.is_empty()),
            None => Ok(true),
        }
    }

    pub(super) fn timeout(&self) -> Duration {
        self.lease.lease().harness().timeout()
    }

    /// Runs a reading on this thread; what it had read when it failed stays readable.
    pub(super) fn block_on(
        &self,
        timeout: Duration,
        expected: usize,
        reading: impl AsyncFnOnce(&mut Vec<Record>) -> Result<()>,
    ) -> Result<Vec<Record>> {
        let _waiting = self.lease.lease().waiting();
        let deadline = Deadline::after(timeout);
        let mut read = Unread::new(self);
        let outcome = wait::block_on(reading(&mut read.records), deadline);
        let received = read.records.len();
        outcome.unwrap_or_else(|| Err(self.timed_out(deadline, expected, received, in_tokio())))?;
        Ok(read.take())
    }

    pub(super) async fn fill(&self, read: &mut Vec<Record>, n: usize) -> Result<()> {
        while read.len() < n {
            read.push(self.next_record().await?);
        }
        Ok(())
    }

    /// The next message: of those that were read ahead, else from the broker.
    pub(super) async fn next_record(&self) -> Result<Record> {
        let ahead = self.ahead().pop_front();
        match ahead {
            Some(record) => Ok(record),
            None => self.next_from_broker().await,
        }
    }

    pub(super) async fn next_from_broker(&self) -> Result<Record> {
        loop {
            if let Event::Record(record) = self.next_event().await? {
                return Ok(record);
            }
        }
    }

    async fn next_event(&self) -> Result<Event> {
        loop {
            let error = match self.client.recv().await {
                Ok(message) => return Ok(Event::Record(Record::new(message.detach()))),
                Err(KafkaError::PartitionEOF(partition)) => return Ok(Event::End(partition)),
                Err(error) => error,
            };
            let what = match error.rdkafka_error_code() {
                // librdkafka goes on by itself; if it does not get there the timeout shows this.
                Some(code) if is_passing(code) || is_unknown(code) => {
                    self.client.context().errors().remember(error, &code.to_string());
                    continue;
                }
                Some(RDKafkaErrorCode::AutoOffsetReset) => "read on from its fence (was it deleted or truncated?)",
                _ => "receive from",
            };
            // It may have stopped to fetch: it must not rest as it is.
            self.touched.store(true, Ordering::Relaxed);
            return Err(self.failed(what, error));
        }
    }

    /// Asks, on whichever thread, for the end offset of each partition that the consumer began with; a topic that is gone is
    /// an error.
    pub(super) fn ask_end_offsets(&self) -> impl FnOnce(Deadline) -> Result<Vec<i64>> + Send + 'static {
        let connection = Arc::clone(self.lease.lease().connection());
        let lane = self.lease.lease().hold().lane();
        let (topic, partitions) = (self.topic().clone(), self.starts().len() as i32);
        move |deadline| {
            let ends = connection.end_offsets_for(lane, topic.name(), partitions, deadline)?;
            ends.ok_or_else(|| {
                let gone = KafkaError::OffsetFetch(RDKafkaErrorCode::UnknownTopicOrPartition);
                connection.broker().control().failed(format!("read the end offsets of topic {:?}", topic.name()), gone)
            })
        }
    }

    /// Reads every partition up to its end offset; messages beyond it stay readable.
    ///
    /// The last offsets of a partition may hold nothing that is ever delivered, such as aborted messages and the markers
    /// of transactions. That they are read past shows in the partition's end being reported, by a fetch that began after
    /// `ends` were asked for: an older report may still be waiting in the queue, so the first one only makes the consumer
    /// fetch anew.
    pub(super) async fn read_to(&self, ends: &[i64], read: &mut Vec<Record>) -> Result<()> {
        let mut passed: HashSet<i32> = HashSet::new();
        let mut fetched_anew = false;
        self.take_ahead_up_to(ends, read);
        loop {
            let lagging =
                |partition: i32, position: i64| position < ends[partition as usize] && !passed.contains(&partition);
            let lags = self.positions().iter().any(|(partition, position, _)| lagging(*partition, *position));
            if !lags {
                return Ok(());
            }
            match self.next_event().await? {
                Event::Record(record) if record.offset() < ends[record.partition() as usize] => read.push(record),
                Event::Record(record) => {
                    // In its partition everything before it has been delivered.
                    passed.insert(record.partition());
                    self.ahead().push_back(record);
                }
                Event::End(partition) if fetched_anew => drop(passed.insert(partition)),
                Event::End(_) => {
                    fetched_anew = true;
                    self.fetch_anew()?;
                }
            }
        }
    }

    /// Assigns the consumer again where it stands: what it had fetched and reported before is discarded.
    fn fetch_anew(&self) -> Result<()> {
        let ahead = std::mem::take(&mut *self.ahead());
        let positions = self.positions();
        *self.ahead() = ahead;
        let assigned = positions.iter().filter(|(.., assigned)| *assigned);
        let starts: Vec<(i32, i64)> = assigned.map(|(partition, position, _)| (*partition, *position)).collect();
        *self.starts() = positions.iter().map(|(partition, position, _)| (*partition, *position)).collect();
        self.reassign(&starts)
    }

    fn take_ahead_up_to(&self, ends: &[i64], read: &mut Vec<Record>) {
        let mut ahead = self.ahead();
        let (before, behind) = std::mem::take(&mut *ahead)
            .into_iter()
            .partition(|record| record.offset() < ends[record.partition() as usize]);
        *ahead = behind;
        let before: std::collections::VecDeque<Record> = before;
        read.extend(before);
    }
}

/// Records on their way to the test: dropped before they are taken, they go back to where the next receive finds them.
pub(super) struct Unread<'a> {
    consumer: &'a PooledConsumer,
    pub(super) records: Vec<Record>,
}

impl<'a> Unread<'a> {
    pub(super) fn new(consumer: &'a PooledConsumer) -> Self {
        Self { consumer, records: Vec::new() }
    }

    pub(super) fn take(mut self) -> Vec<Record> {
        std::mem::take(&mut self.records)
    }
}

impl Drop for Unread<'_> {
    fn drop(&mut self) {
        if self.records.is_empty() {
            return;
        }
        let mut ahead = self.consumer.ahead();
        for record in self.records.drain(..).rev() {
            ahead.push_front(record);
        }
    }
}

pub(super) fn only(mut records: Vec<Record>) -> Result<Record> {
    records.pop().ok_or_else(|| Error::misuse("a receive ended without a message; this is a bug of rstest-kafka"))
}

fn is_unknown(code: RDKafkaErrorCode) -> bool {
    crate::broker::is_unknown_topic(code)
}

/// Whether this thread belongs to a tokio runtime, whose tasks a blocking call may keep from running.
pub(super) fn in_tokio() -> bool {
    #[cfg(feature = "tokio")]
    {
        tokio::runtime::Handle::try_current().is_ok()
    }
    #[cfg(not(feature = "tokio"))]
    {
        false
    }
}
