//! A member of a consumer group, and the moves of its assignment.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use uuid::Uuid;

/// Partitions by the id of their topic. No topic is there with no partitions.
pub(crate) type Assignment = BTreeMap<Uuid, BTreeSet<i32>>;

/// How far a member is on its way to its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum MemberState {
    /// It has what its epoch gives it.
    #[default]
    Stable,
    /// It has to give partitions back.
    UnrevokedPartitions,
    /// Some of its partitions are still with others.
    UnreleasedPartitions,
}

/// The epoch that asks to leave.
pub(crate) const LEAVE: i32 = -1;
/// The epoch by which a static member leaves for a while, and the epoch that it has meanwhile.
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
    /// Empty for none.
    pub(crate) regex: String,
    pub(crate) server_assignor: Option<String>,
    pub(crate) epoch: i32,
    pub(crate) previous_epoch: i32,
    pub(crate) state: MemberState,
    pub(crate) assigned: Assignment,
    pub(crate) pending_revocation: Assignment,
    /// What it has sent in JoinGroup, if it speaks the classic protocol.
    pub(crate) classic: Option<ClassicMember>,
}

/// What a member that speaks the classic protocol has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClassicMember {
    pub(crate) session_timeout_ms: i32,
    /// Its assignors by name, each with its subscription; the first is the one that it likes best.
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

    /// Whether it has reached the target of this epoch.
    pub(crate) fn is_reconciled_to(&self, epoch: i32) -> bool {
        self.state == MemberState::Stable && self.epoch == epoch
    }

    /// All partitions that nobody else may have: what it has, and what it has to give back.
    pub(crate) fn held(&self) -> impl Iterator<Item = (Uuid, i32)> {
        partitions(&self.assigned).chain(partitions(&self.pending_revocation))
    }

    /// Takes the next step to its target, if there is one.
    ///
    /// `owned` is what the member says that it has; it says nothing while nothing has changed. `is_free` tells whether
    /// nobody holds a partition.
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
            // It has given back what that epoch asked for, whatever the next one asks.
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

/// Whether a member still has some of these partitions. One that does not say what it has may have them.
fn owns_any(owned: Option<&Assignment>, partitions: &Assignment) -> bool {
    owned.is_none_or(|owned| {
        owned.iter().any(|(topic, owned)| partitions.get(topic).is_some_and(|asked| !owned.is_disjoint(asked)))
    })
}

/// The partitions of an assignment, one by one.
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
