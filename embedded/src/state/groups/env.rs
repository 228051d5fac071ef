//! The environment of a group's state machine.

use std::sync::Arc;

use super::{Groups, Timer, TimerKind, Timers};
use crate::clock::Time;
use crate::state::acls::Acls;
use crate::state::configs::Configs;
use crate::state::{Cluster, Outbox, Ticket, Topics};

/// The parts of the cluster that groups need.
pub(crate) struct Around<'a> {
    pub(crate) configs: &'a Configs,
    pub(crate) topics: &'a Topics,
    pub(crate) acls: &'a Acls,
    pub(crate) now: Time,
    pub(crate) outbox: &'a mut Outbox,
}

/// The environment of one group, with the timers of all groups.
pub(crate) struct Env<'a> {
    /// The group's id.
    pub(crate) id: &'a Arc<str>,
    pub(crate) configs: &'a Configs,
    pub(crate) topics: &'a Topics,
    pub(crate) acls: &'a Acls,
    pub(crate) now: Time,
    pub(crate) outbox: &'a mut Outbox,
    pub(crate) timers: &'a mut Timers<Timer>,
}

/// A request that waits for its response.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waiter {
    pub(crate) ticket: Ticket,
    /// The version of the request.
    pub(crate) version: i16,
}

impl Cluster {
    /// Returns the groups, and the parts of the cluster that they need.
    pub(crate) fn groups<'a>(&'a mut self, now: Time, outbox: &'a mut Outbox) -> (&'a mut Groups, Around<'a>) {
        let Self { groups, configs, topics, acls, .. } = self;
        (groups, Around { configs, topics, acls, now, outbox })
    }
}

impl<'a> Env<'a> {
    pub(super) fn new(id: &'a Arc<str>, around: &'a mut Around<'_>, timers: &'a mut Timers<Timer>) -> Self {
        let Around { configs, topics, acls, now, outbox } = around;
        Self { id, configs, topics, acls, now: *now, outbox, timers }
    }

    /// Sets or moves a timer, in milliseconds from now.
    pub(crate) fn set_timer(&mut self, kind: TimerKind, member: &str, milliseconds: i32) {
        self.timers.set(self.timer(kind, member), self.now.after(i64::from(milliseconds)));
    }

    /// Sets a timer unless it is already set.
    pub(crate) fn set_timer_if_absent(&mut self, kind: TimerKind, member: &str, milliseconds: i32) {
        self.timers.set_if_absent(self.timer(kind, member), self.now.after(i64::from(milliseconds)));
    }

    pub(crate) fn cancel_timer(&mut self, kind: TimerKind, member: &str) {
        self.timers.cancel(&self.timer(kind, member));
    }

    fn timer(&self, kind: TimerKind, member: &str) -> Timer {
        Timer { group: self.id.clone(), kind, member: member.to_owned() }
    }
}
