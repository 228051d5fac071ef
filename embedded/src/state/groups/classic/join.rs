//! Members that join a group.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use uuid::Uuid;

use super::reply::text;
use super::{ClassicGroup, Member, State};
use crate::state::groups::TimerKind;
use crate::state::groups::env::{Env, Waiter};

/// How long a new member may take from its first JoinGroup to the end of the rebalance.
const NEW_MEMBER_TIMEOUT: i32 = 5 * 60 * 1000;
/// Since this version, a dynamic member gets its id before it joins. So a client that disappears after its first request does
/// not delay the group (KIP-394).
pub(crate) const MEMBER_ID_REQUIRED: i16 = 4;
/// Since this version, the response can tell a replaced leader to skip the assignment.
const SKIP_ASSIGNMENT: i16 = 9;

/// A JoinGroup request.
#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) waiter: Waiter,
    /// The member id, empty in the first request.
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) rebalance_timeout: i32,
    pub(crate) session_timeout: i32,
    pub(crate) protocol_type: String,
    /// The protocols that the member supports, without duplicates, each with its subscription.
    pub(crate) protocols: Vec<(String, Bytes)>,
}

impl ClassicGroup {
    pub(crate) fn join(&mut self, env: &mut Env<'_>, join: Join) {
        if !self.has_room_for(env, &join.member_id) {
            self.remove(&join.member_id);
            return env.refuse_join(join.waiter, "", ResponseError::GroupMaxSizeReached);
        }
        if !self.suits(&join) {
            return env.refuse_join(join.waiter, &join.member_id, ResponseError::InconsistentGroupProtocol);
        }
        if join.member_id.is_empty() { self.join_new(env, join) } else { self.join_known(env, join) }
    }

    fn has_room_for(&self, env: &Env<'_>, member_id: &str) -> bool {
        let most = env.configs.broker_number("group.max.size");
        let member = self.members.get(member_id);
        match self.state {
            State::Empty => true,
            State::PreparingRebalance => {
                member.is_some_and(|member| member.joining.is_some()) || (self.joining() as i64) < most
            }
            State::CompletingRebalance | State::Stable => member.is_some() || (self.members.len() as i64) < most,
        }
    }

    /// Returns whether there is a protocol that all members and the joining member support.
    fn suits(&self, join: &Join) -> bool {
        if self.is_empty() {
            return !join.protocol_type.is_empty() && !join.protocols.is_empty();
        }
        let common = self.common_protocols();
        let mut names = join.protocols.iter().map(|(name, _)| name.as_str());
        self.protocol_type() == Some(&join.protocol_type)
            && names.any(|name| self.members.is_empty() || common.contains(name))
    }

    fn join_new(&mut self, env: &mut Env<'_>, join: Join) {
        let instance_id = join.instance_id.as_deref();
        let member_id = format!("{}-{}", instance_id.unwrap_or(&join.client_id), Uuid::new_v4());
        let known = instance_id.and_then(|instance| self.static_members.get(instance)).cloned();
        if let Some(known) = known {
            self.replace_static(env, join, &known, member_id);
        } else if instance_id.is_none() && join.waiter.version >= MEMBER_ID_REQUIRED {
            env.set_timer(TimerKind::ClassicSession, &member_id, join.session_timeout);
            env.refuse_join(join.waiter, &member_id, ResponseError::MemberIdRequired);
            self.pending_members.insert(member_id);
        } else {
            self.add(env, join, member_id);
        }
    }

    fn add(&mut self, env: &mut Env<'_>, join: Join, member_id: String) {
        if let Some(wait) = &mut self.initial_wait {
            wait.new_member = true;
        }
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type);
        }
        self.leader.get_or_insert_with(|| member_id.clone());
        if let Some(instance) = &join.instance_id {
            self.static_members.insert(instance.clone(), member_id.clone());
        }
        self.pending_members.remove(&member_id);
        env.set_timer(TimerKind::ClassicSession, &member_id, NEW_MEMBER_TIMEOUT);
        let member = Member {
            instance_id: join.instance_id,
            client_id: join.client_id,
            client_host: join.client_host,
            rebalance_timeout: join.rebalance_timeout,
            session_timeout: join.session_timeout,
            protocols: join.protocols,
            assignment: Bytes::new(),
            joining: Some(join.waiter),
            syncing: None,
            is_new: true,
        };
        self.members.insert(member_id, member);
        self.rebalance_or_complete(env);
    }

    fn join_known(&mut self, env: &mut Env<'_>, join: Join) {
        if self.pending_members.contains(&join.member_id) {
            if join.instance_id.is_some() {
                return env.refuse_join(join.waiter, "", ResponseError::UnknownServerError);
            }
            let member_id = join.member_id.clone();
            return self.add(env, join, member_id);
        }
        if let Err(error) = self.check_member(&join.member_id, join.instance_id.as_deref()) {
            return env.refuse_join(join.waiter, &join.member_id, error);
        }
        let Some(member) = self.members.get(&join.member_id) else { return };
        let is_leader = self.leader() == Some(&join.member_id);
        let unchanged = member.protocols == join.protocols;
        match self.state {
            State::CompletingRebalance if unchanged => {
                env.answer_join(join.waiter, self.joined(&join.member_id, is_leader));
            }
            State::Stable if unchanged && !is_leader => {
                env.answer_join(join.waiter, self.joined(&join.member_id, false));
            }
            State::Empty => env.refuse_join(join.waiter, &join.member_id, ResponseError::UnknownMemberId),
            _ => {
                let member_id = join.member_id.clone();
                self.update(&member_id, join);
                self.rebalance_or_complete(env);
            }
        }
    }

    /// Updates a member with the data of its new JoinGroup.
    fn update(&mut self, member_id: &str, join: Join) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.protocols = join.protocols;
            member.rebalance_timeout = join.rebalance_timeout;
            member.session_timeout = join.session_timeout;
            member.joining = Some(join.waiter);
        }
    }

    /// Replaces a static member that has restarted. It keeps its place and its assignment.
    fn replace_static(&mut self, env: &mut Env<'_>, join: Join, old_id: &str, new_id: String) {
        let Some(mut member) = self.members.remove(old_id) else { return };
        if let Some(waiter) = member.joining.take() {
            env.refuse_join(waiter, old_id, ResponseError::FencedInstanceId);
        }
        if let Some(waiter) = member.syncing.take() {
            env.refuse_sync(waiter, ResponseError::FencedInstanceId);
        }
        member.is_new = false;
        env.cancel_timer(TimerKind::ClassicSession, old_id);
        let old_leader = self.leader.clone();
        if self.leader() == Some(old_id) {
            self.leader = Some(new_id.clone());
        }
        self.static_members.extend(member.instance_id.clone().map(|instance| (instance, new_id.clone())));
        self.members.insert(new_id.clone(), member);
        self.heard_of(env, &new_id);
        let waiter = join.waiter;
        self.update(&new_id, join);
        match self.state {
            State::Stable if self.protocol() == self.select_protocol() => {
                let is_leader = self.leader() == Some(&new_id);
                let response = if waiter.version >= SKIP_ASSIGNMENT {
                    self.joined(&new_id, is_leader).with_skip_assignment(is_leader)
                } else {
                    // An old client that is the leader would assign again, so the response names the previous leader.
                    self.joined(&new_id, false).with_leader(text(&old_leader.unwrap_or_default()))
                };
                if let Some(member) = self.members.get_mut(&new_id) {
                    member.joining = None;
                }
                env.answer_join(waiter, response);
            }
            State::Stable => self.rebalance_or_complete(env),
            State::CompletingRebalance => self.prepare_rebalance(env),
            State::PreparingRebalance | State::Empty => self.complete_if_joined(env),
        }
    }

    /// Returns how many members have joined and wait for the others.
    pub(super) fn joining(&self) -> usize {
        self.members.values().filter(|member| member.joining.is_some()).count()
    }
}
