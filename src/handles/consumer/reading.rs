//! How messages come out of a client: the next one, all up to an end, and what was read ahead of the test.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::LeasedConsumer;
use super::follow::{Followed, Looks};
use crate::cluster::pool;
use crate::model::error::codes::{is_passing, is_unknown_topic};
use crate::model::error::{Error, Result};
use crate::model::record::Record;
use crate::model::topic::TopicNow;
use crate::sync::wait::{Calls, Deadline};

/// What comes out of a consumer.
enum Event {
    Record(Record),
    /// A record of a topic that the test has assigned beside.
    Other(Record),
    /// The partition was read to its end, as it was then.
    End(i32),
    /// The consumer reads on elsewhere than where it was.
    Moved,
}

impl LeasedConsumer {
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
            broker: self.lease.lease().cluster().broker().name().to_owned(),
            advice: format!(
                "partition {partition} ends at {}, before {at}, where the consumer was: it was deleted or truncated during this \
                 test",
                ends[*partition as usize]
            ),
            source: None,
        })
    }

    /// Where the topic ends now, which the consumer follows; `stands` is where it stood before that was asked.
    pub(super) fn ends_of(&self, now: TopicNow, stands: &[(i32, i64)]) -> Result<Vec<i64>> {
        if self.follow(&now)? == Followed::Same {
            self.check_ends(stands, &now.ends)?;
        }
        Ok(now.ends)
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
    pub(crate) async fn has_between(
        &self,
        ranges: &[(i32, i64, i64)],
        calls: Calls,
        deadline: Deadline,
    ) -> Result<bool> {
        // They may be more than there were at the fence.
        let ask = self.ask_now();
        let _ = self.follow(&calls.run(move || ask(deadline)).await?)?;
        let starts: Vec<(i32, i64)> = ranges.iter().map(|(partition, from, _)| (*partition, *from)).collect();
        let partitions = starts.iter().map(|(partition, _)| *partition as usize + 1).max().unwrap_or(0);
        let mut ends = vec![0; partitions];
        for (partition, _, to) in ranges {
            ends[*partition as usize] = *to;
        }
        self.starts().clone_from(&starts);
        self.reassign(&starts)?;
        // The first report of an end comes from a fetch that began after the offsets were known.
        let mut read = Vec::new();
        match calls.timeout(self.read_to(&ends, &mut read), deadline).await {
            Some(outcome) => outcome.map(|()| !read.is_empty()),
            None => Ok(true),
        }
    }

    /// Runs a reading. Messages that it had read when it failed or was cancelled are returned by the next one.
    async fn reading(
        &self,
        calls: Calls,
        deadline: Deadline,
        expected: usize,
        reading: impl AsyncFnOnce(&mut Vec<Record>) -> Result<()>,
    ) -> Result<Vec<Record>> {
        let _waiting = self.lease.lease().waiting();
        let mut read = Unread::new(self);
        let outcome = {
            let mut reading = pin!(reading(&mut read.records));
            let mut looks = Looks::during(deadline.remaining());
            loop {
                let outcome = calls.timeout(reading.as_mut(), looks.next(deadline)).await;
                if outcome.is_some() || deadline.has_passed() {
                    break outcome;
                }
                let ask = self.ask_now();
                self.look(calls.run(move || ask(deadline)).await)?;
            }
        };
        match outcome {
            Some(outcome) => outcome?,
            None => return Err(self.timed_out(calls, deadline, expected, read.records.len()).await),
        }
        Ok(read.take())
    }

    /// What became of the topic during a wait. If the broker does not say, the end of the wait reports that.
    fn look(&self, now: Result<TopicNow>) -> Result<()> {
        now.map_or(Ok(()), |now| self.follow(&now).map(drop))
    }

    pub(super) async fn recv_n(&self, calls: Calls, deadline: Deadline, n: usize) -> Result<Vec<Record>> {
        self.reading(calls, deadline, n, async |read: &mut Vec<Record>| self.fill(read, n).await).await
    }

    pub(super) async fn recv_matching(
        &self,
        calls: Calls,
        deadline: Deadline,
        mut matches: impl FnMut(&Record) -> bool + Send,
    ) -> Result<Record> {
        if let Some(record) = self.take_ahead(&mut matches) {
            return Ok(record);
        }
        // The messages that were read ahead do not match; new messages are put behind them.
        let finding = async |read: &mut Vec<Record>| self.find(read, matches).await;
        self.reading(calls, deadline, 1, finding).await.and_then(only)
    }

    /// Also returns the end offsets up to which it has read.
    pub(super) async fn drain(&self, calls: Calls, deadline: Deadline) -> Result<(Vec<Record>, Vec<i64>)> {
        self.must_have_topic(calls, deadline).await?;
        let (stands, ask) = (self.stands(), self.ask_now());
        let now = calls.run(move || ask(deadline)).await?;
        let ends = self.ends_of(now, &stands)?;
        let records =
            self.reading(calls, deadline, 0, async |read: &mut Vec<Record>| self.read_to(&ends, read).await).await?;
        Ok((records, ends))
    }

    pub(super) async fn assert_empty(&self, calls: Calls, deadline: Deadline) -> Result<()> {
        let (records, ends) = self.drain(calls, deadline).await?;
        self.none_of(records)?;
        if !self.has_skipped_to(&ends) {
            return Ok(());
        }
        let asked = calls.run(self.ask_all_ends()).await;
        self.check_decided(asked, &ends, deadline)
    }

    /// Waits for a message that arrives within the duration, and puts it back: the assertion that follows shows it among the others.
    pub(super) async fn put_back_next_within(&self, calls: Calls, duration: Duration) -> Result<()> {
        let _waiting = self.lease.lease().waiting();
        if let Some(next) = calls.timeout(self.next_record(), Deadline::after(duration)).await {
            self.ahead().push_front(next?);
        }
        Ok(())
    }

    pub(super) async fn fill(&self, read: &mut Vec<Record>, n: usize) -> Result<()> {
        while read.len() < n {
            read.push(self.next_record().await?);
        }
        Ok(())
    }

    /// The next from the broker that matches; those before it are kept.
    pub(super) async fn find(&self, read: &mut Vec<Record>, mut matches: impl FnMut(&Record) -> bool) -> Result<()> {
        loop {
            let record = self.next_from_broker().await?;
            if matches(&record) {
                read.push(record);
                return Ok(());
            }
            self.ahead().push_back(record);
        }
    }

    /// The next message: of those that were read ahead, else from the broker.
    pub(super) async fn next_record(&self) -> Result<Record> {
        let ahead = self.ahead().pop_front();
        match ahead {
            Some(record) => Ok(record),
            None => self.next_from_broker().await,
        }
    }

    async fn next_from_broker(&self) -> Result<Record> {
        loop {
            if let Event::Record(record) | Event::Other(record) = self.next_event().await? {
                return Ok(record);
            }
        }
    }

    async fn next_event(&self) -> Result<Event> {
        self.wait_for_topic().await?;
        loop {
            let error = match self.client.recv().await {
                Ok(message) => {
                    self.forget_errors();
                    let record = Record::of(&message);
                    if !self.is_of_topic(&record) {
                        return Ok(Event::Other(record));
                    }
                    if self.reads_another() {
                        self.leave_another(&record).await?;
                        return Ok(Event::Moved);
                    }
                    self.has_read.store(true, Ordering::Relaxed);
                    self.resets.store(0, Ordering::Relaxed);
                    return Ok(Event::Record(record));
                }
                Err(KafkaError::PartitionEOF(partition)) => {
                    self.forget_errors();
                    return Ok(Event::End(partition));
                }
                Err(error) => error,
            };
            match error.rdkafka_error_code() {
                // librdkafka goes on by itself; if it does not get there the timeout shows this.
                Some(code) if is_passing(code) || is_unknown_topic(code) => {
                    match code {
                        // Of the connection: it is over once the client answers.
                        RDKafkaErrorCode::BrokerTransportFailure
                        | RDKafkaErrorCode::AllBrokersDown
                        | RDKafkaErrorCode::Resolve => {
                            self.client.context().errors().remember(error, &code.to_string());
                        }
                        _ => *self.fetch_error() = Some(format!("{error} ({code})")),
                    }
                }
                Some(RDKafkaErrorCode::AutoOffsetReset) => {
                    self.go_on(error).await?;
                    return Ok(Event::Moved);
                }
                _ => {
                    // It may have stopped to fetch: it must not rest as it is.
                    self.touched.store(true, Ordering::Relaxed);
                    return Err(self.failed("receive from", error));
                }
            }
        }
    }

    /// Reads every partition up to its end offset; messages beyond it stay readable, as do those of other topics.
    ///
    /// The last offsets of a partition may hold nothing that is ever delivered, such as aborted messages and the markers
    /// of transactions. That they are read past shows in the partition's end being reported, by a fetch that began after
    /// `ends` were asked for: an older report may still be waiting in the queue, so the first one only makes the consumer
    /// fetch anew.
    pub(super) async fn read_to(&self, ends: &[i64], read: &mut Vec<Record>) -> Result<()> {
        self.take_ahead_up_to(ends, read);
        let mut unread = self.before(ends);
        // Whose end is whose cannot be told of these; `None` before the consumer has fetched anew.
        let mut ambiguous: Option<Vec<i32>> = None;
        while !unread.is_empty() {
            match self.next_event().await? {
                Event::Record(record) => {
                    let end = ends.get(record.partition() as usize).copied().unwrap_or(i64::MIN);
                    if record.offset() + 1 >= end {
                        // In its partition everything before it has been delivered.
                        unread.remove(&record.partition());
                    }
                    if record.offset() < end { read.push(record) } else { self.ahead().push_back(record) }
                }
                Event::Other(record) => self.ahead().push_back(record),
                Event::End(partition) => match &ambiguous {
                    Some(others) if others.contains(&partition) => {}
                    Some(_) => drop(unread.remove(&partition)),
                    None => {
                        ambiguous = Some(self.other_partitions());
                        self.assign_again(|_, at| at)?;
                    }
                },
                Event::Moved => unread.retain(|partition| self.before(ends).contains(partition)),
            }
        }
        Ok(())
    }

    /// The partitions that have not been read to these ends. It asks the client, which costs more than to receive a record.
    fn before(&self, ends: &[i64]) -> HashSet<i32> {
        let end = |partition: i32| ends.get(partition as usize).copied().unwrap_or(i64::MIN);
        let positions = self.positions().into_iter().filter(|(partition, position, _)| *position < end(*partition));
        positions.map(|(partition, ..)| partition).collect()
    }

    fn take_ahead_up_to(&self, ends: &[i64], read: &mut Vec<Record>) {
        let mut ahead = self.ahead();
        let (before, behind) = std::mem::take(&mut *ahead).into_iter().partition(|record| {
            let end = ends.get(record.partition() as usize);
            self.is_of_topic(record) && end.is_some_and(|end| record.offset() < *end)
        });
        *ahead = behind;
        let before: std::collections::VecDeque<Record> = before;
        read.extend(before);
    }
}

/// Records on their way to the test: dropped before they are taken, they go back to where the next receive finds them.
pub(super) struct Unread<'a> {
    consumer: &'a LeasedConsumer,
    pub(super) records: Vec<Record>,
}

impl<'a> Unread<'a> {
    pub(super) fn new(consumer: &'a LeasedConsumer) -> Self {
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
