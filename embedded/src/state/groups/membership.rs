//! Requests of the classic protocol. A consumer group accepts them from members that have not migrated yet.

use kafka_protocol::ResponseError;

use super::classic::{Join, Leaving, Sync};
use super::{Around, ClassicGroup, Env, Group, Groups, Membership};

impl Groups {
    /// Adds a member. The response is sent through the outbox.
    pub(crate) fn join(&mut self, id: &str, join: Join, mut around: Around<'_>) {
        // Only a member without an id creates a group.
        if join.member_id.is_empty() {
            self.get_or_create(id, around.now);
        }
        if let Some(Group { membership, .. }) = self.by_id.get_mut(id)
            && matches!(membership, Membership::Consumer(group) if group.is_empty())
        {
            *membership = Membership::Classic(Box::new(ClassicGroup::new(around.now)));
        }
        match self.by_id.get_mut(id) {
            Some(Group { id, membership: Membership::Classic(group), .. }) => {
                group.join(&mut Env::new(id, &mut around, &mut self.timers), join);
            }
            Some(Group { id, membership, .. }) => {
                let Membership::Consumer(group) = membership else { return };
                let classic = group.join_classic(&mut Env::new(id, &mut around, &mut self.timers), join);
                if let Some(classic) = classic {
                    *membership = Membership::Classic(Box::new(classic));
                }
            }
            None => {
                let id = id.into();
                let mut env = Env::new(&id, &mut around, &mut self.timers);
                env.refuse_join(join.waiter, &join.member_id, ResponseError::UnknownMemberId);
            }
        }
    }

    /// Sends a member its assignment, at once or when the leader has sent it. The response is sent through the outbox.
    pub(crate) fn sync(&mut self, id: &str, sync: Sync, mut around: Around<'_>) {
        match self.by_id.get_mut(id) {
            Some(Group { id, membership: Membership::Classic(group), .. }) => {
                group.sync(&mut Env::new(id, &mut around, &mut self.timers), sync);
            }
            Some(Group { id, membership: Membership::Consumer(group), .. }) => {
                group.sync_classic(&mut Env::new(id, &mut around, &mut self.timers), sync);
            }
            None => {
                let id = id.into();
                Env::new(&id, &mut around, &mut self.timers).refuse_sync(sync.waiter, ResponseError::UnknownMemberId);
            }
        }
    }

    /// Records that a member is alive.
    pub(crate) fn heartbeat(
        &mut self,
        id: &str,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        mut around: Around<'_>,
    ) -> Result<(), ResponseError> {
        let Group { id, membership, .. } = self.by_id.get_mut(id).ok_or(ResponseError::UnknownMemberId)?;
        let env = &mut Env::new(id, &mut around, &mut self.timers);
        match membership {
            Membership::Classic(group) => group.heartbeat(env, member_id, instance_id, generation),
            Membership::Consumer(group) => group.heartbeat_classic(env, member_id, instance_id, generation),
        }
    }

    /// Removes members, and returns the result for each.
    pub(crate) fn leave(
        &mut self,
        id: &str,
        members: &[Leaving],
        mut around: Around<'_>,
    ) -> Vec<Result<(), ResponseError>> {
        let Some(Group { id, membership, .. }) = self.by_id.get_mut(id) else {
            return vec![Err(ResponseError::UnknownMemberId); members.len()];
        };
        let env = &mut Env::new(id, &mut around, &mut self.timers);
        match membership {
            Membership::Classic(group) => group.leave(env, members),
            Membership::Consumer(group) => {
                let (results, classic) = group.leave_classic(env, members);
                if let Some(classic) = classic {
                    *membership = Membership::Classic(Box::new(classic));
                }
                results
            }
        }
    }
}
