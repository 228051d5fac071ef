//! The responses that contain a throttle time.

use kafka_protocol::messages::*;

/// A response that may have a field for the throttle time.
pub(crate) trait Throttle {
    fn set_throttle_time(&mut self, milliseconds: i32);
}

macro_rules! throttled {
    ($($response:ty,)*) => {$(
        impl Throttle for $response {
            fn set_throttle_time(&mut self, milliseconds: i32) {
                self.throttle_time_ms = milliseconds;
            }
        }
    )*};
}

macro_rules! unthrottled {
    ($($response:ty,)*) => {$(
        impl Throttle for $response {
            fn set_throttle_time(&mut self, _: i32) {}
        }
    )*};
}

throttled! {
    ProduceResponse, FetchResponse, ListOffsetsResponse, MetadataResponse, OffsetCommitResponse, OffsetFetchResponse,
    FindCoordinatorResponse, JoinGroupResponse, HeartbeatResponse, LeaveGroupResponse, SyncGroupResponse,
    DescribeGroupsResponse, ListGroupsResponse, ApiVersionsResponse, CreateTopicsResponse, DeleteTopicsResponse,
    DeleteRecordsResponse, InitProducerIdResponse, OffsetForLeaderEpochResponse, AddPartitionsToTxnResponse,
    AddOffsetsToTxnResponse, EndTxnResponse, TxnOffsetCommitResponse, DescribeAclsResponse, CreateAclsResponse,
    DeleteAclsResponse, DescribeConfigsResponse, AlterConfigsResponse, AlterReplicaLogDirsResponse,
    DescribeLogDirsResponse, CreatePartitionsResponse, CreateDelegationTokenResponse, RenewDelegationTokenResponse,
    ExpireDelegationTokenResponse, DescribeDelegationTokenResponse, DeleteGroupsResponse, ElectLeadersResponse,
    IncrementalAlterConfigsResponse, AlterPartitionReassignmentsResponse, ListPartitionReassignmentsResponse,
    OffsetDeleteResponse, DescribeClientQuotasResponse, AlterClientQuotasResponse,
    DescribeUserScramCredentialsResponse, AlterUserScramCredentialsResponse, UpdateFeaturesResponse,
    DescribeClusterResponse, DescribeProducersResponse, UnregisterBrokerResponse, DescribeTransactionsResponse,
    ListTransactionsResponse, ConsumerGroupHeartbeatResponse, ConsumerGroupDescribeResponse,
    GetTelemetrySubscriptionsResponse, PushTelemetryResponse, ListConfigResourcesResponse,
    DescribeTopicPartitionsResponse,
}

unthrottled! {
    SaslHandshakeResponse, SaslAuthenticateResponse, DescribeQuorumResponse,
}
