//! The pool of idle consumers, by lane, topic and generation.

mod client;
mod idle;
mod topic_ids;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

pub(crate) use self::client::PoolClient;
pub(crate) use self::client::{
    assign, close_all_at_exit, create_consumer, create_reader, has_nothing_queued, is_or_was_member, positions, reset,
};
pub(crate) use self::idle::{ConsumerState, IdleConsumer};

/// The leases that may reuse a consumer of the pool.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PoolKey {
    pub(crate) lane: usize,
    pub(crate) topic: Arc<str>,
    pub(crate) generation: u32,
    /// How many groups of pooled consumers of the topic were abandoned because a test had joined them.
    pub(crate) abandoned_groups: u32,
}

/// Idle values by key. If the pool is full, `put_back` returns the least recently used value to be closed.
///
/// No method drops or calls a `T` under a lock. Values to be closed are returned.
#[derive(Debug)]
pub(crate) struct Pool<T> {
    idle: DashMap<PoolKey, Vec<Idle<T>>>,
    /// The number of values in `idle`, so that checking the bound does not count them.
    count: AtomicUsize,
    clock: AtomicU64,
    max: usize,
}

#[derive(Debug)]
struct Idle<T> {
    value: T,
    since: u64,
}

impl<T> Pool<T> {
    pub(crate) fn new(max: usize) -> Self {
        Self { idle: DashMap::new(), count: AtomicUsize::new(0), clock: AtomicU64::new(0), max }
    }

    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Takes the value that was used last, because its client is most likely to be connected.
    pub(crate) fn take(&self, key: &PoolKey) -> Option<T> {
        let idle = self.idle.get_mut(key)?.pop()?;
        self.count.fetch_sub(1, Ordering::SeqCst);
        Some(idle.value)
    }

    /// Puts a value back. Returns the least recently used value if the pool is full.
    #[must_use = "what is returned is to be closed"]
    pub(crate) fn put_back(&self, key: PoolKey, value: T) -> Option<T> {
        if self.max == 0 {
            return Some(value);
        }
        let since = self.clock.fetch_add(1, Ordering::SeqCst);
        // Count first, so that the count is never less than the number of values.
        let before = self.count.fetch_add(1, Ordering::SeqCst);
        self.idle.entry(key).or_default().push(Idle { value, since });
        if before < self.max { None } else { self.evict_oldest() }
    }

    fn evict_oldest(&self) -> Option<T> {
        loop {
            // The iteration locks one shard at a time. If another lane takes the oldest value in the meantime, look
            // again.
            let oldest = self
                .idle
                .iter()
                .filter_map(|entry| Some((entry.value().first()?.since, entry.key().clone())))
                .min_by_key(|(since, _)| *since);
            let (since, key) = oldest?;
            let Entry::Occupied(mut entry) = self.idle.entry(key) else { continue };
            if entry.get().first().is_none_or(|idle| idle.since != since) {
                continue;
            }
            let evicted = entry.get_mut().remove(0);
            if entry.get().is_empty() {
                entry.remove();
            }
            self.count.fetch_sub(1, Ordering::SeqCst);
            return Some(evicted.value);
        }
    }

    /// Takes all values of a lane that are older than the generation.
    #[must_use = "what is returned is to be closed"]
    pub(crate) fn retire_before(&self, lane: usize, generation: u32) -> Vec<T> {
        self.take_if(|key| key.lane == lane && key.generation < generation)
    }

    /// Takes all values of a topic whose group was abandoned.
    #[must_use = "what is returned is to be closed"]
    pub(crate) fn retire_abandoned(&self, topic: &str, abandoned_groups: u32) -> Vec<T> {
        self.take_if(|key| *key.topic == *topic && key.abandoned_groups < abandoned_groups)
    }

    /// Takes all values.
    #[must_use = "what is returned is to be closed"]
    pub(crate) fn take_all(&self) -> Vec<T> {
        self.take_if(|_| true)
    }

    fn take_if(&self, condition: impl Fn(&PoolKey) -> bool) -> Vec<T> {
        let keys: Vec<PoolKey> =
            self.idle.iter().map(|entry| entry.key().clone()).filter(|key| condition(key)).collect();
        let taken: Vec<T> = keys
            .iter()
            .filter_map(|key| self.idle.remove(key))
            .flat_map(|(_, idle)| idle.into_iter().map(|idle| idle.value))
            .collect();
        self.count.fetch_sub(taken.len(), Ordering::SeqCst);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(lane: usize, topic: &str, generation: u32) -> PoolKey {
        PoolKey { lane, topic: topic.into(), generation, abandoned_groups: 0 }
    }

    #[test]
    fn a_value_is_reused_only_under_its_key() {
        let pool = Pool::new(8);
        assert_eq!(pool.put_back(key(0, "events", 0), 'a'), None);
        for other in [key(0, "events", 1), key(0, "audit", 0), key(1, "events", 0)] {
            assert_eq!(pool.take(&other), None, "{other:?}");
        }
        assert_eq!(pool.take(&key(0, "events", 0)), Some('a'));
        assert_eq!(pool.take(&key(0, "events", 0)), None, "a value is taken only once");
    }

    #[test]
    fn a_full_pool_returns_the_least_recently_used() {
        let pool = Pool::new(2);
        assert_eq!(pool.put_back(key(0, "a", 0), 1), None);
        assert_eq!(pool.put_back(key(0, "b", 0), 2), None);
        assert_eq!(pool.take(&key(0, "a", 0)), Some(1));
        assert_eq!(pool.put_back(key(0, "a", 0), 1), None);
        assert_eq!(pool.put_back(key(0, "c", 0), 3), Some(2), "b was used before a");
        assert_eq!(pool.put_back(key(0, "c", 0), 4), Some(1));
        assert_eq!(pool.len(), 2);
        assert_eq!(Pool::new(0).put_back(key(0, "a", 0), 1), Some(1), "none may stay idle");
    }

    #[test]
    fn only_older_generations_of_the_lane_are_retired() {
        let pool = Pool::new(8);
        for (lane, generation, value) in [(0, 0, 1), (0, 1, 2), (0, 2, 3), (1, 0, 4)] {
            assert_eq!(pool.put_back(key(lane, "events", generation), value), None);
        }
        let mut retired = pool.retire_before(0, 2);
        retired.sort_unstable();
        assert_eq!((retired, pool.len()), (vec![1, 2], 2));
        let mut rest = pool.take_all();
        rest.sort_unstable();
        assert_eq!((rest, pool.len()), (vec![3, 4], 0));
    }

    #[test]
    fn many_lanes_at_once_lose_none_and_keep_the_bound() {
        let pool = Pool::new(16);
        let made = AtomicUsize::new(0);
        let closed = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for lane in 0..8 {
                let (pool, made, closed) = (&pool, &made, &closed);
                scope.spawn(move || {
                    for n in 0..1_000 {
                        let key = key(lane, ["a", "b", "c"][n % 3], 0);
                        let value = pool.take(&key).unwrap_or_else(|| made.fetch_add(1, Ordering::SeqCst));
                        closed.fetch_add(usize::from(pool.put_back(key, value).is_some()), Ordering::SeqCst);
                    }
                });
            }
        });
        let idle = pool.len();
        assert!(idle <= 16, "{idle} are idle");
        assert_eq!(pool.take_all().len(), idle);
        assert_eq!(idle + closed.into_inner(), made.into_inner());
    }
}
