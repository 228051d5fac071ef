//! The `uniform` assignor if members have different topics: as balanced as their topics allow, then sticky.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::Spec;
use crate::state::groups::consumer::member::{Assignment, partitions};

/// The maximum number of rounds over all topics. Each round roughly halves the imbalance.
const ROUNDS: usize = 16;

/// Returns the assignment of each member, in the order of the members.
pub(super) fn assign(spec: &Spec<'_>) -> Vec<Assignment> {
    let mut builder = Builder::new(spec);
    builder.keep(spec);
    builder.assign_rest();
    builder.balance();
    let mut assignments = vec![Assignment::new(); spec.members.len()];
    for (topic, owners) in &builder.owners {
        for (index, owner) in owners.iter().enumerate() {
            if let Some(owner) = owner {
                assignments[*owner].entry(*topic).or_default().insert(index as i32);
            }
        }
    }
    assignments
}

/// An assignment under construction. Members are identified by their index.
struct Builder {
    /// The subscribers of each topic, in ascending order.
    subscribers: BTreeMap<Uuid, Vec<usize>>,
    /// The owner of each partition of a topic.
    owners: BTreeMap<Uuid, Vec<Option<usize>>>,
    /// The number of partitions of each member.
    sizes: Vec<usize>,
}

impl Builder {
    fn new(spec: &Spec<'_>) -> Self {
        let mut subscribers: BTreeMap<Uuid, Vec<usize>> = BTreeMap::new();
        for (n, member) in spec.members.iter().enumerate() {
            for topic in &member.topics {
                subscribers.entry(*topic).or_default().push(n);
            }
        }
        let count = |topic: &Uuid| spec.partitions.get(topic).copied().unwrap_or_default().max(0) as usize;
        let owners = subscribers.keys().map(|topic| (*topic, vec![None; count(topic)])).collect();
        Self { subscribers, owners, sizes: vec![0; spec.members.len()] }
    }

    /// Keeps the previous partitions of each member whose topics it still subscribes to.
    fn keep(&mut self, spec: &Spec<'_>) {
        for (n, member) in spec.members.iter().enumerate() {
            for (topic, index) in partitions(member.before).filter(|(topic, _)| member.topics.contains(topic)) {
                let owner = self.owners.get_mut(&topic).and_then(|owners| owners.get_mut(index as usize));
                if let Some(owner) = owner {
                    *owner = Some(n);
                    self.sizes[n] += 1;
                }
            }
        }
    }

    /// Sorts the topics: the most partitions per subscriber first, then the fewest subscribers.
    fn sorted(&self, topics: impl Iterator<Item = Uuid>) -> Vec<Uuid> {
        let mut topics: Vec<Uuid> = topics.collect();
        // Kafka compares ids as pairs of signed numbers.
        let signed = |id: &Uuid| (id.as_u64_pair().0 as i64, id.as_u64_pair().1 as i64);
        let share = |topic: &Uuid| self.owners[topic].len() as f64 / self.subscribers[topic].len() as f64;
        topics.sort_by(|left, right| {
            share(right)
                .total_cmp(&share(left))
                .then_with(|| self.subscribers[left].len().cmp(&self.subscribers[right].len()))
                .then_with(|| signed(left).cmp(&signed(right)))
        });
        topics
    }

    fn give(&mut self, topic: Uuid, index: usize, to: usize) {
        let Some(owner) = self.owners.get_mut(&topic).and_then(|owners| owners.get_mut(index)) else { return };
        if let Some(from) = owner.replace(to) {
            self.sizes[from] -= 1;
        }
        self.sizes[to] += 1;
    }

    /// Assigns the free partitions to the subscribers with the fewest partitions.
    fn assign_rest(&mut self) {
        let unassigned = |owners: &Vec<Option<usize>>| owners.contains(&None);
        let topics = self.owners.iter().filter(|(_, owners)| unassigned(owners)).map(|(topic, _)| *topic);
        for topic in self.sorted(topics) {
            let mut scales = Scales::new(&self.subscribers[&topic], &self.sizes);
            for index in 0..self.owners[&topic].len() {
                if self.owners[&topic][index].is_none() {
                    let to = scales.next_least(&self.sizes);
                    self.give(topic, index, to);
                }
            }
        }
    }

    /// Moves partitions topic by topic, until a round over all topics moves none.
    fn balance(&mut self) {
        let shared = self.subscribers.iter().filter(|(_, members)| members.len() >= 2).map(|(topic, _)| *topic);
        let topics = self.sorted(shared);
        let mut last_moved = None;
        for _ in 0..ROUNDS {
            for (n, topic) in topics.iter().enumerate() {
                if last_moved == Some(n) {
                    return;
                }
                if self.balance_topic(*topic) || last_moved.is_none() {
                    last_moved = Some(n);
                }
            }
        }
    }

    /// Moves partitions of a topic from the members with the most to the members with the fewest. Returns whether any was
    /// moved.
    fn balance_topic(&mut self, topic: Uuid) -> bool {
        let mut scales = Scales::new(&self.subscribers[&topic], &self.sizes);
        if scales.imbalance(&self.sizes) <= 1 {
            return false;
        }
        // The partitions of each owner. The last partition moves first.
        let mut owned: HashMap<usize, Vec<usize>> = HashMap::new();
        for (index, owner) in self.owners[&topic].iter().enumerate() {
            if let Some(owner) = owner {
                owned.entry(*owner).or_default().push(index);
            }
        }
        let mut moved = false;
        while !scales.is_balanced() {
            let given = loop {
                let Some(most) = scales.next_most(&self.sizes) else { break None };
                match owned.get_mut(&most).and_then(Vec::pop) {
                    Some(index) => break Some(index),
                    None => scales.exclude_most(),
                }
            };
            let Some(index) = given else { break };
            let least = scales.next_least(&self.sizes);
            if scales.is_balanced() {
                break;
            }
            self.give(topic, index, least);
            moved = true;
        }
        moved
    }
}

/// The members with the fewest and the members with the most partitions. Partitions move from the latter to the former.
///
/// Both are ranges of the members sorted by size, and each starts with members of one size. When each member of a range has
/// gained or lost one partition, the size changes by one, and the range grows by the members that already have this size.
struct Scales {
    members: Vec<usize>,
    least_end: usize,
    least_size: i64,
    next_least: usize,
    most_start: usize,
    /// Members without partitions to give are moved after it.
    most_end: usize,
    most_size: i64,
    /// Counts down to -1.
    next_most: i64,
}

impl Scales {
    fn new(members: &[usize], sizes: &[usize]) -> Self {
        let mut members = members.to_vec();
        members.sort_by_key(|member| (sizes[*member], *member));
        let size = |n: usize| members.get(n).map_or(0, |member| sizes[*member] as i64);
        let count = members.len();
        Self {
            least_end: 0,
            least_size: size(0) - 1,
            next_least: 0,
            most_start: count,
            most_end: count,
            most_size: size(count.saturating_sub(1)) + 1,
            next_most: count as i64 - 1,
            members,
        }
    }

    fn size(&self, n: usize, sizes: &[usize]) -> i64 {
        sizes[self.members[n]] as i64
    }

    fn imbalance(&self, sizes: &[usize]) -> i64 {
        self.size(self.members.len() - 1, sizes) - self.size(0, sizes)
    }

    fn is_balanced(&self) -> bool {
        self.most_size - self.least_size <= 1
    }

    /// Returns the member that gets the next partition.
    fn next_least(&mut self, sizes: &[usize]) -> usize {
        if self.next_least >= self.least_end {
            self.least_size += 1;
            while self.least_end < self.members.len() && self.size(self.least_end, sizes) == self.least_size {
                self.least_end += 1;
            }
            self.next_least = 0;
        }
        self.next_least += 1;
        self.members[self.next_least - 1]
    }

    /// Returns the member that loses the next partition, if a member has any.
    fn next_most(&mut self, sizes: &[usize]) -> Option<usize> {
        if self.next_most < self.most_start as i64 {
            if self.most_end <= self.most_start && self.most_start > 0 {
                self.most_size = self.size(self.most_start - 1, sizes);
            } else {
                self.most_size -= 1;
            }
            while self.most_start > 0 && self.size(self.most_start - 1, sizes) == self.most_size {
                self.most_start -= 1;
            }
            self.next_most = self.most_end as i64 - 1;
        }
        let member = self.members[usize::try_from(self.next_most).ok()?];
        self.next_most -= 1;
        Some(member)
    }

    /// Removes the member that [`next_most`](Self::next_most) returned last from the range.
    fn exclude_most(&mut self) {
        self.members.swap((self.next_most + 1) as usize, self.most_end - 1);
        self.most_end -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assignment, run};
    use super::*;

    #[test]
    fn a_topic_of_one_subscriber_goes_to_it_and_the_other_topic_balances() {
        let none = Assignment::new();
        let result = run("uniform", &[(1, 4), (2, 2)], &[("a", &[1, 2], &none), ("b", &[1], &none)]);
        assert_eq!(result["a"], assignment(&[(1, &[3]), (2, &[0, 1])]));
        assert_eq!(result["b"], assignment(&[(1, &[0, 1, 2])]));
    }

    #[test]
    fn who_has_too_much_gives_its_last_partitions_away() {
        let (before, none) = (assignment(&[(1, &[0, 1, 2, 3])]), Assignment::new());
        let result = run("uniform", &[(1, 4), (2, 1)], &[("a", &[1, 2], &before), ("b", &[1], &none)]);
        assert_eq!(result["a"], assignment(&[(1, &[0, 1]), (2, &[0])]));
        assert_eq!(result["b"], assignment(&[(1, &[2, 3])]));
    }

    #[test]
    fn every_partition_of_every_topic_is_given_to_a_subscriber_once() {
        // Overlapping topics, several states one after the other.
        let wants: [&[u128]; 5] = [&[1], &[1, 2], &[2, 3], &[3], &[1, 2, 3]];
        let names = ["a", "b", "c", "d", "e"];
        let none = Assignment::new();
        let mut before: BTreeMap<String, Assignment> = BTreeMap::new();
        for round in 0..names.len() {
            let members: Vec<(&str, &[u128], &Assignment)> = (0..=round)
                .map(|n| (names[n], wants[(n + round) % 5], before.get(names[n]).unwrap_or(&none)))
                .collect();
            let result = run("uniform", &[(1, 5), (2, 4), (3, 7)], &members);
            for (topic, count) in [(1, 5), (2, 4), (3, 7)] {
                let wanted = members.iter().any(|(_, topics, _)| topics.contains(&topic));
                let mut given: Vec<i32> = Vec::new();
                for (id, topics, _) in &members {
                    let partitions = result[*id].get(&Uuid::from_u128(topic));
                    assert!(partitions.is_none() || topics.contains(&topic), "{id} did not ask for {topic}");
                    given.extend(partitions.into_iter().flatten());
                }
                given.sort_unstable();
                assert_eq!(given, if wanted { (0..count).collect() } else { Vec::<i32>::new() });
            }
            before = result;
        }
    }
}
