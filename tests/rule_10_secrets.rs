//! Rule 10: no password, key or token of the configuration stands in any message, Debug output or report.

mod common;

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpListener;
use std::panic;
use std::time::Duration;

use common::child::Child;
use rstest::rstest;
use rstest_kafka::{Harness, HarnessBuilder};

const SECRET: &str = "hunter2-Tr0ub4dor";

fn builder() -> HarnessBuilder {
    Harness::builder().topic_prefix("secrets").timeout(Duration::from_millis(300))
}

/// A port on which nobody listens any more.
fn unreachable() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Everything that a harness tells of itself and of its failure.
fn all_it_says(builder: HarnessBuilder) -> String {
    let mut said = format!("{builder:?}\n{builder:#?}\n");
    let harness = builder.clone().build();
    match harness.try_lease() {
        Err(error) => {
            write!(said, "{error}\n{error:?}\n{error:#?}\n").unwrap();
            let mut cause = StdError::source(&error);
            while let Some(error) = cause {
                write!(said, "{error}\n{error:?}\n").unwrap();
                cause = error.source();
            }
            let payload = panic::catch_unwind(panic::AssertUnwindSafe(|| drop(harness.lease()))).unwrap_err();
            writeln!(said, "{}", payload.downcast_ref::<String>().expect("a panic with a message")).unwrap();
        }
        Ok(kafka) => {
            let names = kafka.topic_names();
            write!(said, "{kafka:?}\n{names:?}\n{:?}\n{:?}\n", kafka.consumers(), kafka.client_config()).unwrap();
            write!(said, "{:?}\n{:?}\n", kafka.consumer_config("g"), kafka.producer_config()).unwrap();
            for error in [kafka.checked().topic("sp ace").unwrap_err(), kafka.checked().consumer(".").unwrap_err()] {
                write!(said, "{error}\n{error:?}\n").unwrap();
            }
        }
    }
    write!(said, "{harness:?}\n{harness:#?}\n{}\n", harness.stats()).unwrap();
    if let Err(error) = builder.try_build() {
        write!(said, "{error}\n{error:?}\n").unwrap();
    }
    said
}

#[track_caller]
fn assert_kept(said: &str) {
    assert!(!said.contains(SECRET), "the secret is told:\n{said}");
    // Nor as bytes, which is how some errors show what they choked on.
    let bytes = format!("{:?}", SECRET.as_bytes());
    assert!(!said.contains(bytes.trim_matches(['[', ']'])), "the secret is told in bytes:\n{said}");
}

/// A .properties file with these lines.
fn file(lines: &[&str]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    lines.iter().for_each(|line| writeln!(file, "{line}").unwrap());
    file
}

#[rstest]
#[case::password(&[("security.protocol", "sasl_plaintext"), ("sasl.mechanism", "PLAIN"), ("sasl.username", "u"),
                   ("sasl.password", SECRET)])]
#[case::beside_a_wrong_value(&[("sasl.password", SECRET), ("security.protocol", "carrier pigeon")])]
#[case::beside_an_unknown_property(&[("sasl.password", SECRET), ("no.such.property", "x")])]
#[case::as_a_wrong_value(&[("security.protocol", SECRET)])]
#[case::as_a_wrong_mechanism(&[("security.protocol", "sasl_plaintext"), ("sasl.mechanism", SECRET)])]
#[case::as_a_number(&[("socket.timeout.ms", SECRET)])]
#[case::as_a_switch(&[("enable.ssl.certificate.verification", SECRET)])]
#[case::as_a_flag(&[("debug", SECRET)])]
#[case::with_a_quote(&[("security.protocol", "\"hunter2-Tr0ub4dor"), ("sasl.password", "a\"hunter2-Tr0ub4dor\"")])]
#[case::with_a_nul(&[("sasl.password", "hunter2-Tr0ub4dor\0")])]
#[case::under_a_misspelt_name(&[("sasl.pasword", SECRET)])]
#[case::of_java(&[("sasl.jaas.config", "PlainLoginModule required password=\"hunter2-Tr0ub4dor\";")])]
#[case::private_key(&[("ssl.key.pem", SECRET), ("ssl.key.password", SECRET), ("security.protocol", "ssl")])]
#[case::key_file(&[("ssl.key.location", "/nowhere"), ("ssl.key.password", SECRET), ("security.protocol", "ssl")])]
#[case::token(&[("security.protocol", "sasl_plaintext"), ("sasl.mechanism", "OAUTHBEARER"),
                ("enable.sasl.oauthbearer.unsecure.jwt", "true"), ("sasl.oauthbearer.config", SECRET)])]
#[case::client_secret(&[("sasl.oauthbearer.client.secret", SECRET), ("sasl.oauthbearer.method", "oidc")])]
fn a_secret_stands_in_nothing_that_is_told(
    #[case] properties: &[(&str, &str)],
    #[values(false, true)] from_file: bool,
) {
    let builder = builder().bootstrap_servers(unreachable());
    let builder_with = |builder: HarnessBuilder| {
        properties.iter().fold(builder, |builder, (key, value)| builder.property(*key, *value))
    };
    let lines: Vec<String> =
        properties.iter().map(|(key, value)| format!("{key}={}", value.replace('\0', "\\u0000"))).collect();
    let file = file(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    let builder = if from_file { builder.properties_file(file.path()) } else { builder_with(builder) };
    let said = all_it_says(builder);
    assert_kept(&said);
    assert!(!said.contains("Kafka(Lease"), "it failed somehow: {said}");
}

#[rstest]
#[case::bad_escape(&["sasl.password=hunter2-Tr0ub4dor\\u00zz"])]
#[case::continued(&["sasl.password=hunter2-Tr0ub4dor\\", "  \\uxyzw"])]
fn a_file_that_cannot_be_read_is_not_quoted(#[case] lines: &[&str]) {
    let file = file(lines);
    assert_kept(&all_it_says(builder().bootstrap_servers(unreachable()).properties_file(file.path())));
}

#[rstest]
fn a_secret_is_kept_by_a_harness_that_works() {
    let embedded = builder().embedded_brokers(1).timeout(Duration::from_secs(5)).build();
    let kafka = embedded.lease();
    let secret = || Harness::builder().timeout(Duration::from_secs(5)).property("sasl.password", SECRET);
    // The same broker twice: as itself, where properties have no meaning, and as a cluster that takes them.
    for builder in [secret().embedded_brokers(1), secret().bootstrap_servers(kafka.bootstrap_servers())] {
        let said = all_it_says(builder);
        assert!(said.contains("Kafka(Lease"), "{said}");
        assert_kept(&said);
    }
}

#[rstest]
#[case::builder("builder", &[])]
#[case::misspelt_variable("environment", &[("RSTEST_KAFKA_SASL_PASSWORD", SECRET)])]
#[case::misspelt_properties("environment", &[("RSTEST_KAFKA_PROPERTY", "sasl.password=hunter2-Tr0ub4dor")])]
#[case::report("builder", &[("RSTEST_KAFKA_REPORT", "summary"), ("RUST_BACKTRACE", "1"), ("RUST_LOG", "trace")])]
fn nothing_that_a_test_run_writes_has_a_secret(#[case] case: &str, #[case] variables: &[(&str, &str)]) {
    let child = Child::tests(&["rule_10::fails"], 1).env("CASE", case).env("SECRET", SECRET);
    let outcome = variables.iter().fold(child, |child, (name, value)| child.env(name, value)).run();
    let said = outcome.to_string();
    assert!(!outcome.status.success() && said.contains("panicked at"), "it should have failed: {said}");
    assert_kept(&said);
}
