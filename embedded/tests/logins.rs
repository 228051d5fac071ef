//! Logins by SASL: on an embedded broker, and on the listener of `scripts/with-kafka --sasl-plain tester:secret` or
//! `--sasl-scram tester:secret`, which serves one kind of mechanism each.

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{BufMut, Bytes, BytesMut};
use common::*;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::*;
use sha2::{Digest, Sha256, Sha512};

/// What a client proves.
const USER: &str = "tester";
const PASSWORD: &str = "secret";

/// A broker that wants a login.
fn secured() -> Kafka {
    match std::env::var("RSTEST_KAFKA_BOOTSTRAP_SERVERS") {
        Ok(_) => {
            let bootstrap_servers = std::env::var("WITH_KAFKA_SECURE_BOOTSTRAP_SERVERS")
                .expect("this Kafka asks for no login: start it with scripts/with-kafka --sasl-plain tester:secret");
            Kafka { embedded: None, bootstrap_servers }
        }
        Err(_) => Kafka::embedded(|builder| builder.sasl(USER, PASSWORD)),
    }
}

fn handshake(raw: &mut Raw, mechanism: &str, version: i16) -> SaslHandshakeResponse {
    raw.call(&SaslHandshakeRequest::default().with_mechanism(text(mechanism)), version)
}

/// Returns the mechanisms that a broker lists if a client requests an unknown mechanism.
fn mechanisms(kafka: &Kafka) -> Vec<String> {
    let mut raw = kafka.connect();
    let response = handshake(&mut raw, "GSSAPI", 1);
    assert_error(response.error_code, Some(ResponseError::UnsupportedSaslMechanism));
    assert_eq!(raw.receive_frame(), None, "the connection is closed");
    response.mechanisms.iter().map(|mechanism| mechanism.to_string()).collect()
}

fn authenticate(raw: &mut Raw, token: &[u8]) -> SaslAuthenticateResponse {
    raw.call(&SaslAuthenticateRequest::default().with_auth_bytes(Bytes::copy_from_slice(token)), 2)
}

fn scram_hash(mechanism: &str) -> Option<bool> {
    mechanism.strip_prefix("SCRAM-SHA-").map(|bits| bits == "512")
}

fn hmac(long: bool, key: &[u8], data: &[u8]) -> Vec<u8> {
    match long {
        false => {
            <Hmac<Sha256> as KeyInit>::new_from_slice(key).unwrap().chain_update(data).finalize().into_bytes().to_vec()
        }
        true => {
            <Hmac<Sha512> as KeyInit>::new_from_slice(key).unwrap().chain_update(data).finalize().into_bytes().to_vec()
        }
    }
}

/// The client's final message of SCRAM, and the verifier that the broker is to answer with.
fn final_message(long: bool, password: &str, first: &str, challenge: &str) -> (String, String) {
    let attribute = |name: &str| {
        let found = challenge.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("no {name} in {challenge}"))
    };
    let (salt, iterations) = (BASE64.decode(attribute("s")).unwrap(), attribute("i").parse().unwrap());
    let mut salted = vec![0; if long { 64 } else { 32 }];
    match long {
        false => pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), &salt, iterations, &mut salted),
        true => pbkdf2::pbkdf2_hmac::<Sha512>(password.as_bytes(), &salt, iterations, &mut salted),
    }
    let without_proof = format!("c=biws,r={}", attribute("r"));
    let signed = format!("{first},{challenge},{without_proof}");
    let client_key = hmac(long, &salted, b"Client Key");
    let stored_key = if long { Sha512::digest(&client_key).to_vec() } else { Sha256::digest(&client_key).to_vec() };
    let signature = hmac(long, &stored_key, signed.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, signature)| key ^ signature).collect();
    let verifier = hmac(long, &hmac(long, &salted, b"Server Key"), signed.as_bytes());
    (format!("{without_proof},p={}", BASE64.encode(proof)), format!("v={}", BASE64.encode(verifier)))
}

/// Logs in by a mechanism; the last answer of the broker.
fn log_in(raw: &mut Raw, mechanism: &str, user: &str, password: &str) -> SaslAuthenticateResponse {
    assert_error(handshake(raw, mechanism, 1).error_code, None);
    let Some(long) = scram_hash(mechanism) else {
        return authenticate(raw, format!("\0{user}\0{password}").as_bytes());
    };
    let first = format!("n={user},r=a-nonce");
    let response = authenticate(raw, format!("n,,{first}").as_bytes());
    if response.error_code != 0 {
        return response;
    }
    let challenge = String::from_utf8(response.auth_bytes.to_vec()).unwrap();
    let (message, verifier) = final_message(long, password, &first, &challenge);
    let response = authenticate(raw, message.as_bytes());
    if response.error_code == 0 {
        assert_eq!(response.auth_bytes, verifier.as_bytes());
    }
    response
}

#[test]
fn a_client_that_logs_in_is_served() {
    let kafka = secured();
    for mechanism in mechanisms(&kafka) {
        let mut raw = kafka.connect();
        raw.call(&ApiVersionsRequest::default(), 0);
        let response = log_in(&mut raw, &mechanism, USER, PASSWORD);
        assert_error(response.error_code, None);
        assert_eq!((response.error_message.as_deref(), response.session_lifetime_ms), (Some(""), 0));
        assert!(!raw.call(&MetadataRequest::default().with_topics(Some(vec![])), 12).brokers.is_empty());
        // Once is enough.
        assert_error(handshake(&mut raw, &mechanism, 1).error_code, Some(ResponseError::IllegalSaslState));
        assert_error(authenticate(&mut raw, b"").error_code, Some(ResponseError::IllegalSaslState));
    }
}

#[test]
fn a_wrong_login_is_refused_and_the_connection_closed() {
    let kafka = secured();
    for mechanism in mechanisms(&kafka) {
        for (user, password) in [(USER, "wrong"), ("stranger", PASSWORD)] {
            let mut raw = kafka.connect();
            let response = log_in(&mut raw, &mechanism, user, password);
            assert_error(response.error_code, Some(ResponseError::SaslAuthenticationFailed));
            let expected = match scram_hash(&mechanism) {
                None => "Authentication failed: Invalid username or password".to_owned(),
                Some(_) => format!(
                    "Authentication failed during authentication due to invalid credentials with SASL mechanism {mechanism}"
                ),
            };
            assert_eq!(response.error_message.as_deref(), Some(&*expected));
            assert_eq!(raw.receive_frame(), None, "{mechanism}: the connection is closed");
        }
    }
}

#[test]
fn nothing_is_served_before_the_login() {
    let kafka = secured();
    let closed = |ask: &dyn Fn(&mut Raw)| {
        let mut raw = kafka.connect();
        ask(&mut raw);
        assert_eq!(raw.receive_frame(), None, "the connection is closed");
    };
    closed(&|raw| raw.send(&MetadataRequest::default(), 12));
    closed(&|raw| raw.send(&SaslAuthenticateRequest::default(), 2));
    closed(&|raw| {
        raw.call(&ApiVersionsRequest::default(), 0);
        raw.send(&ApiVersionsRequest::default(), 0);
    });
    let [mechanism, ..] = &mechanisms(&kafka)[..] else { panic!("there are none") };
    // In place of a token, anything else is refused as it can be.
    closed(&|raw| {
        handshake(raw, mechanism, 1);
        let response = raw.call(&FindCoordinatorRequest::default().with_coordinator_keys(vec![text("g")]), 4);
        assert_error(response.coordinators[0].error_code, Some(ResponseError::IllegalSaslState));
    });
}

/// With version 0 of SaslHandshake the tokens come and go without headers, as clients of Kafka 0.10 send them.
#[test]
fn tokens_without_headers_are_taken_after_the_first_version_of_the_handshake() {
    let kafka = secured();
    if !mechanisms(&kafka).iter().any(|mechanism| mechanism == "PLAIN") {
        return;
    }
    let token = |password: &str| {
        let token = format!("\0{USER}\0{password}");
        let mut frame = BytesMut::new();
        frame.put_i32(token.len() as i32);
        frame.put(token.as_bytes());
        frame
    };
    let mut raw = kafka.connect();
    assert_error(handshake(&mut raw, "PLAIN", 0).error_code, None);
    raw.send_bytes(&token(PASSWORD));
    assert_eq!(raw.receive_frame(), Some(Bytes::new()));
    raw.call(&ApiVersionsRequest::default(), 0);

    let mut raw = kafka.connect();
    handshake(&mut raw, "PLAIN", 0);
    raw.send_bytes(&token("wrong"));
    assert_eq!(raw.receive_frame(), None);
}

/// If no login is required, Kafka refuses a login.
#[test]
fn a_login_that_nobody_asks_for_is_refused() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    let response = handshake(&mut raw, "PLAIN", 1);
    assert_error(response.error_code, Some(ResponseError::IllegalSaslState));
    assert!(response.mechanisms.is_empty());
    let response = authenticate(&mut raw, b"");
    assert_error(response.error_code, Some(ResponseError::IllegalSaslState));
    let message = "SaslAuthenticate request received after successful authentication";
    assert_eq!(response.error_message.as_deref(), Some(message));
}

#[test]
fn acls_know_a_user_that_has_logged_in() {
    let kafka = Kafka::embedded(|builder| {
        let builder = builder.sasl("alice", "a").sasl("bob", "b").config("super.users", "User:alice");
        builder.config("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
    });
    for (user, password, refused) in
        [("alice", "a", None), ("bob", "b", Some(ResponseError::ClusterAuthorizationFailed))]
    {
        let mut raw = kafka.connect();
        assert_error(log_in(&mut raw, "PLAIN", user, password).error_code, None);
        let response = raw.call(&DescribeUserScramCredentialsRequest::default().with_users(None), 0);
        assert_error(response.error_code, refused);
    }
}

#[test]
fn a_user_without_a_name_or_a_password_is_refused_at_the_start() {
    for (user, password) in [("", "secret"), ("tester", "")] {
        let refused = embedded_kafka::EmbeddedKafka::builder().sasl(user, password).start().unwrap_err();
        assert!(refused.to_string().contains("expected a user name and a password, both not empty"), "{refused}");
    }
    let builder = embedded_kafka::EmbeddedKafka::builder().sasl(USER, "a-secret-word");
    assert!(!format!("{builder:?}").contains("a-secret-word"));
}
