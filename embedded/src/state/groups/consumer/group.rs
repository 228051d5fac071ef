//! A consumer group: its members, their targets and its epochs.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

use kafka_protocol::ResponseError;
use uuid::Uuid;

use super::assignors::ASSIGNORS;
use super::member::{Assignment, Member};
use super::pattern::Pattern;
use crate::state::configs::Configs;
use crate::state::groups::{Committer, Env, TimerKind};
use crate::state::java_bucket;

/// A group whose members get their partitions with ConsumerGroupHeartbeat (KIP-848).
#[derive(Debug, Clone)]
pub(crate) struct ConsumerGroup {
    pub(crate) members: BTreeMap<String, Member>,
    /// The ids of the static members, by instance id.
    pub(super) static_members: BTreeMap<String, String>,
    /// The group epoch, which increases with every change that affects the target assignment.
    pub(crate) epoch: i32,
    /// The epoch of the target assignment.
    pub(crate) assignment_epoch: i32,
    pub(super) targets: BTreeMap<String, Assignment>,
    /// The partitions that members own or still have to revoke.
    pub(super) held: HashSet<(Uuid, i32)>,
    /// The regular expressions of the members.
    pub(super) patterns: BTreeMap<String, Pattern>,
    /// The existing subscribed topics of this epoch, with their ids and numbers of partitions.
    pub(super) metadata: BTreeMap<String, (Uuid, i32)>,
    /// The version of the cluster's topics from which `metadata` was derived.
    pub(super) topics_version: u64,
    /// The version of the topics to which the expressions were resolved.
    pub(super) patterns_version: u64,
}

/// The configuration of consumer groups.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings<'a> {
    pub(crate) session_timeout_ms: i32,
    pub(crate) heartbeat_interval_ms: i32,
    pub(crate) max_size: usize,
    /// The assignor of members that do not choose one.
    pub(crate) default_assignor: &'a str,
}

impl<'a> Settings<'a> {
    pub(crate) fn of(configs: &'a Configs, group: &str) -> Self {
        let number = |number: i64| number.clamp(0, i64::from(i32::MAX)) as i32;
        let assignors = configs.broker("group.consumer.assignors").split(',').map(str::trim);
        Self {
            session_timeout_ms: number(configs.group_number(group, "consumer.session.timeout.ms")),
            heartbeat_interval_ms: number(configs.group_number(group, "consumer.heartbeat.interval.ms")),
            max_size: number(configs.broker_number("group.consumer.max.size")) as usize,
            default_assignor: assignors.into_iter().find(|name| ASSIGNORS.contains(name)).unwrap_or(ASSIGNORS[0]),
        }
    }
}

/// The states of a group. The variants have Kafka's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupState {
    Empty,
    /// The target assignment is older than the group epoch.
    Assigning,
    /// Some members do not have their target assignment yet.
    Reconciling,
    Stable,
}

impl GroupState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
        }
    }
}

impl ConsumerGroup {
    pub(crate) fn new() -> Self {
        Self {
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            epoch: 0,
            assignment_epoch: 0,
            targets: BTreeMap::new(),
            held: HashSet::new(),
            patterns: BTreeMap::new(),
            metadata: BTreeMap::new(),
            topics_version: 0,
            patterns_version: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(crate) fn state(&self) -> GroupState {
        if self.members.is_empty() {
            GroupState::Empty
        } else if self.epoch > self.assignment_epoch {
            GroupState::Assigning
        } else if self.members.values().all(|member| member.is_reconciled_to(self.assignment_epoch)) {
            GroupState::Stable
        } else {
            GroupState::Reconciling
        }
    }

    pub(super) fn static_member(&self, instance_id: &str) -> Option<&Member> {
        self.members.get(self.static_members.get(instance_id)?)
    }

    /// Returns the target assignment of a member.
    pub(crate) fn target(&self, member_id: &str) -> Option<&Assignment> {
        self.targets.get(member_id)
    }

    /// Returns the assignor that most members choose.
    pub(crate) fn assignor<'a>(&'a self, default: &'a str) -> &'a str {
        most_wanted(self.members.values(), None).unwrap_or(default)
    }

    /// Returns whether a member reads this topic.
    pub(crate) fn is_subscribed_to(&self, topic: &str) -> bool {
        self.metadata.contains_key(topic)
    }

    /// Checks whether these offsets may be committed.
    pub(crate) fn check_commit(
        &self,
        by: &Committer<'_>,
        transactional: bool,
        version: i16,
    ) -> Result<(), ResponseError> {
        if by.generation < 0 && self.members.is_empty() {
            return Ok(());
        }
        // A producer may commit without naming a member.
        if transactional && by.generation == -1 && by.member_id.is_empty() && by.instance_id.is_none() {
            return Ok(());
        }
        let member = self.members.get(by.member_id).ok_or(ResponseError::UnknownMemberId)?;
        if !transactional && member.classic.is_none() && version < 9 {
            return Err(ResponseError::UnsupportedVersion);
        }
        check_epoch(member, by.generation)
    }

    /// Checks whether committed offsets may be read.
    pub(crate) fn check_fetch(&self, member_id: Option<&str>, epoch: i32) -> Result<(), ResponseError> {
        let member_id = match member_id {
            Some(member_id) => member_id,
            None if epoch < 0 => return Ok(()),
            // Kafka fails when it looks up a member without an id.
            None => return Err(ResponseError::UnknownServerError),
        };
        let member = self.members.get(member_id).ok_or(ResponseError::UnknownMemberId)?;
        check_epoch(member, epoch)
    }

    /// Replaces the member with the same id.
    pub(super) fn put(&mut self, member: Member) {
        self.release(&member.id);
        self.held.extend(member.held());
        if let Some(instance_id) = &member.instance_id {
            self.static_members.insert(instance_id.clone(), member.id.clone());
        }
        self.members.insert(member.id.clone(), member);
    }

    /// Removes a member with its target assignment and timers, and frees its partitions.
    pub(super) fn remove(&mut self, env: &mut Env<'_>, member_id: &str) -> Option<Member> {
        self.release(member_id);
        for kind in TimerKind::OF_CONSUMERS {
            env.cancel_timer(kind, member_id);
        }
        self.targets.remove(member_id);
        let member = self.members.remove(member_id)?;
        if let Some(instance_id) = &member.instance_id {
            self.static_members.remove(instance_id);
        }
        Some(member)
    }

    fn release(&mut self, member_id: &str) {
        if let Some(member) = self.members.get(member_id) {
            for partition in member.held() {
                self.held.remove(&partition);
            }
        }
    }
}

fn check_epoch(member: &Member, epoch: i32) -> Result<(), ResponseError> {
    match &member.classic {
        _ if member.epoch == epoch => Ok(()),
        Some(_) => Err(ResponseError::IllegalGeneration),
        None => Err(ResponseError::StaleMemberEpoch),
    }
}

/// Returns the assignor that most of these members choose, if any member chooses one.
pub(super) fn most_wanted<'a>(
    members: impl Iterator<Item = &'a Member>,
    changed: Option<&'a Member>,
) -> Option<&'a str> {
    let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
    for assignor in members.filter_map(|member| member.server_assignor.as_deref()) {
        *votes.entry(assignor).or_default() += 1;
    }
    // If assignors have the same number of votes, the first one in Kafka's map wins: a new entry, or otherwise the order of
    // hashes.
    let new = changed.and_then(|member| member.server_assignor.as_deref());
    votes
        .into_iter()
        .max_by_key(|(name, count)| (*count, *count == 1 && new == Some(name), Reverse(java_bucket(name, 2))))
        .map(|(name, _)| name)
}
