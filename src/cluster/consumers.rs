//! The consumers of a harness: taken from the pool, returned to it, and closed in the background.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Cluster;
use crate::cluster::pool::{self, ConsumerState, IdleConsumer, PoolClient, PoolKey};
use crate::cluster::process::PROCESS;
use crate::model::error::Result;
use crate::sync::kept::keep;
use crate::sync::wait::Deadline;
use crate::worker::names::Names;

impl Cluster {
    /// Returns the key under which the pool has consumers that a lease may reuse for the topic.
    pub(crate) fn pool_key(&self, lane: usize, topic: Arc<str>, generation: u32) -> PoolKey {
        let abandoned_groups = self.abandoned_groups(&topic);
        PoolKey { lane, topic, generation, abandoned_groups }
    }

    fn abandoned_groups(&self, topic: &str) -> u32 {
        self.abandoned_groups.get(topic).map_or(0, |left| *left)
    }

    /// Abandons the group of a pooled consumer that a test has made a member.
    ///
    /// The broker may count the consumer as a member until it is closed: it would refuse commits from outside, and a
    /// new member would share the partitions with the consumer. So the next consumer of the topic has a new group.
    pub(crate) fn abandon_group(&self, key: &PoolKey) {
        let left = key.abandoned_groups + 1;
        self.abandoned_groups.entry(Arc::clone(&key.topic)).and_modify(|now| *now = left.max(*now)).or_insert(left);
        self.retire(clients(self.pool.retire_abandoned(&key.topic, left)));
    }

    /// Takes a consumer from the pool, or creates one for a topic with `partitions` partitions. Also returns its state.
    pub(crate) fn take_consumer(
        &self,
        key: &PoolKey,
        names: &Names,
        logical: &str,
        partitions: usize,
    ) -> Result<(Arc<PoolClient>, ConsumerState)> {
        if let Some(idle) = self.pool.take(key) {
            self.counters.consumers_reused.add(1);
            let (client, resting_at) = idle.wake();
            return Ok((client, resting_at.map_or(ConsumerState::Unassigned, ConsumerState::Resting)));
        }
        let group = names.group(logical, key.abandoned_groups)?;
        self.record_group(&group)?;
        let client = Arc::new(pool::create_consumer(&self.broker, &group, partitions)?);
        self.counters.consumers_made.add(1);
        self.open.retain(|_, client| client.strong_count() > 0);
        self.open.insert(self.next_consumer.fetch_add(1, Ordering::Relaxed), Arc::downgrade(&client));
        Ok((client, ConsumerState::New))
    }

    /// Returns an idle consumer to the pool. If the pool is full, the least recently used consumer is closed in the
    /// background.
    pub(crate) fn put_back(&self, key: PoolKey, idle: Arc<IdleConsumer>) {
        let (lane, generation, topic, group) = (key.lane, key.generation, Arc::clone(&key.topic), key.abandoned_groups);
        let evicted = self.pool.put_back(key, idle);
        self.retire(clients(evicted));
        // A failure may have emptied the pool of this lane just before the consumer was put back.
        let current = PROCESS.workers.lanes.generation_of(lane);
        if generation < current {
            self.retire_before(lane, current);
        }
        let left = self.abandoned_groups(&topic);
        if group < left {
            self.retire(clients(self.pool.retire_abandoned(&topic, left)));
        }
    }

    /// Closes consumers in the background. They are never reused.
    pub(crate) fn retire(&self, clients: impl IntoIterator<Item = Arc<PoolClient>>) {
        if self.is_closing() {
            // At exit every consumer is closed by `close_at_exit`. Its Drop would only block this thread.
            keep(clients.into_iter().collect::<Vec<_>>());
            return;
        }
        let clients: Vec<_> = clients.into_iter().collect();
        self.counters.consumers_retired.add(clients.len());
        self.closer.close(clients);
    }

    /// Closes a consumer that was never in the pool, in the background.
    pub(crate) fn close_in_background(&self, client: Arc<PoolClient>) {
        if self.is_closing() {
            keep(client);
        } else {
            self.closer.close([client]);
        }
    }

    /// Closes the pooled consumers of a lane that are older than the generation. They are never reused.
    pub(crate) fn retire_before(&self, lane: usize, generation: u32) {
        self.retire(clients(self.pool.retire_before(lane, generation)));
    }

    /// Closes the pooled consumers in the background and releases their memory, because the harness was dropped. Topics
    /// and groups are deleted at exit.
    pub(crate) fn close_pool(&self) {
        self.ended_groups.stop();
        self.closer.close(clients(self.pool.take_all()));
    }

    pub(crate) fn wait_for_closing(&self, deadline: Deadline) {
        self.closer.wait(deadline);
    }
}

fn clients(idle: impl IntoIterator<Item = Arc<IdleConsumer>>) -> impl Iterator<Item = Arc<PoolClient>> {
    idle.into_iter().map(|idle| idle.wake().0)
}
