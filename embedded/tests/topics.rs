//! Topics: creation, growth and deletion.

mod common;

use common::*;
use kafka_protocol::ResponseError::{self, *};
use kafka_protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::*;
use uuid::Uuid;

fn wanted(name: &str) -> CreatableTopic {
    CreatableTopic::default().with_name(topic_name(name)).with_num_partitions(-1).with_replication_factor(-1)
}

fn create(raw: &mut Raw, topics: Vec<CreatableTopic>) -> Vec<CreatableTopicResult> {
    raw.call(&CreateTopicsRequest::default().with_topics(topics).with_timeout_ms(30_000), 7).topics
}

fn create_one(raw: &mut Raw, topic: CreatableTopic) -> CreatableTopicResult {
    create(raw, vec![topic]).remove(0)
}

#[track_caller]
fn assert_refused(result: &CreatableTopicResult, error: ResponseError, message: &str) {
    assert_error(result.error_code, Some(error));
    assert_eq!(result.error_message.as_deref(), Some(message));
    assert_eq!((result.num_partitions, result.replication_factor), (-1, -1));
}

fn exists(raw: &mut Raw, name: &str) -> bool {
    metadata(raw, name).error_code == 0
}

#[test]
fn a_topic_is_made_with_the_defaults() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    let name = unique("defaults");
    let made = create_one(&mut raw, wanted(&name));
    assert_error(made.error_code, None);
    assert_eq!(made.error_message, None);
    assert_eq!((made.num_partitions, made.replication_factor), (1, 1));
    let described = eventually(|| Some(metadata(&mut raw, &name)).filter(|topic| topic.error_code == 0));
    assert_eq!(described.topic_id, made.topic_id);
    assert_eq!(described.partitions.len(), 1);
    assert_eq!(described.partitions[0].leader_epoch, 0);
    assert!(!described.is_internal);
}

#[test]
fn the_answer_tells_all_settings_of_the_new_topic() {
    let kafka = Kafka::start();
    let config = CreatableTopicConfig::default().with_name(text("retention.ms")).with_value(Some(text("1000")));
    let topic = wanted(&unique("settings")).with_configs(vec![config]);
    let made = create_one(&mut kafka.connect(), topic);
    let configs = made.configs.unwrap();
    let find = |name: &str| {
        let found = configs.iter().find(|config| &*config.name == name).unwrap();
        (found.value.as_deref().map(str::to_owned), found.config_source, found.read_only, found.is_sensitive)
    };
    assert_eq!(find("retention.ms"), (Some("1000".to_owned()), 1, false, false));
    assert_eq!(find("cleanup.policy"), (Some("delete".to_owned()), 5, false, false));
    assert_eq!(find("segment.ms"), (Some("604800000".to_owned()), 5, false, false));
    assert_eq!(find("max.message.bytes"), (Some("1048588".to_owned()), 5, false, false));
    let names: Vec<&str> = configs.iter().map(|config| &*config.name).collect();
    assert!(names.is_sorted(), "{names:?}");
    assert_eq!(names.len(), 33, "{names:?}");
}

#[test]
fn names_that_are_none_are_refused() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    let long = "x".repeat(250);
    for (name, why) in [
        ("", "the empty string is not allowed".to_owned()),
        (".", "'.' is not allowed".to_owned()),
        ("..", "'..' is not allowed".to_owned()),
        (&long, format!("the length of '{long}' is longer than the max allowed length 249")),
        ("a b", "'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'".to_owned()),
        ("ä", "'ä' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'".to_owned()),
    ] {
        let result = create_one(&mut raw, wanted(name));
        assert_refused(&result, InvalidTopicException, &format!("Topic name is invalid: {why}"));
    }
}

#[test]
fn a_period_and_an_underscore_collide() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    let name = unique("user.created");
    assert_error(create_one(&mut raw, wanted(&name)).error_code, None);
    let other = name.replace('.', "_");
    let message = format!("Topic '{other}' collides with existing topic: {name}");
    assert_refused(&create_one(&mut raw, wanted(&other)), InvalidTopicException, &message);
    assert_refused(
        &create_one(&mut raw, wanted(&name)),
        TopicAlreadyExists,
        &format!("Topic '{name}' already exists."),
    );
    // A name is free again after its topic.
    delete_by_name(&mut raw, &[&name]);
    assert_error(create_one(&mut raw, wanted(&other)).error_code, None);
}

#[test]
fn names_of_one_request_may_collide_with_each_other() {
    let kafka = Kafka::start();
    let name = unique("both.of");
    let both = create(&mut kafka.connect(), vec![wanted(&name), wanted(&name.replace('.', "_"))]);
    assert_eq!(both.iter().map(|topic| topic.error_code).collect::<Vec<_>>(), [0, 0]);
}

#[test]
fn a_name_that_comes_twice_in_a_request_is_refused_once() {
    let kafka = Kafka::start();
    let (name, other) = (unique("twice"), unique("once"));
    let mut results = create(&mut kafka.connect(), vec![wanted(&name), wanted(&other), wanted(&name)]);
    results.sort_by_key(|result| result.error_code);
    assert_eq!(results.len(), 2);
    assert_error(results[0].error_code, None);
    assert_refused(&results[1], InvalidRequest, "Duplicate topic name.");
}

#[test]
fn numbers_of_partitions_and_replicas_are_checked() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    let name = unique("numbers");
    for partitions in [0, -2, i32::MIN] {
        let result = create_one(&mut raw, wanted(&name).with_num_partitions(partitions));
        let message = "Number of partitions was set to an invalid non-positive value.";
        assert_refused(&result, InvalidPartitions, message);
    }
    for replication in [0, -2] {
        let result = create_one(&mut raw, wanted(&name).with_replication_factor(replication).with_num_partitions(0));
        let message = "Replication factor must be larger than 0, or -1 to use the default value.";
        assert_refused(&result, InvalidReplicationFactor, message);
    }
    let result = create_one(&mut raw, wanted(&name).with_replication_factor(300));
    assert_error(result.error_code, Some(InvalidReplicationFactor));
    let message = result.error_message.unwrap();
    assert!(
        message.starts_with("Unable to replicate the partition 300 time(s): The target replication factor of 300 ")
    );
    assert!(!exists(&mut raw, &name));
}

#[test]
fn one_request_makes_ten_thousand_partitions_at_most() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    let message = "Excessively large number of partitions per request.";
    for partitions in [10_001, 1_000_000] {
        let name = unique("many");
        let result = create_one(&mut raw, wanted(&name).with_num_partitions(partitions));
        assert_refused(&result, PolicyViolation, message);
    }
    // The numbers of all topics together count.
    let topics =
        vec![wanted(&unique("many")).with_num_partitions(9_999), wanted(&unique("many")).with_num_partitions(2)];
    for result in create(&mut raw, topics) {
        assert_refused(&result, PolicyViolation, message);
    }
}

#[test]
fn a_request_that_only_asks_makes_nothing() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    let name = unique("asked");
    let request =
        CreateTopicsRequest::default().with_topics(vec![wanted(&name), wanted("a b")]).with_validate_only(true);
    let response = raw.call(&request, 7);
    assert_eq!(response.topics.iter().map(|topic| topic.error_code).collect::<Vec<_>>(), [0, 17]);
    assert!(!exists(&mut raw, &name));
}

#[test]
fn settings_of_a_new_topic_are_checked() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    let name = unique("checked");
    let mut refused = |config: &[(&str, Option<&str>)]| {
        let configs = config
            .iter()
            .map(|(name, value)| CreatableTopicConfig::default().with_name(text(name)).with_value(value.map(text)));
        let result = create_one(&mut raw, wanted(&name).with_configs(configs.collect()));
        assert_error(result.error_code, Some(InvalidConfig));
        result.error_message.unwrap().to_string()
    };
    assert_eq!(refused(&[("retention.s", Some("1"))]), "Unknown topic config name: retention.s");
    assert_eq!(
        refused(&[("retention.ms", Some("soon"))]),
        "Invalid value soon for configuration retention.ms: Not a number of type LONG"
    );
    assert_eq!(
        refused(&[("retention.ms", Some("-2"))]),
        "Invalid value -2 for configuration retention.ms: Value must be at least -1"
    );
    assert_eq!(
        refused(&[("cleanup.policy", Some("shred"))]),
        "Invalid value shred for configuration cleanup.policy: String must be one of: compact, delete"
    );
    assert_eq!(
        refused(&[("compression.type", Some("rar"))]),
        "Invalid value rar for configuration compression.type: String must be one of: uncompressed, zstd, lz4, snappy, \
         gzip, producer"
    );
    assert_eq!(
        refused(&[("preallocate", Some("yes"))]),
        "Invalid value yes for configuration preallocate: Expected value to be either true or false"
    );
    assert_eq!(
        refused(&[("min.cleanable.dirty.ratio", Some("1.5"))]),
        "Invalid value 1.5 for configuration min.cleanable.dirty.ratio: Value must be no more than 1"
    );
    assert_eq!(
        refused(&[("compression.gzip.level", Some("0"))]),
        "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1"
    );
    assert_eq!(
        refused(&[("leader.replication.throttled.replicas", Some("1"))]),
        "Invalid value [1] for configuration leader.replication.throttled.replicas: leader.replication.throttled.replicas \
         must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],\
         [partitionId]:[brokerId],..."
    );
    assert_eq!(
        refused(&[("min.compaction.lag.ms", Some("2")), ("max.compaction.lag.ms", Some("1"))]),
        "conflict topic config setting min.compaction.lag.ms (2) > max.compaction.lag.ms (1)"
    );
    assert_eq!(refused(&[("retention.ms", None)]), "Null value not supported for topic configs: retention.ms");
    assert_eq!(
        refused(&[("remote.storage.enable", Some("true"))]),
        "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage."
    );
}

fn assignment(partition: i32, brokers: &[i32]) -> CreatableReplicaAssignment {
    CreatableReplicaAssignment::default()
        .with_partition_index(partition)
        .with_broker_ids(brokers.iter().copied().map(BrokerId).collect())
}

#[test]
fn a_client_can_place_the_replicas() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    let broker = metadata_brokers(&mut raw)[0];
    let name = unique("placed");
    let placed = |assignments: Vec<CreatableReplicaAssignment>| wanted(&name).with_assignments(assignments);
    for (topic, error, message) in [
        (
            placed(vec![assignment(0, &[broker])]).with_num_partitions(1),
            InvalidRequest,
            "A manual partition assignment was specified, but numPartitions was not set to -1.".to_owned(),
        ),
        (
            placed(vec![assignment(0, &[broker])]).with_replication_factor(1),
            InvalidRequest,
            "A manual partition assignment was specified, but replication factor was not set to -1.".to_owned(),
        ),
        (
            placed(vec![assignment(0, &[77_777])]),
            InvalidReplicaAssignment,
            "The manual partition assignment includes broker 77777, but no such broker is registered.".to_owned(),
        ),
        (
            placed(vec![assignment(0, &[broker, broker])]),
            InvalidReplicaAssignment,
            format!("The manual partition assignment includes the broker {broker} more than once."),
        ),
        (
            placed(vec![assignment(0, &[])]),
            InvalidReplicaAssignment,
            "The manual partition assignment includes an empty replica list.".to_owned(),
        ),
        (
            placed(vec![assignment(1, &[broker])]),
            InvalidReplicaAssignment,
            "partitions should be a consecutive 0-based integer sequence".to_owned(),
        ),
        (
            placed(vec![assignment(0, &[broker]), assignment(0, &[broker])]),
            InvalidReplicaAssignment,
            "Found multiple manual partition assignments for partition 0".to_owned(),
        ),
    ] {
        assert_refused(&create_one(&mut raw, topic), error, &message);
    }
    let made = create_one(&mut raw, placed(vec![assignment(1, &[broker]), assignment(0, &[broker])]));
    assert_error(made.error_code, None);
    assert_eq!((made.num_partitions, made.replication_factor), (2, 1));
}

fn metadata_brokers(raw: &mut Raw) -> Vec<i32> {
    let response = raw.call(&MetadataRequest::default().with_topics(Some(vec![])), 12);
    response.brokers.iter().map(|broker| broker.node_id.0).collect()
}

fn delete_by_name(raw: &mut Raw, names: &[&str]) -> Vec<DeletableTopicResult> {
    let topics = names.iter().map(|name| DeleteTopicState::default().with_name(Some(topic_name(name)))).collect();
    raw.call(&DeleteTopicsRequest::default().with_topics(topics).with_timeout_ms(30_000), 6).responses
}

fn delete_by_id(raw: &mut Raw, ids: &[Uuid]) -> Vec<DeletableTopicResult> {
    let topics = ids.iter().map(|id| DeleteTopicState::default().with_name(None).with_topic_id(*id)).collect();
    raw.call(&DeleteTopicsRequest::default().with_topics(topics).with_timeout_ms(30_000), 6).responses
}

#[track_caller]
fn assert_not_deleted(result: &DeletableTopicResult, error: ResponseError, message: &str) {
    assert_error(result.error_code, Some(error));
    assert_eq!(result.error_message.as_deref(), Some(message));
}

#[test]
fn a_topic_is_deleted_by_name_or_by_id() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    let topic = kafka.topic("named", 2);
    let deleted = delete_by_name(&mut raw, &[&topic.name]).remove(0);
    assert_error(deleted.error_code, None);
    assert_eq!((deleted.name.as_deref().map(|name| &**name), deleted.topic_id), (Some(&*topic.name), topic.id));
    let gone = "This server does not host this topic-partition.";
    assert_not_deleted(&delete_by_name(&mut raw, &[&topic.name])[0], UnknownTopicOrPartition, gone);

    let topic = kafka.topic("numbered", 1);
    let deleted = delete_by_id(&mut raw, &[topic.id]).remove(0);
    assert_error(deleted.error_code, None);
    assert_eq!((deleted.name.as_deref().map(|name| &**name), deleted.topic_id), (Some(&*topic.name), topic.id));
    let gone = delete_by_id(&mut raw, &[topic.id]).remove(0);
    assert_not_deleted(&gone, UnknownTopicId, "This server does not host this topic ID.");
    assert_eq!((gone.name, gone.topic_id), (None, topic.id));
    eventually(|| (!exists(&mut raw, &topic.name)).then_some(()));
}

#[test]
fn a_topic_is_deleted_by_name_in_the_versions_before_ids() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    for version in 1..=5 {
        let topic = kafka.topic("old", 1);
        let request = DeleteTopicsRequest::default().with_topic_names(vec![topic_name(&topic.name)]);
        let response = raw.call(&request.with_timeout_ms(30_000), version);
        assert_error(response.responses[0].error_code, None);
        assert_eq!(response.responses[0].name.as_deref().map(|name| &**name), Some(&*topic.name));
    }
}

#[test]
fn a_request_that_names_a_topic_twice_deletes_nothing() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    let topic = kafka.topic("kept", 1);
    let twice = delete_by_name(&mut raw, &[&topic.name, &topic.name]);
    assert_eq!(twice.len(), 1);
    assert_not_deleted(&twice[0], InvalidRequest, "Duplicate topic name.");
    let twice = delete_by_id(&mut raw, &[topic.id, topic.id]);
    assert_eq!(twice.len(), 1);
    assert_not_deleted(&twice[0], InvalidRequest, "Duplicate topic id.");
    let none = delete_by_id(&mut raw, &[Uuid::nil()]);
    assert_not_deleted(&none[0], InvalidRequest, "Neither topic name nor id were specified.");

    let named = DeleteTopicState::default().with_name(Some(topic_name(&topic.name)));
    let numbered = DeleteTopicState::default().with_name(None).with_topic_id(topic.id);
    let request = DeleteTopicsRequest::default().with_timeout_ms(30_000);
    let both = raw.call(&request.clone().with_topics(vec![named.clone(), numbered]), 6).responses;
    assert_eq!(both.len(), 1);
    assert_not_deleted(&both[0], InvalidRequest, "The provided topic name maps to an ID that was already supplied.");
    let both = raw.call(&request.with_topics(vec![named.with_topic_id(topic.id)]), 6).responses;
    assert_not_deleted(&both[0], InvalidRequest, "You may not specify both topic name and topic id.");
    assert!(exists(&mut raw, &topic.name));
}

#[test]
fn a_topic_that_is_made_anew_is_another() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    let topic = kafka.topic("anew", 1);
    produce(&mut kafka.leader(&topic.name, 0), &topic.name, 0, &Batch::of(&["of the first"]));
    assert_error(delete_by_name(&mut raw, &[&topic.name])[0].error_code, None);
    let made = create_one(&mut raw, wanted(&topic.name));
    assert_error(made.error_code, None);
    assert_ne!(made.topic_id, topic.id);
    eventually(|| {
        let topic = metadata(&mut raw, &topic.name);
        (topic.error_code == 0 && topic.topic_id == made.topic_id && topic.partitions[0].error_code == 0).then_some(())
    });
    let fetched = eventually(|| {
        let fetched = fetch(&mut kafka.leader(&topic.name, 0), &topic.name, 0, 0);
        (fetched.error_code == 0).then_some(fetched)
    });
    assert_eq!(fetched.high_watermark, 0);
}

#[test]
fn a_waiting_fetch_hears_that_its_topic_is_deleted() {
    let kafka = Kafka::start();
    let topic = kafka.topic("awaited", 1);
    let mut reader = kafka.leader(&topic.name, 0);
    reader.send(&fetch_request(&topic.name, 0, 0).with_max_wait_ms(50_000).with_min_bytes(1), 12);
    assert_error(delete_by_name(&mut kafka.connect(), &[&topic.name])[0].error_code, None);
    let response = reader.receive::<FetchRequest>(12);
    let code = response.responses[0].partitions[0].error_code;
    // Kafka's broker gives up its leadership first.
    assert!([UnknownTopicOrPartition.code(), NotLeaderOrFollower.code()].contains(&code), "{code}");
}

fn grow(raw: &mut Raw, topics: Vec<CreatePartitionsTopic>, validate_only: bool) -> Vec<CreatePartitionsTopicResult> {
    let request = CreatePartitionsRequest::default().with_topics(topics).with_timeout_ms(30_000);
    raw.call(&request.with_validate_only(validate_only), 3).results
}

fn larger(name: &str, count: i32) -> CreatePartitionsTopic {
    CreatePartitionsTopic::default().with_name(topic_name(name)).with_count(count).with_assignments(None)
}

#[test]
fn a_topic_grows() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    let topic = kafka.topic("growing", 2);
    assert_error(grow(&mut raw, vec![larger(&topic.name, 5)], true)[0].error_code, None);
    assert_eq!(metadata(&mut raw, &topic.name).partitions.len(), 2);
    let grown = grow(&mut raw, vec![larger(&topic.name, 4)], false);
    assert_error(grown[0].error_code, None);
    assert_eq!(grown[0].error_message, None);
    let described = eventually(|| {
        let topic = metadata(&mut raw, &topic.name);
        (topic.partitions.len() == 4 && topic.partitions.iter().all(|p| p.error_code == 0)).then_some(topic)
    });
    assert_eq!(described.topic_id, topic.id);
    let answer = eventually(|| {
        let answer = produce(&mut kafka.leader(&topic.name, 3), &topic.name, 3, &Batch::of(&["in the new one"]));
        (answer.error_code == 0).then_some(answer)
    });
    assert_eq!(answer.base_offset, 0);
}

#[test]
fn a_growth_that_is_none_is_refused() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    let topic = kafka.topic("refused", 2);
    let broker = metadata_brokers(&mut raw)[0];
    let name = &topic.name;
    let given = |count: i32, replicas: &[&[i32]]| {
        let ids = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect();
        let given =
            replicas.iter().map(|replicas| CreatePartitionsAssignment::default().with_broker_ids(ids(replicas)));
        larger(name, count).with_assignments(Some(given.collect()))
    };
    for (topic, error, message) in [
        (larger(name, 2), InvalidPartitions, Some("Topic already has 2 partition(s).".to_owned())),
        (
            larger(name, 1),
            InvalidPartitions,
            Some(format!("The topic {name} currently has 2 partition(s); 1 would not be an increase.")),
        ),
        (
            larger(name, -1),
            InvalidPartitions,
            Some(format!("The topic {name} currently has 2 partition(s); -1 would not be an increase.")),
        ),
        (larger("no-such-topic", 2), UnknownTopicOrPartition, None),
        (
            given(3, &[&[broker], &[broker]]),
            InvalidReplicaAssignment,
            Some("Attempted to add 1 additional partition(s), but only 2 assignment(s) were specified.".to_owned()),
        ),
        (
            given(3, &[&[77_777]]),
            InvalidReplicaAssignment,
            Some("The manual partition assignment includes broker 77777, but no such broker is registered.".to_owned()),
        ),
    ] {
        let result = grow(&mut raw, vec![topic], false).remove(0);
        assert_error(result.error_code, Some(error));
        assert_eq!(result.error_message.map(|message| message.to_string()), message);
    }
    if kafka.embedded.is_some() {
        // Kafka answers the same, after half a minute of work.
        let result = grow(&mut raw, vec![larger(name, 1_000_000)], false).remove(0);
        assert_error(result.error_code, Some(UnknownServerError));
    }
    let twice = grow(&mut raw, vec![larger(name, 3), larger(name, 4)], false);
    assert_eq!(twice.len(), 1);
    assert_error(twice[0].error_code, Some(InvalidRequest));
    assert_eq!(twice[0].error_message.as_deref(), Some("Duplicate topic name."));
    assert_eq!(metadata(&mut raw, name).partitions.len(), 2);
    assert_error(grow(&mut raw, vec![given(3, &[&[broker]])], false)[0].error_code, None);
}
