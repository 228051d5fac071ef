//! Metadata: the brokers, and the topics with their partitions and leaders.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{ApiKey, BrokerId, MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Cx};
use crate::state::acls::{self, Operation, ResourceType};
use crate::state::topics::Topic;
use crate::state::topics::names::{check_name, is_internal};

/// The value for rights that were not asked for.
const NOT_ASKED: i32 = i32::MIN;

impl Api for MetadataRequest {
    const KEY: ApiKey = ApiKey::Metadata;
    const VERSIONS: RangeInclusive<i16> = 0..=13;
    type Response = MetadataResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<MetadataResponse> {
        // Version 0 asks for all topics with an empty list.
        let wanted = self.topics.as_deref().filter(|wanted| cx.version != 0 || !wanted.is_empty());
        let without_name = |topic: &MetadataRequestTopic| topic.name.is_none() || !topic.topic_id.is_nil();
        if cx.version < 12 && wanted.is_some_and(|wanted| wanted.iter().any(without_name)) {
            return self.refuse(cx, ResponseError::InvalidRequest).into();
        }
        let mut topics = match wanted {
            None => all(cx),
            Some(wanted) if wanted.iter().any(|topic| !topic.topic_id.is_nil()) => by_id(cx, wanted),
            Some(wanted) => {
                let may_create = cx.version < 4 || self.allow_auto_topic_creation;
                by_name(cx, wanted, may_create && cx.cluster.configs.broker("auto.create.topics.enable") == "true")
            }
        };
        if self.include_topic_authorized_operations {
            for topic in &mut topics {
                let name = topic.name.as_ref().map_or("", |name| name);
                topic.topic_authorized_operations = cx.authorized_operations(ResourceType::Topic, name);
            }
        }
        let asked = self.include_cluster_authorized_operations;
        let cluster = match asked.then(|| cx.authorized(Operation::Describe, ResourceType::Cluster, acls::CLUSTER)) {
            None => NOT_ASKED,
            Some(true) => cx.authorized_operations(ResourceType::Cluster, acls::CLUSTER),
            Some(false) => 0,
        };
        with_brokers(cx).with_topics(topics).with_cluster_authorized_operations(cluster).into()
    }

    fn refuse(&self, cx: &Cx<'_>, error: ResponseError) -> MetadataResponse {
        let topics = self.topics.iter().flatten().map(|wanted| {
            // Versions before 12 cannot represent a topic without a name.
            let name = wanted.name.clone().or_else(|| (cx.version < 12).then(TopicName::default));
            failed(name, error).with_topic_id(wanted.topic_id)
        });
        with_brokers(cx).with_topics(topics.collect())
    }
}

fn with_brokers(cx: &Cx<'_>) -> MetadataResponse {
    let rack = cx.cluster.configs.rack();
    let brokers = cx.cluster.live_brokers().map(|broker| {
        MetadataResponseBroker::default()
            .with_node_id(BrokerId(broker.id))
            .with_host(StrBytes::from_string(broker.host.clone()))
            .with_port(i32::from(broker.port))
            .with_rack(rack.map(|rack| StrBytes::from_string(rack.to_owned())))
    });
    MetadataResponse::default()
        .with_brokers(brokers.collect())
        .with_cluster_id(Some(StrBytes::from_string(cx.cluster.id.clone())))
        .with_controller_id(BrokerId(cx.cluster.controller()))
        .with_cluster_authorized_operations(NOT_ASKED)
}

/// Returns all topics that the client may see.
fn all(cx: &Cx<'_>) -> Vec<MetadataResponseTopic> {
    let visible = |topic: &&Topic| cx.authorized(Operation::Describe, ResourceType::Topic, &topic.name);
    cx.cluster.topics.iter().filter(visible).map(|topic| describe(cx, topic)).collect()
}

/// Returns the topics with these ids. Topic names in the request are ignored.
fn by_id(cx: &Cx<'_>, wanted: &[MetadataRequestTopic]) -> Vec<MetadataResponseTopic> {
    let mut seen = HashSet::new();
    let ids = wanted.iter().map(|topic| topic.topic_id).filter(|id| !id.is_nil() && seen.insert(*id));
    let found = ids.map(|id| match cx.cluster.topics.name_of(id).and_then(|name| cx.cluster.topics.get(name)) {
        None => failed(None, ResponseError::UnknownTopicId).with_topic_id(id),
        Some(topic) if !cx.authorized(Operation::Describe, ResourceType::Topic, &topic.name) => {
            failed(None, ResponseError::TopicAuthorizationFailed).with_topic_id(id)
        }
        Some(topic) => describe(cx, topic),
    });
    let (unknown, known): (Vec<_>, Vec<_>) = found.partition(|topic| topic.name.is_none());
    unknown.into_iter().chain(known).collect()
}

/// Returns the topics with these names, existing topics first. If a topic is missing and the client may create it, it is
/// created.
fn by_name(cx: &mut Cx<'_>, wanted: &[MetadataRequestTopic], may_create: bool) -> Vec<MetadataResponseTopic> {
    let mut seen = HashSet::new();
    let names: Vec<TopicName> =
        wanted.iter().filter_map(|topic| topic.name.clone()).filter(|name| seen.insert(name.clone())).collect();
    let (mut known, mut others) = (Vec::with_capacity(names.len()), Vec::new());
    for name in names {
        match find(cx, &name, may_create) {
            Ok(true) => others.extend(cx.cluster.topics.get(&name).map(|topic| describe(cx, topic))),
            Ok(false) => known.extend(cx.cluster.topics.get(&name).map(|topic| describe(cx, topic))),
            Err(error) => others.push(failed(Some(name), error)),
        }
    }
    known.append(&mut others);
    known
}

/// Returns whether the topic was created for the client.
fn find(cx: &mut Cx<'_>, name: &str, may_create: bool) -> Result<bool, ResponseError> {
    if let Some(error) = cx.cluster.topic_errors.get(name) {
        return Err(*error);
    }
    let topic = |operation| cx.authorized(operation, ResourceType::Topic, name);
    let denied = Err(ResponseError::TopicAuthorizationFailed);
    if !topic(Operation::Describe) {
        return denied;
    }
    if cx.cluster.topics.get(name).is_some() {
        return Ok(false);
    }
    if !may_create {
        check_name(name).map_err(|_| ResponseError::InvalidTopicException)?;
        return Err(ResponseError::UnknownTopicOrPartition);
    }
    let cluster = cx.authorized(Operation::Create, ResourceType::Cluster, acls::CLUSTER);
    if !cluster && !topic(Operation::Create) {
        return denied;
    }
    cx.cluster.create_automatically(name).map(|()| true)
}

fn failed(name: Option<TopicName>, error: ResponseError) -> MetadataResponseTopic {
    let internal = name.as_deref().is_some_and(|name| is_internal(name));
    MetadataResponseTopic::default()
        .with_error_code(error.code())
        .with_name(name)
        .with_is_internal(internal)
        .with_topic_authorized_operations(NOT_ASKED)
}

fn describe(cx: &Cx<'_>, topic: &Topic) -> MetadataResponseTopic {
    let ids = |brokers: &[i32]| brokers.iter().copied().map(BrokerId).collect::<Vec<_>>();
    // Version 0 leaves out replicas that are down, and reports them with an error code.
    let up = |brokers: &[i32]| match cx.version {
        0 => brokers.iter().copied().filter(|id| cx.cluster.is_up(*id)).map(BrokerId).collect(),
        _ => ids(brokers),
    };
    let partitions = topic.partitions.iter().enumerate().map(|(index, partition)| {
        let (replicas, isr) = (up(&partition.replicas), up(&partition.isr));
        let error = if partition.leader == -1 {
            ResponseError::LeaderNotAvailable.code()
        } else if replicas.len() < partition.replicas.len() || isr.len() < partition.isr.len() {
            ResponseError::ReplicaNotAvailable.code()
        } else {
            0
        };
        let offline: Vec<i32> = partition.replicas.iter().copied().filter(|id| !cx.cluster.is_up(*id)).collect();
        MetadataResponsePartition::default()
            .with_error_code(error)
            .with_partition_index(index as i32)
            .with_leader_id(BrokerId(partition.leader))
            .with_leader_epoch(partition.leader_epoch)
            .with_replica_nodes(replicas)
            .with_isr_nodes(isr)
            .with_offline_replicas(ids(&offline))
    });
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(StrBytes::from_string(topic.name.clone()))))
        .with_topic_id(topic.id)
        .with_is_internal(topic.internal)
        .with_partitions(partitions.collect())
        .with_topic_authorized_operations(NOT_ASKED)
}
