//! On which brokers the replicas of new partitions are placed.

/// The replicas of `partitions` new partitions, the leader first.
///
/// Each broker that is up leads in its turn, beginning with the one at `start`; the followers are the brokers after it.
/// A later round begins its followers further on, so that the load of a broker that goes down falls on all the others.
/// Brokers that are down are taken for followers only, and last. There are `replication` brokers at least.
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
