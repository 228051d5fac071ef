//! Invalid ConsumerGroupHeartbeat requests: Kafka's messages, in Kafka's order.

mod common;

use common::consumers::*;
use common::groups::group_id;
use common::*;
use kafka_protocol::ResponseError::{self, *};
use kafka_protocol::messages::ConsumerGroupHeartbeatRequest;

#[test]
fn each_mistake_has_its_message() {
    let kafka = Kafka::start();
    let topic = kafka.topic("mistakes", 1);
    let group = unique("mistakes");
    let mut raw = kafka.coordinator(&group, 0);
    let join = || join_request(&group, "m", &[&topic.name]);
    let empty = || Some(text(""));
    let owned = || owning(&group, "m", 0, &[(topic.id, &[0])]).topic_partitions;
    let (no_member, no_group) = ("MemberId can't be empty.", "GroupId can't be empty.");
    let no_instance = "InstanceId can't be null.";
    let assignors = "is not supported. Supported assignors: uniform, range.";
    let mut check = |versions: &[i16], request: ConsumerGroupHeartbeatRequest, error: ResponseError, message: &str| {
        for version in versions {
            assert_eq!(refused(&mut raw, &request, *version), (Some(error), message.to_owned()), "version {version}");
        }
    };
    let (both, old, new): (&[i16], &[i16], &[i16]) = (&[0, 1], &[0], &[1]);
    check(both, join().with_group_id(group_id("")), InvalidRequest, no_group);
    check(both, join().with_group_id(group_id(" \t")), InvalidRequest, no_group);
    check(
        both,
        join().with_group_id(group_id("")).with_member_id(text("")).with_member_epoch(1),
        InvalidRequest,
        no_member,
    );
    check(both, join().with_member_id(text("")).with_member_epoch(-1), InvalidRequest, no_member);
    check(new, join().with_member_id(text("")), InvalidRequest, no_member);
    check(old, join().with_member_id(text("")).with_member_epoch(-2), InvalidRequest, no_instance);
    check(new, join().with_member_id(text("")).with_member_epoch(-2), InvalidRequest, no_member);
    check(both, join().with_member_epoch(-2), InvalidRequest, no_instance);
    check(both, join().with_instance_id(empty()), InvalidRequest, "InstanceId can't be empty.");
    check(both, join().with_rack_id(empty()), InvalidRequest, "RackId can't be empty.");
    check(both, join().with_member_epoch(-3), InvalidRequest, "MemberEpoch is invalid.");
    let timeout = "RebalanceTimeoutMs must be provided in first request.";
    check(both, join().with_rebalance_timeout_ms(-1), InvalidRequest, timeout);
    let partitions = "TopicPartitions must be empty when (re-)joining.";
    check(both, join().with_topic_partitions(None), InvalidRequest, partitions);
    check(both, join().with_topic_partitions(owned()), InvalidRequest, partitions);
    let names = "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.";
    check(both, join().with_subscribed_topic_names(None), InvalidRequest, names);
    let assignor = |name: &str| join().with_server_assignor(Some(text(name)));
    check(both, assignor("sticky"), UnsupportedAssignor, &format!("ServerAssignor sticky {assignors}"));
    check(both, assignor(""), UnsupportedAssignor, &format!("ServerAssignor  {assignors}"));
    // None of them has made a group.
    let described = describe(&mut raw, &group);
    assert_error(described.error_code, Some(GroupIdNotFound));
}
