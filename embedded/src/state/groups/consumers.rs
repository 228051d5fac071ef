//! Consumer groups: their creation and their heartbeats.

use std::sync::Arc;

use kafka_protocol::ResponseError;

use super::consumer::{Beat, Heartbeat, LEAVE_FOR_A_WHILE, Refusal};
use super::{Around, ConsumerGroup, Env, Group, Groups, Membership};

impl Groups {
    /// Processes a valid heartbeat of a member. The first member creates the group.
    pub(crate) fn consumer_heartbeat(&mut self, beat: &Heartbeat<'_>, mut around: Around<'_>) -> Result<Beat, Refusal> {
        if beat.leaves() {
            return self.consumer_leave(beat, &mut around);
        }
        match self.by_id.get_mut(beat.group_id) {
            Some(Group { id, membership, .. }) => {
                let env = &mut Env::new(id, &mut around, &mut self.timers);
                if let Membership::Consumer(group) = membership {
                    return group.heartbeat(env, beat);
                }
                let (group, answer) = change_over(env, membership, beat)?;
                *membership = Membership::Consumer(Box::new(group));
                Ok(answer)
            }
            None if beat.epoch != 0 => {
                let message = format!("Consumer group {} not found.", beat.group_id);
                Err(Refusal::new(ResponseError::GroupIdNotFound, message))
            }
            None => {
                let id: Arc<str> = beat.group_id.into();
                let mut group = ConsumerGroup::new();
                let answer = group.heartbeat(&mut Env::new(&id, &mut around, &mut self.timers), beat)?;
                self.get_or_create(&id, around.now).membership = Membership::Consumer(Box::new(group));
                Ok(answer)
            }
        }
    }

    fn consumer_leave(&mut self, beat: &Heartbeat<'_>, around: &mut Around<'_>) -> Result<Beat, Refusal> {
        let member_id = self.consumer(beat.group_id)?.check_leave(beat.group_id, beat)?.to_owned();
        if beat.epoch != LEAVE_FOR_A_WHILE {
            self.fence_consumer(beat.group_id, &member_id, around);
        } else if let Some(Group { id, membership: Membership::Consumer(group), .. }) =
            self.by_id.get_mut(beat.group_id)
        {
            group.leave_for_a_while(&mut Env::new(id, around, &mut self.timers), &member_id);
        }
        Ok(Beat { member_id, epoch: beat.epoch, interval_ms: 0, assignment: None })
    }

    /// Returns the consumer group with this id.
    pub(crate) fn consumer(&self, id: &str) -> Result<&ConsumerGroup, Refusal> {
        match self.get(id).map(|group| &group.membership) {
            Some(Membership::Consumer(group)) => Ok(group),
            Some(Membership::Classic(_)) => Err(no_consumer_group(id)),
            None => Err(Refusal::new(ResponseError::GroupIdNotFound, format!("Group {id} not found."))),
        }
    }

    /// Removes a member that leaves, whose session has expired, or that has not revoked its partitions in time.
    pub(super) fn fence_consumer(&mut self, id: &str, member_id: &str, around: &mut Around<'_>) {
        let Some(Group { id, membership, .. }) = self.by_id.get_mut(id) else { return };
        let env = &mut Env::new(id, around, &mut self.timers);
        let Membership::Consumer(group) = membership else { return };
        if let Some(classic) = group.fence(env, &[member_id].into()) {
            *membership = Membership::Classic(Box::new(classic));
        }
    }
}

/// Converts a classic group to a consumer group for a member that joins.
fn change_over(
    env: &mut Env<'_>,
    membership: &mut Membership,
    beat: &Heartbeat<'_>,
) -> Result<(ConsumerGroup, Beat), Refusal> {
    let id = env.id.clone();
    let Membership::Classic(classic) = membership else { return Err(no_consumer_group(&id)) };
    if beat.epoch != 0 {
        return Err(no_consumer_group(&id));
    }
    let barred = |reason: &str| {
        let message = format!("Cannot upgrade classic group {id} to consumer group because {reason}.");
        Refusal::new(ResponseError::GroupIdNotFound, message)
    };
    let mut group = if classic.is_empty() {
        ConsumerGroup::new()
    } else if let Some(reason) = classic.bars_upgrade(env) {
        return Err(barred(reason));
    } else {
        ConsumerGroup::from_classic(env, classic).map_err(barred)?
    };
    let answer = group.heartbeat(env, beat)?;
    classic.dissolve(env);
    group.watch_classic_members(env);
    Ok((group, answer))
}

fn no_consumer_group(id: &str) -> Refusal {
    Refusal::new(ResponseError::GroupIdNotFound, format!("Group {id} is not a consumer group."))
}
