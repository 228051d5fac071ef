//! Offsets of groups, committed with and without a member.

use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;

use super::random::Random;
use super::side::Side;
use super::topics::TOPICS;

/// Two of classic members, one of members of the newer protocol.
pub const GROUPS: u8 = 3;

/// Who commits.
#[derive(Debug, Clone, Copy)]
pub enum As {
    Nobody,
    Stranger,
    Member { slot: u8, generation: i8 },
}

impl As {
    pub fn random(random: &mut Random) -> Self {
        match random.below(10) {
            0..4 => Self::Nobody,
            4 => Self::Stranger,
            _ => Self::Member { slot: random.below(3), generation: random.slip(15) },
        }
    }

    pub fn of(self, side: &Side, group: u8) -> (StrBytes, i32) {
        match self {
            Self::Nobody => (StrBytes::default(), -1),
            Self::Stranger => (StrBytes::from_static_str("stranger"), 1),
            Self::Member { slot, generation } if group == 2 => {
                let member = &side.consumers[slot as usize];
                (member.id.clone(), member.epoch + i32::from(generation))
            }
            Self::Member { slot, generation } => {
                let member = &side.members[slot as usize];
                (member.id.clone(), member.generation + i32::from(generation))
            }
        }
    }
}

#[derive(Debug, Clone)]
pub enum Op {
    Commit { group: u8, by: As, topic: u8, partition: u8, offset: i64, version: u8 },
    Fetch { group: u8, by: As, topic: Option<u8>, stable: bool, version: u8 },
    Delete { group: u8, topic: u8, partition: u8 },
}

impl Op {
    pub fn random(random: &mut Random) -> Self {
        let (group, topic, partition) = (random.below(GROUPS), random.below(TOPICS), random.pick(&[0, 0, 1, 2, 3]));
        let (by, version) = (As::random(random), random.below(20));
        match random.below(8) {
            0..4 => {
                let offset = random.pick(&[0, 1, 2, 3, 5, 8, 13, -1, -5]);
                Self::Commit { group, by, topic, partition, offset, version }
            }
            4..7 => {
                let by = if random.chance(30) { by } else { As::Nobody };
                let topic = random.chance(50).then_some(topic);
                Self::Fetch { group, by, topic, stable: random.chance(30), version }
            }
            _ => Self::Delete { group, topic, partition },
        }
    }

    pub fn reads(&self) -> bool {
        matches!(self, Self::Fetch { .. })
    }

    pub fn apply(&self, side: &mut Side) -> Result<String, String> {
        match *self {
            Self::Commit { group, by, topic, partition, offset, version } => {
                let version = side.version::<OffsetCommitRequest>(version).min(9);
                let (member_id, generation) = by.of(side, group);
                let mut committed = OffsetCommitRequestPartition::default()
                    .with_partition_index(partition.into())
                    .with_committed_offset(offset)
                    .with_committed_metadata(Some(StrBytes::from_string(format!("m{offset}"))));
                if version >= 6 {
                    committed.committed_leader_epoch = 0;
                }
                let topic =
                    OffsetCommitRequestTopic::default().with_name(side.topic(topic)).with_partitions(vec![committed]);
                let request = OffsetCommitRequest::default()
                    .with_group_id(GroupId(side.group(group)))
                    .with_member_id(member_id)
                    .with_generation_id_or_member_epoch(generation)
                    .with_topics(vec![topic]);
                let response = side.call(&request, version)?;
                Ok(side.show(&response))
            }
            Self::Fetch { group, by, topic, stable, version } => fetch(side, group, by, topic, stable, version),
            Self::Delete { group, topic, partition } => {
                let partition = OffsetDeleteRequestPartition::default().with_partition_index(partition.into());
                let topic =
                    OffsetDeleteRequestTopic::default().with_name(side.topic(topic)).with_partitions(vec![partition]);
                let request =
                    OffsetDeleteRequest::default().with_group_id(GroupId(side.group(group))).with_topics(vec![topic]);
                let response = side.call(&request, 0)?;
                Ok(side.show(&response))
            }
        }
    }
}

fn fetch(side: &mut Side, group: u8, by: As, topic: Option<u8>, stable: bool, version: u8) -> Result<String, String> {
    let version = side.version::<OffsetFetchRequest>(version).min(9);
    let topic = if version < 2 { topic.or(Some(0)) } else { topic };
    let group_id = GroupId(side.group(group));
    let partitions = vec![0, 1, 2];
    let mut request = OffsetFetchRequest::default();
    if version >= 7 {
        request.require_stable = stable;
    }
    if version >= 8 {
        let topics = topic.map(|topic| {
            vec![OffsetFetchRequestTopics::default().with_name(side.topic(topic)).with_partition_indexes(partitions)]
        });
        let mut asked = OffsetFetchRequestGroup::default().with_group_id(group_id).with_topics(topics);
        if version >= 9 {
            let (member_id, epoch) = by.of(side, group);
            asked.member_id = (!member_id.is_empty()).then_some(member_id);
            asked.member_epoch = epoch;
        }
        request.groups = vec![asked];
    } else {
        request.group_id = group_id;
        request.topics = topic.map(|topic| {
            vec![OffsetFetchRequestTopic::default().with_name(side.topic(topic)).with_partition_indexes(partitions)]
        });
    }
    let mut response = side.call(&request, version)?;
    response.topics.sort_by(|left, right| left.name.cmp(&right.name));
    response.topics.iter_mut().for_each(|topic| topic.partitions.sort_by_key(|found| found.partition_index));
    for group in &mut response.groups {
        group.topics.sort_by(|left, right| left.name.cmp(&right.name));
        group.topics.iter_mut().for_each(|topic| topic.partitions.sort_by_key(|found| found.partition_index));
    }
    Ok(side.show(&response))
}
