//! Timers, found by key and in the order of their times.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use crate::clock::Time;

/// A set of timers, at most one for each key. All operations take logarithmic time.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    times: HashMap<K, Time>,
    order: BTreeSet<(Time, K)>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { times: HashMap::new(), order: BTreeSet::new() }
    }
}

impl<K: Clone + Ord + Hash> Timers<K> {
    /// Sets or moves the timer of this key.
    pub(crate) fn set(&mut self, key: K, at: Time) {
        if let Some(before) = self.times.insert(key.clone(), at) {
            if before == at {
                return;
            }
            self.order.remove(&(before, key.clone()));
        }
        self.order.insert((at, key));
    }

    /// Sets the timer of this key unless it is already set.
    pub(crate) fn set_if_absent(&mut self, key: K, at: Time) {
        if !self.times.contains_key(&key) {
            self.set(key, at);
        }
    }

    pub(crate) fn cancel(&mut self, key: &K) {
        if let Some(at) = self.times.remove(key) {
            self.order.remove(&(at, key.clone()));
        }
    }

    /// Returns when the first timer is due.
    pub(crate) fn next(&self) -> Option<Time> {
        self.order.first().map(|&(at, _)| at)
    }

    /// Removes and returns the first timer that is due by now.
    pub(crate) fn take_due(&mut self, now: Time) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.order.pop_first()?;
        self.times.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_are_taken_in_the_order_of_their_times() {
        let mut timers = Timers::default();
        timers.set("b", Time(20));
        timers.set("a", Time(10));
        timers.set("c", Time(30));
        assert_eq!(timers.next(), Some(Time(10)));
        assert_eq!(timers.take_due(Time(9)), None);
        assert_eq!([timers.take_due(Time(20)), timers.take_due(Time(20))], [Some("a"), Some("b")]);
        assert_eq!(timers.take_due(Time(20)), None);
        assert_eq!(timers.next(), Some(Time(30)));
    }

    #[test]
    fn a_timer_that_is_set_again_is_moved() {
        let mut timers = Timers::default();
        timers.set("a", Time(10));
        timers.set("a", Time(30));
        timers.set_if_absent("a", Time(5));
        assert_eq!(timers.take_due(Time(29)), None);
        assert_eq!(timers.take_due(Time(30)), Some("a"));
        timers.set("a", Time(10));
        timers.cancel(&"a");
        assert_eq!((timers.next(), timers.take_due(Time(100))), (None, None));
    }
}
