//! The consumers of a harness: out of the pool and back, and closed off the test's path.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Cluster;
use crate::cluster::pool::{self, CheckedOut, IdleConsumer, PoolClient, PoolKey};
use crate::cluster::process::PROCESS;
use crate::model::error::Result;
use crate::sync::kept::keep;
use crate::sync::wait::Deadline;
use crate::worker::names::Names;

impl Cluster {
    /// What a consumer of that topic has to be good for now.
    pub(crate) fn pool_key(&self, lane: usize, topic: Arc<str>, generation: u32) -> PoolKey {
        let abandoned_groups = self.abandoned_groups(&topic);
        PoolKey { lane, topic, generation, abandoned_groups }
    }

    fn abandoned_groups(&self, topic: &str) -> u32 {
        self.abandoned_groups.get(topic).map_or(0, |left| *left)
    }

    /// A test has made one a member of its group. The broker may take it for one until it has been closed: a commit from
    /// outside would be refused, and who joins would share the partitions with it.
    pub(crate) fn leave_group(&self, key: &PoolKey) {
        let left = key.abandoned_groups + 1;
        self.abandoned_groups.entry(Arc::clone(&key.topic)).and_modify(|now| *now = left.max(*now)).or_insert(left);
        self.retire(clients(self.pool.retire_abandoned(&key.topic, left)));
    }

    /// A consumer from the pool, or a new one, of a topic with so many partitions; and the state that it is in.
    pub(crate) fn check_out(
        &self,
        key: &PoolKey,
        names: &Names,
        logical: &str,
        partitions: usize,
    ) -> Result<(Arc<PoolClient>, CheckedOut)> {
        if let Some(idle) = self.pool.check_out(key) {
            self.counters.consumers_reused.add(1);
            let (client, resting_at) = idle.wake();
            return Ok((client, resting_at.map_or(CheckedOut::Unassigned, CheckedOut::Resting)));
        }
        let group = names.group(logical, key.abandoned_groups)?;
        self.record_group(&group)?;
        let client = Arc::new(pool::make(&self.broker, &group, partitions)?);
        self.counters.consumers_made.add(1);
        self.open.retain(|_, client| client.strong_count() > 0);
        self.open.insert(self.next_consumer.fetch_add(1, Ordering::Relaxed), Arc::downgrade(&client));
        Ok((client, CheckedOut::New))
    }

    /// Takes a consumer back that is idle; the one that is thereby too many is closed elsewhere.
    pub(crate) fn put_back(&self, key: PoolKey, idle: Arc<IdleConsumer>) {
        let (lane, generation, topic, group) = (key.lane, key.generation, Arc::clone(&key.topic), key.abandoned_groups);
        let evicted = self.pool.put_back(key, idle);
        self.retire(clients(evicted));
        // A failure that moved the lane just now may have looked through the pool before.
        let current = PROCESS.workers.lanes.generation_of(lane);
        if generation < current {
            self.retire_before(lane, current);
        }
        let left = self.abandoned_groups(&topic);
        if group < left {
            self.retire(clients(self.pool.retire_abandoned(&topic, left)));
        }
    }

    /// Closes consumers elsewhere.
    pub(crate) fn retire(&self, clients: impl IntoIterator<Item = Arc<PoolClient>>) {
        if self.is_closing() {
            // At exit each consumer has been told to close; its Drop would only hold this thread up.
            keep(clients.into_iter().collect::<Vec<_>>());
            return;
        }
        let clients: Vec<_> = clients.into_iter().collect();
        self.counters.consumers_retired.add(clients.len());
        self.closer.close(clients);
    }

    /// Closes a consumer elsewhere that never was in the pool.
    pub(crate) fn close_soon(&self, client: Arc<PoolClient>) {
        if self.is_closing() {
            keep(client);
        } else {
            self.closer.close([client]);
        }
    }

    /// A failure has moved a lane: its older consumers are never handed out again.
    pub(crate) fn retire_before(&self, lane: usize, generation: u32) {
        self.retire(clients(self.pool.retire_before(lane, generation)));
    }

    /// When its harness is gone: the consumers in the pool are closed elsewhere, and their memory is given back. What is
    /// still to be deleted is left to the exit.
    pub(crate) fn close_idle(&self) {
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
