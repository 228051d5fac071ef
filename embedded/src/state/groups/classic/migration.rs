//! Migration between a classic group and a consumer group.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::{CONSUMER, ClassicGroup, Member, State};
use crate::state::groups::{Env, TimerKind};

impl ClassicGroup {
    /// Returns the reason why the group cannot become a consumer group, if there is one.
    pub(crate) fn bars_upgrade(&self, env: &Env<'_>) -> Option<&'static str> {
        let policy = env.configs.broker("group.consumer.migration.policy");
        if !["upgrade", "bidirectional"].iter().any(|allowed| policy.eq_ignore_ascii_case(allowed)) {
            Some("online upgrade is disabled")
        } else if self.protocol_type() != Some(CONSUMER) {
            Some("the group does not use the consumer embedded protocol")
        } else if self.members.len() as i64 > env.configs.broker_number("group.consumer.max.size") {
            Some("the group size exceeds the consumer group maximum size")
        } else {
            None
        }
    }

    /// Makes waiting members rejoin the group that replaces this one, and cancels the timers.
    pub(crate) fn dissolve(&mut self, env: &mut Env<'_>) {
        for (id, member) in &mut self.members {
            if let Some(waiter) = member.joining.take() {
                env.refuse_join(waiter, id, ResponseError::RebalanceInProgress);
            }
            if let Some(waiter) = member.syncing.take() {
                env.refuse_sync(waiter, ResponseError::RebalanceInProgress);
            }
        }
        for id in self.members.keys().chain(&self.pending_members) {
            env.cancel_timer(TimerKind::ClassicSession, id);
        }
        env.cancel_timer(TimerKind::ClassicJoin, "");
        env.cancel_timer(TimerKind::ClassicSync, "");
    }

    /// Creates a group with these members that continues a generation.
    pub(crate) fn stable(
        env: &mut Env<'_>,
        protocol_type: &str,
        generation: i32,
        members: BTreeMap<String, Member>,
    ) -> Self {
        let mut group = Self::new(env.now);
        group.state = State::Stable;
        group.generation = generation;
        group.protocol_type = Some(protocol_type.to_owned());
        group.leader = members.keys().next().cloned();
        let instances = members.iter().filter_map(|(id, member)| Some((member.instance_id.clone()?, id.clone())));
        group.static_members = instances.collect();
        group.members = members;
        group.protocol = group.select_protocol().map(str::to_owned);
        group.subscribed = group.subscriptions();
        group.members.keys().for_each(|id| group.heard_of(env, id));
        group
    }

    pub(crate) fn set_assignment(&mut self, member_id: &str, assignment: Bytes) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.assignment = assignment;
        }
    }
}
