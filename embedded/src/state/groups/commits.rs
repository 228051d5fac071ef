//! Commits of offsets, at once or when the producer's transaction is committed.

use kafka_protocol::ResponseError;

use super::{Around, Committed, Env, Group, Groups, Membership};
use crate::clock::Time;
use crate::state::configs::Configs;

/// A commit of offsets.
#[derive(Debug)]
pub(crate) struct Commit<'a> {
    pub(crate) group_id: &'a str,
    pub(crate) by: Committer<'a>,
    /// The version of the request.
    pub(crate) version: i16,
    /// The retention time in milliseconds, if it is not the broker's.
    pub(crate) retention: Option<i64>,
    pub(crate) offsets: &'a [NewOffset<'a>],
}

/// The member that commits offsets. An admin client commits with generation -1 and an empty member id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Committer<'a> {
    pub(crate) member_id: &'a str,
    pub(crate) instance_id: Option<&'a str>,
    /// The generation or the member epoch.
    pub(crate) generation: i32,
}

/// An offset to commit. The partition is known to exist.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewOffset<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: Option<&'a str>,
}

/// The results of the offsets of a commit, in their order.
pub(crate) type Committals = Vec<Result<(), ResponseError>>;

impl Groups {
    /// Commits offsets. If the group does not exist and the commit names no member, creates the group.
    ///
    /// # Errors
    /// Returns an error if all offsets are refused.
    pub(crate) fn commit(&mut self, commit: &Commit<'_>, mut around: Around<'_>) -> Result<Committals, ResponseError> {
        let (configs, now) = (around.configs, around.now);
        if !self.by_id.contains_key(commit.group_id) && commit.by.generation >= 0 {
            let expected =
                if commit.version >= 9 { ResponseError::GroupIdNotFound } else { ResponseError::IllegalGeneration };
            return Err(expected);
        }
        self.get_or_create(commit.group_id, now);
        let Self { by_id, timers, .. } = self;
        if let Some(Group { id, membership, .. }) = by_id.get_mut(commit.group_id) {
            match membership {
                Membership::Classic(group) => {
                    group.check_commit(&commit.by, false)?;
                    group.heard_by_commit(&mut Env::new(id, &mut around, timers), commit.by.member_id);
                }
                Membership::Consumer(group) => group.check_commit(&commit.by, false, commit.version)?,
            }
        }
        let expires_at = commit.retention.map(|milliseconds| now.after(milliseconds));
        self.put(commit, configs, now, expires_at, |group, offset, committed| {
            group.offsets.put(offset.topic, offset.partition, committed);
        })
    }

    /// Commits offsets as part of the producer's transaction, see [`complete_transaction`](Self::complete_transaction).
    ///
    /// # Errors
    /// Returns an error if all offsets are refused.
    pub(crate) fn commit_transactional(
        &mut self,
        commit: &Commit<'_>,
        producer_id: i64,
        configs: &Configs,
        now: Time,
    ) -> Result<Committals, ResponseError> {
        if !self.by_id.contains_key(commit.group_id) && commit.by.generation >= 0 {
            return Err(ResponseError::IllegalGeneration);
        }
        let group = self.get_or_create(commit.group_id, now);
        match &group.membership {
            Membership::Classic(group) => group.check_commit(&commit.by, true)?,
            Membership::Consumer(group) => {
                group.check_commit(&commit.by, true, commit.version).map_err(|error| match error {
                    ResponseError::StaleMemberEpoch => ResponseError::IllegalGeneration,
                    error => error,
                })?
            }
        }
        let id = group.id.clone();
        let results = self.put(commit, configs, now, None, |group, offset, committed| {
            group.pending.entry(producer_id).or_default().put(offset.topic, offset.partition, committed);
        })?;
        if results.iter().any(Result::is_ok) {
            self.open.entry(producer_id).or_default().insert(id);
        }
        Ok(results)
    }

    /// Ends a producer's transaction in all groups. Its pending offsets are committed or dropped.
    pub(crate) fn complete_transaction(&mut self, producer_id: i64, commit: bool) {
        for id in self.open.remove(&producer_id).unwrap_or_default() {
            let Some(group) = self.by_id.get_mut(&id) else { continue };
            let Some(pending) = group.pending.remove(&producer_id) else { continue };
            if commit {
                group.offsets.merge(pending);
            }
        }
    }

    fn put(
        &mut self,
        commit: &Commit<'_>,
        configs: &Configs,
        now: Time,
        expires_at: Option<Time>,
        mut put: impl FnMut(&mut Group, &NewOffset<'_>, Committed),
    ) -> Result<Committals, ResponseError> {
        let longest = usize::try_from(configs.broker_number("offset.metadata.max.bytes")).unwrap_or_default();
        let Some(group) = self.by_id.get_mut(commit.group_id) else { return Ok(Vec::new()) };
        let results = commit.offsets.iter().map(|offset| {
            let metadata = offset.metadata.unwrap_or_default();
            // Kafka counts UTF-16 units, although the property's name says bytes.
            if metadata.encode_utf16().count() > longest {
                return Err(ResponseError::OffsetMetadataTooLarge);
            }
            self.commits += 1;
            let committed = Committed {
                offset: offset.offset,
                leader_epoch: offset.leader_epoch,
                metadata: metadata.to_owned(),
                committed_at: now,
                expires_at,
                serial: self.commits,
            };
            put(group, offset, committed);
            Ok(())
        });
        Ok(results.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: Committer<'_> = Committer { member_id: "", instance_id: None, generation: -1 };

    macro_rules! around {
        ($configs:ident) => {
            Around {
                configs: &$configs,
                topics: &Default::default(),
                acls: &Default::default(),
                now: Time(0),
                outbox: &mut Default::default(),
            }
        };
    }

    fn offset(offset: i64) -> [NewOffset<'static>; 1] {
        [NewOffset { topic: "t", partition: 0, offset, leader_epoch: -1, metadata: None }]
    }

    fn commit<'a>(offsets: &'a [NewOffset<'a>]) -> Commit<'a> {
        Commit { group_id: "g", by: NOBODY, version: 9, retention: None, offsets }
    }

    fn committed(groups: &Groups) -> Option<i64> {
        groups.get("g")?.offsets.get("t", 0).map(|committed| committed.offset)
    }

    #[test]
    fn a_transactions_offsets_count_once_it_is_committed() {
        let (mut groups, configs) = (Groups::default(), Configs::default());
        groups.commit_transactional(&commit(&offset(5)), 1, &configs, Time(0)).unwrap();
        assert!(groups.get("g").unwrap().is_pending("t", 0));
        assert_eq!(committed(&groups), None);
        groups.complete_transaction(1, true);
        assert!(!groups.get("g").unwrap().is_pending("t", 0));
        assert_eq!(committed(&groups), Some(5));
    }

    #[test]
    fn a_transactions_offsets_are_gone_once_it_is_aborted() {
        let (mut groups, configs) = (Groups::default(), Configs::default());
        groups.commit(&commit(&offset(3)), around!(configs)).unwrap();
        groups.commit_transactional(&commit(&offset(5)), 1, &configs, Time(0)).unwrap();
        groups.complete_transaction(1, false);
        groups.complete_transaction(1, true);
        assert_eq!(committed(&groups), Some(3));
    }

    #[test]
    fn the_later_commit_counts_whenever_the_transaction_ends() {
        let (mut groups, configs) = (Groups::default(), Configs::default());
        groups.commit_transactional(&commit(&offset(5)), 1, &configs, Time(0)).unwrap();
        groups.commit(&commit(&offset(3)), around!(configs)).unwrap();
        groups.complete_transaction(1, true);
        assert_eq!(committed(&groups), Some(3));
    }
}
