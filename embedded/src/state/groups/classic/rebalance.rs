//! Rebalances: wait for the members, then choose the leader and the protocol.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use kafka_protocol::ResponseError;

use super::{ClassicGroup, InitialWait, Member, State};
use crate::state::groups::{Env, TimerKind};
use crate::state::java_bucket;

impl ClassicGroup {
    pub(super) fn rebalance_or_complete(&mut self, env: &mut Env<'_>) {
        if self.state == State::PreparingRebalance { self.complete_if_joined(env) } else { self.prepare_rebalance(env) }
    }

    /// Starts a rebalance. Heartbeats tell the members to rejoin.
    pub(in crate::state::groups) fn prepare_rebalance(&mut self, env: &mut Env<'_>) {
        if self.state == State::CompletingRebalance {
            self.cancel_syncs(env);
        }
        self.pending_syncs.clear();
        env.cancel_timer(TimerKind::ClassicSync, "");
        let is_initial = self.is_empty();
        self.transition(State::PreparingRebalance, env.now);
        if is_initial {
            let delay =
                i32::try_from(env.configs.broker_number("group.initial.rebalance.delay.ms")).unwrap_or(i32::MAX);
            let remaining = self.rebalance_timeout().saturating_sub(delay).max(0);
            self.initial_wait = Some(InitialWait { delay, remaining, new_member: false });
            env.set_timer(TimerKind::ClassicJoin, "", delay);
        } else if self.all_have_joined() {
            self.complete_join(env);
        } else {
            env.set_timer(TimerKind::ClassicJoin, "", self.rebalance_timeout());
        }
    }

    /// Completes the rebalance when all members have joined. The first rebalance waits for further members instead.
    pub(super) fn complete_if_joined(&mut self, env: &mut Env<'_>) {
        let waits = self.state == State::PreparingRebalance && self.previous_state != State::Empty;
        if waits && self.all_have_joined() {
            self.complete_join(env);
        }
    }

    /// Completes the rebalance if it only waited for a member that has left.
    pub(super) fn complete_without(&mut self, env: &mut Env<'_>) {
        if self.state == State::PreparingRebalance && self.all_have_joined() {
            self.complete_join(env);
        }
    }

    /// The rebalance timeout is over.
    pub(crate) fn join_timeout(&mut self, env: &mut Env<'_>) {
        if self.state != State::PreparingRebalance {
            return;
        }
        match &mut self.initial_wait {
            Some(wait) if wait.new_member && wait.remaining != 0 => {
                let most =
                    i32::try_from(env.configs.broker_number("group.initial.rebalance.delay.ms")).unwrap_or(i32::MAX);
                let delay = most.min(wait.remaining);
                let remaining = wait.remaining.saturating_sub(wait.delay).max(0);
                *wait = InitialWait { delay, remaining, new_member: false };
                env.set_timer(TimerKind::ClassicJoin, "", delay);
            }
            _ => self.complete_join(env),
        }
    }

    /// The time to send SyncGroup is over. Members that have not sent it are removed.
    pub(crate) fn sync_timeout(&mut self, env: &mut Env<'_>) {
        let in_time = matches!(self.state, State::CompletingRebalance | State::Stable);
        if !in_time || self.pending_syncs.is_empty() {
            return;
        }
        for member_id in std::mem::take(&mut self.pending_syncs) {
            self.remove(&member_id);
            env.cancel_timer(TimerKind::ClassicSession, &member_id);
        }
        self.prepare_rebalance(env);
    }

    fn all_have_joined(&self) -> bool {
        self.pending_members.is_empty() && self.members.values().all(|member| member.joining.is_some())
    }

    fn rebalance_timeout(&self) -> i32 {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default().max(0)
    }

    /// Starts the next generation with the members that have joined. Static members stay, because they may be restarting.
    fn complete_join(&mut self, env: &mut Env<'_>) {
        env.cancel_timer(TimerKind::ClassicJoin, "");
        self.initial_wait = None;
        let gone: Vec<String> = self
            .members
            .iter()
            .filter(|(_, member)| member.joining.is_none() && !member.is_static())
            .map(|(id, _)| id.clone())
            .collect();
        for member_id in gone {
            self.remove(&member_id);
            env.cancel_timer(TimerKind::ClassicSession, &member_id);
        }
        if !self.elect_leader() && !self.members.is_empty() {
            // No member has joined and all are static, so wait for them again.
            return env.set_timer(TimerKind::ClassicJoin, "", self.rebalance_timeout());
        }
        self.begin_generation(env);
        let member_ids: Vec<String> = self.members.keys().cloned().collect();
        for member_id in member_ids {
            let response = self.joined(&member_id, self.leader() == Some(&member_id));
            let Some(member) = self.members.get_mut(&member_id) else { continue };
            member.is_new = false;
            if let Some(waiter) = member.joining.take() {
                env.answer_join(waiter, response);
            }
            self.heard_of(env, &member_id);
            self.pending_syncs.insert(member_id);
        }
        if !self.members.is_empty() {
            env.set_timer(TimerKind::ClassicSync, "", self.rebalance_timeout());
        }
    }

    /// Makes a joined member the leader. Returns whether there is one.
    fn elect_leader(&mut self) -> bool {
        let has_joined = |id: &String| self.members.get(id).is_some_and(|member| member.joining.is_some());
        match &self.leader {
            None => false,
            Some(leader) if has_joined(leader) => true,
            Some(_) => match self.members.keys().find(|id| has_joined(id)) {
                Some(id) => {
                    self.leader = Some(id.clone());
                    true
                }
                None => false,
            },
        }
    }

    fn begin_generation(&mut self, env: &Env<'_>) {
        // The number starts again at 0 where Kafka's would become negative.
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        self.protocol = self.select_protocol().map(str::to_owned);
        self.subscribed = self.subscriptions();
        let state = if self.members.is_empty() { State::Empty } else { State::CompletingRebalance };
        self.transition(state, env.now);
        self.pending_syncs.clear();
    }

    /// Returns the protocols that all members support.
    pub(super) fn common_protocols(&self) -> HashSet<&str> {
        let mut members = self.members.values().map(Member::protocol_names);
        let mut common: HashSet<&str> = members.next().into_iter().flatten().collect();
        for names in members {
            let names: HashSet<&str> = names.collect();
            common.retain(|name| names.contains(name));
        }
        common
    }

    /// Returns the protocol that most members prefer among the protocols that all members support.
    pub(super) fn select_protocol(&self) -> Option<&str> {
        let common = self.common_protocols();
        let favourite =
            |member: &Member| common.get(member.protocol_names().find(|name| common.contains(name))?).copied();
        let mut votes: HashMap<&str, usize> = HashMap::new();
        for name in self.members.values().filter_map(favourite) {
            *votes.entry(name).or_default() += 1;
        }
        // If protocols have the same number of votes, the first one in Kafka's map wins.
        let by_rank = |(name, count): &(&str, usize)| (*count, Reverse(java_bucket(name, votes.len())));
        votes.iter().map(|(name, count)| (*name, *count)).max_by_key(by_rank).map(|(name, _)| name)
    }

    /// Refuses the waiting SyncGroup requests.
    fn cancel_syncs(&mut self, env: &mut Env<'_>) {
        let mut told = Vec::new();
        for (member_id, member) in &mut self.members {
            member.assignment.clear();
            if let Some(waiter) = member.syncing.take() {
                env.refuse_sync(waiter, ResponseError::RebalanceInProgress);
                told.push(member_id.clone());
            }
        }
        told.iter().for_each(|member_id| self.heard_of(env, member_id));
    }

    /// Removes a member. If it was the leader, another member becomes the leader.
    pub(super) fn remove(&mut self, member_id: &str) -> Option<Member> {
        let member = self.members.remove(member_id);
        if let Some(instance) = member.as_ref().and_then(|member| member.instance_id.as_ref()) {
            self.static_members.remove(instance);
        }
        if self.leader() == Some(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.pending_members.remove(member_id);
        self.pending_syncs.remove(member_id);
        member
    }
}
