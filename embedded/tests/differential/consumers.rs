//! Groups of the newer protocol, KIP-848: members that beat, and are assigned by the broker.

use std::time::{Duration, Instant};

use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::random::Random;
use super::side::Side;
use super::topics::TOPICS;

/// A member as its client knows it.
pub struct Consumer {
    pub id: StrBytes,
    pub epoch: i32,
    assigned: Vec<(Uuid, Vec<i32>)>,
}

impl Consumer {
    /// Its id is its own choice, and the same on both sides.
    pub fn new(slot: u8) -> Self {
        Self { id: StrBytes::from_string(format!("consumer-{slot}")), epoch: 0, assigned: Vec::new() }
    }
}

#[derive(Debug, Clone)]
pub enum Op {
    Heartbeat { slot: u8, epoch: Epoch, topics: Option<u8>, assignor: u8, owned: Owned },
    Describe { classic: bool },
}

#[derive(Debug, Clone, Copy)]
pub enum Epoch {
    Current,
    Join,
    Leave,
    Wrong(i8),
}

/// What a member says that it has.
#[derive(Debug, Clone, Copy)]
pub enum Owned {
    Unsaid,
    Nothing,
    Assigned,
}

const ASSIGNORS: [Option<&str>; 4] = [None, Some("uniform"), Some("range"), Some("none")];

impl Op {
    pub fn random(random: &mut Random) -> Self {
        if random.chance(20) {
            return Self::Describe { classic: random.chance(10) };
        }
        let epoch = match random.below(12) {
            0..3 => Epoch::Join,
            3 => Epoch::Leave,
            4 => Epoch::Wrong(random.pick(&[-1, 1])),
            _ => Epoch::Current,
        };
        let topics = (matches!(epoch, Epoch::Join) || random.chance(20)).then(|| 1 + random.below((1 << TOPICS) - 1));
        let assignor = if random.chance(80) { 0 } else { random.below(4) };
        let owned = random.pick(&[Owned::Unsaid, Owned::Assigned, Owned::Assigned, Owned::Nothing]);
        Self::Heartbeat { slot: random.below(3), epoch, topics, assignor, owned }
    }

    /// A heartbeat may be said again too: Kafka's coordinator learns of a change of topics a moment after others do.
    pub fn reads(&self) -> bool {
        matches!(self, Self::Describe { .. } | Self::Heartbeat { epoch: Epoch::Current, .. })
    }

    pub fn apply(&self, side: &mut Side) -> Result<String, String> {
        match *self {
            Self::Heartbeat { slot, epoch, topics, assignor, owned } => {
                heartbeat(side, slot, epoch, topics, assignor, owned)
            }
            Self::Describe { classic } => {
                let group = GroupId(side.group(if classic { 0 } else { 2 }));
                let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group]);
                let version = side.version::<ConsumerGroupDescribeRequest>(1);
                let mut response = side.call(&request, version)?;
                for group in &mut response.groups {
                    group.members.sort_by(|left, right| left.member_id.cmp(&right.member_id));
                    for member in &mut group.members {
                        for assignment in [&mut member.assignment, &mut member.target_assignment] {
                            assignment.topic_partitions.sort_by(|left, right| left.topic_name.cmp(&right.topic_name));
                        }
                        member.subscribed_topic_names.sort();
                    }
                }
                Ok(side.show(&response))
            }
        }
    }
}

fn heartbeat(
    side: &mut Side,
    slot: u8,
    epoch: Epoch,
    topics: Option<u8>,
    assignor: u8,
    owned: Owned,
) -> Result<String, String> {
    let joins = matches!(epoch, Epoch::Join);
    let consumer = &side.consumers[slot as usize];
    let epoch = match epoch {
        Epoch::Current => consumer.epoch,
        Epoch::Join => 0,
        Epoch::Leave => -1,
        Epoch::Wrong(by) => consumer.epoch + i32::from(by),
    };
    let partitions = |of: &[(Uuid, Vec<i32>)]| {
        of.iter().map(|(id, of)| TopicPartitions::default().with_topic_id(*id).with_partitions(of.clone())).collect()
    };
    let owned = match owned {
        _ if joins => Some(Vec::new()),
        Owned::Unsaid => None,
        Owned::Nothing => Some(Vec::new()),
        Owned::Assigned => Some(partitions(&consumer.assigned)),
    };
    let topics: Option<Vec<TopicName>> =
        topics.map(|mask| (0..TOPICS).filter(|n| mask & 1 << n != 0).map(|n| side.topic(n)).collect());
    let all: Vec<TopicName> = (0..TOPICS).map(|n| side.topic(n)).collect();
    coordinator_knows(side, &all)?;
    let consumer = &side.consumers[slot as usize];
    let request = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(GroupId(side.group(2)))
        .with_member_id(consumer.id.clone())
        .with_member_epoch(epoch)
        .with_rebalance_timeout_ms(300_000)
        .with_subscribed_topic_names(topics)
        .with_server_assignor(ASSIGNORS[assignor as usize].map(StrBytes::from_static_str))
        .with_topic_partitions(owned);
    let mut response = side.call(&request, side.version::<ConsumerGroupHeartbeatRequest>(1))?;
    let consumer = &mut side.consumers[slot as usize];
    if response.error_code == 0 {
        consumer.epoch = response.member_epoch;
        if let Some(assignment) = &mut response.assignment {
            for topic in &mut assignment.topic_partitions {
                topic.partitions.sort_unstable();
            }
            consumer.assigned =
                assignment.topic_partitions.iter().map(|topic| (topic.topic_id, topic.partitions.clone())).collect();
            // By what they are called here.
            let mut sorted = std::mem::take(&mut assignment.topic_partitions);
            sorted.sort_by_cached_key(|topic| side.plain(topic.topic_id.to_string()));
            assignment.topic_partitions = sorted;
        }
    }
    Ok(side.show(&response))
}

/// Waits until the group's coordinator knows the topics as they are: Kafka's learns of a change a moment after others do,
/// and a member that has joined by then goes on in another epoch.
fn coordinator_knows(side: &mut Side, topics: &[TopicName]) -> Result<(), String> {
    let asked =
        topics.iter().map(|name| metadata_request::MetadataRequestTopic::default().with_name(Some(name.clone())));
    let request = MetadataRequest::default().with_topics(Some(asked.collect())).with_allow_auto_topic_creation(false);
    let join = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(GroupId(neighbour(&side.group(2))))
        .with_member_id(StrBytes::from_static_str("probe"))
        .with_rebalance_timeout_ms(300_000)
        .with_subscribed_topic_names(Some(topics.to_vec()))
        .with_topic_partitions(Some(Vec::new()));
    let leave = join.clone().with_member_epoch(-1);
    let began = Instant::now();
    loop {
        let there: usize = side.call(&request, 4)?.topics.iter().map(|topic| topic.partitions.len()).sum();
        let given = side.call(&join, 0)?.assignment.unwrap_or_default();
        side.call(&leave, 0)?;
        if given.topic_partitions.iter().map(|topic| topic.partitions.len()).sum::<usize>() == there {
            return Ok(());
        }
        if began.elapsed() > Duration::from_secs(10) {
            return Err("the coordinator does not learn of the topics".to_owned());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Another group of the same coordinator, by Kafka's hash of the name.
fn neighbour(group: &str) -> StrBytes {
    let hash = |name: &str| name.bytes().fold(0_i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
    let partition = |name: &str| hash(name).unsigned_abs() % 50;
    let mut names = (0..).map(|n| format!("probe{n}-{group}"));
    StrBytes::from_string(names.find(|name| partition(name) == partition(group)).expect("one of fifty or so"))
}
