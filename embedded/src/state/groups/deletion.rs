//! Deletion of groups and offsets, by a client or because they have expired.

use kafka_protocol::ResponseError;

use super::{Around, Committals, Committed, Group, Groups, Membership};
use crate::clock::Time;
use crate::state::configs::Configs;

impl Group {
    pub(crate) fn is_empty(&self) -> bool {
        match &self.membership {
            Membership::Classic(group) => group.is_empty(),
            Membership::Consumer(group) => group.is_empty(),
        }
    }

    fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.membership {
            Membership::Classic(group) => group.is_subscribed_to(topic),
            Membership::Consumer(group) => group.is_subscribed_to(topic),
        }
    }

    /// Deletes the offset of a partition, including pending offsets of transactions.
    fn forget_offset(&mut self, topic: &str, partition: i32) {
        self.offsets.remove(topic, partition);
        self.pending.values_mut().for_each(|offsets| offsets.remove(topic, partition));
    }

    /// Drops the expired offsets. Returns whether none are left.
    fn expire_offsets(&mut self, now: Time, retention: i64) -> bool {
        let mut offsets = std::mem::take(&mut self.offsets);
        offsets.retain(|topic, partition, committed| {
            self.is_subscribed_to(topic)
                || !self.has_expired(committed, now, retention)
                || self.is_pending(topic, partition)
        });
        self.offsets = offsets;
        self.offsets.is_empty()
    }

    fn has_expired(&self, committed: &Committed, now: Time, retention: i64) -> bool {
        let unused_since = match &self.membership {
            Membership::Classic(group) => group.unused_since(committed.committed_at),
            Membership::Consumer(_) => Some(committed.committed_at),
        };
        let expires_at = unused_since.map(|since| committed.expires_at.unwrap_or(since.after(retention)));
        expires_at.is_some_and(|at| at <= now)
    }
}

impl Groups {
    /// Deletes a group without members, with its offsets.
    pub(crate) fn delete(&mut self, id: &str) -> Result<(), ResponseError> {
        let group = self.by_id.get(id).ok_or(ResponseError::GroupIdNotFound)?;
        if !group.is_empty() {
            return Err(ResponseError::NonEmptyGroup);
        }
        self.by_id.remove(id);
        Ok(())
    }

    /// Deletes committed offsets, and returns the result for each. Offsets of topics that the members read are kept.
    ///
    /// # Errors
    /// Returns an error if all offsets are refused.
    pub(crate) fn delete_offsets(&mut self, id: &str, partitions: &[(&str, i32)]) -> Result<Committals, ResponseError> {
        let group = self.by_id.get_mut(id).ok_or(ResponseError::GroupIdNotFound)?;
        if let Membership::Classic(group) = &group.membership {
            group.check_offset_delete()?;
        }
        let results = partitions.iter().map(|&(topic, partition)| {
            if group.is_subscribed_to(topic) {
                return Err(ResponseError::GroupSubscribedToTopic);
            }
            group.forget_offset(topic, partition);
            Ok(())
        });
        Ok(results.collect())
    }

    /// Deletes the offsets of a deleted topic.
    pub(crate) fn forget_topic(&mut self, topic: &str) {
        for group in self.by_id.values_mut() {
            group.offsets.remove_topic(topic);
            group.pending.values_mut().for_each(|offsets| offsets.remove_topic(topic));
        }
    }

    /// Returns when to check for expired offsets next.
    pub(super) fn next_cleanup(&self, configs: &Configs) -> Option<Time> {
        Some(self.cleaned_at?.after(configs.broker_number("offsets.retention.check.interval.ms")))
    }

    /// Drops the expired offsets, and the groups that have neither members nor offsets.
    pub(super) fn clean_up(&mut self, around: &Around<'_>) {
        let retention = around.configs.broker_number("offsets.retention.minutes").saturating_mul(60_000);
        self.by_id.retain(|_, group| {
            let has_none = group.expire_offsets(around.now, retention);
            !(has_none && group.pending.is_empty() && group.is_empty())
        });
        self.cleaned_at = (!self.by_id.is_empty()).then_some(around.now);
    }
}
