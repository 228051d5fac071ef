//! Advice on the error codes of brokers and librdkafka.

use rdkafka::error::RDKafkaErrorCode::{self, *};

/// Returns what an error means and how to fix it. The advice is empty if there is nothing to add to the error's own text.
pub(crate) fn advice(code: RDKafkaErrorCode) -> &'static str {
    match code {
        // The user.
        TopicAuthorizationFailed => "the user has no right to do that with this topic",
        GroupAuthorizationFailed => "the user has no right to do that with this group",
        ClusterAuthorizationFailed => "the user has no right to do that on this cluster",
        TransactionalIdAuthorizationFailed => "the user has no right to this transactional id",
        Authentication | SaslAuthenticationFailed => "check the credentials in the client properties",
        SSL => "check the certificates and the host name in the client properties",
        // Records.
        MessageSizeTooLarge => {
            "the message exceeds the topic's max.message.bytes (by default the broker's message.max.bytes, 1048588 unless \
             set): raise it with TopicSpec::config(\"max.message.bytes\", …)"
        }
        MessageBatchTooLarge => {
            "the batch exceeds the topic's segment.bytes: raise it with TopicSpec::config(\"segment.bytes\", …)"
        }
        InvalidTimestamp => {
            "the timestamp is further from the broker's clock than the topic accepts, by default an hour ahead: change the \
             timestamp, or raise TopicSpec::config(\"message.timestamp.after.max.ms\", …) for later timestamps or \
             \"message.timestamp.before.max.ms\" for earlier ones"
        }
        InvalidRecord => "the broker refuses the message: on a compacted topic, every message needs a key",
        UnsupportedCompressionType => {
            "the broker does not accept this codec: choose another in the client property compression.type"
        }
        NotImplemented => {
            "this build of librdkafka lacks the codec of a compressed message: for zstd, enable the cargo feature \
             `zstd` of rstest-kafka; gzip, snappy and lz4 are always available"
        }
        BadCompression => "the compressed bytes of a message are corrupt",
        BadMessage | InvalidMessage => {
            "the bytes of a message are corrupt, or in a format that this version does not know"
        }
        NotEnoughReplicas | NotEnoughReplicasAfterAppend => {
            "fewer replicas are in sync than the topic's min.insync.replicas: check that all brokers are running"
        }
        InvalidRequiredAcks => "set the client property acks to 0, 1 or all",
        PolicyViolation => "a policy of the cluster refuses it",
        KafkaStorageError => "the broker cannot use its disk: check the broker's log",
        OutOfOrderSequenceNumber | UnknownProducerId | InvalidProducerEpoch | Fatal => {
            "the broker has lost the producer's state; the next message is sent by a new producer"
        }
        QueueFull => {
            "the client's queue was full until the timeout: raise queue.buffering.max.messages (100000 unless set) or \
             queue.buffering.max.kbytes (1 GiB) with Harness::builder().property, or the timeout"
        }
        // Topics and groups.
        UnknownTopic | UnknownTopicOrPartition | UnknownTopicId => {
            "the topic no longer exists: check whether the test or another process has deleted it"
        }
        UnknownPartition => "the topic has no such partition",
        InvalidTopic => {
            "Kafka refuses the name, because it differs from the name of an existing topic in '.' and '_' alone: rename one \
             of the two topics, or use an exclusive topic"
        }
        InvalidReplicationFactor => "set the replication factor to at most the number of brokers",
        InvalidPartitions => "the broker refuses this number of partitions",
        InvalidConfig => "the broker refuses a topic configuration",
        UnknownMemberId | IllegalGeneration | RebalanceInProgress => {
            "the group has members, and the broker accepts offsets only from them: stop the service first"
        }
        NonEmptyGroup => "the group still has members: stop the service first",
        OffsetOutOfRange | AutoOffsetReset => {
            "the offset no longer exists: check whether the topic was truncated, or its retention time is too short"
        }
        UnsupportedVersion | UnsupportedFeature => {
            "the broker is too old for this request, or has the feature disabled"
        }
        // The state of the broker.
        LeaderNotAvailable | NotLeaderForPartition | ReplicaNotAvailable | BrokerNotAvailable => {
            "the partition has no reachable leader: check that all brokers are running"
        }
        BrokerTransportFailure | AllBrokersDown | NetworkException | Resolve => {
            "check that the broker is running and that its address is correct"
        }
        CoordinatorNotAvailable | NotCoordinator | WaitingForCoordinator | CoordinatorLoadInProgress => {
            "the group's coordinator did not respond in time: check that all brokers are running"
        }
        RequestTimedOut | OperationTimedOut => {
            "the broker did not respond in time: check whether it is overloaded, or raise the timeout"
        }
        _ => "",
    }
}
