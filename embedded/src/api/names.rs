//! The topics, groups and transactional ids that a request names, for the faults that are about some of them only.

use kafka_protocol::messages::*;
use uuid::Uuid;

/// Something that a request names.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Name<'a> {
    Topic(&'a str),
    TopicId(Uuid),
    /// The topics of a fetch session.
    Session(i32),
    Group(&'a str),
    TransactionalId(&'a str),
}

/// What the requests of an API name.
pub(crate) trait Named {
    /// The kinds of names that there may be among it.
    const KINDS: &'static [Kind];

    /// Tells all that the request names.
    fn names(&self, tell: &mut dyn FnMut(Name<'_>));
}

/// A kind of name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Topic,
    Group,
    TransactionalId,
}

/// The number of a topic among the kinds of resources.
const TOPIC: i8 = 2;
/// The number of a group.
const GROUP: i8 = 32;

/// Tells a topic by its name or, where the version has that instead, by its id.
fn topic(tell: &mut dyn FnMut(Name<'_>), name: &str, id: Uuid) {
    tell(if name.is_empty() { Name::TopicId(id) } else { Name::Topic(name) });
}

macro_rules! named {
    ($($requests:ty),* => $kinds:tt, |$request:ident, $tell:ident| $body:block) => {$(
        impl Named for $requests {
            const KINDS: &'static [Kind] = &$kinds;

            fn names(&self, $tell: &mut dyn FnMut(Name<'_>)) {
                let $request = self;
                $body
            }
        }
    )*};
}

named!(ProduceRequest => [Kind::Topic, Kind::TransactionalId], |request, tell| {
    request.topic_data.iter().for_each(|data| topic(tell, &data.name, data.topic_id));
    request.transactional_id.iter().for_each(|id| tell(Name::TransactionalId(id)));
});
named!(FetchRequest => [Kind::Topic], |request, tell| {
    request.topics.iter().for_each(|wanted| topic(tell, &wanted.topic, wanted.topic_id));
    if request.session_epoch > 0 {
        tell(Name::Session(request.session_id));
    }
});
named!(MetadataRequest => [Kind::Topic], |request, tell| {
    for wanted in request.topics.iter().flatten() {
        topic(tell, wanted.name.as_deref().map_or("", |name| name), wanted.topic_id);
    }
});
named!(DeleteTopicsRequest => [Kind::Topic], |request, tell| {
    request.topic_names.iter().for_each(|name| tell(Name::Topic(name)));
    for wanted in &request.topics {
        topic(tell, wanted.name.as_deref().map_or("", |name| name), wanted.topic_id);
    }
});
named!(
    ListOffsetsRequest, CreateTopicsRequest, CreatePartitionsRequest, DeleteRecordsRequest, DescribeProducersRequest,
    DescribeTopicPartitionsRequest, AlterPartitionReassignmentsRequest => [Kind::Topic],
    |request, tell| {
        request.topics.iter().for_each(|wanted| tell(Name::Topic(&wanted.name)));
    }
);
named!(OffsetForLeaderEpochRequest => [Kind::Topic], |request, tell| {
    request.topics.iter().for_each(|wanted| tell(Name::Topic(&wanted.topic)));
});
named!(DescribeLogDirsRequest => [Kind::Topic], |request, tell| {
    request.topics.iter().flatten().for_each(|wanted| tell(Name::Topic(&wanted.topic)));
});
named!(ListPartitionReassignmentsRequest => [Kind::Topic], |request, tell| {
    request.topics.iter().flatten().for_each(|wanted| tell(Name::Topic(&wanted.name)));
});
named!(ElectLeadersRequest => [Kind::Topic], |request, tell| {
    request.topic_partitions.iter().flatten().for_each(|wanted| tell(Name::Topic(&wanted.topic)));
});
named!(
    DescribeConfigsRequest, AlterConfigsRequest, IncrementalAlterConfigsRequest => [Kind::Topic, Kind::Group],
    |request, tell| {
        for resource in &request.resources {
            match resource.resource_type {
                TOPIC => tell(Name::Topic(&resource.resource_name)),
                GROUP => tell(Name::Group(&resource.resource_name)),
                _ => {}
            }
        }
    }
);
named!(FindCoordinatorRequest => [Kind::Group, Kind::TransactionalId], |request, tell| {
    let old = Some(&request.key).filter(|key| !key.is_empty());
    for key in request.coordinator_keys.iter().chain(old) {
        match request.key_type {
            0 => tell(Name::Group(key)),
            1 => tell(Name::TransactionalId(key)),
            _ => {}
        }
    }
});
named!(JoinGroupRequest, SyncGroupRequest, HeartbeatRequest, LeaveGroupRequest => [Kind::Group], |request, tell| {
    tell(Name::Group(&request.group_id));
});
named!(ConsumerGroupHeartbeatRequest => [Kind::Topic, Kind::Group], |request, tell| {
    tell(Name::Group(&request.group_id));
    request.subscribed_topic_names.iter().flatten().for_each(|name| tell(Name::Topic(name)));
});
named!(OffsetCommitRequest => [Kind::Topic, Kind::Group], |request, tell| {
    tell(Name::Group(&request.group_id));
    request.topics.iter().for_each(|wanted| topic(tell, &wanted.name, wanted.topic_id));
});
named!(OffsetDeleteRequest => [Kind::Topic, Kind::Group], |request, tell| {
    tell(Name::Group(&request.group_id));
    request.topics.iter().for_each(|wanted| tell(Name::Topic(&wanted.name)));
});
named!(OffsetFetchRequest => [Kind::Topic, Kind::Group], |request, tell| {
    if request.groups.is_empty() {
        tell(Name::Group(&request.group_id));
    }
    request.topics.iter().flatten().for_each(|wanted| tell(Name::Topic(&wanted.name)));
    for group in &request.groups {
        tell(Name::Group(&group.group_id));
        group.topics.iter().flatten().for_each(|wanted| topic(tell, &wanted.name, wanted.topic_id));
    }
});
named!(DescribeGroupsRequest => [Kind::Group], |request, tell| {
    request.groups.iter().for_each(|group| tell(Name::Group(group)));
});
named!(DeleteGroupsRequest => [Kind::Group], |request, tell| {
    request.groups_names.iter().for_each(|group| tell(Name::Group(group)));
});
named!(ConsumerGroupDescribeRequest => [Kind::Group], |request, tell| {
    request.group_ids.iter().for_each(|group| tell(Name::Group(group)));
});
named!(InitProducerIdRequest => [Kind::TransactionalId], |request, tell| {
    request.transactional_id.iter().for_each(|id| tell(Name::TransactionalId(id)));
});
named!(AddPartitionsToTxnRequest => [Kind::Topic, Kind::TransactionalId], |request, tell| {
    if request.transactions.is_empty() {
        tell(Name::TransactionalId(&request.v3_and_below_transactional_id));
    }
    request.v3_and_below_topics.iter().for_each(|wanted| tell(Name::Topic(&wanted.name)));
    for transaction in &request.transactions {
        tell(Name::TransactionalId(&transaction.transactional_id));
        transaction.topics.iter().for_each(|wanted| tell(Name::Topic(&wanted.name)));
    }
});
named!(AddOffsetsToTxnRequest => [Kind::Group, Kind::TransactionalId], |request, tell| {
    tell(Name::TransactionalId(&request.transactional_id));
    tell(Name::Group(&request.group_id));
});
named!(TxnOffsetCommitRequest => [Kind::Topic, Kind::Group, Kind::TransactionalId], |request, tell| {
    tell(Name::TransactionalId(&request.transactional_id));
    tell(Name::Group(&request.group_id));
    request.topics.iter().for_each(|wanted| tell(Name::Topic(&wanted.name)));
});
named!(EndTxnRequest => [Kind::TransactionalId], |request, tell| {
    tell(Name::TransactionalId(&request.transactional_id));
});
named!(DescribeTransactionsRequest => [Kind::TransactionalId], |request, tell| {
    request.transactional_ids.iter().for_each(|id| tell(Name::TransactionalId(id)));
});
named!(
    ApiVersionsRequest, SaslHandshakeRequest, SaslAuthenticateRequest, ListGroupsRequest, ListTransactionsRequest,
    DescribeClusterRequest, DescribeAclsRequest, CreateAclsRequest, DeleteAclsRequest, DescribeClientQuotasRequest,
    AlterClientQuotasRequest, DescribeUserScramCredentialsRequest, AlterUserScramCredentialsRequest,
    DescribeQuorumRequest, UpdateFeaturesRequest, UnregisterBrokerRequest, GetTelemetrySubscriptionsRequest,
    PushTelemetryRequest, ListConfigResourcesRequest, AlterReplicaLogDirsRequest, CreateDelegationTokenRequest,
    RenewDelegationTokenRequest, ExpireDelegationTokenRequest, DescribeDelegationTokenRequest => [],
    |_request, _tell| {}
);
