//! Client quotas and SCRAM credentials: stored and described.

mod common;

use bytes::Bytes;
use common::*;
use kafka_protocol::ResponseError::{self, *};
use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::describe_user_scram_credentials_request::UserName;
use kafka_protocol::messages::*;

type Part<'a> = (&'a str, Option<&'a str>);
type Quota<'a> = (&'a str, Option<f64>);
/// The parts of an entity, with its quotas.
type Told = (Vec<String>, Vec<(String, f64)>);

fn alter(raw: &mut Raw, entity: &[Part<'_>], quotas: &[Quota<'_>]) -> (i16, Option<String>) {
    let entity = entity
        .iter()
        .map(|(kind, name)| EntityData::default().with_entity_type(text(kind)).with_entity_name(name.map(text)));
    let ops = quotas.iter().map(|(key, value)| {
        OpData::default().with_key(text(key)).with_value(value.unwrap_or_default()).with_remove(value.is_none())
    });
    let entry = EntryData::default().with_entity(entity.collect()).with_ops(ops.collect());
    let response = raw.call(&AlterClientQuotasRequest::default().with_entries(vec![entry]), 1);
    let result = &response.entries[0];
    (result.error_code, result.error_message.as_ref().map(|message| message.to_string()))
}

fn component(kind: &str, how: i8, name: Option<&str>) -> ComponentData {
    ComponentData::default().with_entity_type(text(kind)).with_match_type(how).with_match(name.map(text))
}

fn describe(raw: &mut Raw, components: Vec<ComponentData>, strict: bool) -> DescribeClientQuotasResponse {
    raw.call(&DescribeClientQuotasRequest::default().with_components(components).with_strict(strict), 1)
}

fn told(response: DescribeClientQuotasResponse) -> Vec<Told> {
    assert_error(response.error_code, None);
    let entries = response.entries.unwrap().into_iter().map(|entry| {
        let mut parts: Vec<String> = entry
            .entity
            .iter()
            .map(|part| format!("{}={}", &*part.entity_type, part.entity_name.as_deref().unwrap_or("<default>")))
            .collect();
        parts.sort();
        let mut values: Vec<_> = entry.values.iter().map(|value| (value.key.to_string(), value.value)).collect();
        values.sort_by(|one, other| one.0.cmp(&other.0));
        (parts, values)
    });
    entries.collect()
}

#[test]
fn quotas_are_kept_by_whom_they_are_for() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    let (user, client) = (unique("user"), unique("client"));
    let both = [("user", Some(&*user)), ("client-id", Some(&*client))];
    assert_eq!(alter(&mut raw, &both, &[("producer_byte_rate", Some(1000.0))]), (0, None));
    let quotas = [("consumer_byte_rate", Some(2000.0)), ("request_percentage", Some(12.5))];
    assert_eq!(alter(&mut raw, &both[..1], &quotas), (0, None));
    let exact = || component("user", 0, Some(&user));
    let rates = |rates: &[(&str, f64)]| rates.iter().map(|(key, rate)| ((*key).to_owned(), *rate)).collect::<Vec<_>>();
    let of_user =
        (vec![format!("user={user}")], rates(&[("consumer_byte_rate", 2000.0), ("request_percentage", 12.5)]));
    let of_both =
        (vec![format!("client-id={client}"), format!("user={user}")], rates(&[("producer_byte_rate", 1000.0)]));
    eventually(|| (told(describe(&mut raw, vec![exact()], false)).len() == 2).then_some(()));
    assert_eq!(told(describe(&mut raw, vec![exact()], true)), [of_user]);
    let of_client = component("client-id", 2, None);
    assert_eq!(told(describe(&mut raw, vec![exact(), of_client], true)), [of_both]);
    assert_eq!(
        told(describe(&mut raw, vec![component("user", 1, None), component("client-id", 0, Some(&client))], false)),
        []
    );

    alter(&mut raw, &both, &[("producer_byte_rate", None)]);
    alter(&mut raw, &both[..1], &[("consumer_byte_rate", None), ("request_percentage", None)]);
    eventually(|| told(describe(&mut raw, vec![exact()], false)).is_empty().then_some(()));
}

#[test]
fn quotas_that_are_none_are_refused() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    let rate = ("producer_byte_rate", Some(1.0));
    let (user, ip): (Part<'_>, Part<'_>) = (("user", Some("u")), ("ip", Some("127.0.0.1")));
    let cases: &[(&[Part<'_>], Quota<'_>, &str)] = &[
        (&[], rate, "Invalid empty client quota entity"),
        (&[("planet", Some("mars"))], rate, "Unhandled client quota entity type: planet"),
        (&[("user", Some(""))], rate, "Empty user not supported"),
        (&[user, ip], rate, "Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId"),
        (&[ip], rate, "Invalid configuration key producer_byte_rate"),
        (&[user], ("connection_creation_rate", Some(1.0)), "Invalid configuration key connection_creation_rate"),
        (&[user], ("producer_byte_rate", Some(0.0)), "Quota producer_byte_rate must be greater than 0"),
        (&[user], ("producer_byte_rate", Some(1.5)), "producer_byte_rate cannot be a fractional value."),
    ];
    for (entity, quota, message) in cases {
        let told = alter(&mut raw, entity, &[*quota]);
        assert_eq!(told, (InvalidRequest.code(), Some((*message).to_owned())));
    }
}

#[test]
fn filters_of_quotas_are_checked() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    for (components, error, message) in [
        (vec![component("", 0, Some("u"))], InvalidRequest, "Invalid empty entity type."),
        (vec![component("planet", 2, None)], UnsupportedVersion, "Unsupported entity type planet"),
        (
            vec![component("user", 2, None), component("user", 2, None)],
            InvalidRequest,
            "Entity type user cannot appear more than once in the filter.",
        ),
        (
            vec![component("user", 0, None)],
            InvalidRequest,
            "Request specified MATCH_TYPE_EXACT, but set match string to null.",
        ),
        (
            vec![component("user", 1, Some("u"))],
            InvalidRequest,
            "Request specified MATCH_TYPE_DEFAULT, but also specified a match string.",
        ),
        (
            vec![component("user", 2, Some("u"))],
            InvalidRequest,
            "Request specified MATCH_TYPE_SPECIFIED, but also specified a match string.",
        ),
        (vec![component("user", 7, None)], InvalidRequest, "Unknown match type 7"),
    ] {
        let response = describe(&mut raw, components, false);
        assert_error(response.error_code, Some(error));
        assert_eq!(response.error_message.as_deref(), Some(message));
        assert_eq!(response.entries, None);
    }
}

fn upsertion(user: &str, mechanism: i8, iterations: i32) -> ScramCredentialUpsertion {
    ScramCredentialUpsertion::default()
        .with_name(text(user))
        .with_mechanism(mechanism)
        .with_iterations(iterations)
        .with_salt(Bytes::from_static(b"salt"))
        .with_salted_password(Bytes::from_static(&[7; 32]))
}

fn deletion(user: &str, mechanism: i8) -> ScramCredentialDeletion {
    ScramCredentialDeletion::default().with_name(text(user)).with_mechanism(mechanism)
}

fn credentials(
    raw: &mut Raw,
    deletions: Vec<ScramCredentialDeletion>,
    upsertions: Vec<ScramCredentialUpsertion>,
) -> Vec<(String, i16, Option<String>)> {
    let request = AlterUserScramCredentialsRequest::default().with_deletions(deletions).with_upsertions(upsertions);
    let results = raw.call(&request, 0).results.into_iter().map(|result| {
        (result.user.to_string(), result.error_code, result.error_message.map(|message| message.to_string()))
    });
    let mut results: Vec<_> = results.collect();
    results.sort();
    results
}

#[test]
fn credentials_are_kept() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    let user = unique("user");
    let describe = |raw: &mut Raw, names: &[&str]| {
        let users = names.iter().map(|name| UserName::default().with_name(text(name))).collect();
        let response = raw.call(&DescribeUserScramCredentialsRequest::default().with_users(Some(users)), 0);
        assert_error(response.error_code, None);
        response.results
    };
    let missing = describe(&mut raw, &[&user]).remove(0);
    assert_error(missing.error_code, Some(ResourceNotFound));
    let message = format!("Attempt to describe a user credential that does not exist: {user}");
    assert_eq!(missing.error_message.as_deref(), Some(&*message));

    assert_eq!(credentials(&mut raw, vec![], vec![upsertion(&user, 1, 4096)]), [(user.clone(), 0, None)]);
    assert_eq!(credentials(&mut raw, vec![], vec![upsertion(&user, 2, 8192)]), [(user.clone(), 0, None)]);
    let found = eventually(|| {
        let found = describe(&mut raw, &[&user]).remove(0);
        (found.credential_infos.len() == 2).then_some(found)
    });
    assert_error(found.error_code, None);
    let mut infos: Vec<_> = found.credential_infos.iter().map(|info| (info.mechanism, info.iterations)).collect();
    infos.sort_unstable();
    assert_eq!(infos, [(1, 4096), (2, 8192)]);
    let twice = describe(&mut raw, &[&user, &user]);
    assert_eq!(twice.len(), 1);
    assert_error(twice[0].error_code, Some(DuplicateResource));
    let all = raw.call(&DescribeUserScramCredentialsRequest::default().with_users(None), 0).results;
    assert!(all.iter().any(|result| *result.user == *user));

    assert_eq!(credentials(&mut raw, vec![deletion(&user, 1)], vec![]), [(user.clone(), 0, None)]);
    assert_eq!(credentials(&mut raw, vec![deletion(&user, 2)], vec![]), [(user.clone(), 0, None)]);
    eventually(|| (describe(&mut raw, &[&user])[0].error_code == ResourceNotFound.code()).then_some(()));
}

#[test]
fn credentials_that_are_none_are_refused() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    let user = unique("refused");
    let refused = |error: ResponseError, message: &str| [(user.clone(), error.code(), Some(message.to_owned()))];
    let twice = vec![upsertion(&user, 1, 4096), upsertion(&user, 2, 4096)];
    assert_eq!(
        credentials(&mut raw, vec![], twice),
        refused(DuplicateResource, "A user credential cannot be altered twice in the same request")
    );
    assert_eq!(
        credentials(&mut raw, vec![], vec![upsertion(&user, 1, 4095)]),
        refused(UnacceptableCredential, "Too few iterations")
    );
    assert_eq!(
        credentials(&mut raw, vec![], vec![upsertion(&user, 1, 16_385)]),
        refused(UnacceptableCredential, "Too many iterations")
    );
    assert_eq!(
        credentials(&mut raw, vec![], vec![upsertion(&user, 9, 4096)]),
        refused(UnsupportedSaslMechanism, "Unknown SCRAM mechanism")
    );
    assert_eq!(
        credentials(&mut raw, vec![deletion(&user, 1)], vec![]),
        refused(ResourceNotFound, "Attempt to delete a user credential that does not exist")
    );
    let nameless = credentials(&mut raw, vec![], vec![upsertion("", 1, 4096)]);
    let message = "Username must not be empty".to_owned();
    assert_eq!(nameless, [(String::new(), UnacceptableCredential.code(), Some(message))]);
}
