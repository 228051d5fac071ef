//! Classic groups: members that join, sync, beat, leave or hang.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;

use super::connection::Connection;
use super::offsets::GROUPS;
use super::random::Random;
use super::side::{Side, failed};
use super::text::rewrite;

/// A member as its client knows it. The first three are of one group, the others of another.
pub struct Member {
    slot: u8,
    pub id: StrBytes,
    pub generation: i32,
    /// The members of its generation, where it leads.
    led: Vec<StrBytes>,
    connection: Connection,
    waits_for: Option<Waiting>,
    ids: usize,
}

/// What has been asked and not been answered.
#[derive(Clone, Copy)]
enum Waiting {
    Join(i16),
    Sync(i16),
}

impl Member {
    pub fn new(slot: u8, address: &str) -> io::Result<Self> {
        let (id, connection) = (StrBytes::default(), Connection::open(address)?);
        Ok(Self { slot, id, generation: -1, led: Vec::new(), connection, waits_for: None, ids: 0 })
    }

    pub fn is_waiting(&self) -> bool {
        self.waits_for.is_some()
    }

    pub fn has_answer(&self) -> bool {
        self.is_waiting() && self.connection.has_answer()
    }

    pub fn has_answer_within(&self, time: Duration) -> bool {
        self.is_waiting() && self.connection.has_answer_within(time)
    }

    fn group(&self) -> u8 {
        self.slot / 3
    }

    /// The last one comes with a name of its own.
    fn instance(&self, version: i16, lowest: i16) -> Option<StrBytes> {
        (self.slot % 3 == 1 && self.slot > 2 && version >= lowest).then(|| StrBytes::from_static_str("instance"))
    }
}

#[derive(Debug, Clone)]
pub enum Op {
    Join { slot: u8, id: Id, protocols: u8, version: u8 },
    Sync { slot: u8, generation: i8, version: u8 },
    Heartbeat { slot: u8, generation: i8, version: u8 },
    Leave { slot: u8, version: u8 },
    Describe { group: u8, version: u8 },
    List { states: bool, version: u8 },
    Delete { group: u8, version: u8 },
}

#[derive(Debug, Clone, Copy)]
pub enum Id {
    Own,
    None,
    Strange,
}

const PROTOCOLS: [&[&str]; 4] = [&["range"], &["range", "roundrobin"], &["roundrobin", "range"], &["sticky"]];

impl Op {
    pub fn random(random: &mut Random) -> Self {
        let (slot, group, version) = (random.below(5), random.below(GROUPS), random.below(20));
        match random.below(20) {
            0..7 => {
                let id = random.pick(&[Id::Own, Id::Own, Id::Own, Id::Own, Id::Own, Id::Own, Id::None, Id::Strange]);
                let protocols = if random.chance(70) { 1 } else { random.below(4) };
                Self::Join { slot, id, protocols, version }
            }
            7..12 => Self::Sync { slot, generation: random.slip(8), version },
            12..15 => Self::Heartbeat { slot, generation: random.slip(15), version },
            15 => Self::Leave { slot, version },
            16..18 => Self::Describe { group, version },
            18 => Self::List { states: random.chance(50), version },
            _ => Self::Delete { group, version },
        }
    }

    pub fn reads(&self) -> bool {
        matches!(self, Self::Describe { .. } | Self::List { .. })
    }

    pub fn apply(&self, side: &mut Side) -> Result<String, String> {
        match *self {
            Self::Join { slot, id, protocols, version } => join(side, slot, id, protocols, version),
            Self::Sync { slot, generation, version } => sync(side, slot, generation, version),
            Self::Heartbeat { slot, generation, version } => {
                let version = side.version::<HeartbeatRequest>(version);
                let member = &side.members[slot as usize];
                let request = HeartbeatRequest::default()
                    .with_group_id(GroupId(side.group(member.group())))
                    .with_member_id(member.id.clone())
                    .with_generation_id(member.generation + i32::from(generation))
                    .with_group_instance_id(member.instance(version, 3));
                let response = side.call(&request, version)?;
                Ok(side.show(&response))
            }
            Self::Leave { slot, version } => {
                let version = side.version::<LeaveGroupRequest>(version);
                let member = &side.members[slot as usize];
                let identity = MemberIdentity::default()
                    .with_member_id(member.id.clone())
                    .with_group_instance_id(member.instance(version, 3));
                let request = LeaveGroupRequest::default().with_group_id(GroupId(side.group(member.group())));
                let request = match version {
                    ..3 => request.with_member_id(member.id.clone()),
                    _ => request.with_members(vec![identity]),
                };
                let response = side.call(&request, version)?;
                Ok(side.show(&response))
            }
            Self::Describe { group, version } => describe(side, group, version),
            Self::List { states, version } => {
                let version = side.version::<ListGroupsRequest>(version);
                let mut request = ListGroupsRequest::default();
                if version >= 4 && states {
                    request.states_filter = vec![StrBytes::from_static_str("Stable")];
                }
                let mut response = side.call(&request, version)?;
                response.groups.retain(|group| group.group_id.starts_with(&side.run));
                response.groups.sort_by(|left, right| left.group_id.cmp(&right.group_id));
                Ok(side.show(&response))
            }
            Self::Delete { group, version } => {
                let version = side.version::<DeleteGroupsRequest>(version);
                let request = DeleteGroupsRequest::default().with_groups_names(vec![GroupId(side.group(group))]);
                let response = side.call(&request, version)?;
                Ok(side.show(&response))
            }
        }
    }
}

fn join(side: &mut Side, slot: u8, id: Id, protocols: u8, version: u8) -> Result<String, String> {
    let version = side.version::<JoinGroupRequest>(version);
    let member = &side.members[slot as usize];
    if member.is_waiting() {
        return Ok("it waits".to_owned());
    }
    let id = match id {
        Id::Own => member.id.clone(),
        Id::None => StrBytes::default(),
        Id::Strange => StrBytes::from_static_str("stranger"),
    };
    let protocols = PROTOCOLS[protocols as usize].iter().map(|name| {
        JoinGroupRequestProtocol::default()
            .with_name(StrBytes::from_static_str(name))
            .with_metadata(subscription(side, slot))
    });
    let mut request = JoinGroupRequest::default()
        .with_group_id(GroupId(side.group(member.group())))
        .with_member_id(id)
        .with_group_instance_id(member.instance(version, 5))
        .with_protocol_type(StrBytes::from_static_str("consumer"))
        .with_protocols(protocols.collect())
        .with_session_timeout_ms(300_000);
    if version >= 1 {
        request.rebalance_timeout_ms = 300_000;
    }
    if !side.serves::<JoinGroupRequest>() {
        return Ok("not served by both".to_owned());
    }
    let member = &mut side.members[slot as usize];
    member.connection.send(&request, version).map_err(|error| failed(&error))?;
    member.waits_for = Some(Waiting::Join(version));
    Ok("sent".to_owned())
}

/// What a consumer says with each of its assignors, in its version 0: one or two topics, and no user data.
fn subscription(side: &Side, slot: u8) -> Bytes {
    let topics: Vec<_> = (0..=slot % 2).map(|topic| side.topic(topic).0).collect();
    let mut metadata = vec![0, 0, 0, 0, 0, topics.len() as u8];
    for topic in topics {
        metadata.extend((topic.len() as u16).to_be_bytes());
        metadata.extend(topic.as_bytes());
    }
    metadata.extend([0xff; 4]);
    metadata.into()
}

fn sync(side: &mut Side, slot: u8, generation: i8, version: u8) -> Result<String, String> {
    let version = side.version::<SyncGroupRequest>(version);
    let member = &side.members[slot as usize];
    if member.is_waiting() {
        return Ok("it waits".to_owned());
    }
    let assignments = member.led.iter().enumerate().map(|(n, id)| {
        SyncGroupRequestAssignment::default()
            .with_member_id(id.clone())
            .with_assignment(Bytes::from(format!("part {n}")))
    });
    let request = SyncGroupRequest::default()
        .with_group_id(GroupId(side.group(member.group())))
        .with_member_id(member.id.clone())
        .with_generation_id(member.generation + i32::from(generation))
        .with_group_instance_id(member.instance(version, 3))
        .with_assignments(assignments.collect());
    if !side.serves::<SyncGroupRequest>() {
        return Ok("not served by both".to_owned());
    }
    let member = &mut side.members[slot as usize];
    member.connection.send(&request, version).map_err(|error| failed(&error))?;
    member.waits_for = Some(Waiting::Sync(version));
    Ok("sent".to_owned())
}

/// An answer that a member has waited for.
pub enum Answer {
    Join(JoinGroupResponse),
    Sync(SyncGroupResponse),
    None(String),
}

/// Waits for the answer that a member has still to get.
pub fn answer(side: &mut Side, slot: usize) -> Answer {
    let member = &mut side.members[slot];
    let answer = match member.waits_for.take() {
        Some(Waiting::Join(version)) => member.connection.receive::<JoinGroupRequest>(version).map(Answer::Join),
        Some(Waiting::Sync(version)) => member.connection.receive::<SyncGroupRequest>(version).map(Answer::Sync),
        None => Ok(Answer::None(String::new())),
    };
    let answer = answer.unwrap_or_else(|error| {
        member.connection = Connection::open(&side.address).expect("the broker is there");
        Answer::None(failed(&error))
    });
    if let Answer::Join(response) = &answer {
        joined(side, slot, response);
    }
    answer
}

fn joined(side: &mut Side, slot: usize, response: &JoinGroupResponse) {
    let member = &mut side.members[slot];
    if !response.member_id.is_empty() && member.id != response.member_id {
        member.id = response.member_id.clone();
        member.ids += 1;
        let (id, shown) = (member.id.clone(), format!("member {slot}.{}", member.ids));
        side.learn(&id, shown);
    }
    let member = &mut side.members[slot];
    if response.error_code == 0 {
        member.generation = response.generation_id;
        member.led = response.members.iter().map(|member| member.member_id.clone()).collect();
    }
}

impl Answer {
    pub fn is_of_a_removed_member(&self) -> bool {
        matches!(self, Self::Sync(response) if response.error_code == ResponseError::UnknownMemberId.code())
    }

    /// What is to be seen of it, once the members' names are known that came with it.
    pub fn show(&self, side: &mut Side, slot: usize) -> String {
        match self {
            Self::Join(response) => {
                let mut response = response.clone();
                response.members.sort_by_cached_key(|member| side.plain(member.member_id.to_string()));
                // By it the parts of the assignment are given to the same members.
                let led = &mut side.members[slot].led;
                *led = response.members.iter().map(|member| member.member_id.clone()).collect();
                side.show(&response)
            }
            Self::Sync(response) => side.show(response),
            Self::None(why) => why.clone(),
        }
    }
}

/// The same but for who leads: when a leader goes, Kafka takes the next one by chance, from a hash map.
pub fn but_for_the_leader(answer: &str) -> String {
    let text = rewrite(answer, "leader: \"", "\"", |_| String::new());
    match text.split_once("members: [") {
        Some((before, _)) => before.to_owned(),
        None => text,
    }
}

/// The description of a member's group.
pub fn of_member(side: &mut Side, slot: usize) -> String {
    let group = side.members[slot].group();
    describe(side, group, 0).unwrap_or_else(|error| error)
}

fn describe(side: &mut Side, group: u8, version: u8) -> Result<String, String> {
    let version = side.version::<DescribeGroupsRequest>(version);
    let request = DescribeGroupsRequest::default().with_groups(vec![GroupId(side.group(group))]);
    let mut response = side.call(&request, version)?;
    for group in &mut response.groups {
        group.members.sort_by_cached_key(|member| side.plain(member.member_id.to_string()));
    }
    Ok(side.show(&response))
}
