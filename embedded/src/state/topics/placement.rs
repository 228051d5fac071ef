//! The placement of the replicas of new partitions.

/// Returns the replicas of `partitions` new partitions, the leader first.
///
/// The running brokers take turns as the leader, starting with the broker at `start`. The followers are the brokers after the
/// leader. Each further round shifts the followers, so that the load of a stopped broker is spread over all others. Stopped
/// brokers are only followers, and come last. There must be at least `replication` brokers.
pub(crate) fn place(up: &[i32], down: &[i32], partitions: usize, replication: usize, start: usize) -> Vec<Vec<i32>> {
    let place = |partition: usize| {
        let at = start.wrapping_add(partition) % up.len();
        let others = up.len() - 1;
        let shift = if others == 0 { 0 } else { partition / up.len() % others };
        let followers = (0..others).map(|n| up[(at + 1 + (n + shift) % others) % up.len()]);
        std::iter::once(up[at]).chain(followers).chain(down.iter().copied()).take(replication).collect()
    };
    (0..partitions).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_broker_leads_in_its_turn() {
        let placed = place(&[1, 2, 3], &[], 4, 2, 0);
        assert_eq!(placed, [vec![1, 2], vec![2, 3], vec![3, 1], vec![1, 3]]);
        assert_eq!(place(&[1, 2, 3], &[], 1, 3, 1), [vec![2, 3, 1]]);
        assert_eq!(place(&[1], &[], 2, 1, 7), [vec![1], vec![1]]);
    }

    #[test]
    fn a_broker_that_is_down_leads_nothing() {
        for replicas in place(&[1, 3], &[2], 6, 3, 5) {
            assert_ne!(replicas[0], 2);
            assert_eq!(replicas[2], 2);
        }
    }
}
