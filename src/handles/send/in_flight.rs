//! Records on their way to one topic, waited for in their order.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::cluster::producer::{Producer, RecordInfo, RefusedBy, Sending, Waiter};
use crate::lease::Lease;
use crate::model::error::{Error, Result};
use crate::model::producer_record::{Delivery, ProducerRecord};
use crate::model::topic::{Topic, TopicRef};

/// How many records of one call are on their way at a time, and of what size in all. librdkafka sends a broker 5 MB at most before
/// an acknowledgement. What waits longer in its queue runs out of time there, and takes the room of another lane's record.
const MOST: usize = 10_000;
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// How long to let the queue be that is full of other lanes' records.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Records on their way, and what became of those before them.
///
/// Dropped while one is still on its way, or after one whose outcome nobody knows, it counts the test as failed: such a record may
/// come when the next test has begun, which must not be on the same topics.
pub(super) struct InFlight<'a> {
    lease: &'a Lease,
    producer: &'a Producer,
    topic: Topic,
    /// Oldest first.
    waiting: VecDeque<Sending>,
    /// The size of those.
    bytes: usize,
    delivered: Vec<Delivery>,
    /// Why the first was not delivered that was not.
    failed: Option<Error>,
    /// Why those behind the last that is waited for were not sent.
    refused: Option<Error>,
    /// Since when there has been no room for the next one: since the last that was sent.
    full: Option<KafkaError>,
}

impl<'a> InFlight<'a> {
    pub(super) fn to(lease: &'a Lease, topic: TopicRef) -> Result<Self> {
        let topic = lease.resolve_to_send(topic)?;
        let producer = lease.cluster().producer();
        let (waiting, delivered) = (VecDeque::new(), Vec::new());
        Ok(Self { lease, producer, topic, waiting, bytes: 0, delivered, failed: None, refused: None, full: None })
    }

    /// Sends the records and waits for each of them, whatever became of the others; after a failure no more are sent.
    ///
    /// Counts in `ended` those that are no longer on their way.
    pub(super) async fn send(
        &mut self,
        records: impl IntoIterator<Item = ProducerRecord>,
        waiter: Waiter,
        ended: &AtomicUsize,
    ) {
        let mut most = MOST;
        'records: for record in records {
            if let Err(error) = record.check() {
                self.refused = Some(error);
                break;
            }
            loop {
                while self.waiting.len() >= most || (self.bytes >= MOST_BYTES && !self.waiting.is_empty()) {
                    self.wait_for_oldest(waiter).await;
                    ended.fetch_add(1, Ordering::Relaxed);
                }
                if self.failed.is_some() {
                    break 'records;
                }
                match self.producer.enqueue(&self.topic, &record) {
                    Ok(sending) => {
                        self.bytes += sending.info.size;
                        self.waiting.push_back(sending);
                        self.lease.cluster().counters().messages_sent.add(1);
                        self.full = None;
                        most = (most + 1).min(MOST);
                        break;
                    }
                    Err(full) if full.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                        self.full = Some(full);
                        if self.waiting.is_empty() {
                            futures_timer::Delay::new(LOOK_AGAIN).await;
                        }
                        // Others want room too: half of what this call has there is left to them.
                        most = (self.waiting.len() / 2).max(1);
                    }
                    Err(error) => {
                        self.refused = Some(self.producer.send_error(
                            &self.topic,
                            error,
                            RefusedBy::Client,
                            &RecordInfo::of(&record),
                        ));
                        break 'records;
                    }
                }
            }
        }
        while !self.waiting.is_empty() {
            self.wait_for_oldest(waiter).await;
            ended.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn wait_for_oldest(&mut self, waiter: Waiter) {
        let Some(oldest) = self.waiting.front_mut() else { return };
        let outcome = oldest.outcome(waiter).await;
        let Some(oldest) = self.waiting.pop_front() else { return };
        self.bytes -= oldest.info.size;
        match outcome {
            Ok(delivery) => self.delivered.push(delivery),
            Err(undelivered) => {
                if undelivered.may_arrive {
                    self.lease.held_lane().mark_failed();
                }
                let error = self.producer.send_error(&self.topic, undelivered.error, RefusedBy::Broker, &oldest.info);
                self.failed.get_or_insert(error);
            }
        }
    }

    /// What came of it: at the end, or when nothing has come for so long.
    pub(super) fn outcome(mut self, ended: bool, timeout: Duration) -> Result<Vec<Delivery>> {
        if let Some(error) = self.failed.take().or(self.refused.take()) {
            return Err(error);
        }
        if ended {
            return Ok(std::mem::take(&mut self.delivered));
        }
        Err(match self.full.take() {
            Some(full) if self.waiting.is_empty() => {
                self.producer.send_error(&self.topic, full, RefusedBy::Client, &RecordInfo::default())
            }
            _ => {
                let sent = self.delivered.len() + self.waiting.len();
                self.producer.timeout_error(&self.topic, timeout, (self.waiting.len(), sent))
            }
        })
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if !self.waiting.is_empty() {
            self.lease.held_lane().mark_failed();
        }
    }
}
