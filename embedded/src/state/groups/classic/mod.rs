//! Classic groups: members join, and the leader among them assigns the partitions.

mod join;
mod leave;
mod member;
mod migration;
mod rebalance;
mod reply;
mod sync;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::ConsumerProtocolSubscription;

pub(crate) use self::join::{Join, MEMBER_ID_REQUIRED};
pub(crate) use self::leave::Leaving;
pub(crate) use self::member::Member;
pub(crate) use self::sync::Sync;

use super::{Committer, Env, TimerKind};
use crate::clock::Time;
use crate::wire;

/// The protocol type of consumers. Other clients, such as Kafka Connect, have other types.
pub(crate) const CONSUMER: &str = "consumer";

/// A classic group. A group in Kafka's state Dead does not exist here.
#[derive(Debug)]
pub(crate) struct ClassicGroup {
    state: State,
    previous_state: State,
    /// When the group entered its state.
    since: Time,
    generation: i32,
    protocol_type: Option<String>,
    /// The protocol of this generation.
    protocol: Option<String>,
    leader: Option<String>,
    members: BTreeMap<String, Member>,
    /// The ids of the static members, by instance id.
    static_members: HashMap<String, String>,
    /// The member ids that were assigned but have not joined yet.
    pending_members: BTreeSet<String>,
    /// The members of this generation that have not sent SyncGroup yet.
    pending_syncs: BTreeSet<String>,
    /// The topics that the members of this generation subscribe to, if their subscriptions can be decoded.
    subscribed: Option<BTreeSet<String>>,
    /// The delay of the first rebalance, in which more members may join.
    initial_wait: Option<InitialWait>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

#[derive(Debug, Clone, Copy)]
struct InitialWait {
    delay: i32,
    remaining: i32,
    /// Whether a member has joined since the delay started.
    new_member: bool,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

impl ClassicGroup {
    pub(crate) fn new(now: Time) -> Self {
        Self {
            state: State::Empty,
            previous_state: State::Empty,
            since: now,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            static_members: HashMap::new(),
            pending_members: BTreeSet::new(),
            pending_syncs: BTreeSet::new(),
            subscribed: None,
            initial_wait: None,
        }
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state == State::Empty
    }

    pub(crate) fn generation(&self) -> i32 {
        self.generation
    }

    /// Returns the protocol type of its members: [`CONSUMER`] or another type.
    pub(crate) fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    /// Returns the protocol of this generation. For consumers it is an assignor.
    pub(crate) fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    pub(crate) fn leader(&self) -> Option<&str> {
        self.leader.as_deref()
    }

    /// Returns the members by id.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, &Member)> {
        self.members.iter().map(|(id, member)| (id.as_str(), member))
    }

    fn is_of_consumers(&self) -> bool {
        self.protocol_type() == Some(CONSUMER)
    }

    fn transition(&mut self, state: State, now: Time) {
        self.previous_state = self.state;
        self.state = state;
        self.since = now;
    }

    /// Checks whether the member exists, by its member id and, if given, its instance id.
    fn check_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), ResponseError> {
        if let Some(instance) = instance_id {
            match self.static_members.get(instance) {
                None => return Err(ResponseError::UnknownMemberId),
                Some(known) if known != member_id => return Err(ResponseError::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(ResponseError::UnknownMemberId) }
    }

    /// Checks whether these offsets may be committed.
    pub(crate) fn check_commit(&self, by: &Committer<'_>, transactional: bool) -> Result<(), ResponseError> {
        if by.generation < 0 && self.is_empty() {
            return Ok(());
        }
        if by.generation >= 0 || !by.member_id.is_empty() || by.instance_id.is_some() {
            self.check_member(by.member_id, by.instance_id)?;
            if by.generation != self.generation {
                return Err(ResponseError::IllegalGeneration);
            }
        } else if !transactional {
            return Err(ResponseError::UnknownMemberId);
        }
        if !transactional && self.state == State::CompletingRebalance {
            return Err(ResponseError::RebalanceInProgress);
        }
        Ok(())
    }

    /// Extends the session, because a commit shows that the member is alive.
    pub(crate) fn heard_by_commit(&self, env: &mut Env<'_>, member_id: &str) {
        if let State::Stable | State::PreparingRebalance = self.state {
            self.heard_of(env, member_id);
        }
    }

    /// Restarts the session timeout of a member.
    fn heard_of(&self, env: &mut Env<'_>, member_id: &str) {
        if let Some(member) = self.members.get(member_id) {
            env.set_timer(TimerKind::ClassicSession, member_id, member.session_timeout);
        }
    }

    /// Responds to a heartbeat.
    pub(crate) fn heartbeat(
        &self,
        env: &mut Env<'_>,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), ResponseError> {
        self.check_member(member_id, instance_id)?;
        if generation != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        self.heard_of(env, member_id);
        if self.state == State::PreparingRebalance { Err(ResponseError::RebalanceInProgress) } else { Ok(()) }
    }

    /// Checks whether offsets of the group may be deleted.
    pub(crate) fn check_offset_delete(&self) -> Result<(), ResponseError> {
        if self.is_empty() || self.is_of_consumers() { Ok(()) } else { Err(ResponseError::NonEmptyGroup) }
    }

    /// Returns whether members may read a topic. If their subscriptions cannot be decoded, they may.
    pub(crate) fn is_subscribed_to(&self, topic: &str) -> bool {
        self.subscribed.as_ref().map_or_else(|| self.is_of_consumers(), |topics| topics.contains(topic))
    }

    /// Returns since when an offset with this commit time is unused, or `None` if it is in use.
    pub(crate) fn unused_since(&self, committed_at: Time) -> Option<Time> {
        match self.state {
            _ if self.protocol_type.is_none() => Some(committed_at),
            State::Empty => Some(self.since),
            State::Stable if self.is_of_consumers() && self.subscribed.is_some() => Some(committed_at),
            _ => None,
        }
    }

    /// Returns the topics that the members subscribe to.
    fn subscriptions(&self) -> Option<BTreeSet<String>> {
        if !self.is_of_consumers() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol()?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.extend(subscription(&member.metadata(protocol))?.topics.iter().map(ToString::to_string));
        }
        Some(topics)
    }
}

/// Decodes version 0 of a consumer's subscription.
fn subscription(metadata: &Bytes) -> Option<ConsumerProtocolSubscription> {
    let version = i16::from_be_bytes(*metadata.first_chunk::<2>()?);
    let body = metadata.slice(2..);
    if version < 0 { None } else { wire::decode(&body, 0).ok() }
}
