//! The `uniform` assignor if all members have the same topics: balanced, then sticky.

use std::collections::{HashSet, VecDeque};

use uuid::Uuid;

use super::{Spec, in_map_order};
use crate::state::groups::consumer::member::{Assignment, partitions, with};

/// Returns the assignment of each member, in the order of the members.
pub(super) fn assign(spec: &Spec<'_>) -> Vec<Assignment> {
    let topics = &spec.members[0].topics;
    if topics.is_empty() {
        return vec![Assignment::new(); spec.members.len()];
    }
    let count = |topic: &Uuid| spec.partitions.get(topic).copied().unwrap_or_default();
    let owned: HashSet<(Uuid, i32)> = spec.members.iter().flat_map(|member| partitions(member.before)).collect();
    let ordered = in_map_order(topics.iter());
    let all = ordered.iter().flat_map(|topic| (0..count(topic)).map(|index| (*topic, index)));
    let mut unassigned: VecDeque<(Uuid, i32)> = all.filter(|partition| !owned.contains(partition)).collect();

    let total: usize = topics.iter().map(|topic| count(topic).max(0) as usize).sum();
    let quota = total / spec.members.len();
    // The remainder of the members get one partition more: first the members that already have more, then the last members.
    let mut extra = total % spec.members.len();
    let mut unfilled = Vec::with_capacity(spec.members.len());
    let mut assignments = Vec::with_capacity(spec.members.len());
    for (n, member) in spec.members.iter().enumerate() {
        let wanted = in_map_order(member.before.keys()).into_iter().filter(|topic| topics.contains(topic));
        let had: Vec<(Uuid, i32)> =
            wanted.flat_map(|topic| member.before[&topic].iter().map(move |index| (topic, *index))).collect();
        let has_extra = had.len() > quota && extra > 0;
        extra -= usize::from(has_extra);
        let kept = had.len().min(quota + usize::from(has_extra));
        if !has_extra {
            unfilled.push((n, quota - kept));
        }
        unassigned.extend(&had[kept..]);
        assignments.push(had[..kept].iter().copied().fold(Assignment::new(), with));
    }
    for (place, (n, room)) in unfilled.iter().enumerate() {
        let room = room + usize::from(unfilled.len() - place <= extra);
        for partition in unassigned.drain(..room.min(unassigned.len())) {
            assignments[*n].entry(partition.0).or_default().insert(partition.1);
        }
    }
    assignments
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assignment, run};
    use super::Assignment;

    #[test]
    fn partitions_are_spread_evenly_and_the_last_get_one_more() {
        let none = Assignment::new();
        let result = run("uniform", &[(1, 3), (2, 2)], &[("a", &[1, 2], &none), ("b", &[1, 2], &none)]);
        assert_eq!(result["a"], assignment(&[(1, &[0, 1])]));
        assert_eq!(result["b"], assignment(&[(1, &[2]), (2, &[0, 1])]));
    }

    #[test]
    fn who_has_one_more_keeps_it() {
        let before = assignment(&[(1, &[0, 1, 2])]);
        let none = Assignment::new();
        let result = run("uniform", &[(1, 3)], &[("b", &[1], &before), ("a", &[1], &none)]);
        assert_eq!(result["b"], assignment(&[(1, &[0, 1])]));
        assert_eq!(result["a"], assignment(&[(1, &[2])]));
    }

    #[test]
    fn a_member_that_joins_takes_no_more_than_its_share() {
        let before = assignment(&[(1, &[0, 1, 2, 3])]);
        let none = Assignment::new();
        let result = run("uniform", &[(1, 4)], &[("a", &[1], &before), ("b", &[1], &none)]);
        assert_eq!(result["a"], assignment(&[(1, &[0, 1])]));
        assert_eq!(result["b"], assignment(&[(1, &[2, 3])]));
    }

    #[test]
    fn who_stays_keeps_what_it_had() {
        let (a, b) = (assignment(&[(1, &[0, 3])]), assignment(&[(1, &[1])]));
        let result = run("uniform", &[(1, 4)], &[("a", &[1], &a), ("b", &[1], &b)]);
        assert_eq!(result["a"], a);
        assert_eq!(result["b"], assignment(&[(1, &[1, 2])]));
    }

    #[test]
    fn a_topic_that_nobody_wants_any_more_is_dropped() {
        let before = assignment(&[(1, &[0]), (2, &[0])]);
        let result = run("uniform", &[(1, 1), (2, 1)], &[("a", &[2], &before)]);
        assert_eq!(result["a"], assignment(&[(2, &[0])]));
        assert!(run("uniform", &[(1, 1)], &[("a", &[], &before)])["a"].is_empty());
    }

    #[test]
    fn more_members_than_partitions_leave_some_with_nothing() {
        let none = Assignment::new();
        let result = run("uniform", &[(1, 1)], &[("a", &[1], &none), ("b", &[1], &none)]);
        assert_eq!((result["a"].len(), result["b"].len()), (0, 1));
    }
}
