//! Members that leave a group, or whose session expires.

use kafka_protocol::ResponseError;

use super::{ClassicGroup, Member, State};
use crate::state::groups::{Env, TimerKind};

/// A member that leaves, by its member id or only by its instance id.
#[derive(Debug)]
pub(crate) struct Leaving {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
}

impl ClassicGroup {
    /// Removes members, and returns the result for each of them.
    pub(crate) fn leave(&mut self, env: &mut Env<'_>, members: &[Leaving]) -> Vec<Result<(), ResponseError>> {
        let results: Vec<_> = members.iter().map(|leaving| self.leave_one(env, leaving)).collect();
        if results.iter().any(Result::is_ok) && !self.is_empty() {
            self.rebalance_or_complete(env);
        }
        results
    }

    fn leave_one(&mut self, env: &mut Env<'_>, leaving: &Leaving) -> Result<(), ResponseError> {
        let instance_id = leaving.instance_id.as_deref();
        let member_id = match instance_id {
            Some(instance) if leaving.member_id.is_empty() => {
                self.static_members.get(instance).ok_or(ResponseError::UnknownMemberId)?.clone()
            }
            _ if self.pending_members.contains(&leaving.member_id) => leaving.member_id.clone(),
            _ => {
                self.check_member(&leaving.member_id, instance_id)?;
                leaving.member_id.clone()
            }
        };
        env.cancel_timer(TimerKind::ClassicSession, &member_id);
        self.dismiss(env, &member_id);
        Ok(())
    }

    /// Removes a member that may wait for a response.
    fn dismiss(&mut self, env: &mut Env<'_>, member_id: &str) {
        let Some(Member { joining, syncing, .. }) = self.remove(member_id) else { return };
        if let Some(waiter) = joining {
            env.refuse_join(waiter, "", ResponseError::UnknownMemberId);
        }
        // Kafka does not respond to this request.
        if let Some(waiter) = syncing {
            env.refuse_sync(waiter, ResponseError::UnknownMemberId);
        }
    }

    /// Removes a member whose session has expired.
    pub(crate) fn session_timeout(&mut self, env: &mut Env<'_>, member_id: &str) {
        if self.pending_members.contains(member_id) {
            self.remove(member_id);
            return self.complete_without(env);
        }
        match self.members.get(member_id) {
            Some(member) if !member.waits() => {
                self.dismiss(env, member_id);
                match self.state {
                    State::Stable | State::CompletingRebalance => self.prepare_rebalance(env),
                    State::PreparingRebalance => self.complete_without(env),
                    State::Empty => {}
                }
            }
            _ => {}
        }
    }
}
