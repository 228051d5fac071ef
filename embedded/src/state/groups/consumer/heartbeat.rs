//! ConsumerGroupHeartbeat: a member joins, stays, or leaves.

use kafka_protocol::ResponseError;
use uuid::Uuid;

use super::group::{ConsumerGroup, Settings};
use super::member::{Assignment, LEAVE_FOR_A_WHILE, Member, contains, partitions};
use super::refusal::Refusal;
use super::request::Heartbeat;
use crate::state::groups::{Env, TimerKind};
use crate::state::kafka_uuid;

/// The response to a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Beat {
    pub(crate) member_id: String,
    pub(crate) epoch: i32,
    /// The heartbeat interval, or 0 for a member that leaves.
    pub(crate) interval_ms: i32,
    /// The assignment, if the member does not know it yet or asks for it again.
    pub(crate) assignment: Option<Assignment>,
}

impl ConsumerGroup {
    /// Processes a heartbeat of a member that stays, or joins with epoch 0.
    pub(crate) fn heartbeat(&mut self, env: &mut Env<'_>, beat: &Heartbeat<'_>) -> Result<Beat, Refusal> {
        let settings = Settings::of(env.configs, env.id);
        self.check_room(settings.max_size, beat.member_id)?;
        let generated;
        let member_id = if beat.member_id.is_empty() {
            generated = kafka_uuid(Uuid::new_v4());
            &generated
        } else {
            beat.member_id
        };
        let (old, replaced) = self.find(env.id, beat, member_id)?;
        let mut member = old.clone();
        member.instance_id = beat.instance_id.map(str::to_owned).or(member.instance_id);
        member.rack_id = beat.rack_id.map(str::to_owned).or(member.rack_id);
        if beat.rebalance_timeout_ms != -1 {
            member.rebalance_timeout_ms = beat.rebalance_timeout_ms;
        }
        member.server_assignor = beat.assignor.map(str::to_owned).or(member.server_assignor);
        if let Some(topics) = &beat.topics {
            member.topics.clone_from(topics);
        }
        if let Some(regex) = beat.regex {
            regex.clone_into(&mut member.regex);
        }
        beat.client_id.clone_into(&mut member.client_id);
        beat.client_host.clone_into(&mut member.client_host);
        member.classic = None;

        let before = old.assigned.clone();
        let member = self.update(env, Some(beat.who), old, replaced, member, beat.owned.as_ref())?;
        let changed = beat.is_full() || member.assigned != before;
        let answer = Beat {
            member_id: member.id.clone(),
            epoch: member.epoch,
            interval_ms: settings.heartbeat_interval_ms,
            assignment: changed.then(|| member.assigned.clone()),
        };
        env.set_timer(TimerKind::ConsumerSession, member_id, settings.session_timeout_ms);
        Ok(answer)
    }

    pub(super) fn check_room(&self, most: usize, member_id: &str) -> Result<(), Refusal> {
        if self.members.len() >= most && !self.members.contains_key(member_id) {
            let message = format!("The consumer group has reached its maximum capacity of {most} members.");
            return Err(Refusal::new(ResponseError::GroupMaxSizeReached, message));
        }
        Ok(())
    }

    /// Returns the previous state of the member, and the id of the static member that it replaces.
    fn find(&self, id: &str, beat: &Heartbeat<'_>, member_id: &str) -> Result<(Member, Option<String>), Refusal> {
        let joins = beat.epoch == 0;
        let Some(instance_id) = beat.instance_id else {
            let member = match self.members.get(member_id) {
                Some(member) => member.clone(),
                None if joins => Member::new(member_id),
                None => return Err(Refusal::unknown_member(member_id, id)),
            };
            check_epoch(&member, beat.epoch, beat.owned.as_ref())?;
            return Ok((member, None));
        };
        let known = self.static_member(instance_id);
        if joins {
            let Some(known) = known else {
                return Ok((self.members.get(member_id).cloned().unwrap_or_else(|| Member::new(member_id)), None));
            };
            if known.classic.is_none() && known.epoch != LEAVE_FOR_A_WHILE {
                let message = format!(
                    "Static member {member_id} with instance id {instance_id} cannot join the group because the \
                     instance id is owned by {} member.",
                    known.id
                );
                return Err(Refusal::new(ResponseError::UnreleasedInstanceId, message));
            }
            return Ok((replacement(known, member_id), Some(known.id.clone())));
        }
        let known = check_instance(known, instance_id, member_id)?;
        check_epoch(known, beat.epoch, beat.owned.as_ref())?;
        Ok((known.clone(), None))
    }

    /// Returns the id of the member that leaves.
    pub(crate) fn check_leave(&self, id: &str, beat: &Heartbeat<'_>) -> Result<&str, Refusal> {
        let member = match beat.instance_id {
            None => self.members.get(beat.member_id).ok_or_else(|| Refusal::unknown_member(beat.member_id, id)),
            Some(instance_id) => check_instance(self.static_member(instance_id), instance_id, beat.member_id),
        };
        member.map(|member| member.id.as_str())
    }

    /// Removes a static member temporarily. Its partitions stay assigned until its session expires.
    pub(crate) fn leave_for_a_while(&mut self, env: &mut Env<'_>, member_id: &str) {
        let Some(member) = self.members.get(member_id) else { return };
        let mut member = member.clone();
        member.epoch = LEAVE_FOR_A_WHILE;
        member.pending_revocation.clear();
        env.cancel_timer(TimerKind::ConsumerRebalance, member_id);
        self.put(member);
    }
}

/// Creates the replacement of a static member, which differs only in its id.
pub(super) fn replacement(known: &Member, member_id: &str) -> Member {
    Member { id: member_id.to_owned(), epoch: 0, previous_epoch: 0, ..known.clone() }
}

/// Returns the static member if the request comes from it.
pub(super) fn check_instance<'a>(
    known: Option<&'a Member>,
    instance_id: &str,
    member_id: &str,
) -> Result<&'a Member, Refusal> {
    let known = known.ok_or_else(|| {
        Refusal::new(ResponseError::UnknownMemberId, format!("Instance id {instance_id} is unknown."))
    })?;
    if known.id != member_id {
        let message =
            format!("Static member {member_id} with instance id {instance_id} was fenced by member {}.", known.id);
        return Err(Refusal::new(ResponseError::FencedInstanceId, message));
    }
    Ok(known)
}

/// Checks the member epoch of a heartbeat.
fn check_epoch(member: &Member, epoch: i32, owned: Option<&Assignment>) -> Result<(), Refusal> {
    if epoch == member.epoch {
        return Ok(());
    }
    // The response with the new epoch may have been lost.
    let subset =
        owned.is_some_and(|owned| partitions(owned).all(|(topic, index)| contains(&member.assigned, topic, index)));
    if epoch < member.epoch && epoch == member.previous_epoch && subset {
        return Ok(());
    }
    let than = if epoch > member.epoch { "greater" } else { "smaller" };
    let message = format!(
        "The consumer group member has a {than} member epoch ({epoch}) than the one known by the group coordinator ({}). \
         The member must abandon all its partitions and rejoin.",
        member.epoch
    );
    Err(Refusal::new(ResponseError::FencedMemberEpoch, message))
}
