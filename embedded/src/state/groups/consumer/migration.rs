//! Migration of a group with its members from one protocol to the other.

use std::collections::{BTreeMap, BTreeSet};

use super::ConsumerGroup;
use super::embedded::{MALFORMED, Subscription, decode_assignment, encode_assignment};
use super::member::{ClassicMember, Member};
use crate::state::groups::classic::{self, CONSUMER, ClassicGroup};
use crate::state::groups::{Env, TimerKind};

impl ConsumerGroup {
    /// Converts a classic group to a consumer group. The members keep their partitions and their protocol. If that is not
    /// possible, returns the reason.
    pub(crate) fn from_classic(env: &Env<'_>, classic: &ClassicGroup) -> Result<Self, &'static str> {
        let mut group = Self { epoch: classic.generation(), assignment_epoch: classic.generation(), ..Self::new() };
        for (id, member) in classic.members() {
            let assigned = decode_assignment(&member.assignment, env.topics)?;
            let metadata = member.metadata(classic.protocol().ok_or(MALFORMED)?);
            let subscription = Subscription::decode(&metadata, env.topics).ok_or(MALFORMED)?;
            group.targets.insert(id.to_owned(), assigned.clone());
            group.put(Member {
                instance_id: member.instance_id.clone(),
                rack_id: subscription.rack_id,
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                rebalance_timeout_ms: member.rebalance_timeout,
                topics: subscription.topics,
                epoch: group.epoch,
                previous_epoch: group.epoch,
                assigned,
                classic: Some(ClassicMember {
                    session_timeout_ms: member.session_timeout,
                    protocols: member.protocols.clone(),
                }),
                ..Member::new(id)
            });
        }
        group.metadata = group.known_topics(env.topics);
        group.topics_version = env.topics.version();
        Ok(group)
    }

    /// Starts the session timeouts of the members that use the classic protocol.
    pub(crate) fn watch_classic_members(&self, env: &mut Env<'_>) {
        for (id, member) in &self.members {
            if let Some(classic) = &member.classic {
                env.set_timer(TimerKind::ConsumerSession, id, classic.session_timeout_ms);
            }
        }
    }

    /// Returns whether these are all members of the new protocol, and only those.
    pub(super) fn are_last_of_their_kind(&self, member_ids: &BTreeSet<&str>) -> bool {
        self.members.iter().all(|(id, member)| member.classic.is_some() != member_ids.contains(&**id))
    }

    /// Returns the group as a classic group without these members, or `None` if that is not allowed.
    pub(super) fn to_classic(&self, env: &mut Env<'_>, without: &BTreeSet<&str>) -> Option<ClassicGroup> {
        let policy = env.configs.broker("group.consumer.migration.policy");
        let members = || self.members.iter().filter(|(id, _)| !without.contains(&***id));
        let most = env.configs.broker_number("group.max.size");
        let allowed = ["downgrade", "bidirectional"].iter().any(|allowed| policy.eq_ignore_ascii_case(allowed));
        if !allowed || members().count() as i64 > most {
            return None;
        }
        let mut converted: BTreeMap<String, classic::Member> = BTreeMap::new();
        for (id, member) in members() {
            let told = member.classic.as_ref()?;
            converted.insert(id.clone(), as_classic(member, told));
        }
        let mut group = ClassicGroup::stable(env, CONSUMER, self.epoch, converted);
        let protocol = group.protocol().unwrap_or_default().to_owned();
        let none = Default::default();
        for (id, member) in members() {
            let metadata = member.classic.iter().flat_map(|told| &told.protocols).find(|(name, _)| *name == protocol);
            let target = self.targets.get(id).unwrap_or(&none);
            let assignment = metadata.and_then(|(_, metadata)| encode_assignment(target, metadata, env.topics));
            group.set_assignment(id, assignment.unwrap_or_default());
        }
        for id in self.members.keys() {
            TimerKind::OF_CONSUMERS.iter().for_each(|kind| env.cancel_timer(*kind, id));
        }
        Some(group)
    }
}

fn as_classic(member: &Member, told: &ClassicMember) -> classic::Member {
    classic::Member {
        instance_id: member.instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        rebalance_timeout: member.rebalance_timeout_ms,
        session_timeout: told.session_timeout_ms,
        protocols: told.protocols.clone(),
        assignment: Default::default(),
        joining: None,
        syncing: None,
        is_new: false,
    }
}
