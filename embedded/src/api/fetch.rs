//! Fetch: reads records from partitions, at once or when enough records are available.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use kafka_protocol::messages::{ApiKey, BrokerId, FetchRequest, FetchResponse, ProducerId, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::{Answer, Api, Cx};
use crate::clock::Time;
use crate::state::acls::{Operation, ResourceType};
use crate::state::fetches::{Changes, Fetch, Found, Outcome, Wanted, topic_name};
use crate::state::{Cluster, Outbox};

impl Api for FetchRequest {
    const KEY: ApiKey = ApiKey::Fetch;
    const VERSIONS: RangeInclusive<i16> = 4..=18;
    type Response = FetchResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<FetchResponse> {
        let deadline = cx.real.after(i64::from(self.max_wait_ms));
        let may_wait = self.max_wait_ms > 0;
        let fetch = match enter(self, cx) {
            Ok(fetch) => fetch,
            Err(error) => return FetchResponse::default().with_error_code(error.code()).into(),
        };
        let outcome = fetch.read(&cx.cluster.topics);
        if outcome.enough || !may_wait {
            return answer(cx.cluster, &fetch, outcome, cx.real).into();
        }
        let Cluster { fetches, topics, .. } = &mut *cx.cluster;
        fetches.parked.park(cx.ticket, fetch, topics, deadline);
        Answer::Later
    }

    fn refuse(&self, cx: &Cx<'_>, error: ResponseError) -> FetchResponse {
        let mut response = FetchResponse::default().with_error_code(error.code()).with_session_id(self.session_id);
        if cx.version < 13 {
            // Clients of these versions read the errors of the partitions.
            let topics = self.topics.iter().map(|topic| {
                let partitions = topic.partitions.iter().map(|partition| refused(partition.partition, error));
                FetchableTopicResponse::default().with_topic(topic.topic.clone()).with_partitions(partitions.collect())
            });
            response.responses = topics.collect();
        }
        response
    }
}

/// Responds to the fetches whose partitions have changed, or whose wait is over.
pub(crate) fn answer_ready(cluster: &mut Cluster, now: Time, outbox: &mut Outbox) {
    for partition in cluster.topics.take_touched() {
        cluster.fetches.parked.changed(partition, &cluster.topics);
    }
    while let Some((ticket, fetch)) = cluster.fetches.parked.take_ready() {
        let outcome = fetch.read(&cluster.topics);
        outbox.reply(ticket, answer(cluster, &fetch, outcome, now));
    }
}

/// Adds the request to its session, if it has one.
fn enter(request: FetchRequest, cx: &mut Cx<'_>) -> Result<Fetch, ResponseError> {
    let uses_ids = cx.version >= 13;
    let size = |size: i32| usize::try_from(size).unwrap_or_default();
    let most = cx.cluster.configs.broker_number("fetch.max.bytes");
    let max_bytes = size(request.max_bytes).min(usize::try_from(most).unwrap_or_default());
    let Cluster { fetches, topics, .. } = &mut *cx.cluster;
    let mut wanted: Vec<Wanted> = Vec::with_capacity(request.topics.iter().map(|topic| topic.partitions.len()).sum());
    let mut places = HashMap::with_capacity(wanted.capacity());
    for topic in request.topics {
        let FetchTopic { topic: name, topic_id, partitions, .. } = topic;
        let name = if uses_ids { topic_name(topics, topic_id) } else { Some(name) };
        for partition in partitions {
            let partition = want(name.clone(), topic_id, &partition);
            // If a partition is named twice, the last offset counts, in the position of the first occurrence.
            match places.entry((topic_id, name.clone(), partition.index)) {
                Entry::Occupied(place) => wanted[*place.get()] = partition,
                Entry::Vacant(place) => {
                    place.insert(wanted.len());
                    wanted.push(partition);
                }
            }
        }
    }
    let forgotten = request.forgotten_topics_data.into_iter().flat_map(|topic| {
        let (id, name) = if uses_ids { (topic.topic_id, TopicName::default()) } else { (Uuid::nil(), topic.topic) };
        topic.partitions.into_iter().map(move |index| (id, name.clone(), index))
    });
    let follower = request.replica_id.0 >= 0 || request.replica_state.replica_id.0 >= 0;
    let (session, epoch) = (request.session_id, request.session_epoch);
    let changes = Changes { session, epoch, uses_ids, wanted, forgotten: forgotten.collect() };
    let (context, mut wanted) = fetches.sessions.enter(cx.broker, changes, topics, cx.real)?;
    for wanted in &mut wanted {
        let name = wanted.topic.as_deref().map_or("", |name| name);
        wanted.denied = !cx.authorized(Operation::Read, ResourceType::Topic, name);
    }
    Ok(Fetch {
        version: cx.version,
        broker: cx.broker,
        follower,
        committed: request.isolation_level == 1,
        min_bytes: size(request.min_bytes).min(max_bytes),
        max_bytes,
        context,
        wanted,
    })
}

fn want(topic: Option<TopicName>, id: Uuid, partition: &FetchPartition) -> Wanted {
    Wanted {
        topic,
        id,
        index: partition.partition,
        offset: partition.fetch_offset,
        max_bytes: usize::try_from(partition.partition_max_bytes).unwrap_or_default(),
        leader_epoch: partition.current_leader_epoch,
        last_epoch: partition.last_fetched_epoch,
        denied: false,
    }
}

/// Returns the response, with the partitions that the session includes.
fn answer(cluster: &mut Cluster, fetch: &Fetch, outcome: Outcome, now: Time) -> FetchResponse {
    let shown = match cluster.fetches.sessions.leave(fetch, &outcome.found, now) {
        Ok(shown) => shown,
        Err((session, error)) => {
            return FetchResponse::default().with_error_code(error.code()).with_session_id(session);
        }
    };
    let mut response = FetchResponse::default().with_session_id(shown.session);
    let mut places = shown.places.map(|places| places.into_iter().peekable());
    for (n, (wanted, found)) in fetch.wanted.iter().zip(outcome.found).enumerate() {
        if places.as_mut().is_some_and(|places| places.next_if_eq(&n).is_none()) {
            continue;
        }
        let partition = match found {
            Ok(found) => data(wanted.index, found),
            Err(error) => with_leader(cluster, fetch, wanted, error, &mut response.node_endpoints),
        };
        let same = |topic: &&mut FetchableTopicResponse| {
            topic.topic_id == wanted.id && (!wanted.id.is_nil() || Some(&topic.topic) == wanted.topic.as_ref())
        };
        match response.responses.last_mut().filter(same) {
            Some(topic) => topic.partitions.push(partition),
            None => {
                let name = wanted.topic.clone().unwrap_or_default();
                let topic = FetchableTopicResponse::default().with_topic(name).with_topic_id(wanted.id);
                response.responses.push(topic.with_partitions(vec![partition]));
            }
        }
    }
    response
}

fn data(index: i32, found: Found) -> PartitionData {
    let aborted = found.aborted.map(|aborted| {
        let aborted = aborted.into_iter().map(|(producer, offset)| {
            AbortedTransaction::default().with_producer_id(ProducerId(producer)).with_first_offset(offset)
        });
        aborted.collect()
    });
    let diverging =
        found.diverging.map(|end| EpochEndOffset::default().with_epoch(end.epoch).with_end_offset(end.end_offset));
    PartitionData::default()
        .with_partition_index(index)
        .with_high_watermark(found.high_watermark)
        .with_last_stable_offset(found.last_stable_offset)
        .with_log_start_offset(found.log_start)
        .with_diverging_epoch(diverging.unwrap_or_default())
        .with_aborted_transactions(aborted)
        .with_records(Some(found.records))
}

fn refused(index: i32, error: ResponseError) -> PartitionData {
    // In Kafka, the list of aborted transactions is null if the broker tried to read the partition, and empty otherwise.
    let unknown = [
        ResponseError::UnknownTopicOrPartition,
        ResponseError::UnknownTopicId,
        ResponseError::TopicAuthorizationFailed,
    ]
    .contains(&error);
    PartitionData::default()
        .with_partition_index(index)
        .with_error_code(error.code())
        .with_high_watermark(-1)
        .with_aborted_transactions(unknown.then(Vec::new))
        .with_records(Some(Default::default()))
}

/// Adds the leader to the error, if the client used the wrong broker or the wrong epoch.
fn with_leader(
    cluster: &Cluster,
    fetch: &Fetch,
    wanted: &Wanted,
    error: ResponseError,
    endpoints: &mut Vec<NodeEndpoint>,
) -> PartitionData {
    let mut data = refused(wanted.index, error);
    let moved = [ResponseError::NotLeaderOrFollower, ResponseError::FencedLeaderEpoch].contains(&error);
    let topic = wanted.topic.as_ref().and_then(|name| cluster.topics.get(name));
    let partition = topic.and_then(|topic| topic.partition(wanted.index));
    if let Some(partition) = partition.filter(|_| moved && fetch.version >= 16) {
        let leader = BrokerId(partition.leader);
        data.current_leader =
            LeaderIdAndEpoch::default().with_leader_id(leader).with_leader_epoch(partition.leader_epoch);
        let known = endpoints.iter().any(|endpoint| endpoint.node_id == leader);
        if let Some(broker) = cluster.live_brokers().find(|broker| broker.id == leader.0).filter(|_| !known) {
            let endpoint = NodeEndpoint::default()
                .with_node_id(leader)
                .with_host(StrBytes::from_string(broker.host.clone()))
                .with_port(i32::from(broker.port));
            endpoints.push(endpoint);
        }
    }
    data
}
