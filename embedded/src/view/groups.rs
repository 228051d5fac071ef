//! Groups, their members and their offsets.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::messages::ConsumerProtocolAssignment;

use crate::state::Cluster;
use crate::state::groups::classic::CONSUMER;
use crate::state::groups::consumer::Settings;
use crate::state::groups::{ClassicGroup, ConsumerGroup, Group as State, Membership, Offsets};
use crate::wire;

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Group {
    /// The group id.
    pub id: String,
    /// The protocol of the group.
    pub protocol: GroupProtocol,
    /// The state, by its name in Kafka, such as `Stable` or `PreparingRebalance`.
    pub state: String,
    /// The generation of a classic group, or the epoch of a consumer group.
    pub epoch: i32,
    /// The assignor in use, or `None` if the group has no members.
    pub assignor: Option<String>,
    /// The members, sorted by id.
    pub members: Vec<Member>,
    /// The committed offsets, by topic and partition.
    pub offsets: BTreeMap<(String, i32), i64>,
    /// The offsets in open transactions, by topic and partition.
    pub pending_offsets: BTreeMap<(String, i32), i64>,
}

/// The protocol of a group, which determines how partitions are assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupProtocol {
    /// The classic protocol: one of the members assigns the partitions.
    Classic,
    /// The consumer protocol (KIP-848): the broker assigns the partitions.
    Consumer,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// The member id.
    pub id: String,
    /// The `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// The `client.id`.
    pub client_id: String,
    /// The assigned partitions, as topic and partition number.
    pub partitions: Vec<(String, i32)>,
}

impl Group {
    pub(crate) fn of(id: &str, group: &State, cluster: &Cluster) -> Self {
        let (protocol, state, epoch, assignor, members) = match &group.membership {
            Membership::Classic(group) => (
                GroupProtocol::Classic,
                group.state().name(),
                group.generation(),
                group.protocol().map(str::to_owned),
                of_classic(group),
            ),
            Membership::Consumer(group) => {
                let assignor = group.assignor(Settings::of(&cluster.configs, id).default_assignor).to_owned();
                (
                    GroupProtocol::Consumer,
                    group.state().name(),
                    group.epoch,
                    Some(assignor),
                    of_consumer(group, cluster),
                )
            }
        };
        let mut pending_offsets = BTreeMap::new();
        group.pending().for_each(|offsets| pending_offsets.extend(plain(offsets)));
        Self {
            id: id.to_owned(),
            protocol,
            state: state.to_owned(),
            epoch,
            assignor: assignor.filter(|_| !members.is_empty()),
            members,
            offsets: plain(&group.offsets).collect(),
            pending_offsets,
        }
    }
}

fn of_classic(group: &ClassicGroup) -> Vec<Member> {
    let members = group.members().map(|(id, member)| Member {
        id: id.to_owned(),
        instance_id: member.instance_id.clone(),
        client_id: member.client_id.clone(),
        // Other clients than consumers use formats of their own.
        partitions: match group.protocol_type() {
            Some(CONSUMER) => assigned(&member.assignment),
            _ => Vec::new(),
        },
    });
    members.collect()
}

/// Decodes an assignment in the format of consumers.
fn assigned(assignment: &Bytes) -> Vec<(String, i32)> {
    if assignment.len() < 2 {
        return Vec::new();
    }
    let assignment = wire::decode::<ConsumerProtocolAssignment>(&assignment.slice(2..), 0).unwrap_or_default();
    let partitions = assignment
        .assigned_partitions
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|partition| (topic.topic.to_string(), *partition)));
    partitions.collect()
}

fn of_consumer(group: &ConsumerGroup, cluster: &Cluster) -> Vec<Member> {
    let members = group.members.values().map(|member| {
        let partitions = member.assigned.iter().flat_map(|(topic, partitions)| {
            let name = cluster.topics.name_of(*topic).unwrap_or_default();
            partitions.iter().map(|partition| (name.to_owned(), *partition))
        });
        Member {
            id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            partitions: partitions.collect(),
        }
    });
    members.collect()
}

fn plain(offsets: &Offsets) -> impl Iterator<Item = ((String, i32), i64)> {
    offsets.topics().flat_map(|(topic, partitions)| {
        partitions.map(|(partition, committed)| ((topic.to_owned(), partition), committed.offset))
    })
}
