//! The subscriptions and assignments in requests of the classic protocol, in the format of Kafka's "consumer protocol".

use std::collections::BTreeSet;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::consumer_protocol_assignment::TopicPartition;
use kafka_protocol::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicName};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use super::member::{Assignment, with};
use crate::state::Topics;
use crate::wire;

/// The newest supported version. Newer versions are decoded as this version.
const NEWEST: i16 = 3;

/// The parts of a subscription that the broker needs.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) topics: BTreeSet<String>,
    pub(super) owned: Assignment,
    pub(super) rack_id: Option<String>,
}

impl Subscription {
    pub(super) fn decode(bytes: &Bytes, topics: &Topics) -> Option<Self> {
        let message: ConsumerProtocolSubscription = decode(bytes)?;
        let owned = message.owned_partitions.iter().map(|owned| (&**owned.topic, &owned.partitions[..]));
        Some(Self {
            topics: message.topics.iter().map(ToString::to_string).collect(),
            owned: by_id(owned, topics),
            rack_id: message.rack_id.map(|rack| rack.to_string()).filter(|rack| !rack.is_empty()),
        })
    }
}

/// The reason why a classic group cannot become a consumer group if its subscriptions cannot be decoded.
pub(super) const MALFORMED: &str = "the embedded consumer protocol is malformed";
/// The reason if a leader sent user data with an assignment, because a consumer group cannot store it.
pub(super) const CUSTOM_ASSIGNOR: &str = "an unsupported custom assignor is in use. Please refer to the documentation or \
    switch to a default assignor before re-attempting the upgrade";

/// Decodes an assignment from a leader, or returns the reason why a consumer group cannot continue with it.
pub(super) fn decode_assignment(bytes: &Bytes, topics: &Topics) -> Result<Assignment, &'static str> {
    if bytes.is_empty() {
        return Ok(Assignment::new());
    }
    let message: ConsumerProtocolAssignment = decode(bytes).ok_or(MALFORMED)?;
    if message.user_data.is_some_and(|data| !data.is_empty()) {
        return Err(CUSTOM_ASSIGNOR);
    }
    let assigned = message.assigned_partitions.iter().map(|assigned| (&**assigned.topic, &assigned.partitions[..]));
    Ok(by_id(assigned, topics))
}

/// Encodes an assignment in the version of a subscription.
pub(super) fn encode_assignment(assignment: &Assignment, subscription: &Bytes, topics: &Topics) -> Option<Bytes> {
    let version = version(subscription)?;
    let assigned = assignment.iter().filter_map(|(id, partitions)| {
        let name = TopicName(StrBytes::from_string(topics.name_of(*id)?.to_owned()));
        Some(TopicPartition::default().with_topic(name).with_partitions(partitions.iter().copied().collect()))
    });
    let message = ConsumerProtocolAssignment::default().with_assigned_partitions(assigned.collect());
    let mut bytes = BytesMut::new();
    bytes.put_i16(version);
    message.encode(&mut bytes, version).ok()?;
    Some(bytes.freeze())
}

fn version(bytes: &Bytes) -> Option<i16> {
    let version = i16::from_be_bytes(*bytes.first_chunk::<2>()?);
    (version >= 0).then_some(version.min(NEWEST))
}

fn decode<T: Decodable>(bytes: &Bytes) -> Option<T> {
    wire::decode(&bytes.slice(2.min(bytes.len())..), version(bytes)?).ok()
}

/// Topics that do not exist are left out.
fn by_id<'a>(partitions: impl Iterator<Item = (&'a str, &'a [i32])>, topics: &Topics) -> Assignment {
    partitions
        .filter_map(|(name, indexes)| Some((topics.get(name)?.id, indexes)))
        .flat_map(|(id, indexes)| indexes.iter().map(move |index| (id, *index)))
        .fold(Assignment::new(), with)
}
