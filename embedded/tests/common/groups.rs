//! Requests about groups and their offsets.

use std::collections::BTreeMap;

use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::offset_fetch_response::OffsetFetchResponseGroup;
use kafka_protocol::messages::*;

use super::*;

pub fn group_id(id: &str) -> GroupId {
    GroupId(text(id))
}

/// An OffsetCommit for one partition without a member.
pub fn commit_request(group: &str, topic: &str, partition: i32, offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset)
        .with_committed_leader_epoch(-1)
        .with_committed_metadata(Some(text("")));
    let topic = OffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id_or_member_epoch(-1)
        .with_retention_time_ms(-1)
        .with_topics(vec![topic])
}

/// Commits, and returns the error of the only partition.
pub fn commit(raw: &mut Raw, request: &OffsetCommitRequest, version: i16) -> i16 {
    let response = raw.call(request, version);
    assert_eq!((response.topics.len(), response.topics[0].partitions.len()), (1, 1), "{response:?}");
    response.topics[0].partitions[0].error_code
}

/// An OffsetFetch of one group without a member. `None` means all partitions.
pub fn fetch_offsets_request(group: &str, partitions: Option<&[(&str, i32)]>) -> OffsetFetchRequest {
    let topics = partitions.map(|partitions| {
        let mut topics: Vec<OffsetFetchRequestTopics> = Vec::new();
        for (topic, partition) in partitions {
            match topics.iter_mut().find(|known| &**known.name == *topic) {
                Some(known) => known.partition_indexes.push(*partition),
                None => topics.push(
                    OffsetFetchRequestTopics::default()
                        .with_name(topic_name(topic))
                        .with_partition_indexes(vec![*partition]),
                ),
            }
        }
        topics
    });
    let group =
        OffsetFetchRequestGroup::default().with_group_id(group_id(group)).with_member_epoch(-1).with_topics(topics);
    OffsetFetchRequest::default().with_groups(vec![group])
}

/// Returns the response to an OffsetFetch for one group.
pub fn fetch_offsets(raw: &mut Raw, group: &str, partitions: Option<&[(&str, i32)]>) -> OffsetFetchResponseGroup {
    let mut response = raw.call(&fetch_offsets_request(group, partitions), 9);
    response.groups.remove(0)
}

/// Returns the committed offset of one partition, or -1.
pub fn committed(raw: &mut Raw, group: &str, topic: &str, partition: i32) -> i64 {
    let response = fetch_offsets(raw, group, Some(&[(topic, partition)]));
    assert_error(response.error_code, None);
    assert_error(response.topics[0].partitions[0].error_code, None);
    response.topics[0].partitions[0].committed_offset
}

/// Returns all committed offsets of a group.
pub fn all_committed(raw: &mut Raw, group: &str) -> BTreeMap<(String, i32), i64> {
    let response = fetch_offsets(raw, group, None);
    assert_error(response.error_code, None);
    let offsets = response.topics.iter().flat_map(|topic| {
        topic
            .partitions
            .iter()
            .map(|partition| ((topic.name.to_string(), partition.partition_index), partition.committed_offset))
    });
    offsets.collect()
}

/// Encodes version 0 of a consumer's subscription.
pub fn subscription(topics: &[&str]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    bytes.put_i32(topics.len() as i32);
    for topic in topics {
        bytes.put_i16(topic.len() as i16);
        bytes.put_slice(topic.as_bytes());
    }
    bytes.put_i32(-1);
    bytes.freeze()
}

/// A member of a classic group, with a separate connection.
pub struct Member {
    pub raw: Raw,
    pub group: String,
    pub id: String,
    pub instance: Option<String>,
    pub generation: i32,
    pub protocol: String,
    pub leader: String,
    /// The protocols of its JoinGroup.
    pub join: JoinGroupRequest,
}

/// The version of JoinGroup that members use.
pub const JOIN: i16 = 9;

impl Member {
    /// Creates a member that has not joined yet. It supports the protocol `range` and has a session timeout of 30 s.
    pub fn new(kafka: &Kafka, group: &str) -> Self {
        let join = JoinGroupRequest::default()
            .with_group_id(group_id(group))
            .with_session_timeout_ms(30_000)
            .with_rebalance_timeout_ms(60_000)
            .with_protocol_type(text("consumer"));
        let raw = kafka.coordinator(group, 0);
        let member = Self {
            raw,
            group: group.to_owned(),
            id: String::new(),
            instance: None,
            generation: -1,
            protocol: String::new(),
            leader: String::new(),
            join,
        };
        member.protocols(&["range"])
    }

    pub fn protocols(mut self, names: &[&str]) -> Self {
        let protocol = |name: &&str| {
            join_group_request::JoinGroupRequestProtocol::default()
                .with_name(text(name))
                .with_metadata(subscription(&["t"]))
        };
        self.join.protocols = names.iter().map(protocol).collect();
        self
    }

    /// Creates a member with a `group.instance.id`.
    pub fn instance(mut self, instance: &str) -> Self {
        self.instance = Some(instance.to_owned());
        self.join.group_instance_id = Some(text(instance));
        self
    }

    pub fn session_timeout(mut self, milliseconds: i32) -> Self {
        self.join.session_timeout_ms = milliseconds;
        self
    }

    pub fn rebalance_timeout(mut self, milliseconds: i32) -> Self {
        self.join.rebalance_timeout_ms = milliseconds;
        self
    }

    /// Requests a member id, as a dynamic member must.
    pub fn take_id(&mut self) {
        let response = self.raw.call(&self.join.clone().with_member_id(text("")), JOIN);
        assert_error(response.error_code, Some(ResponseError::MemberIdRequired));
        self.id = response.member_id.to_string();
    }

    /// Sends a JoinGroup. [`joined`](Self::joined) returns its response.
    pub fn send_join(&mut self) {
        if self.id.is_empty() && self.instance.is_none() {
            self.take_id();
        }
        self.raw.send(&self.join.clone().with_member_id(text(&self.id)), JOIN);
    }

    pub fn joined(&mut self) -> JoinGroupResponse {
        let response = self.raw.receive::<JoinGroupRequest>(JOIN);
        if response.error_code == 0 {
            self.id = response.member_id.to_string();
            self.generation = response.generation_id;
            self.leader = response.leader.to_string();
            self.protocol = response.protocol_name.as_deref().unwrap_or_default().to_owned();
        }
        response
    }

    pub fn join(&mut self) -> JoinGroupResponse {
        self.send_join();
        self.joined()
    }

    pub fn leads(&self) -> bool {
        self.leader == self.id
    }

    /// Sends a SyncGroup. The leader's contains an assignment for each member.
    pub fn send_sync(&mut self, assignments: &[(&str, &str)]) {
        let bytes = |(member, text): &(&str, &str)| (member.to_string(), Bytes::copy_from_slice(text.as_bytes()));
        self.send_sync_of(assignments.iter().map(bytes).collect());
    }

    /// Sends a SyncGroup with any bytes.
    pub fn send_sync_of(&mut self, assignments: Vec<(String, Bytes)>) {
        let assignments = assignments.into_iter().map(|(member, assignment)| {
            sync_group_request::SyncGroupRequestAssignment::default()
                .with_member_id(text(&member))
                .with_assignment(assignment)
        });
        let request = SyncGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_generation_id(self.generation)
            .with_member_id(text(&self.id))
            .with_group_instance_id(self.instance.as_deref().map(text))
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text(&self.protocol)))
            .with_assignments(assignments.collect());
        self.raw.send(&request, 5);
    }

    pub fn synced(&mut self) -> SyncGroupResponse {
        self.raw.receive::<SyncGroupRequest>(5)
    }

    pub fn sync(&mut self, assignments: &[(&str, &str)]) -> SyncGroupResponse {
        self.send_sync(assignments);
        self.synced()
    }

    /// Joins an empty group as its only member, and assigns itself a partition.
    pub fn join_alone(&mut self) {
        assert_error(self.join().error_code, None);
        let id = self.id.clone();
        assert_error(self.sync(&[(&id, "all")]).error_code, None);
    }

    /// Returns the error code of a heartbeat.
    pub fn heartbeat(&mut self) -> i16 {
        let request = HeartbeatRequest::default()
            .with_group_id(group_id(&self.group))
            .with_generation_id(self.generation)
            .with_member_id(text(&self.id))
            .with_group_instance_id(self.instance.as_deref().map(text));
        self.raw.call(&request, 4).error_code
    }

    /// Waits until a heartbeat asks the member to rejoin.
    #[track_caller]
    pub fn hears_of_a_rebalance(&mut self) {
        eventually(|| (self.heartbeat() == ResponseError::RebalanceInProgress.code()).then_some(()));
    }

    /// Returns the error code of a LeaveGroup.
    pub fn leave(&mut self) -> i16 {
        let id = self.id.clone();
        leave(&mut self.raw, &self.group, &[(&id, None)])[0]
    }

    /// Returns the error code of a commit.
    pub fn commit(&mut self, topic: &str, partition: i32, offset: i64) -> i16 {
        let request = commit_request(&self.group, topic, partition, offset)
            .with_member_id(text(&self.id))
            .with_group_instance_id(self.instance.as_deref().map(text))
            .with_generation_id_or_member_epoch(self.generation);
        commit(&mut self.raw, &request, 9)
    }
}

/// Makes members leave by member id and instance id. Returns the error code for each.
pub fn leave(raw: &mut Raw, group: &str, members: &[(&str, Option<&str>)]) -> Vec<i16> {
    let members = members.iter().map(|(id, instance)| {
        leave_group_request::MemberIdentity::default()
            .with_member_id(text(id))
            .with_group_instance_id(instance.map(text))
    });
    let request = LeaveGroupRequest::default().with_group_id(group_id(group)).with_members(members.collect());
    let response = raw.call(&request, 5);
    assert_error(response.error_code, None);
    response.members.iter().map(|member| member.error_code).collect()
}

/// Creates a stable group of two members. The first is the leader. Their assignments are "one" and "two".
pub fn two_members(kafka: &Kafka, group: &str) -> [Member; 2] {
    let (mut one, mut two) = (Member::new(kafka, group), Member::new(kafka, group));
    one.join_alone();
    rebalance(&mut one, &mut two);
    [one, two]
}

/// Makes a leader and another member join, and assigns them "one" and "two".
pub fn rebalance(one: &mut Member, two: &mut Member) {
    two.send_join();
    one.hears_of_a_rebalance();
    one.send_join();
    let (first, second) = (one.joined(), two.joined());
    assert_error(first.error_code, None);
    assert_error(second.error_code, None);
    assert_eq!((&*first.leader, &*second.leader), (&*one.id, &*one.id));
    two.send_sync(&[]);
    let ids = (one.id.clone(), two.id.clone());
    assert_eq!(&one.sync(&[(&ids.0, "one"), (&ids.1, "two")]).assignment[..], b"one");
    assert_eq!(&two.synced().assignment[..], b"two");
}
