//! On a listener with TLS and SCRAM: a Java client's file is all that it takes, and what is wrong with it is said.
//!
//! They need the feature `ssl` and a broker of their own:
//! `scripts/with-kafka --tls --sasl-scram USER:PASSWORD -- cargo test --features ssl --test cluster_secure -- --ignored over_tls`.

mod common;

use std::io::Write as _;

use common::child::{Child, Outcome};
use common::{alone, cluster};

/// A prefix that nobody else has.
fn unique(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

/// The file that scripts/with-kafka has written, with some of its lines put differently.
fn client_file(changes: &[(&str, &str)]) -> tempfile::NamedTempFile {
    let text = std::fs::read_to_string(cluster::client_properties()).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for line in text.lines() {
        let (key, value) = line.split_once('=').unwrap();
        let value = changes.iter().find(|(changed, _)| *changed == key).map_or(value, |(_, value)| value);
        writeln!(file, "{key}={value}").unwrap();
    }
    file
}

/// Runs the child with a client file and nothing else; whatever comes of it, no password is shown.
fn run(prefix: &str, file: &tempfile::NamedTempFile) -> Outcome {
    let outcome = Child::tests(&["cluster_secure::uses_everything"], 1)
        .env("RSTEST_KAFKA_BOOTSTRAP_SERVERS", "")
        .env("RSTEST_KAFKA_PROPERTIES", file.path())
        .env("RSTEST_KAFKA_TOPIC_PREFIX", prefix)
        .env("RSTEST_KAFKA_GROUP_PREFIX", prefix)
        .env("RSTEST_KAFKA_REPORT", "summary")
        .env("RUST_LOG", "trace")
        .run();
    let (_, _, password) = cluster::sasl();
    assert!(!outcome.to_string().contains(&password), "the password is shown");
    outcome
}

mod over_tls {
    use super::*;

    #[test]
    #[ignore = "needs a real cluster: scripts/with-kafka --tls --sasl-scram USER:PASSWORD"]
    fn a_java_clients_file_is_all_that_it_takes() {
        let _alone = alone();
        let prefix = unique("secure");
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
            let outcome = run(&prefix, &client_file(&[("sasl.mechanism", mechanism)]));
            outcome.exits_with(0);
            assert_eq!(outcome.once_by("received"), "over TLS", "{outcome}");
            cluster::assert_only(&prefix, &[], "after the exit");
        }
    }

    #[test]
    #[ignore = "needs a real cluster: scripts/with-kafka --tls --sasl-scram USER:PASSWORD"]
    fn a_wrong_password_says_so_at_once_and_is_never_shown() {
        let _alone = alone();
        let (servers, user, _) = cluster::sasl();
        let wrong = "n0t-the-Passw0rd";
        let login = format!(
            "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"{user}\" password=\"{wrong}\";"
        );
        let outcome = run(&unique("wrong"), &client_file(&[("sasl.jaas.config", &login)]));
        outcome.exits_with(101);
        assert!(outcome.stderr.contains(&format!("could not log in on broker {servers}")), "{outcome}");
        assert!(!outcome.to_string().contains(wrong), "{outcome}");
    }

    #[test]
    #[ignore = "needs a real cluster: scripts/with-kafka --tls --sasl-scram USER:PASSWORD"]
    fn a_certificate_that_another_authority_signed_is_refused_by_name() {
        let _alone = alone();
        let servers = cluster::sasl().0;
        let mut other = tempfile::Builder::new().suffix(".pem").tempfile().unwrap();
        other.write_all(OTHER_CA.as_bytes()).unwrap();
        let file = client_file(&[("ssl.truststore.location", other.path().to_str().unwrap())]);
        refuses(&run(&unique("ca"), &file), &servers);
    }

    #[test]
    #[ignore = "needs a real cluster: scripts/with-kafka --tls --sasl-scram USER:PASSWORD"]
    fn a_certificate_for_another_host_is_refused_by_name() {
        let _alone = alone();
        let servers = cluster::sasl().0.replace("127.0.0.1", "localhost");
        refuses(&run(&unique("host"), &client_file(&[("bootstrap.servers", &servers)])), &servers);
    }

    #[test]
    #[ignore = "needs a real cluster: scripts/with-kafka --tls --sasl-scram USER:PASSWORD"]
    fn a_client_without_tls_says_which_broker_does_not_answer() {
        let _alone = alone();
        let servers = cluster::sasl().0;
        let file = client_file(&[("security.protocol", "SASL_PLAINTEXT")]);
        let outcome = run(&unique("plain"), &file);
        outcome.exits_with(101);
        assert!(outcome.stderr.contains(&format!("broker {servers} did not respond")), "{outcome}");
    }

    #[track_caller]
    fn refuses(outcome: &Outcome, servers: &str) {
        outcome.exits_with(101);
        assert!(
            outcome.stderr.contains(&format!("could not establish a TLS connection on broker {servers}")),
            "{outcome}"
        );
        assert!(outcome.stderr.contains("certificate"), "{outcome}");
        let took: f64 = outcome.once_by("first lease took").parse().unwrap();
        assert!(took < 3.0, "it is not waited for until the timeout: {took} s\n{outcome}");
    }
}

/// Nobody's: a certificate that signs nothing here.
const OTHER_CA: &str = include_str!("common/other-ca.pem");
