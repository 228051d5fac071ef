//! The `range` assignor: each member gets consecutive partitions of each topic. For topics with the same number of partitions,
//! it gets the same partitions of each.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::Spec;
use crate::state::groups::consumer::member::Assignment;

/// The unassigned rest of a topic.
struct Left {
    next: i32,
    quota: i32,
    extra: i32,
}

/// Returns the assignment of each member, in the order of the members.
pub(super) fn assign(spec: &Spec<'_>) -> Vec<Assignment> {
    // Static members come first, sorted by instance id, so that a restart changes nothing.
    let mut order: Vec<usize> = (0..spec.members.len()).collect();
    order.sort_by_key(|n| {
        let member = &spec.members[*n];
        (member.instance_id.is_none(), member.instance_id.unwrap_or(member.id))
    });
    let topics = |n: usize| &spec.members[if spec.is_homogeneous { order[0] } else { n }].topics;
    let mut left: BTreeMap<Uuid, Left> = BTreeMap::new();
    for (topic, count) in &spec.partitions {
        let subscribers = order.iter().filter(|n| topics(**n).contains(topic)).count().max(1) as i32;
        left.insert(*topic, Left { next: 0, quota: count / subscribers, extra: count % subscribers });
    }
    let mut assignments = vec![Assignment::new(); spec.members.len()];
    for &n in &order {
        for topic in topics(n) {
            let Some(left) = left.get_mut(topic) else { continue };
            let end = left.next + left.quota + i32::from(left.extra > 0);
            left.extra -= i32::from(left.extra > 0);
            if left.next < end {
                assignments[n].insert(*topic, (left.next..end).collect());
            }
            left.next = end;
        }
    }
    assignments
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assignment, run};
    use super::Assignment;

    #[test]
    fn each_member_has_the_same_run_of_each_topic() {
        let none = Assignment::new();
        let result = run("range", &[(1, 3), (2, 3)], &[("b", &[1, 2], &none), ("a", &[1, 2], &none)]);
        assert_eq!(result["a"], assignment(&[(1, &[0, 1]), (2, &[0, 1])]));
        assert_eq!(result["b"], assignment(&[(1, &[2]), (2, &[2])]));
    }

    #[test]
    fn only_the_subscribers_of_a_topic_share_it() {
        let none = Assignment::new();
        let result = run("range", &[(1, 3), (2, 2)], &[("a", &[1], &none), ("b", &[1, 2], &none)]);
        assert_eq!(result["a"], assignment(&[(1, &[0, 1])]));
        assert_eq!(result["b"], assignment(&[(1, &[2]), (2, &[0, 1])]));
    }
}
