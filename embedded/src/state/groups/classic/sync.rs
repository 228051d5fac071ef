//! How the members get their assignments.

use std::collections::HashMap;

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::{ClassicGroup, State};
use crate::state::groups::env::Waiter;
use crate::state::groups::{Env, TimerKind};

/// A SyncGroup request.
#[derive(Debug)]
pub(crate) struct Sync {
    pub(crate) waiter: Waiter,
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    /// The assignments from the leader, by member id.
    pub(crate) assignments: HashMap<String, Bytes>,
}

impl ClassicGroup {
    pub(crate) fn sync(&mut self, env: &mut Env<'_>, mut sync: Sync) {
        if let Err(error) = self.check_sync(&sync) {
            return env.refuse_sync(sync.waiter, error);
        }
        self.pending_syncs.remove(&sync.member_id);
        if self.pending_syncs.is_empty() {
            env.cancel_timer(TimerKind::ClassicSync, "");
        }
        let Some(member) = self.members.get_mut(&sync.member_id) else { return };
        if self.state == State::Stable {
            let assignment = member.assignment.clone();
            return env.outbox.reply(sync.waiter.ticket, self.synced(assignment));
        }
        member.syncing = Some(sync.waiter);
        if self.leader() == Some(&sync.member_id) {
            self.assign(env, &mut sync.assignments);
        }
    }

    fn check_sync(&self, sync: &Sync) -> Result<(), ResponseError> {
        if self.is_empty() {
            return Err(ResponseError::UnknownMemberId);
        }
        self.check_member(&sync.member_id, sync.instance_id.as_deref())?;
        if sync.generation != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        let differs = |sent: &Option<String>, known: Option<&str>| {
            sent.as_deref().is_some_and(|sent| known.is_some_and(|known| known != sent))
        };
        if differs(&sync.protocol_type, self.protocol_type()) || differs(&sync.protocol, self.protocol()) {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        if self.state == State::PreparingRebalance {
            return Err(ResponseError::RebalanceInProgress);
        }
        Ok(())
    }

    /// Sends the leader's assignments. A member that is not in them gets an empty assignment.
    fn assign(&mut self, env: &mut Env<'_>, assignments: &mut HashMap<String, Bytes>) {
        let mut sent = Vec::new();
        for (member_id, member) in &mut self.members {
            member.assignment = assignments.remove(member_id).unwrap_or_default();
            if let Some(waiter) = member.syncing.take() {
                sent.push((member_id.clone(), waiter, member.assignment.clone()));
            }
        }
        self.transition(State::Stable, env.now);
        for (member_id, waiter, assignment) in sent {
            env.outbox.reply(waiter.ticket, self.synced(assignment));
            self.heard_of(env, &member_id);
        }
    }
}
