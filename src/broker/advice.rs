//! What to do about an error that a broker or librdkafka answers with.

use rdkafka::error::RDKafkaErrorCode::{self, *};

/// What it means and what to change; empty for an error that says it all, or that nobody can do anything about.
pub(crate) fn advice(code: RDKafkaErrorCode) -> &'static str {
    match code {
        // Of the user.
        TopicAuthorizationFailed => "the user has no right to do that with this topic",
        GroupAuthorizationFailed => "the user has no right to do that with this group",
        ClusterAuthorizationFailed => "the user has no right to do that on this cluster",
        TransactionalIdAuthorizationFailed => "the user has no right to this transactional id",
        Authentication | SaslAuthenticationFailed => "check the credentials in the client properties",
        SSL => "check the certificates and the host name in the client properties",
        // Of records.
        MessageSizeTooLarge => {
            "the topic's max.message.bytes is less than that (by default the broker's message.max.bytes, 1048588 unless it \
             is set): raise it with TopicSpec::config(\"max.message.bytes\", …)"
        }
        MessageBatchTooLarge => {
            "the topic's segment.bytes is less than that: raise it with TopicSpec::config(\"segment.bytes\", …)"
        }
        InvalidTimestamp => {
            "the timestamp is further from the broker's clock than the topic takes, by default an hour ahead: change the \
             timestamp, or TopicSpec::config(\"message.timestamp.after.max.ms\", …) for later ones and \
             \"message.timestamp.before.max.ms\" for earlier ones"
        }
        InvalidRecord => "the broker refuses such a record: on a compacted topic each needs a key",
        UnsupportedCompressionType => {
            "the broker does not take this codec: choose another in the client property compression.type"
        }
        NotImplemented => {
            "this build of librdkafka lacks the codec that a record is compressed with: for zstd enable the cargo feature \
             `zstd` of rstest-kafka; gzip, snappy and lz4 are always there"
        }
        BadCompression => "a record's compressed bytes are damaged",
        BadMessage | InvalidMessage => "a record's bytes are damaged, or not of a format that this version knows",
        NotEnoughReplicas | NotEnoughReplicasAfterAppend => {
            "fewer replicas are in sync than the topic's min.insync.replicas asks for: is a broker down?"
        }
        InvalidRequiredAcks => "the client property acks takes 0, 1 and all",
        PolicyViolation => "a policy of the cluster refuses it",
        KafkaStorageError => "the broker cannot use its disk: look into its log",
        OutOfOrderSequenceNumber | UnknownProducerId | InvalidProducerEpoch | Fatal => {
            "the broker has lost the producer's state; the next record is sent by a new producer"
        }
        QueueFull => {
            "the client's queue had no room in time: raise queue.buffering.max.messages (100000 records unless set) or \
             queue.buffering.max.kbytes (1 GiB) with Harness::builder().property, or the timeout"
        }
        // Of topics and groups.
        UnknownTopic | UnknownTopicOrPartition | UnknownTopicId => {
            "the topic is gone: did the test, or somebody else, delete it?"
        }
        UnknownPartition => "the topic has no such partition",
        InvalidTopic => {
            "Kafka refuses the name: it takes none that differs from an existing topic's in '.' and '_' alone; give one \
             of the two another name, or make it exclusive"
        }
        InvalidReplicationFactor => "the replication factor takes at most as many as there are brokers",
        InvalidPartitions => "the number of partitions is not one that the broker takes",
        InvalidConfig => "a topic configuration is not one that this broker takes",
        UnknownMemberId | IllegalGeneration | RebalanceInProgress => {
            "the group has members, and the broker takes offsets only from them"
        }
        NonEmptyGroup => "the group has members still",
        OffsetOutOfRange | AutoOffsetReset => "the offset is gone: was the topic truncated, or its retention over?",
        UnsupportedVersion | UnsupportedFeature => "the broker is too old for it, or has it switched off",
        // Of the broker's state.
        LeaderNotAvailable | NotLeaderForPartition | ReplicaNotAvailable | BrokerNotAvailable => {
            "the partition has no leader to be reached: is a broker down?"
        }
        BrokerTransportFailure | AllBrokersDown | NetworkException | Resolve => {
            "is it running, and is its address right?"
        }
        CoordinatorNotAvailable | NotCoordinator | WaitingForCoordinator | CoordinatorLoadInProgress => {
            "the group's coordinator was not to be reached in time: is a broker down?"
        }
        RequestTimedOut | OperationTimedOut => "the broker did not answer in time: is it busy, or the timeout short?",
        _ => "",
    }
}
