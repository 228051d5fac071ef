//! A member of a consumer group, and the moves of its assignment.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use uuid::Uuid;

/// Partitions by topic id. A topic without partitions is not in the map.
pub(crate) type Assignment = BTreeMap<Uuid, BTreeSet<i32>>;

/// How far a member has come towards its target assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum MemberState {
    /// The member has the assignment of its epoch.
    #[default]
    Stable,
    /// The member has to revoke partitions.
    UnrevokedPartitions,
    /// Other members still own some of its partitions.
    UnreleasedPartitions,
}

/// The member epoch of a member that leaves.
pub(crate) const LEAVE: i32 = -1;
/// The member epoch of a static member that leaves temporarily. The member keeps this epoch until it returns.
pub(crate) const LEAVE_FOR_A_WHILE: i32 = -2;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) rack_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) topics: BTreeSet<String>,
    /// The rack, or an empty string.
    pub(crate) regex: String,
    pub(crate) server_assignor: Option<String>,
    pub(crate) epoch: i32,
    pub(crate) previous_epoch: i32,
    pub(crate) state: MemberState,
    pub(crate) assigned: Assignment,
    pub(crate) pending_revocation: Assignment,
    /// The JoinGroup data, if the member uses the classic protocol.
    pub(crate) classic: Option<ClassicMember>,
}

/// The data that a member of the classic protocol has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClassicMember {
    pub(crate) session_timeout_ms: i32,
    /// The assignors in the order of preference, each with its subscription.
    pub(crate) protocols: Vec<(String, Bytes)>,
}

impl Member {
    pub(crate) fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            instance_id: None,
            rack_id: None,
            client_id: String::new(),
            client_host: String::new(),
            rebalance_timeout_ms: -1,
            topics: BTreeSet::new(),
            regex: String::new(),
            server_assignor: None,
            epoch: 0,
            previous_epoch: -1,
            state: MemberState::Stable,
            assigned: Assignment::new(),
            pending_revocation: Assignment::new(),
            classic: None,
        }
    }

    /// Returns whether the member has the target assignment of this epoch.
    pub(crate) fn is_reconciled_to(&self, epoch: i32) -> bool {
        self.state == MemberState::Stable && self.epoch == epoch
    }

    /// Returns the partitions that no other member may own: assigned partitions, and partitions to revoke.
    pub(crate) fn held(&self) -> impl Iterator<Item = (Uuid, i32)> {
        partitions(&self.assigned).chain(partitions(&self.pending_revocation))
    }

    /// Takes the next step towards the target assignment, if there is one.
    ///
    /// `owned` contains the partitions that the member reports. It is `None` if nothing has changed. `is_free` returns whether
    /// no member owns a partition.
    pub(crate) fn reconcile(
        &mut self,
        target_epoch: i32,
        target: &Assignment,
        owned: Option<&Assignment>,
        is_free: impl Fn(Uuid, i32) -> bool,
    ) {
        let epoch = match self.state {
            MemberState::Stable if self.epoch == target_epoch => return,
            MemberState::UnrevokedPartitions if owns_any(owned, &self.pending_revocation) => return,
            // The member has revoked the partitions of its epoch, even if the next epoch revokes more.
            MemberState::UnrevokedPartitions => self.epoch + 1,
            MemberState::Stable | MemberState::UnreleasedPartitions => self.epoch,
        };
        let kept = intersection(&self.assigned, target);
        let revoked = difference(&self.assigned, &kept);
        let mut unreleased = false;
        let mut assigned = kept.clone();
        for (topic, partition) in partitions(&difference(target, &kept)) {
            if is_free(topic, partition) {
                assigned.entry(topic).or_default().insert(partition);
            } else {
                unreleased = true;
            }
        }
        self.previous_epoch = self.epoch;
        if !revoked.is_empty() && owns_any(owned, &revoked) {
            self.state = MemberState::UnrevokedPartitions;
            self.epoch = epoch;
            self.assigned = kept;
            self.pending_revocation = revoked;
            return;
        }
        self.state = if unreleased { MemberState::UnreleasedPartitions } else { MemberState::Stable };
        self.epoch = target_epoch;
        self.assigned = assigned;
        self.pending_revocation = Assignment::new();
    }
}

/// Returns whether a member still owns some of these partitions. If it does not report its partitions, it may own them.
fn owns_any(owned: Option<&Assignment>, partitions: &Assignment) -> bool {
    owned.is_none_or(|owned| {
        owned.iter().any(|(topic, owned)| partitions.get(topic).is_some_and(|asked| !owned.is_disjoint(asked)))
    })
}

/// Returns the partitions of an assignment one by one.
pub(crate) fn partitions(assignment: &Assignment) -> impl Iterator<Item = (Uuid, i32)> {
    assignment.iter().flat_map(|(topic, partitions)| partitions.iter().map(|partition| (*topic, *partition)))
}

fn intersection(left: &Assignment, right: &Assignment) -> Assignment {
    partitions(left).filter(|(topic, index)| contains(right, *topic, *index)).fold(Assignment::new(), with)
}

fn difference(left: &Assignment, right: &Assignment) -> Assignment {
    partitions(left).filter(|(topic, index)| !contains(right, *topic, *index)).fold(Assignment::new(), with)
}

pub(crate) fn contains(assignment: &Assignment, topic: Uuid, index: i32) -> bool {
    assignment.get(&topic).is_some_and(|partitions| partitions.contains(&index))
}

pub(crate) fn with(mut assignment: Assignment, (topic, index): (Uuid, i32)) -> Assignment {
    assignment.entry(topic).or_default().insert(index);
    assignment
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: Uuid = Uuid::from_u128(1);

    fn assignment(partitions: &[i32]) -> Assignment {
        partitions.iter().map(|index| (TOPIC, *index)).fold(Assignment::new(), with)
    }

    fn stable(epoch: i32, partitions: &[i32]) -> Member {
        Member { epoch, assigned: assignment(partitions), ..Member::new("m") }
    }

    #[test]
    fn free_partitions_are_given_at_once() {
        let mut member = stable(0, &[]);
        member.reconcile(1, &assignment(&[0, 1]), Some(&assignment(&[])), |_, _| true);
        assert_eq!((member.state, member.epoch, member.previous_epoch), (MemberState::Stable, 1, 0));
        assert_eq!(member.assigned, assignment(&[0, 1]));
    }

    #[test]
    fn a_partition_of_another_is_waited_for() {
        let mut member = stable(0, &[]);
        member.reconcile(2, &assignment(&[0, 1]), None, |_, index| index == 0);
        assert_eq!((member.state, member.epoch), (MemberState::UnreleasedPartitions, 2));
        assert_eq!(member.assigned, assignment(&[0]));
        member.reconcile(2, &assignment(&[0, 1]), None, |_, _| true);
        assert_eq!((member.state, member.epoch), (MemberState::Stable, 2));
        assert_eq!(member.assigned, assignment(&[0, 1]));
    }

    #[test]
    fn a_member_stays_in_its_epoch_until_it_has_given_back_what_it_must() {
        let mut member = stable(1, &[0, 1]);
        member.reconcile(2, &assignment(&[0]), None, |_, _| true);
        assert_eq!((member.state, member.epoch), (MemberState::UnrevokedPartitions, 1));
        assert_eq!((&member.assigned, &member.pending_revocation), (&assignment(&[0]), &assignment(&[1])));
        let before = member.clone();
        member.reconcile(2, &assignment(&[0]), None, |_, _| true);
        assert_eq!(member, before);
        member.reconcile(2, &assignment(&[0]), Some(&assignment(&[0, 1])), |_, _| true);
        assert_eq!(member, before);
        member.reconcile(2, &assignment(&[0]), Some(&assignment(&[0])), |_, _| true);
        assert_eq!((member.state, member.epoch, member.previous_epoch), (MemberState::Stable, 2, 1));
        assert!(member.pending_revocation.is_empty());
    }

    #[test]
    fn a_member_that_has_revoked_goes_to_the_next_epoch_and_may_have_to_revoke_more() {
        let mut member = stable(1, &[0, 1, 2]);
        member.reconcile(2, &assignment(&[0, 1]), None, |_, _| true);
        member.reconcile(3, &assignment(&[0]), Some(&assignment(&[0, 1])), |_, _| true);
        assert_eq!((member.state, member.epoch), (MemberState::UnrevokedPartitions, 2));
        assert_eq!(member.pending_revocation, assignment(&[1]));
    }

    #[test]
    fn nothing_is_asked_back_that_the_member_does_not_have() {
        let mut member = stable(1, &[0, 1]);
        member.reconcile(2, &assignment(&[0, 2]), Some(&assignment(&[])), |_, _| true);
        assert_eq!((member.state, member.epoch), (MemberState::Stable, 2));
        assert_eq!(member.assigned, assignment(&[0, 2]));
    }
}
