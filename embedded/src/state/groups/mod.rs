//! The groups: who is a member of each, and what each has committed.

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

/// All groups, by their ids.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    by_id: BTreeMap<Arc<str>, Group>,
    /// The groups in which a producer has offsets that its transaction has not ended for, by the producer's id.
    open: HashMap<i64, BTreeSet<Arc<str>>>,
    pub(crate) timers: Timers<Timer>,
    /// How many offsets have been committed ever.
    commits: u64,
    /// When it was looked last whether offsets have expired, since there are groups.
    cleaned_at: Option<Time>,
}

/// A group: its members, and its offsets, which outlive them.
#[derive(Debug)]
pub(crate) struct Group {
    id: Arc<str>,
    pub(crate) membership: Membership,
    pub(crate) offsets: Offsets,
    /// The offsets of transactions that have not ended, by the producer's id.
    pending: BTreeMap<i64, Offsets>,
}

/// How the members of a group agree.
#[derive(Debug)]
pub(crate) enum Membership {
    /// By JoinGroup and SyncGroup. A group that only commits offsets is one without members.
    Classic(Box<ClassicGroup>),
    /// By ConsumerGroupHeartbeat (KIP-848).
    Consumer(Box<ConsumerGroup>),
}

/// What can be due in a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Timer {
    pub(crate) group: Arc<str>,
    pub(crate) kind: TimerKind,
    /// The member that it is about, if it is about one.
    pub(crate) member: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum TimerKind {
    /// A member of a classic group has not been heard of.
    ClassicSession,
    /// The time for the members of a classic group to join is over.
    ClassicJoin,
    /// The time for them to ask for their assignments is over.
    ClassicSync,
    /// A member of a consumer group has not been heard of.
    ConsumerSession,
    /// A member of a consumer group has not given back its partitions.
    ConsumerRebalance,
    /// A member of a consumer group that speaks the classic protocol was told to join again, and has not.
    ConsumerJoin,
    /// The same has joined, and has not asked for its assignment.
    ConsumerSync,
}

impl TimerKind {
    /// Those that a member of a consumer group can have.
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

    /// The offsets of each transaction that has not ended.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &Offsets> {
        self.pending.values()
    }

    /// Whether a transaction that has not ended holds an offset for this partition.
    pub(crate) fn is_pending(&self, topic: &str, partition: i32) -> bool {
        self.pending.values().any(|offsets| offsets.get(topic, partition).is_some())
    }

    /// Whether an OffsetFetch with this member may be answered.
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

    /// All groups, in the order of their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Group)> {
        self.by_id.iter().map(|(id, group)| (&**id, group))
    }

    /// The group of this id, which is made where there is none: an empty classic one.
    pub(crate) fn get_or_create(&mut self, id: &str, now: Time) -> &mut Group {
        let id: Arc<str> = id.into();
        self.cleaned_at.get_or_insert(now);
        self.by_id.entry(id.clone()).or_insert_with(|| Group::new(id, now))
    }

    pub(crate) fn next_timeout(&self, configs: &Configs) -> Option<Time> {
        [self.timers.next(), self.next_cleanup(configs)].into_iter().flatten().min()
    }

    /// Acts on what is due by now, each in its time and not later: the clock may have been set far forward.
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
