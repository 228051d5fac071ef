//! The APIs of the broker. Each API or family of APIs has one file, which decodes requests, calls the state and encodes
//! responses.

mod acls;
mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod alter_configs;
mod api_versions;
mod client_quotas;
mod committals;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod create_partitions;
mod create_topics;
mod delegation_tokens;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_topic_partitions;
mod describe_transactions;
mod elect_leaders;
mod end_txn;
pub(crate) mod fetch;
mod find_coordinator;
mod groups;
mod heartbeat;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod metadata;
pub(crate) mod names;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod reassignments;
mod resources;
mod sasl;
mod sync_group;
mod throttle;
mod transactions;
mod txn_offset_commit;
mod user_scram_credentials;

use std::ops::RangeInclusive;

use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion};

use self::names::{Kind, Name, Named};
use self::throttle::Throttle;
use crate::clock::Time;
use crate::state::acls::{Operation, ResourceType, Who};
use crate::state::{Cluster, Outbox, Ticket};
use crate::wire::{self, Malformed, Reply};

/// An API that the broker serves.
pub(crate) trait Api: Decodable + HeaderVersion + Named {
    const KEY: ApiKey;
    /// The versions in the ApiVersions response: the versions of Kafka 4.1 that `kafka-protocol` supports.
    const VERSIONS: RangeInclusive<i16>;
    type Response: Encodable + HeaderVersion + Throttle + Send + 'static;

    /// Processes the request.
    fn handle(self, cx: &mut Cx<'_>) -> Answer<Self::Response>;

    /// Returns the response that refuses the whole request with one error.
    fn refuse(&self, cx: &Cx<'_>, error: ResponseError) -> Self::Response;

    /// Returns whether the client expects a response.
    fn wants_answer(&self) -> bool {
        true
    }
}

/// The result of a request.
pub(crate) enum Answer<R> {
    Now(R),
    /// The state keeps the ticket of the request, and responds through the [`Outbox`].
    Later,
    /// The request has no response.
    Never,
    /// The connection is closed, as Kafka does if it has no other response.
    Close,
}

impl<T: Encodable + HeaderVersion + Throttle + Send> Reply for T {
    fn encode(&self, version: i16, into: &mut BytesMut) -> Result<(), String> {
        Encodable::encode(self, into, version).map_err(|error| error.to_string())
    }

    fn header_version(&self, version: i16) -> i16 {
        T::header_version(version)
    }

    fn throttle(&mut self, milliseconds: i32) {
        self.set_throttle_time(milliseconds);
    }
}

/// The context of a request: the client, the broker, the time and the cluster.
pub(crate) struct Cx<'a> {
    pub(crate) cluster: &'a mut Cluster,
    pub(crate) outbox: &'a mut Outbox,
    /// The time of the broker's clock.
    pub(crate) now: Time,
    /// The real time, which the wait of a Fetch uses. It also passes while the clock is paused.
    pub(crate) real: Time,
    /// The broker that received the request.
    pub(crate) broker: i32,
    pub(crate) ticket: Ticket,
    pub(crate) version: i16,
    pub(crate) client: &'a Client,
}

impl Cx<'_> {
    /// Checks whether the client may do this to the resource with this name.
    pub(crate) fn authorized(&self, operation: Operation, kind: ResourceType, name: &str) -> bool {
        self.cluster.acls.authorize(self.client.who(), operation, kind, name)
    }

    /// Checks whether the client may do this to any resource of this type.
    pub(crate) fn authorized_to_any(&self, operation: Operation, kind: ResourceType) -> bool {
        self.cluster.acls.authorize_any(self.client.who(), operation, kind)
    }

    /// Returns the authorized operations of the client on the resource, as the bit field of responses.
    pub(crate) fn authorized_operations(&self, kind: ResourceType, name: &str) -> i32 {
        let operations = kind.operations().iter().filter(|operation| self.authorized(**operation, kind, name));
        operations.fold(0, |bits, operation| bits | 1 << (*operation as i32))
    }

    /// Checks whether this broker coordinates a group or a transactional id.
    pub(crate) fn check_coordinator(&self, name: &str) -> Result<(), ResponseError> {
        match self.cluster.coordinator(name) {
            Some(broker) if broker.id == self.broker => Ok(()),
            _ => Err(ResponseError::NotCoordinator),
        }
    }
}

/// Returns the error code of a result in a response. 0 means no error.
pub(crate) fn error_code<T>(result: Result<T, ResponseError>) -> i16 {
    result.err().map_or(0, |error| error.code())
}

/// The client of a connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Client {
    pub(crate) id: String,
    /// The address of a group member in Kafka's format, such as `/127.0.0.1`.
    pub(crate) host: String,
    /// The principal name in ACLs, without `User:`.
    pub(crate) principal: String,
}

impl Client {
    pub(crate) fn who(&self) -> Who<'_> {
        Who { principal: &self.principal, host: self.host.strip_prefix('/').unwrap_or(&self.host) }
    }
}

macro_rules! apis {
    ($($request:ty,)*) => {
        /// The content of the ApiVersions response: each API with its lowest and highest version.
        pub(crate) const SUPPORTED: &[(ApiKey, i16, i16)] = &[$((
            <$request as Api>::KEY,
            *<$request as Api>::VERSIONS.start(),
            *<$request as Api>::VERSIONS.end(),
        ),)*];

        /// Decodes a request and processes it, or refuses it with the error of a fault.
        pub(crate) fn dispatch(
            cx: &mut Cx<'_>,
            key: ApiKey,
            body: &Bytes,
            refusal: Option<ResponseError>,
        ) -> Result<Answer<Box<dyn Reply>>, Malformed> {
            match key {
                $(<$request as Api>::KEY => serve::<$request>(cx, body, refusal),)*
                _ => Err(Malformed(format!("{key:?} is not served"))),
            }
        }

        /// Passes each name in a request to `each`.
        pub(crate) fn names(key: ApiKey, version: i16, body: &Bytes, each: &mut dyn FnMut(Name<'_>)) {
            match key {
                $(<$request as Api>::KEY => {
                    // A request that cannot be decoded names nothing. Processing it returns the error.
                    if let Ok(request) = wire::decode::<$request>(body, version) {
                        request.names(each);
                    }
                })*
                _ => {}
            }
        }

        /// Returns an empty request.
        #[cfg(test)]
        pub(crate) fn empty(key: ApiKey, version: i16) -> Option<Bytes> {
            let mut empty = BytesMut::new();
            match key {
                $(<$request as Api>::KEY => Encodable::encode(&<$request>::default(), &mut empty, version).ok()?,)*
                _ => return None,
            }
            Some(empty.freeze())
        }

        /// Returns the same request in another version, if that version can represent it.
        #[cfg(test)]
        pub(crate) fn transcode(key: ApiKey, body: &Bytes, from: i16, to: i16) -> Option<Bytes> {
            let mut transcoded = BytesMut::new();
            match key {
                $(<$request as Api>::KEY => {
                    let request = wire::decode::<$request>(body, from).ok()?;
                    Encodable::encode(&request, &mut transcoded, to).ok()?;
                })*
                _ => return None,
            }
            Some(transcoded.freeze())
        }

        /// Returns the kinds of names in the requests of an API, or `None` if the API is not served.
        pub(crate) fn kinds(key: ApiKey) -> Option<&'static [Kind]> {
            match key {
                $(<$request as Api>::KEY => Some(<$request as Named>::KINDS),)*
                _ => None,
            }
        }
    };
}

impl<R> From<R> for Answer<R> {
    fn from(response: R) -> Self {
        Self::Now(response)
    }
}

fn serve<A: Api>(
    cx: &mut Cx<'_>,
    body: &Bytes,
    refusal: Option<ResponseError>,
) -> Result<Answer<Box<dyn Reply>>, Malformed> {
    let request: A = wire::decode(body, cx.version)?;
    if let Some(error) = refusal {
        if !request.wants_answer() {
            return Ok(Answer::Close);
        }
        return Ok(Answer::Now(Box::new(request.refuse(cx, error))));
    }
    Ok(match request.handle(cx) {
        Answer::Now(response) => Answer::Now(Box::new(response)),
        Answer::Later => Answer::Later,
        Answer::Never => Answer::Never,
        Answer::Close => Answer::Close,
    })
}

/// Returns the response to an unsupported version of ApiVersions.
pub(crate) fn unsupported_api_versions() -> impl Reply {
    api_versions::unsupported()
}

/// Returns the supported versions of an API, or `None` if it is not served.
pub(crate) fn versions(key: ApiKey) -> Option<RangeInclusive<i16>> {
    SUPPORTED.iter().find(|(served, ..)| *served == key).map(|&(_, low, high)| low..=high)
}

// Sorted by API key.
apis! {
    ProduceRequest,
    FetchRequest,
    ListOffsetsRequest,
    MetadataRequest,
    OffsetCommitRequest,
    OffsetFetchRequest,
    FindCoordinatorRequest,
    JoinGroupRequest,
    HeartbeatRequest,
    LeaveGroupRequest,
    SyncGroupRequest,
    DescribeGroupsRequest,
    ListGroupsRequest,
    SaslHandshakeRequest,
    ApiVersionsRequest,
    CreateTopicsRequest,
    DeleteTopicsRequest,
    DeleteRecordsRequest,
    InitProducerIdRequest,
    OffsetForLeaderEpochRequest,
    AddPartitionsToTxnRequest,
    AddOffsetsToTxnRequest,
    EndTxnRequest,
    TxnOffsetCommitRequest,
    DescribeAclsRequest,
    CreateAclsRequest,
    DeleteAclsRequest,
    DescribeConfigsRequest,
    AlterConfigsRequest,
    DescribeLogDirsRequest,
    SaslAuthenticateRequest,
    CreatePartitionsRequest,
    CreateDelegationTokenRequest,
    RenewDelegationTokenRequest,
    ExpireDelegationTokenRequest,
    DescribeDelegationTokenRequest,
    DeleteGroupsRequest,
    ElectLeadersRequest,
    IncrementalAlterConfigsRequest,
    AlterPartitionReassignmentsRequest,
    ListPartitionReassignmentsRequest,
    OffsetDeleteRequest,
    DescribeClientQuotasRequest,
    AlterClientQuotasRequest,
    DescribeUserScramCredentialsRequest,
    AlterUserScramCredentialsRequest,
    DescribeQuorumRequest,
    DescribeClusterRequest,
    DescribeProducersRequest,
    DescribeTransactionsRequest,
    ListTransactionsRequest,
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupDescribeRequest,
    ListConfigResourcesRequest,
    DescribeTopicPartitionsRequest,
}
