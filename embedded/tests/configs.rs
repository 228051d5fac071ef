//! Configuration: descriptions, changes and refusals.

mod common;

use common::*;
use kafka_protocol::ResponseError::{self, *};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult};
use kafka_protocol::messages::*;
use kafka_protocol::messages::{alter_configs_request as legacy, incremental_alter_configs_request as incremental};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

fn describe(raw: &mut Raw, kind: i8, name: &str) -> DescribeConfigsResult {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]).with_include_synonyms(true);
    raw.call(&request, 4).results.remove(0)
}

#[track_caller]
fn find<'a>(result: &'a DescribeConfigsResult, name: &str) -> &'a DescribeConfigsResourceResult {
    assert_error(result.error_code, None);
    result.configs.iter().find(|config| &*config.name == name).unwrap_or_else(|| panic!("{name} is shown"))
}

/// A value with its source.
fn value(result: &DescribeConfigsResult, name: &str) -> (Option<String>, i8) {
    let config = find(result, name);
    (config.value.as_ref().map(|value| value.to_string()), config.config_source)
}

fn some(value: &str, source: i8) -> (Option<String>, i8) {
    (Some(value.to_owned()), source)
}

fn synonyms(config: &DescribeConfigsResourceResult) -> Vec<(&str, Option<&str>, i8)> {
    config.synonyms.iter().map(|synonym| (&*synonym.name, synonym.value.as_deref(), synonym.source)).collect()
}

type Change<'a> = (&'a str, i8, Option<&'a str>);

fn request(kind: i8, name: &str, changes: &[Change<'_>]) -> IncrementalAlterConfigsRequest {
    let configs = changes.iter().map(|(name, operation, value)| {
        incremental::AlterableConfig::default()
            .with_name(text(name))
            .with_config_operation(*operation)
            .with_value(value.map(text))
    });
    let resource = incremental::AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(configs.collect());
    IncrementalAlterConfigsRequest::default().with_resources(vec![resource])
}

fn alter(raw: &mut Raw, kind: i8, name: &str, changes: &[Change<'_>]) -> (i16, Option<String>) {
    let result = raw.call(&request(kind, name, changes), 1).responses.remove(0);
    (result.error_code, result.error_message.map(|message| message.to_string()))
}

#[track_caller]
fn assert_refused(result: (i16, Option<String>), error: ResponseError, message: &str) {
    assert_error(result.0, Some(error));
    assert_eq!(result.1.as_deref(), Some(message));
}

/// The broker that is asked.
fn broker_id(raw: &mut Raw) -> String {
    let response = raw.call(&MetadataRequest::default().with_topics(Some(vec![])), 12);
    response.controller_id.0.to_string()
}

#[test]
fn a_topic_shows_its_settings_with_their_sources() {
    let kafka = Kafka::start();
    let topic = kafka.topic_with("shown", 1, &[("max.message.bytes", "2000"), ("cleanup.policy", "compact,delete")]);
    let mut raw = kafka.connect();
    let shown = describe(&mut raw, TOPIC, &topic.name);
    assert_eq!(shown.configs.len(), 33);
    assert_eq!((shown.resource_type, &*shown.resource_name), (TOPIC, &*topic.name));
    assert_eq!(value(&shown, "max.message.bytes"), some("2000", 1));
    assert_eq!(value(&shown, "cleanup.policy"), some("compact,delete", 1));
    assert_eq!(value(&shown, "retention.ms"), some("604800000", 5));
    let size = find(&shown, "max.message.bytes");
    assert_eq!((size.config_type, size.read_only, size.is_sensitive), (3, false, false));
    assert_eq!(synonyms(size), [("max.message.bytes", Some("2000"), 1), ("message.max.bytes", Some("1048588"), 5)]);
    assert_eq!(find(&shown, "retention.ms").config_type, 5);
    assert_eq!(synonyms(find(&shown, "retention.ms")), []);
    assert_eq!(find(&shown, "cleanup.policy").config_type, 7);
    assert_eq!(find(&shown, "preallocate").config_type, 1);
    assert_eq!(
        (find(&shown, "min.cleanable.dirty.ratio").config_type, value(&shown, "min.cleanable.dirty.ratio")),
        (6, some("0.5", 5))
    );
    assert_eq!(find(&shown, "compression.type").config_type, 2);
    assert_eq!(find(&shown, "compression.type").documentation, None);
    // New clusters keep this one for all brokers.
    assert_eq!(value(&shown, "min.insync.replicas"), some("1", 3));
}

#[test]
fn every_version_describes_what_is_asked_for() {
    let kafka = Kafka::start();
    let topic = kafka.topic("asked", 1);
    let mut raw = kafka.connect();
    for version in 1..=4 {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(&topic.name))
            .with_configuration_keys(Some(vec![text("retention.ms"), text("no.such"), text("segment.bytes")]));
        let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
        let mut response = raw.call(&request, version);
        let configs = &mut response.results[0].configs;
        configs.sort_by(|one, other| one.name.cmp(&other.name));
        assert_eq!(configs.iter().map(|config| &*config.name).collect::<Vec<_>>(), ["retention.ms", "segment.bytes"]);
        assert!(configs.iter().all(|config| config.synonyms.is_empty()));
    }
}

#[test]
fn what_has_no_settings_is_not_described() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    let id = broker_id(&mut raw);
    for (kind, name, error, message) in [
        (TOPIC, "no-such-topic", UnknownTopicOrPartition, ""),
        (
            TOPIC,
            "a b",
            InvalidTopicException,
            "Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
        ),
        (BROKER, "x", InvalidRequest, "Broker id must be an integer, but it is: x"),
        (
            BROKER,
            "777",
            InvalidRequest,
            &*format!("Unexpected broker id, expected {id} or empty string, but received 777"),
        ),
        (BROKER_LOGGER, "", InvalidRequest, "Broker id must not be empty"),
        (CLIENT_METRICS, "", InvalidRequest, "Client metrics subscription name must not be empty"),
        (GROUP, "", InvalidRequest, "Group name must not be empty"),
        (
            3,
            "x",
            InvalidRequest,
            "This most likely occurs because of a request being malformed by the client library or the message was sent to an incompatible broker. See the broker logs for more details.",
        ),
    ] {
        let result = describe(&mut raw, kind, name);
        assert_error(result.error_code, Some(error));
        assert_eq!(result.error_message.as_deref().unwrap_or_default(), message);
        assert!(result.configs.is_empty());
    }
}

#[test]
fn a_broker_shows_its_settings() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    let id = broker_id(&mut raw);
    let shown = describe(&mut raw, BROKER, &id);
    assert!(shown.configs.len() > 300, "{}", shown.configs.len());
    assert_eq!(value(&shown, "num.partitions"), some("1", 5));
    assert!(find(&shown, "num.partitions").read_only);
    assert_eq!(value(&shown, "node.id"), some(&id, 4));
    assert_eq!(synonyms(find(&shown, "message.max.bytes")), [("message.max.bytes", Some("1048588"), 5)]);
    assert!(!find(&shown, "message.max.bytes").read_only);
    assert_eq!(value(&shown, "group.initial.rebalance.delay.ms"), some("0", 4));
    let password = find(&shown, "ssl.key.password");
    assert!(password.is_sensitive);
    assert_eq!((&password.value, password.config_type), (&None, 9));
    // Without a value for itself a setting may still stand in for another.
    assert_eq!(value(&shown, "log.retention.ms"), (None, 5));
    assert_eq!(value(&shown, "log.retention.hours"), some("168", 5));
}

#[test]
fn a_topics_settings_are_changed_one_by_one() {
    let kafka = Kafka::start();
    let topic = kafka.topic_with("changed", 1, &[("retention.ms", "1000")]);
    let mut raw = kafka.connect();
    let mut change = |changes: &[Change<'_>]| {
        assert_eq!(alter(&mut raw, TOPIC, &topic.name, changes), (0, None));
        changes.len()
    };
    change(&[("max.message.bytes", SET, Some("3000")), ("retention.ms", DELETE, None)]);
    change(&[("cleanup.policy", APPEND, Some("compact"))]);
    let shown = eventually(|| {
        let shown = describe(&mut kafka.connect(), TOPIC, &topic.name);
        (value(&shown, "cleanup.policy").1 == 1).then_some(shown)
    });
    assert_eq!(value(&shown, "max.message.bytes"), some("3000", 1));
    assert_eq!(value(&shown, "retention.ms"), some("604800000", 5));
    assert_eq!(value(&shown, "cleanup.policy"), some("delete,compact", 1));
    change(&[("cleanup.policy", SUBTRACT, Some("delete")), ("max.message.bytes", SET, Some("3000"))]);
    eventually(|| {
        let shown = describe(&mut kafka.connect(), TOPIC, &topic.name);
        (value(&shown, "cleanup.policy") == some("compact", 1)).then_some(())
    });
}

#[test]
fn a_change_that_is_only_asked_about_is_not_made() {
    let kafka = Kafka::start();
    let topic = kafka.topic("only-asked", 1);
    let mut raw = kafka.connect();
    let asked = |value| request(TOPIC, &topic.name, &[("retention.ms", SET, Some(value))]).with_validate_only(true);
    assert_error(raw.call(&asked("5"), 1).responses[0].error_code, None);
    assert_error(raw.call(&asked("-5"), 0).responses[0].error_code, Some(InvalidConfig));
    alter(&mut raw, TOPIC, &topic.name, &[("segment.ms", SET, Some("7"))]);
    let shown = eventually(|| {
        let shown = describe(&mut kafka.connect(), TOPIC, &topic.name);
        (value(&shown, "segment.ms").1 == 1).then_some(shown)
    });
    assert_eq!(value(&shown, "retention.ms"), some("604800000", 5));
}

#[test]
fn changes_that_are_none_are_refused() {
    let kafka = Kafka::start();
    let topic = kafka.topic("unchanged", 1);
    let mut raw = kafka.connect();
    let id = broker_id(&mut raw);
    for (kind, name, changes, error, message) in [
        (
            TOPIC,
            &*topic.name,
            vec![("retention.ms", SET, Some("x"))],
            InvalidConfig,
            "Invalid value x for configuration retention.ms: Not a number of type LONG".to_owned(),
        ),
        (
            TOPIC,
            &topic.name,
            vec![("no.such", SET, Some("1"))],
            InvalidConfig,
            "Unknown topic config name: no.such".to_owned(),
        ),
        (
            TOPIC,
            &topic.name,
            vec![("retention.ms", APPEND, Some("1"))],
            InvalidConfig,
            "Can't APPEND to key retention.ms because its type is not LIST.".to_owned(),
        ),
        (
            TOPIC,
            &topic.name,
            vec![("retention.ms", SET, None)],
            InvalidRequest,
            "Null value not supported for : retention.ms".to_owned(),
        ),
        (
            TOPIC,
            &topic.name,
            vec![("retention.ms", SET, Some("1")), ("retention.ms", SET, Some("2"))],
            InvalidRequest,
            "Error due to duplicate config keys".to_owned(),
        ),
        (
            TOPIC,
            "no-such-topic",
            vec![],
            UnknownTopicOrPartition,
            "The topic 'no-such-topic' does not exist.".to_owned(),
        ),
        (TOPIC, "", vec![], InvalidRequest, "Default topic resources are not allowed.".to_owned()),
        (3, "x", vec![], InvalidRequest, "Unknown resource type 3".to_owned()),
        (BROKER, "x", vec![], InvalidRequest, "Node id must be an integer, but it is: x".to_owned()),
        (BROKER, "777", vec![], InvalidRequest, format!("Unexpected broker id, expected {id}, but received 777")),
        (
            BROKER,
            &id,
            vec![("num.partitions", SET, Some("3"))],
            InvalidRequest,
            "Cannot update these configs dynamically: Set(num.partitions)".to_owned(),
        ),
        (
            BROKER,
            &id,
            vec![("message.max.bytes", SET, Some("-1"))],
            InvalidRequest,
            "Invalid value -1 for configuration message.max.bytes: Value must be at least 0".to_owned(),
        ),
        (
            BROKER,
            "",
            vec![("min.insync.replicas", DELETE, None)],
            InvalidConfig,
            "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.".to_owned(),
        ),
        (
            BROKER,
            &id,
            vec![("min.insync.replicas", SET, Some("2"))],
            InvalidConfig,
            "Broker-level min.insync.replicas cannot be altered while ELR is enabled.".to_owned(),
        ),
        (
            BROKER,
            &id,
            vec![("message.max.bytes", APPEND, Some("1"))],
            InvalidConfig,
            "Config value append is not allowed for config key: message.max.bytes".to_owned(),
        ),
        (GROUP, "g", vec![("no.such", SET, Some("1"))], InvalidConfig, "Unknown group config name: no.such".to_owned()),
        (
            GROUP,
            "g",
            vec![("consumer.session.timeout.ms", SET, Some("1"))],
            InvalidConfig,
            "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms"
                .to_owned(),
        ),
        (GROUP, "", vec![], InvalidRequest, "Default group resources are not allowed.".to_owned()),
        (
            CLIENT_METRICS,
            "m",
            vec![("no.such", SET, Some("1"))],
            InvalidRequest,
            "Unknown client metrics configuration: no.such".to_owned(),
        ),
        (
            CLIENT_METRICS,
            "m",
            vec![("interval.ms", SET, Some("1"))],
            InvalidRequest,
            "Invalid value 1 for interval.ms, interval must be between 100 and 3600000 (1 hour)".to_owned(),
        ),
        (
            BROKER_LOGGER,
            &id,
            vec![("no.such.logger", SET, Some("INFO"))],
            InvalidConfig,
            "Logger no.such.logger does not exist!".to_owned(),
        ),
    ] {
        assert_refused(alter(&mut raw, kind, name, &changes), error, &message);
    }
}

#[test]
fn a_resource_that_comes_twice_is_refused_twice() {
    let kafka = Kafka::start();
    let topic = kafka.topic("twice", 1);
    let mut request = request(TOPIC, &topic.name, &[("retention.ms", SET, Some("1"))]);
    request.resources.push(request.resources[0].clone());
    let responses = kafka.connect().call(&request, 1).responses;
    assert_eq!(responses.len(), 2);
    for response in responses {
        assert_error(response.error_code, Some(InvalidRequest));
        assert_eq!(response.error_message.as_deref(), Some("Each resource must appear at most once."));
    }
}

#[test]
fn the_older_api_replaces_all_settings() {
    let kafka = Kafka::start();
    let topic = kafka.topic_with("replaced", 1, &[("retention.ms", "1000"), ("segment.ms", "7")]);
    let mut raw = kafka.connect();
    for version in 0..=2 {
        let config = legacy::AlterableConfig::default().with_name(text("segment.ms")).with_value(Some(text("8")));
        let resource = legacy::AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(&topic.name))
            .with_configs(vec![config]);
        let request = AlterConfigsRequest::default().with_resources(vec![resource]);
        let response = raw.call(&request, version);
        assert_error(response.responses[0].error_code, None);
        assert_eq!(response.responses[0].error_message, None);
        eventually(|| {
            let shown = describe(&mut kafka.connect(), TOPIC, &topic.name);
            let replaced = value(&shown, "segment.ms") == some("8", 1);
            (replaced && value(&shown, "retention.ms") == some("604800000", 5)).then_some(())
        });
    }
}

#[test]
fn a_group_has_settings_before_it_has_members() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    let group = unique("group");
    let shown = describe(&mut raw, GROUP, &group);
    assert_eq!(value(&shown, "consumer.session.timeout.ms"), some("45000", 5));
    assert_eq!(shown.configs.len(), 10);
    assert_eq!(alter(&mut raw, GROUP, &group, &[("consumer.session.timeout.ms", SET, Some("50000"))]), (0, None));
    eventually(|| {
        let shown = describe(&mut kafka.connect(), GROUP, &group);
        (value(&shown, "consumer.session.timeout.ms") == some("50000", 8)).then_some(())
    });
    assert_eq!(alter(&mut raw, GROUP, &group, &[("consumer.session.timeout.ms", DELETE, None)]), (0, None));
}

#[test]
fn a_subscription_of_client_metrics_is_kept() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    let name = unique("metrics");
    let changes = [("interval.ms", SET, Some("60000")), ("match", SET, Some("client_id=x.*"))];
    assert_eq!(alter(&mut raw, CLIENT_METRICS, &name, &changes), (0, None));
    let shown = eventually(|| {
        let shown = describe(&mut kafka.connect(), CLIENT_METRICS, &name);
        (value(&shown, "interval.ms").0.as_deref() == Some("60000")).then_some(shown)
    });
    assert_eq!(value(&shown, "match"), some("client_id=x.*", 7));
    assert_eq!(value(&shown, "metrics"), some("", 5));
    let changes = [("interval.ms", DELETE, None), ("match", DELETE, None)];
    assert_eq!(alter(&mut raw, CLIENT_METRICS, &name, &changes), (0, None));
}

#[test]
fn a_topic_takes_what_its_new_setting_lets_it() {
    let kafka = Kafka::start();
    let topic = kafka.topic_with("limited", 1, &[("max.message.bytes", "200")]);
    let mut leader = kafka.leader(&topic.name, 0);
    let large = Batch::of(&[&"x".repeat(1000)]);
    assert_error(produce(&mut leader, &topic.name, 0, &large).error_code, Some(MessageTooLarge));
    let changes = [("max.message.bytes", SET, Some("2000"))];
    assert_eq!(alter(&mut kafka.connect(), TOPIC, &topic.name, &changes), (0, None));
    eventually(|| (produce(&mut leader, &topic.name, 0, &large).error_code == 0).then_some(()));
}
