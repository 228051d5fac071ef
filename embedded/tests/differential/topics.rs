//! Topics: creation, growth, deletion and descriptions.

use std::time::{Duration, Instant};

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;

use super::random::Random;
use super::records;
use super::side::Side;

pub const TOPICS: u8 = 3;

#[derive(Debug, Clone)]
pub enum Op {
    Create {
        topic: u8,
        partitions: i32,
        config: u8,
        validate: bool,
        version: u8,
    },
    Delete {
        topic: u8,
        by_id: bool,
        version: u8,
    },
    Grow {
        topic: u8,
        count: i32,
        validate: bool,
        version: u8,
    },
    Metadata {
        topic: u8,
        by_id: bool,
        version: u8,
    },
    /// Metadata of a client that has the topic made by asking for it.
    AutoCreate {
        topic: u8,
    },
    Configs {
        topic: u8,
        version: u8,
    },
}

/// Settings that a topic can be made with, right ones and wrong ones.
const CONFIGS: [&[(&str, &str)]; 8] = [
    &[],
    &[("message.timestamp.type", "LogAppendTime")],
    &[("max.message.bytes", "100")],
    &[("cleanup.policy", "compact")],
    &[("retention.ms", "-1"), ("segment.bytes", "1048576")],
    &[("retention.ms", "soon")],
    &[("no.such.setting", "1")],
    &[("message.timestamp.before.max.ms", "1000")],
];

impl Op {
    pub fn create(topic: u8, random: &mut Random) -> Self {
        let config = if random.chance(50) { 0 } else { random.below(CONFIGS.len() as u8) };
        let partitions = random.pick(&[1, 2, 2, 3, 3, -1, 0]);
        Self::Create { topic, partitions, config, validate: random.chance(5), version: random.below(20) }
    }

    pub fn random(random: &mut Random) -> Self {
        let (topic, version) = (random.below(TOPICS), random.below(20));
        match random.below(10) {
            0..3 => Self::create(topic, random),
            3 => Self::Delete { topic, by_id: random.chance(50), version },
            4 => Self::Grow { topic, count: random.pick(&[2, 3, 4, 1, 0]), validate: random.chance(10), version },
            5 => Self::AutoCreate { topic },
            6..8 => Self::Metadata { topic, by_id: random.chance(50), version },
            _ => Self::Configs { topic, version },
        }
    }

    pub fn reads(&self) -> bool {
        matches!(self, Self::Metadata { .. } | Self::Configs { .. })
    }

    pub fn apply(&self, side: &mut Side) -> Result<String, String> {
        match *self {
            Self::Create { topic, partitions, config, validate, version } => {
                create(side, topic, partitions, config, validate, version)
            }
            Self::Delete { topic, by_id, version } => delete(side, topic, by_id, version),
            Self::Grow { topic, count, validate, version } => grow(side, topic, count, validate, version),
            Self::Metadata { topic, by_id, version } => {
                // Before, there was no way to look without making.
                let version = side.version::<MetadataRequest>(version).max(4);
                let found = metadata(side, topic, by_id && version >= 12, version)?;
                Ok(side.show(&found))
            }
            Self::AutoCreate { topic } => {
                let wanted = MetadataRequestTopic::default().with_name(Some(side.topic(topic)));
                // The first answer may come before the topic does.
                side.call(&MetadataRequest::default().with_topics(Some(vec![wanted])), 9)?;
                let found = until(side, topic, |found| found.error_code == 0)?;
                learn(side, topic, &found);
                Ok(side.show(&found))
            }
            Self::Configs { topic, version } => configs(side, topic, version),
        }
    }
}

fn create(
    side: &mut Side,
    topic: u8,
    partitions: i32,
    config: u8,
    validate: bool,
    version: u8,
) -> Result<String, String> {
    let version = side.version::<CreateTopicsRequest>(version);
    let string = |text: &str| StrBytes::from_string(text.to_owned());
    let configs = CONFIGS[config as usize].iter();
    let configs = configs
        .map(|(name, value)| CreatableTopicConfig::default().with_name(string(name)).with_value(Some(string(value))));
    let wanted = CreatableTopic::default()
        .with_name(side.topic(topic))
        .with_num_partitions(partitions)
        .with_replication_factor(if version < 4 { 1 } else { -1 })
        .with_configs(configs.collect());
    let request = CreateTopicsRequest::default()
        .with_topics(vec![wanted])
        .with_timeout_ms(20_000)
        .with_validate_only(validate && version >= 1);
    let mut response = side.call(&request, version)?;
    let made = &mut response.topics[0];
    // What is told of the settings beside is DescribeConfigs' to compare.
    made.configs = None;
    if validate && version >= 1 {
        // No topic will have this id.
        made.topic_id = Default::default();
    }
    if made.error_code == 0 && !(validate && version >= 1) {
        let found = until(side, topic, |found| found.error_code == 0)?;
        learn(side, topic, &found);
        if config == 1 {
            side.append_times.push(topic);
        }
    }
    Ok(side.show(&response))
}

/// Remembers a topic that has been made.
fn learn(side: &mut Side, topic: u8, found: &MetadataResponseTopic) {
    if side.topics.insert(topic, found.topic_id) != Some(found.topic_id) {
        side.append_times.retain(|other| *other != topic);
        side.made += 1;
        let shown = format!("id {} of t{topic}", side.made);
        side.learn(&found.topic_id.to_string(), shown);
    }
}

fn delete(side: &mut Side, topic: u8, by_id: bool, version: u8) -> Result<String, String> {
    let version = side.version::<DeleteTopicsRequest>(version);
    let mut request = DeleteTopicsRequest::default().with_timeout_ms(20_000);
    if version < 6 {
        request = request.with_topic_names(vec![side.topic(topic)]);
    } else if by_id {
        let state = DeleteTopicState::default().with_name(None).with_topic_id(side.topic_id(topic));
        request = request.with_topics(vec![state]);
    } else {
        request = request.with_topics(vec![DeleteTopicState::default().with_name(Some(side.topic(topic)))]);
    }
    let response = side.call(&request, version)?;
    if response.responses[0].error_code == 0 {
        until(side, topic, |found| found.error_code == 3)?;
    }
    Ok(side.show(&response))
}

fn grow(side: &mut Side, topic: u8, count: i32, validate: bool, version: u8) -> Result<String, String> {
    let version = side.version::<CreatePartitionsRequest>(version);
    let wanted = CreatePartitionsTopic::default().with_name(side.topic(topic)).with_count(count).with_assignments(None);
    let request = CreatePartitionsRequest::default()
        .with_topics(vec![wanted])
        .with_timeout_ms(20_000)
        .with_validate_only(validate);
    let response = side.call(&request, version)?;
    if response.results[0].error_code == 0 && !validate {
        until(side, topic, |found| found.partitions.len() == count as usize)?;
    }
    Ok(side.show(&response))
}

/// Waits until the broker tells a topic so, and serves its partitions or no more.
fn until(
    side: &mut Side,
    topic: u8,
    is_so: impl Fn(&MetadataResponseTopic) -> bool,
) -> Result<MetadataResponseTopic, String> {
    let began = Instant::now();
    loop {
        let found = metadata(side, topic, false, 12)?;
        let served = |side: &mut Side, partition| {
            let asked = records::list_offset(side, topic, partition, -1, false, 6)?;
            Ok::<bool, String>(asked.error_code == 0)
        };
        let led = found.partitions.iter().all(|partition| partition.error_code == 0);
        if is_so(&found) && led {
            let count = found.partitions.len() as i32;
            let all = (0..count).map(|partition| served(side, partition)).collect::<Result<Vec<_>, _>>()?;
            if all.iter().all(|served| *served) && (count > 0 || !served(side, 0)?) {
                return Ok(found);
            }
        }
        if began.elapsed() > Duration::from_secs(10) {
            return Err(format!("it is not so: {found:?}"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn metadata(side: &mut Side, topic: u8, by_id: bool, version: i16) -> Result<MetadataResponseTopic, String> {
    let mut wanted = MetadataRequestTopic::default().with_name(Some(side.topic(topic)));
    if by_id {
        wanted = MetadataRequestTopic::default().with_name(None).with_topic_id(side.topic_id(topic));
    }
    let request = MetadataRequest::default().with_topics(Some(vec![wanted])).with_allow_auto_topic_creation(false);
    let mut found = side.call(&request, version)?.topics.remove(0);
    found.partitions.sort_by_key(|partition| partition.partition_index);
    Ok(found)
}

fn configs(side: &mut Side, topic: u8, version: u8) -> Result<String, String> {
    let version = side.version::<DescribeConfigsRequest>(version);
    let resource = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(side.topic(topic).0)
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let mut response = side.call(&request, version)?;
    let mut shown = Vec::new();
    for config in &mut response.results[0].configs {
        // A broker's own settings are told too; the brokers under comparison are set up differently.
        config.documentation = None;
        if config.config_source == 1 {
            shown.push(side.show(config));
        }
    }
    shown.sort();
    response.results[0].configs.clear();
    Ok(format!("{} {shown:#?}", side.show(&response)))
}
