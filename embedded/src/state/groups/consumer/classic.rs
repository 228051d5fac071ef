//! Members of a consumer group that use the classic protocol. They see a classic group in which each rebalance completes when
//! they join, because the broker has already assigned the partitions.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{JoinGroupResponse, SyncGroupResponse};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::ConsumerGroup;
use super::embedded::{Subscription, encode_assignment};
use super::group::Settings;
use super::heartbeat::{check_instance, replacement};
use super::member::{ClassicMember, Member, MemberState};
use crate::state::groups::classic::{CONSUMER, ClassicGroup, Join, Leaving, MEMBER_ID_REQUIRED, Sync};
use crate::state::groups::{Env, TimerKind};
use crate::state::kafka_uuid;

impl ConsumerGroup {
    /// Adds a member. If a classic group is returned, it replaces this group.
    pub(crate) fn join_classic(&mut self, env: &mut Env<'_>, join: Join) -> Option<ClassicGroup> {
        let is_unknown = join.member_id.is_empty();
        let member_id = if is_unknown { kafka_uuid(Uuid::new_v4()) } else { join.member_id.clone() };
        let waiter = join.waiter;
        if is_unknown && join.instance_id.is_none() && waiter.version >= MEMBER_ID_REQUIRED {
            let error = self.check_join(env, &join, &member_id).err().unwrap_or(ResponseError::MemberIdRequired);
            let told = if error == ResponseError::MemberIdRequired { &*member_id } else { "" };
            env.refuse_join(waiter, told, error);
            return None;
        }
        let joined =
            self.check_join(env, &join, &member_id).and_then(|()| self.joined(env, &join, &member_id, is_unknown));
        let (member, classic) = match joined {
            Ok(joined) => joined,
            Err(error) => {
                env.refuse_join(waiter, "", error);
                return None;
            }
        };
        let text = |text: &str| StrBytes::from_string(text.to_owned());
        let protocol = join.protocols.first().map(|(name, _)| text(name));
        let response = JoinGroupResponse::default()
            .with_member_id(text(&member_id))
            .with_generation_id(member)
            .with_protocol_type(Some(StrBytes::from_static_str(CONSUMER)))
            .with_protocol_name(protocol);
        env.answer_join(waiter, response);
        env.cancel_timer(TimerKind::ConsumerJoin, &member_id);
        if classic.is_none() {
            env.set_timer(TimerKind::ConsumerSession, &member_id, join.session_timeout);
            env.set_timer(TimerKind::ConsumerSync, &member_id, join.rebalance_timeout);
        }
        classic
    }

    fn check_join(&self, env: &Env<'_>, join: &Join, member_id: &str) -> Result<(), ResponseError> {
        self.check_room(Settings::of(env.configs, env.id).max_size, member_id).map_err(|refusal| refusal.error)?;
        let classic = || self.members.values().filter_map(|member| member.classic.as_ref());
        let is_known = |name: &str| classic().all(|member| member.protocols.iter().any(|(known, _)| known == name));
        if join.protocol_type != CONSUMER || !join.protocols.iter().any(|(name, _)| is_known(name)) {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        Ok(())
    }

    /// Adds or updates a member, and returns its epoch. If the member replaces the last member of the new protocol, also
    /// returns the classic group that replaces this group.
    fn joined(
        &mut self,
        env: &mut Env<'_>,
        join: &Join,
        member_id: &str,
        is_unknown: bool,
    ) -> Result<(i32, Option<ClassicGroup>), ResponseError> {
        let known = join.instance_id.as_deref().map(|instance| (instance, self.static_member(instance)));
        let (old, replaced) = match known {
            Some((_, Some(known))) if is_unknown => (replacement(known, member_id), Some(known.id.clone())),
            Some((instance, known)) if !is_unknown => {
                (check_instance(known, instance, member_id).map_err(|refusal| refusal.error)?.clone(), None)
            }
            _ => (self.members.get(member_id).cloned().unwrap_or_else(|| Member::new(member_id)), None),
        };
        let metadata = join.protocols.first().map(|(_, metadata)| metadata.clone()).unwrap_or_default();
        let subscription = Subscription::decode(&metadata, env.topics).ok_or(ResponseError::UnknownServerError)?;
        let mut member = old.clone();
        member.instance_id = join.instance_id.clone().or(member.instance_id);
        member.rack_id = subscription.rack_id.or(member.rack_id);
        if join.rebalance_timeout != -1 {
            member.rebalance_timeout_ms = join.rebalance_timeout;
        }
        member.topics = subscription.topics;
        member.client_id.clone_from(&join.client_id);
        member.client_host.clone_from(&join.client_host);
        member.classic =
            Some(ClassicMember { session_timeout_ms: join.session_timeout, protocols: join.protocols.clone() });
        let downgrades = replaced.as_ref().is_some_and(|replaced| self.are_last_of_their_kind(&[&**replaced].into()));
        let epoch = self
            .update(env, None, old, replaced, member, Some(&subscription.owned))
            .map_err(|refusal| refusal.error)?
            .epoch;
        let classic = downgrades.then(|| self.to_classic(env, &BTreeSet::new())).flatten();
        Ok((epoch, classic))
    }

    pub(crate) fn sync_classic(&mut self, env: &mut Env<'_>, sync: Sync) {
        match self.synced(env, &sync) {
            Ok(response) => env.outbox.reply(sync.waiter.ticket, response),
            Err(error) => env.refuse_sync(sync.waiter, error),
        }
    }

    fn synced(&self, env: &mut Env<'_>, sync: &Sync) -> Result<SyncGroupResponse, ResponseError> {
        let (member, classic) = self.classic_member(&sync.member_id, sync.instance_id.as_deref())?;
        if sync.generation != member.epoch {
            return Err(ResponseError::IllegalGeneration);
        }
        let (protocol, metadata) = classic.protocols.first().ok_or(ResponseError::UnknownServerError)?;
        let differs = |told: &Option<String>, known: &str| told.as_deref().is_some_and(|told| told != known);
        if differs(&sync.protocol_type, CONSUMER) || differs(&sync.protocol, protocol) {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        // A member that has to revoke has already joined, and continues after it has revoked.
        if self.epoch > member.epoch && member.state != MemberState::UnrevokedPartitions {
            env.set_timer_if_absent(TimerKind::ConsumerJoin, &member.id, member.rebalance_timeout_ms);
            return Err(ResponseError::RebalanceInProgress);
        }
        let assignment =
            encode_assignment(&member.assigned, metadata, env.topics).ok_or(ResponseError::UnknownServerError)?;
        env.cancel_timer(TimerKind::ConsumerSync, &member.id);
        env.set_timer(TimerKind::ConsumerSession, &member.id, classic.session_timeout_ms);
        let text = |text: &Option<String>| text.clone().map(StrBytes::from_string);
        Ok(SyncGroupResponse::default()
            .with_protocol_type(text(&sync.protocol_type))
            .with_protocol_name(text(&sync.protocol))
            .with_assignment(assignment))
    }

    pub(crate) fn heartbeat_classic(
        &mut self,
        env: &mut Env<'_>,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), ResponseError> {
        let (member, classic) = self.classic_member(member_id, instance_id)?;
        if generation != member.epoch {
            return Err(ResponseError::IllegalGeneration);
        }
        env.set_timer(TimerKind::ConsumerSession, member_id, classic.session_timeout_ms);
        let has_to_join = match member.state {
            _ if member.epoch < self.epoch => true,
            MemberState::UnrevokedPartitions => true,
            MemberState::UnreleasedPartitions => !self.waits_for_others(member),
            MemberState::Stable => false,
        };
        if has_to_join {
            env.set_timer_if_absent(TimerKind::ConsumerJoin, member_id, member.rebalance_timeout_ms);
            return Err(ResponseError::RebalanceInProgress);
        }
        Ok(())
    }

    /// Returns whether other members still own some of its partitions.
    fn waits_for_others(&self, member: &Member) -> bool {
        let target = self.targets.get(&member.id);
        target.into_iter().flat_map(super::member::partitions).any(|(topic, index)| {
            !super::member::contains(&member.assigned, topic, index) && self.held.contains(&(topic, index))
        })
    }

    /// Removes members of either protocol, and returns the result for each. If a classic group is returned, it replaces this
    /// group.
    pub(crate) fn leave_classic(
        &mut self,
        env: &mut Env<'_>,
        members: &[Leaving],
    ) -> (Vec<Result<(), ResponseError>>, Option<ClassicGroup>) {
        let leaving: Vec<_> = members.iter().map(|leaving| self.leaving(leaving).map(str::to_owned)).collect();
        let ids: BTreeSet<&str> = leaving.iter().flatten().map(String::as_str).collect();
        let classic = if ids.is_empty() { None } else { self.fence(env, &ids) };
        (leaving.iter().map(|id| id.as_ref().map(drop).map_err(|error| *error)).collect(), classic)
    }

    /// Returns the id of a member that leaves. The instance id alone is enough.
    fn leaving(&self, leaving: &Leaving) -> Result<&str, ResponseError> {
        let member = match leaving.instance_id.as_deref() {
            Some(instance) if leaving.member_id.is_empty() => self.static_member(instance),
            Some(instance) => {
                let known = check_instance(self.static_member(instance), instance, &leaving.member_id);
                Some(known.map_err(|refusal| refusal.error)?)
            }
            None => self.members.get(&leaving.member_id),
        };
        member.map(|member| member.id.as_str()).ok_or(ResponseError::UnknownMemberId)
    }

    /// Returns a member that uses the classic protocol.
    fn classic_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(&Member, &ClassicMember), ResponseError> {
        let member = match instance_id {
            Some(instance) => {
                check_instance(self.static_member(instance), instance, member_id).map_err(|refusal| refusal.error)?
            }
            None => self.members.get(member_id).ok_or(ResponseError::UnknownMemberId)?,
        };
        Ok((member, member.classic.as_ref().ok_or(ResponseError::UnknownMemberId)?))
    }
}
