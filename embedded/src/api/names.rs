//! The topics, groups and transactional ids that a request names, for faults that affect only some of them.

use kafka_protocol::messages::*;
use uuid::Uuid;

/// A name in a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Name<'a> {
    Topic(&'a str),
    TopicId(Uuid),
    /// The topics of a fetch session.
    Session(i32),
    Group(&'a str),
    TransactionalId(&'a str),
}

/// The names in the requests of an API.
pub(crate) trait Named {
    /// The kinds of names that can occur.
    const KINDS: &'static [Kind];

    /// Passes each name in the request to `each`.
    fn names(&self, each: &mut dyn FnMut(Name<'_>));
}

/// A kind of name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Topic,
    Group,
    TransactionalId,
}

/// The resource type of a topic.
const TOPIC: i8 = 2;
/// The resource type of a group.
const GROUP: i8 = 32;

/// Passes on a topic by its name or, if the version has ids instead, by its id.
fn topic(each: &mut dyn FnMut(Name<'_>), name: &str, id: Uuid) {
    each(if name.is_empty() { Name::TopicId(id) } else { Name::Topic(name) });
}

macro_rules! named {
    ($($requests:ty),* => $kinds:tt, |$request:ident, $each:ident| $body:block) => {$(
        impl Named for $requests {
            const KINDS: &'static [Kind] = &$kinds;

            fn names(&self, $each: &mut dyn FnMut(Name<'_>)) {
                let $request = self;
                $body
            }
        }
    )*};
}

named!(ProduceRequest => [Kind::Topic, Kind::TransactionalId], |request, each| {
    request.topic_data.iter().for_each(|data| topic(each, &data.name, data.topic_id));
    request.transactional_id.iter().for_each(|id| each(Name::TransactionalId(id)));
});
named!(FetchRequest => [Kind::Topic], |request, each| {
    request.topics.iter().for_each(|wanted| topic(each, &wanted.topic, wanted.topic_id));
    if request.session_epoch > 0 {
        each(Name::Session(request.session_id));
    }
});
named!(MetadataRequest => [Kind::Topic], |request, each| {
    for wanted in request.topics.iter().flatten() {
        topic(each, wanted.name.as_deref().map_or("", |name| name), wanted.topic_id);
    }
});
named!(DeleteTopicsRequest => [Kind::Topic], |request, each| {
    request.topic_names.iter().for_each(|name| each(Name::Topic(name)));
    for wanted in &request.topics {
        topic(each, wanted.name.as_deref().map_or("", |name| name), wanted.topic_id);
    }
});
named!(
    ListOffsetsRequest, CreateTopicsRequest, CreatePartitionsRequest, DeleteRecordsRequest, DescribeProducersRequest,
    DescribeTopicPartitionsRequest, AlterPartitionReassignmentsRequest => [Kind::Topic],
    |request, each| {
        request.topics.iter().for_each(|wanted| each(Name::Topic(&wanted.name)));
    }
);
named!(OffsetForLeaderEpochRequest => [Kind::Topic], |request, each| {
    request.topics.iter().for_each(|wanted| each(Name::Topic(&wanted.topic)));
});
named!(DescribeLogDirsRequest => [Kind::Topic], |request, each| {
    request.topics.iter().flatten().for_each(|wanted| each(Name::Topic(&wanted.topic)));
});
named!(ListPartitionReassignmentsRequest => [Kind::Topic], |request, each| {
    request.topics.iter().flatten().for_each(|wanted| each(Name::Topic(&wanted.name)));
});
named!(ElectLeadersRequest => [Kind::Topic], |request, each| {
    request.topic_partitions.iter().flatten().for_each(|wanted| each(Name::Topic(&wanted.topic)));
});
named!(
    DescribeConfigsRequest, AlterConfigsRequest, IncrementalAlterConfigsRequest => [Kind::Topic, Kind::Group],
    |request, each| {
        for resource in &request.resources {
            match resource.resource_type {
                TOPIC => each(Name::Topic(&resource.resource_name)),
                GROUP => each(Name::Group(&resource.resource_name)),
                _ => {}
            }
        }
    }
);
named!(FindCoordinatorRequest => [Kind::Group, Kind::TransactionalId], |request, each| {
    let old = Some(&request.key).filter(|key| !key.is_empty());
    for key in request.coordinator_keys.iter().chain(old) {
        match request.key_type {
            0 => each(Name::Group(key)),
            1 => each(Name::TransactionalId(key)),
            _ => {}
        }
    }
});
named!(JoinGroupRequest, SyncGroupRequest, HeartbeatRequest, LeaveGroupRequest => [Kind::Group], |request, each| {
    each(Name::Group(&request.group_id));
});
named!(ConsumerGroupHeartbeatRequest => [Kind::Topic, Kind::Group], |request, each| {
    each(Name::Group(&request.group_id));
    request.subscribed_topic_names.iter().flatten().for_each(|name| each(Name::Topic(name)));
});
named!(OffsetCommitRequest => [Kind::Topic, Kind::Group], |request, each| {
    each(Name::Group(&request.group_id));
    request.topics.iter().for_each(|wanted| topic(each, &wanted.name, wanted.topic_id));
});
named!(OffsetDeleteRequest => [Kind::Topic, Kind::Group], |request, each| {
    each(Name::Group(&request.group_id));
    request.topics.iter().for_each(|wanted| each(Name::Topic(&wanted.name)));
});
named!(OffsetFetchRequest => [Kind::Topic, Kind::Group], |request, each| {
    if request.groups.is_empty() {
        each(Name::Group(&request.group_id));
    }
    request.topics.iter().flatten().for_each(|wanted| each(Name::Topic(&wanted.name)));
    for group in &request.groups {
        each(Name::Group(&group.group_id));
        group.topics.iter().flatten().for_each(|wanted| topic(each, &wanted.name, wanted.topic_id));
    }
});
named!(DescribeGroupsRequest => [Kind::Group], |request, each| {
    request.groups.iter().for_each(|group| each(Name::Group(group)));
});
named!(DeleteGroupsRequest => [Kind::Group], |request, each| {
    request.groups_names.iter().for_each(|group| each(Name::Group(group)));
});
named!(ConsumerGroupDescribeRequest => [Kind::Group], |request, each| {
    request.group_ids.iter().for_each(|group| each(Name::Group(group)));
});
named!(InitProducerIdRequest => [Kind::TransactionalId], |request, each| {
    request.transactional_id.iter().for_each(|id| each(Name::TransactionalId(id)));
});
named!(AddPartitionsToTxnRequest => [Kind::Topic, Kind::TransactionalId], |request, each| {
    if request.transactions.is_empty() {
        each(Name::TransactionalId(&request.v3_and_below_transactional_id));
    }
    request.v3_and_below_topics.iter().for_each(|wanted| each(Name::Topic(&wanted.name)));
    for transaction in &request.transactions {
        each(Name::TransactionalId(&transaction.transactional_id));
        transaction.topics.iter().for_each(|wanted| each(Name::Topic(&wanted.name)));
    }
});
named!(AddOffsetsToTxnRequest => [Kind::Group, Kind::TransactionalId], |request, each| {
    each(Name::TransactionalId(&request.transactional_id));
    each(Name::Group(&request.group_id));
});
named!(TxnOffsetCommitRequest => [Kind::Topic, Kind::Group, Kind::TransactionalId], |request, each| {
    each(Name::TransactionalId(&request.transactional_id));
    each(Name::Group(&request.group_id));
    request.topics.iter().for_each(|wanted| each(Name::Topic(&wanted.name)));
});
named!(EndTxnRequest => [Kind::TransactionalId], |request, each| {
    each(Name::TransactionalId(&request.transactional_id));
});
named!(DescribeTransactionsRequest => [Kind::TransactionalId], |request, each| {
    request.transactional_ids.iter().for_each(|id| each(Name::TransactionalId(id)));
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
