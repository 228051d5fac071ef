//! The consequences of a change of a member or its topics: a new epoch, new targets and the next step of the member.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::assignors::{self, MemberSpec, Spec};
use super::group::{ConsumerGroup, Settings, most_wanted};
use super::member::{Assignment, Member, MemberState};
use super::pattern::Pattern;
use super::refusal::Refusal;
use crate::state::Topics;
use crate::state::acls::{Operation, ResourceType, Who};
use crate::state::groups::{ClassicGroup, Env, TimerKind};

impl ConsumerGroup {
    /// Updates a member that is new, has changed or has sent a heartbeat. If the update is refused, nothing changes.
    ///
    /// `old` is the previous state of the member, and `replaced` is the id of the static member that it replaces.
    pub(super) fn update(
        &mut self,
        env: &mut Env<'_>,
        who: Option<Who<'_>>,
        old: Member,
        replaced: Option<String>,
        mut member: Member,
        owned: Option<&Assignment>,
    ) -> Result<&Member, Refusal> {
        let resolved = match who {
            Some(who) => self.resolve(&member.regex, env, who)?,
            None => false,
        };
        // A new group leaves epoch 0. Withdrawing an expression is not a change by itself, as in Kafka.
        let other_regex = old.regex != member.regex && !member.regex.is_empty();
        let changed = self.epoch == 0 || old.topics != member.topics || other_regex;
        if let Some(replaced) = replaced.filter(|replaced| *replaced != member.id) {
            let target = self.targets.get(&replaced).cloned();
            self.remove(env, &replaced);
            self.targets.extend(target.map(|target| (member.id.clone(), target)));
            self.put(old);
        }
        let known = self.members.insert(member.id.clone(), member.clone());
        let is_fresh = self.refresh(changed, resolved, env.topics);
        if self.epoch > self.assignment_epoch {
            // If this heartbeat changes nothing, Kafka uses the earlier choice of the members.
            let others = self.members.values().filter(|other| is_fresh || other.id != member.id);
            let is_homogeneous = ask_for_the_same(others.chain(known.as_ref().filter(|_| !is_fresh)));
            let assignor = Settings::of(env.configs, env.id).default_assignor;
            self.assign(&member, known.is_none(), is_homogeneous, assignor);
        }
        match known {
            Some(known) => self.members.insert(member.id.clone(), known),
            None => self.members.remove(&member.id),
        };
        let none = Assignment::new();
        let target = self.targets.get(&member.id).unwrap_or(&none);
        let before = (member.state, member.epoch);
        member.reconcile(self.assignment_epoch, target, owned, |topic, index| !self.held.contains(&(topic, index)));
        if member.classic.is_some() || member.state != MemberState::UnrevokedPartitions {
            env.cancel_timer(TimerKind::ConsumerRebalance, &member.id);
        } else if before != (member.state, member.epoch) {
            env.set_timer(TimerKind::ConsumerRebalance, &member.id, member.rebalance_timeout_ms);
        }
        let id = member.id.clone();
        self.put(member);
        Ok(&self.members[&id])
    }

    /// Resolves the expressions if there is a new expression or the topics have changed. Returns whether the result has
    /// changed. As in Kafka, all expressions match only the topics that the requesting client may see.
    fn resolve(&mut self, regex: &str, env: &Env<'_>, who: Who<'_>) -> Result<bool, Refusal> {
        let is_new = !regex.is_empty() && !self.patterns.contains_key(regex);
        if is_new {
            self.patterns.insert(regex.to_owned(), Pattern::new(regex)?);
        }
        let topics = env.topics;
        if std::mem::replace(&mut self.patterns_version, topics.version()) == topics.version() && !is_new {
            return Ok(false);
        }
        let is_visible = |name: &str| env.acls.authorize(who, Operation::Describe, ResourceType::Topic, name);
        let mut changed = false;
        self.patterns.values_mut().for_each(|pattern| changed |= pattern.resolve(topics, is_visible));
        Ok(changed)
    }

    /// Increases the group epoch if the members' topics have changed. Returns whether it had to check the topics.
    fn refresh(&mut self, changed: bool, resolved: bool, topics: &Topics) -> bool {
        if !changed && !resolved && self.topics_version == topics.version() {
            return false;
        }
        self.topics_version = topics.version();
        let Self { patterns, members, .. } = self;
        patterns.retain(|regex, _| members.values().any(|member| member.regex == *regex));
        let metadata = self.known_topics(topics);
        if changed || metadata != self.metadata {
            self.epoch += 1;
        }
        self.metadata = metadata;
        true
    }

    /// Returns the existing topics of the members.
    pub(super) fn known_topics(&self, topics: &Topics) -> BTreeMap<String, (Uuid, i32)> {
        let named = self.members.values().flat_map(|member| &member.topics);
        let matching = self.patterns.values().flat_map(|pattern| &pattern.topics);
        named
            .chain(matching)
            .filter_map(|name| topics.get(name))
            .map(|topic| (topic.name.clone(), (topic.id, topic.partitions.len() as i32)))
            .collect()
    }

    /// Computes the target assignment after a change of this member.
    fn assign(&mut self, changed: &Member, is_new: bool, is_homogeneous: bool, default_assignor: &str) {
        let none = Assignment::new();
        let others = self.members.values().filter(|member| !is_new || member.id != changed.id);
        let members = others.chain(is_new.then_some(changed)).map(|member| {
            let matching = self.patterns.get(&member.regex).map(|pattern| &pattern.topics);
            let names = member.topics.iter().chain(matching.into_iter().flatten());
            MemberSpec {
                id: &member.id,
                instance_id: member.instance_id.as_deref(),
                topics: names.filter_map(|name| self.metadata.get(name)).map(|(id, _)| *id).collect(),
                before: self.targets.get(&member.id).unwrap_or(&none),
            }
        });
        let partitions = self.metadata.values().copied().collect();
        let spec = Spec { members: members.collect(), partitions, is_homogeneous };
        let assignor = most_wanted(self.members.values(), Some(changed)).unwrap_or(default_assignor);
        let targets = assignors::assign(assignor, spec);
        self.targets = targets.into_iter().collect();
        self.assignment_epoch = self.epoch;
    }

    /// Removes members, and frees their partitions for the others. If they are the last members of the new protocol, returns
    /// the classic group that replaces this group.
    pub(crate) fn fence(&mut self, env: &mut Env<'_>, member_ids: &BTreeSet<&str>) -> Option<ClassicGroup> {
        if self.members.len() > member_ids.len() && self.are_last_of_their_kind(member_ids) {
            let classic = self.to_classic(env, member_ids);
            if let Some(mut classic) = classic {
                classic.prepare_rebalance(env);
                return Some(classic);
            }
        }
        let gone = member_ids.iter().filter(|id| self.remove(env, id).is_some()).count();
        if gone > 0 {
            self.refresh(true, false, env.topics);
        }
        None
    }
}

/// Returns whether these members have the same subscriptions, including missing topics.
fn ask_for_the_same<'a>(mut members: impl Iterator<Item = &'a Member>) -> bool {
    let Some(first) = members.next() else { return true };
    members.all(|member| (&member.topics, &member.regex) == (&first.topics, &first.regex))
}
