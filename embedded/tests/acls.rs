//! ACLs: stored, described and enforced.

mod common;

use common::consumers::*;
use common::*;
use kafka_protocol::ResponseError::*;
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::*;

const TOPIC: i8 = 2;
const CLUSTER: i8 = 4;
const ANY: i8 = 1;
const MATCH: i8 = 2;
const LITERAL: i8 = 3;
const PREFIXED: i8 = 4;
const READ: i8 = 3;
const WRITE: i8 = 4;
const ALTER: i8 = 7;
const DESCRIBE: i8 = 8;
const IDEMPOTENT_WRITE: i8 = 12;
const DENY: i8 = 2;
const ALLOW: i8 = 3;

/// A cluster with an authorizer, whose clients may do everything that no ACL forbids: the one that the environment names if it
/// has an authorizer (`scripts/with-kafka --acl`), else an embedded one.
fn with_authorizer() -> Kafka {
    let kafka = Kafka::start();
    if kafka.embedded.is_none() && has_authorizer(&kafka) { kafka } else { embedded_with_authorizer() }
}

fn has_authorizer(kafka: &Kafka) -> bool {
    kafka.connect().call(&filter(ANY, None, ANY), 3).error_code == 0
}

fn is_super_user(kafka: &Kafka) -> bool {
    let brokers = kafka.connect().call(&MetadataRequest::default().with_topics(Some(vec![])), 12).brokers;
    let broker = brokers[0].node_id.0;
    let resource = DescribeConfigsResource::default()
        .with_resource_type(4)
        .with_resource_name(text(&broker.to_string()))
        .with_configuration_keys(Some(vec![text("super.users")]));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let configs = kafka.broker(broker).call(&request, 4).results.remove(0).configs;
    configs.iter().any(|config| config.value.as_deref().is_some_and(|users| users.contains("User:ANONYMOUS")))
}

fn embedded_with_authorizer() -> Kafka {
    Kafka::embedded(|builder| {
        builder
            .config("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
            .config("allow.everyone.if.no.acl.found", "true")
    })
}

fn filter(kind: i8, name: Option<&str>, pattern: i8) -> DescribeAclsRequest {
    DescribeAclsRequest::default()
        .with_resource_type_filter(kind)
        .with_resource_name_filter(name.map(text))
        .with_pattern_type_filter(pattern)
        .with_principal_filter(None)
        .with_host_filter(None)
        .with_operation(ANY)
        .with_permission_type(ANY)
}

fn acl(kind: i8, name: &str, pattern: i8, principal: &str, operation: i8, permission: i8) -> AclCreation {
    AclCreation::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_resource_pattern_type(pattern)
        .with_principal(text(principal))
        .with_host(text("*"))
        .with_operation(operation)
        .with_permission_type(permission)
}

fn create(raw: &mut Raw, acls: Vec<AclCreation>) -> Vec<(i16, Option<String>)> {
    let response = raw.call(&CreateAclsRequest::default().with_creations(acls), 3);
    let told = |message: kafka_protocol::protocol::StrBytes| message.to_string();
    response.results.into_iter().map(|result| (result.error_code, result.error_message.map(told))).collect()
}

/// The result for an ACL that was created.
fn told() -> (i16, Option<String>) {
    (0, Some(String::new()))
}

/// The ACLs that are found: the name, the type of its pattern, the principal, the operation and the permission.
fn describe(raw: &mut Raw, request: &DescribeAclsRequest) -> Vec<(String, i8, String, i8, i8)> {
    let response = raw.call(request, 3);
    assert_error(response.error_code, None);
    let mut told: Vec<_> = response
        .resources
        .iter()
        .flat_map(|resource| {
            resource.acls.iter().map(|acl| {
                let (name, principal) = (resource.resource_name.to_string(), acl.principal.to_string());
                (name, resource.pattern_type, principal, acl.operation, acl.permission_type)
            })
        })
        .collect();
    told.sort();
    told
}

#[test]
fn without_an_authorizer_there_are_no_acls() {
    let kafka = Some(Kafka::start()).filter(|kafka| !has_authorizer(kafka));
    let kafka = kafka.unwrap_or_else(|| Kafka::embedded(|builder| builder));
    let mut raw = kafka.connect();
    for version in 1..=3 {
        let described = raw.call(&filter(ANY, None, ANY), version);
        assert_error(described.error_code, Some(SecurityDisabled));
        assert_eq!(described.error_message.as_deref(), Some("No Authorizer is configured on the broker"));
        let creation = acl(TOPIC, "t", LITERAL, "User:a", READ, ALLOW);
        let created = raw.call(&CreateAclsRequest::default().with_creations(vec![creation]), version);
        assert_error(created.results[0].error_code, Some(SecurityDisabled));
        assert_eq!(created.results[0].error_message.as_deref(), Some("No Authorizer is configured."));
        let wanted = DeleteAclsFilter::default()
            .with_resource_type_filter(TOPIC)
            .with_pattern_type_filter(ANY)
            .with_operation(ANY)
            .with_permission_type(ANY);
        let deleted = raw.call(&DeleteAclsRequest::default().with_filters(vec![wanted]), version);
        assert_error(deleted.filter_results[0].error_code, Some(SecurityDisabled));
        assert_eq!(deleted.filter_results[0].error_message.as_deref(), Some("No Authorizer is configured."));
    }
}

#[test]
fn acls_are_kept_and_found_by_what_they_are_about() {
    let kafka = with_authorizer();
    let mut raw = kafka.connect();
    let (name, principal) = (unique("kept"), format!("User:{}", unique("user")));
    let prefix = &name[..name.len() - 2];
    let acls = vec![
        acl(TOPIC, &name, LITERAL, &principal, READ, ALLOW),
        acl(TOPIC, prefix, PREFIXED, &principal, WRITE, DENY),
        acl(TOPIC, &name, LITERAL, &principal, READ, ALLOW),
    ];
    assert_eq!(create(&mut raw, acls), [told(), told(), told()]);
    let literal = (name.clone(), LITERAL, principal.clone(), READ, ALLOW);
    let prefixed = (prefix.to_owned(), PREFIXED, principal.clone(), WRITE, DENY);
    let mine = |request: DescribeAclsRequest| request.with_principal_filter(Some(text(&principal)));
    eventually(|| (describe(&mut raw, &mine(filter(ANY, None, ANY))).len() == 2).then_some(()));
    for (request, expected) in [
        (filter(TOPIC, Some(&name), LITERAL), vec![literal.clone()]),
        (filter(TOPIC, Some(&name), ANY), vec![literal.clone()]),
        (filter(TOPIC, Some(&name), PREFIXED), vec![]),
        (filter(TOPIC, Some(&name), MATCH), vec![prefixed.clone(), literal.clone()]),
        (filter(TOPIC, None, PREFIXED), vec![prefixed.clone()]),
        (filter(TOPIC, None, ANY).with_operation(WRITE), vec![prefixed.clone()]),
        (filter(TOPIC, None, ANY).with_permission_type(ALLOW), vec![literal.clone()]),
        (filter(TOPIC, None, ANY).with_host_filter(Some(text("10.0.0.1"))), vec![]),
        (filter(CLUSTER, None, ANY), vec![]),
    ] {
        let told = describe(&mut raw, &mine(request));
        assert_eq!(told, expected);
    }
    let wanted = |operation| {
        DeleteAclsFilter::default()
            .with_resource_type_filter(ANY)
            .with_resource_name_filter(None)
            .with_pattern_type_filter(ANY)
            .with_principal_filter(Some(text(&principal)))
            .with_host_filter(None)
            .with_operation(operation)
            .with_permission_type(ANY)
    };
    let request = DeleteAclsRequest::default().with_filters(vec![wanted(READ), wanted(ANY)]);
    let results = raw.call(&request, 3).filter_results;
    assert_eq!(results.iter().map(|result| result.matching_acls.len()).collect::<Vec<_>>(), [1, 2]);
    assert!(results[1].matching_acls.iter().all(|acl| *acl.principal == *principal && acl.error_code == 0));
    eventually(|| describe(&mut raw, &mine(filter(ANY, None, ANY))).is_empty().then_some(()));
}

#[test]
fn acls_that_are_none_are_refused() {
    let kafka = with_authorizer();
    let mut raw = kafka.connect();
    for (creation, message) in [
        (
            acl(CLUSTER, "x", LITERAL, "User:a", DESCRIBE, ALLOW),
            "The only valid name for the CLUSTER resource is kafka-cluster",
        ),
        (acl(TOPIC, "", LITERAL, "User:a", READ, ALLOW), "Invalid empty resource name"),
    ] {
        let refused = create(&mut raw, vec![creation]);
        assert_eq!(refused, [(InvalidRequest.code(), Some(message.to_owned()))]);
    }
    // What can only be in a filter.
    for creation in [
        acl(ANY, "t", LITERAL, "User:a", READ, ALLOW),
        acl(TOPIC, "t", MATCH, "User:a", READ, ALLOW),
        acl(TOPIC, "t", LITERAL, "User:a", ANY, ALLOW),
        acl(TOPIC, "t", LITERAL, "User:a", READ, ANY),
    ] {
        let told = create(&mut raw, vec![acl(TOPIC, "t", LITERAL, "User:a", READ, ALLOW), creation]);
        assert_eq!(told, [(UnknownServerError.code(), None), (UnknownServerError.code(), None)]);
    }
}

#[test]
fn a_client_is_kept_from_what_an_acl_denies() {
    let kafka = embedded_with_authorizer();
    let topic = kafka.topic("denied", 1);
    let mut raw = kafka.connect();
    assert_eq!(create(&mut raw, vec![acl(TOPIC, &topic.name, LITERAL, "User:other", READ, ALLOW)]), [told()]);
    // There is an ACL about it now, which is not for this client.
    assert_error(metadata(&mut raw, &topic.name).error_code, Some(TopicAuthorizationFailed));
    let all = raw.call(&MetadataRequest::default().with_topics(None), 12).topics;
    assert!(all.iter().all(|told| told.topic_id != topic.id));
    create(&mut raw, vec![acl(TOPIC, &topic.name, LITERAL, "User:*", DESCRIBE, ALLOW)]);
    assert_error(metadata(&mut raw, &topic.name).error_code, None);
    create(&mut raw, vec![acl(TOPIC, "den", PREFIXED, "User:ANONYMOUS", DESCRIBE, DENY)]);
    assert_error(metadata(&mut raw, &topic.name).error_code, Some(TopicAuthorizationFailed));

    create(&mut raw, vec![acl(TOPIC, "mine", PREFIXED, "User:other", 5, ALLOW)]);
    create(&mut raw, vec![acl(CLUSTER, "kafka-cluster", LITERAL, "User:*", 5, DENY)]);
    let wanted =
        CreatableTopic::default().with_name(topic_name("mine-1")).with_num_partitions(1).with_replication_factor(1);
    let made = raw.call(&CreateTopicsRequest::default().with_topics(vec![wanted]), 7).topics.remove(0);
    assert_error(made.error_code, Some(TopicAuthorizationFailed));
}

#[test]
fn an_expression_stands_for_the_topics_that_its_client_may_see() {
    // ACLs do not hold for a super user, which this client is where `scripts/with-kafka --acl` has started Kafka.
    let kafka = Some(with_authorizer()).filter(|kafka| !is_super_user(kafka)).unwrap_or_else(embedded_with_authorizer);
    let mut raw = kafka.connect();
    let (prefix, group) = (unique("seen"), unique("group"));
    let topics = ["open", "hidden"].map(|name| kafka.topic_named(&format!("{prefix}-{name}"), 1, &[]));
    let denied = acl(TOPIC, &topics[1].name, LITERAL, "User:*", DESCRIBE, DENY);
    assert_eq!(create(&mut raw, vec![denied]), [told()]);
    eventually(|| {
        let code = metadata(&mut raw, &topics[1].name).error_code;
        (code == TopicAuthorizationFailed.code()).then_some(())
    });
    let mut coordinator = kafka.coordinator_that_knows(&group, &[&topics[0]]);
    let (mut epoch, mut assigned) = beat(&mut coordinator, &join_by_regex(&group, "m", &format!("{prefix}.*")));
    let assigned = eventually(|| match assigned.take().filter(|assigned| !assigned.is_empty()) {
        Some(assigned) => Some(assigned),
        None => {
            (epoch, assigned) = beat(&mut coordinator, &beat_request(&group, "m", epoch));
            None
        }
    });
    assert_eq!(assigned, [(topics[0].id, 0)].into());
}

#[test]
fn a_producer_has_an_id_where_it_may_write_to_any_topic() {
    let kafka = embedded_with_authorizer();
    let mut raw = kafka.connect();
    let ask = |raw: &mut Raw| raw.call(&InitProducerIdRequest::default().with_transactional_id(None), 4).error_code;
    assert_error(ask(&mut raw), None);
    let denied = vec![
        acl(CLUSTER, "kafka-cluster", LITERAL, "User:ANONYMOUS", ALTER, ALLOW),
        acl(CLUSTER, "kafka-cluster", LITERAL, "User:ANONYMOUS", IDEMPOTENT_WRITE, DENY),
        // With this name Kafka asks whether all topics are allowed.
        acl(TOPIC, "hardcode", LITERAL, "User:other", WRITE, ALLOW),
    ];
    assert_eq!(create(&mut raw, denied), [told(), told(), told()]);
    assert_error(ask(&mut raw), Some(ClusterAuthorizationFailed));
    // It need not be there.
    create(&mut raw, vec![acl(TOPIC, "nowhere", LITERAL, "User:ANONYMOUS", READ, ALLOW)]);
    assert_error(ask(&mut raw), Some(ClusterAuthorizationFailed));
    create(&mut raw, vec![acl(TOPIC, "nowhere", LITERAL, "User:ANONYMOUS", WRITE, ALLOW)]);
    assert_error(ask(&mut raw), None);
    create(&mut raw, vec![acl(TOPIC, "no", PREFIXED, "User:*", WRITE, DENY)]);
    assert_error(ask(&mut raw), Some(ClusterAuthorizationFailed));
}
