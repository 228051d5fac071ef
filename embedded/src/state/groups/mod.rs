//! The groups, with their members and committed offsets.

pub(crate) mod classic;
mod commits;
pub(crate) mod consumer;
mod consumers;
mod deletion;
pub(crate) mod env;
mod membership;
pub(crate) mod offsets;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use kafka_protocol::ResponseError;

pub(crate) use self::classic::ClassicGroup;
pub(crate) use self::commits::{Commit, Committals, Committer, NewOffset};
pub(crate) use self::consumer::ConsumerGroup;
pub(crate) use self::env::{Around, Env, Waiter};
pub(crate) use self::offsets::{Committed, Offsets};

use super::configs::Configs;
use super::timers::Timers;
use crate::clock::Time;

/// All groups, by id.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    by_id: BTreeMap<Arc<str>, Group>,
    /// The groups with pending offsets of a producer's open transaction, by producer id.
    open: HashMap<i64, BTreeSet<Arc<str>>>,
    pub(crate) timers: Timers<Timer>,
    /// The number of offsets that were ever committed.
    commits: u64,
    /// When expired offsets were last checked, if there are groups.
    cleaned_at: Option<Time>,
}

/// A group: its members, and its offsets, which are kept when the members leave.
#[derive(Debug)]
pub(crate) struct Group {
    id: Arc<str>,
    pub(crate) membership: Membership,
    pub(crate) offsets: Offsets,
    /// The pending offsets of open transactions, by producer id.
    pending: BTreeMap<i64, Offsets>,
}

/// The membership protocol of a group.
#[derive(Debug)]
pub(crate) enum Membership {
    /// JoinGroup and SyncGroup. A group that only commits offsets is a classic group without members.
    Classic(Box<ClassicGroup>),
    /// ConsumerGroupHeartbeat (KIP-848).
    Consumer(Box<ConsumerGroup>),
}

/// A timer of a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Timer {
    pub(crate) group: Arc<str>,
    pub(crate) kind: TimerKind,
    /// The member of the timer, if it has one.
    pub(crate) member: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum TimerKind {
    /// The session of a classic member has expired.
    ClassicSession,
    /// The rebalance timeout of a classic group is over.
    ClassicJoin,
    /// The time of a classic group to send SyncGroup is over.
    ClassicSync,
    /// The session of a member of a consumer group has expired.
    ConsumerSession,
    /// A member of a consumer group has not revoked its partitions in time.
    ConsumerRebalance,
    /// A classic member of a consumer group has not rejoined in time.
    ConsumerJoin,
    /// A classic member of a consumer group has rejoined, but has not sent SyncGroup in time.
    ConsumerSync,
}

impl TimerKind {
    /// The timers of a member of a consumer group.
    pub(crate) const OF_CONSUMERS: [Self; 4] =
        [Self::ConsumerSession, Self::ConsumerRebalance, Self::ConsumerJoin, Self::ConsumerSync];
}

impl Group {
    fn new(id: Arc<str>, now: Time) -> Self {
        Self {
            id,
            membership: Membership::Classic(Box::new(ClassicGroup::new(now))),
            offsets: Offsets::default(),
            pending: BTreeMap::new(),
        }
    }

    /// Returns the offsets of each open transaction.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &Offsets> {
        self.pending.values()
    }

    /// Returns whether an open transaction contains an offset for this partition.
    pub(crate) fn is_pending(&self, topic: &str, partition: i32) -> bool {
        self.pending.values().any(|offsets| offsets.get(topic, partition).is_some())
    }

    /// Checks whether an OffsetFetch with this member is served.
    pub(crate) fn check_fetch(&self, member_id: Option<&str>, member_epoch: i32) -> Result<(), ResponseError> {
        match &self.membership {
            Membership::Classic(_) => Ok(()),
            Membership::Consumer(group) => group.check_fetch(member_id, member_epoch),
        }
    }
}

impl Groups {
    pub(crate) fn get(&self, id: &str) -> Option<&Group> {
        self.by_id.get(id)
    }

    /// Returns all groups, sorted by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Group)> {
        self.by_id.iter().map(|(id, group)| (&**id, group))
    }

    /// Returns the group with this id. If there is none, creates an empty classic group.
    pub(crate) fn get_or_create(&mut self, id: &str, now: Time) -> &mut Group {
        let id: Arc<str> = id.into();
        self.cleaned_at.get_or_insert(now);
        self.by_id.entry(id.clone()).or_insert_with(|| Group::new(id, now))
    }

    pub(crate) fn next_timeout(&self, configs: &Configs) -> Option<Time> {
        [self.timers.next(), self.next_cleanup(configs)].into_iter().flatten().min()
    }

    /// Processes all timers that are due by now, each at its time, because a test may have advanced the clock far.
    pub(crate) fn expire(&mut self, mut around: Around<'_>) {
        let now = around.now;
        while let Some(at) = self.timers.next().filter(|at| *at <= now) {
            around.now = at;
            if let Some(timer) = self.timers.take_due(at) {
                self.act_on(&timer, &mut around);
            }
        }
        around.now = now;
        if self.next_cleanup(around.configs).is_some_and(|at| at <= now) {
            self.clean_up(&around);
        }
    }

    fn act_on(&mut self, timer: &Timer, around: &mut Around<'_>) {
        if TimerKind::OF_CONSUMERS.contains(&timer.kind) {
            return self.fence_consumer(&timer.group, &timer.member, around);
        }
        let Some(Group { id, membership: Membership::Classic(group), .. }) = self.by_id.get_mut(&timer.group) else {
            return;
        };
        let env = &mut Env::new(id, around, &mut self.timers);
        match timer.kind {
            TimerKind::ClassicSession => group.session_timeout(env, &timer.member),
            TimerKind::ClassicJoin => group.join_timeout(env),
            TimerKind::ClassicSync => group.sync_timeout(env),
            _ => {}
        }
    }
}
