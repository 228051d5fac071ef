//! Produce: records appended to partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{ApiKey, BrokerId, ProduceRequest, ProduceResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::{Answer, Api, Cx};
use crate::state::Cluster;
use crate::state::acls::{Operation, ResourceType};
use crate::state::batch::Batch;
use crate::state::compression;
use crate::state::partition::{Appended, Partition};
use crate::state::topics::Topic;
use crate::state::transactions::TransactionSupport;
use crate::state::validator::Refusal;

impl Api for ProduceRequest {
    const KEY: ApiKey = ApiKey::Produce;
    const VERSIONS: RangeInclusive<i16> = 3..=13;
    type Response = ProduceResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<ProduceResponse> {
        if let Err(error) = check_rights(cx, &self) {
            let refusal = self.refuse(cx, error);
            return if self.acks == 0 { Answer::Close } else { refusal.into() };
        }
        let entries = entries(cx, &self);
        if let Err(error) = check_producers(&entries) {
            let refusal = self.refuse(cx, error);
            return if self.acks == 0 { Answer::Close } else { refusal.into() };
        }
        let mut answers = Vec::with_capacity(entries.len());
        let mut endpoints = Vec::new();
        let mut failed = false;
        for (place, Entry { name, batch, refusal }) in entries {
            let appended = batch.map(|batch| append(cx, &self, (&name, place.index), &batch));
            let answer = PartitionProduceResponse::default().with_index(place.index);
            let answer = match refusal.map(|refusal| Err(refusal.into())).or(appended) {
                None => continue,
                Some(Ok((appended, log_start))) => answer
                    .with_base_offset(appended.base_offset)
                    .with_log_append_time_ms(appended.append_time)
                    .with_log_start_offset(log_start),
                Some(Err(Failure { refusal, log_start, leader })) => {
                    failed = true;
                    let mut answer = refused(place.index, refusal).with_log_start_offset(log_start);
                    if let Some(leader) = leader.filter(|_| cx.version >= 10) {
                        hint(cx.cluster, leader.leader_id, &mut endpoints);
                        answer.current_leader = leader;
                    }
                    answer
                }
            };
            answers.push((place, answer));
        }
        match (self.acks, failed) {
            (0, false) => Answer::Never,
            // Close the connection, because a client without acknowledgements cannot see in another way that a record was lost.
            (0, true) => Answer::Close,
            _ => answer(answers).with_node_endpoints(endpoints).into(),
        }
    }

    fn wants_answer(&self) -> bool {
        self.acks != 0
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> ProduceResponse {
        let places: BTreeSet<Place<'_>> = places(self).map(|(place, _)| place).collect();
        answer(places.into_iter().map(|place| (place, refused(place.index, error.into()))))
    }
}

/// A partition, as a request names it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place<'a> {
    name: &'a TopicName,
    id: Uuid,
    index: i32,
}

fn places(request: &ProduceRequest) -> impl Iterator<Item = (Place<'_>, &PartitionProduceData)> {
    request.topic_data.iter().flat_map(|data| {
        let place = |index| Place { name: &data.name, id: data.topic_id, index };
        data.partition_data.iter().map(move |partition| (place(partition.index), partition))
    })
}

fn answer<'a>(answers: impl IntoIterator<Item = (Place<'a>, PartitionProduceResponse)>) -> ProduceResponse {
    let mut topics: Vec<TopicProduceResponse> = Vec::new();
    for (place, answer) in answers {
        match topics.last_mut().filter(|topic| topic.name == *place.name && topic.topic_id == place.id) {
            Some(topic) => topic.partition_responses.push(answer),
            None => topics.push(
                TopicProduceResponse::default()
                    .with_name(place.name.clone())
                    .with_topic_id(place.id)
                    .with_partition_responses(vec![answer]),
            ),
        }
    }
    ProduceResponse::default().with_responses(topics)
}

/// The batch of a request for one partition. If a request names a partition twice, the last batch counts, as in Kafka. A
/// refusal of either batch is the response, even if the other batch is appended.
#[derive(Default)]
struct Entry {
    name: String,
    batch: Option<Batch>,
    refusal: Option<Refusal>,
}

fn entries<'a>(cx: &Cx<'_>, request: &'a ProduceRequest) -> BTreeMap<Place<'a>, Entry> {
    let mut entries: BTreeMap<Place<'_>, Entry> = BTreeMap::new();
    for (place, partition) in places(request) {
        let entry = entries.entry(place).or_default();
        match check(cx, place, partition) {
            Ok((name, batch)) => (entry.name, entry.batch) = (name, Some(batch)),
            Err(refusal) => entry.refusal = Some(refusal),
        }
    }
    entries
}

/// The reason why a batch was not appended, with the current leader if the client needs it.
struct Failure {
    refusal: Refusal,
    log_start: i64,
    /// Who leads the partition, where it is another than the one asked.
    leader: Option<LeaderIdAndEpoch>,
}

impl<E: Into<Refusal>> From<E> for Failure {
    fn from(refusal: E) -> Self {
        Self { refusal: refusal.into(), log_start: -1, leader: None }
    }
}

/// Whether the client may send the transactional batches of a request.
fn check_rights(cx: &Cx<'_>, request: &ProduceRequest) -> Result<(), ResponseError> {
    let mut batches = places(request).filter_map(|(_, partition)| Batch::first(partition.records.as_ref()?).ok());
    if !batches.any(|batch| batch.is_transactional()) {
        return Ok(());
    }
    let id = request.transactional_id.as_deref();
    match id.is_some_and(|id| cx.authorized(Operation::Write, ResourceType::TransactionalId, id)) {
        true => Ok(()),
        false => Err(ResponseError::TransactionalIdAuthorizationFailed),
    }
}

/// Whether all transactional batches are of one producer.
fn check_producers(entries: &BTreeMap<Place<'_>, Entry>) -> Result<(), ResponseError> {
    let batches = entries.values().filter_map(|entry| entry.batch.as_ref());
    let transactional = batches.filter(|batch| batch.is_transactional() && batch.has_producer());
    let mut producers = transactional.map(|batch| (batch.producer_id, batch.producer_epoch));
    let first = producers.next();
    if producers.any(|producer| Some(producer) != first) {
        Err(ResponseError::InvalidProducerIdMapping)
    } else {
        Ok(())
    }
}

/// Finds the topic and reads the batch.
fn check(cx: &Cx<'_>, place: Place<'_>, partition: &PartitionProduceData) -> Result<(String, Batch), Refusal> {
    let name = match cx.version {
        13.. => cx.cluster.topics.name_of(place.id).ok_or(ResponseError::UnknownTopicId)?.to_owned(),
        _ => place.name.to_string(),
    };
    if !cx.authorized(Operation::Write, ResourceType::Topic, &name) {
        return Err(ResponseError::TopicAuthorizationFailed.into());
    }
    if !cx.cluster.topics.has_partition(&name, place.index) {
        return Err(ResponseError::UnknownTopicOrPartition.into());
    }
    let batch = only_batch(partition, cx.version)?;
    Ok((name, batch))
}

fn append(
    cx: &mut Cx<'_>,
    request: &ProduceRequest,
    (name, index): (&str, i32),
    batch: &Batch,
) -> Result<(Appended, i64), Failure> {
    let missing = ResponseError::UnknownTopicOrPartition;
    let found = cx.cluster.topics.get(name).and_then(|topic| topic.partition(index)).ok_or(missing)?;
    let open = |batch: &Batch| found.producers.has_open_transaction(batch.producer_id, batch.producer_epoch);
    let transactional = batch.is_transactional() && batch.has_producer();
    let admit = transactional && !open(batch);
    let check_acks = || match request.acks {
        -1..=1 => Ok(()),
        _ => Err(ResponseError::InvalidRequiredAcks),
    };
    // A transaction is looked at before.
    if !transactional {
        check_acks()?;
    }
    if found.leader != cx.broker {
        let leader =
            LeaderIdAndEpoch::default().with_leader_id(BrokerId(found.leader)).with_leader_epoch(found.leader_epoch);
        return Err(Failure { leader: Some(leader), ..ResponseError::NotLeaderOrFollower.into() });
    }
    if let (true, Some(id)) = (admit, &request.transactional_id) {
        let producer = (batch.producer_id, batch.producer_epoch);
        let partition = cx.cluster.topics.get_mut(name).and_then(|topic| topic.partition_mut(index));
        partition.ok_or(missing)?.producers.verifies(batch, cx.version >= 12, cx.now)?;
        let support = match cx.version {
            ..11 => TransactionSupport::Verify,
            11 => TransactionSupport::VerifyAbortable,
            12.. => TransactionSupport::Add,
        };
        cx.cluster.admit_to_transaction(cx.now, id, producer, (name, index), support).map_err(not_admitted)?;
    }
    check_acks()?;

    let topics = &mut cx.cluster.topics;
    topics.reserve(batch.bytes.len()).map_err(|most| Refusal {
        // Not an error that a client retries: there would be no room for the retry either.
        error: ResponseError::PolicyViolation,
        message: Some(format!("the logs of this embedded broker may take {most} bytes, and would take more")),
        records: Vec::new(),
    })?;
    let topic = topics.get_mut(name).ok_or(missing)?;
    if topic.internal && cx.client.id != ADMIN_CLIENT {
        return Err(ResponseError::InvalidTopicException.into());
    }
    let id = topic.id;
    let place = usize::try_from(index).map_err(|_| missing)?;
    let Topic { settings, partitions, .. } = topic;
    let settings = settings.on(cx.broker);
    let partition = partitions.get_mut(place).ok_or(missing)?;
    let failure = |partition: &Partition, refusal: Refusal| {
        let early = [ResponseError::MessageTooLarge, ResponseError::CorruptMessage].contains(&refusal.error);
        let log_start = if early { -1 } else { partition.log.start() };
        Failure { refusal, log_start, leader: None }
    };
    if request.acks == -1 && partition.isr.len() < partition.min_in_sync(settings.min_insync_replicas) {
        return Err(failure(partition, ResponseError::NotEnoughReplicas.into()));
    }
    let appended = partition.append(batch, settings, cx.now).map_err(|refusal| failure(partition, refusal))?;
    let log_start = partition.log.start();
    topics.touch(id, index);
    Ok((appended, log_start))
}

/// The client id that Kafka's own tools write to internal topics with.
const ADMIN_CLIENT: &str = "__admin_client";

/// The batch that a client sends for a partition: exactly one, of format 2.
fn only_batch(partition: &PartitionProduceData, version: i16) -> Result<Batch, Refusal> {
    let records = partition.records.as_ref().ok_or(ResponseError::UnknownServerError)?;
    let batch = Batch::first(records)?;
    if version < 7 && batch.compression() == compression::ZSTD {
        return Err(ResponseError::UnsupportedCompressionType.into());
    }
    if Batch::is_in(&records.slice(batch.bytes.len()..)) {
        return Err(ResponseError::InvalidRecord.into());
    }
    Ok(batch)
}

/// The coordinator's error as Produce answers it: old clients know no other that they would retry.
fn not_admitted(error: ResponseError) -> Refusal {
    let (error, message) = match error {
        ResponseError::InvalidTxnState => (error, Some("the partition is not part of the transaction".to_owned())),
        ResponseError::ProducerFenced => (ResponseError::InvalidProducerEpoch, None),
        ResponseError::ConcurrentTransactions
        | ResponseError::CoordinatorLoadInProgress
        | ResponseError::CoordinatorNotAvailable
        | ResponseError::NotCoordinator => {
            let message = format!("the partition could not be verified to be part of the transaction: {error:?}");
            (ResponseError::NotEnoughReplicas, Some(message))
        }
        _ => (error, None),
    };
    Refusal { error, message, records: Vec::new() }
}

/// Adds where the leader is reached, once.
fn hint(cluster: &Cluster, leader: BrokerId, endpoints: &mut Vec<NodeEndpoint>) {
    let known = endpoints.iter().any(|endpoint| endpoint.node_id == leader);
    if let Some(broker) = cluster.live_brokers().find(|broker| broker.id == leader.0).filter(|_| !known) {
        let host = StrBytes::from_string(broker.host.clone());
        let endpoint = NodeEndpoint::default().with_node_id(leader).with_host(host).with_port(i32::from(broker.port));
        endpoints.push(endpoint);
    }
}

fn refused(index: i32, refusal: Refusal) -> PartitionProduceResponse {
    let text = |text: String| Some(StrBytes::from_string(text));
    let records = refusal.records.into_iter().map(|(index, message)| {
        BatchIndexAndErrorMessage::default().with_batch_index(index).with_batch_index_error_message(text(message))
    });
    PartitionProduceResponse::default()
        .with_index(index)
        .with_error_code(refusal.error.code())
        .with_base_offset(-1)
        .with_log_start_offset(-1)
        .with_record_errors(records.collect())
        .with_error_message(refusal.message.and_then(text))
}
