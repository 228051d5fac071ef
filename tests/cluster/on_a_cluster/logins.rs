//! Logins by SASL PLAIN, and users who may not do everything.

use std::io::Write as _;
use std::time::{Duration, Instant};

use rstest_kafka::HarnessBuilder;
use rstest_kafka::rdkafka::bindings::rd_kafka_AclOperation_t as Operation;

use crate::common::{alone, cluster, lease};
use crate::{child, harness, round_trip, shown, unique};

fn as_user(prefix: &str) -> HarnessBuilder {
    let (servers, user, password) = cluster::sasl();
    harness(prefix)
        .bootstrap_servers(servers)
        .property("security.protocol", "SASL_PLAINTEXT")
        .property("sasl.mechanism", "PLAIN")
        .property("sasl.username", user)
        .property("sasl.password", password)
}

fn jaas_file(user: &str, password: &str, servers: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(
        file,
        "# a Java client's\nsecurity.protocol=SASL_PLAINTEXT\nsasl.mechanism = PLAIN\nbootstrap.servers={servers}\n\
         key.deserializer=org.apache.kafka.common.serialization.StringDeserializer\ngroup.id=mine\n\
         sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\\n  \
         username=\"{user}\" \\\n  password=\"{password}\";"
    )
    .unwrap();
    file
}

#[test]
#[ignore = "needs a real cluster: scripts/with-kafka --sasl-plain USER:PASSWORD"]
fn sasl_plain_by_the_builder_and_by_a_java_file() {
    let _alone = alone();
    lease(&as_user(&unique("sasl")).build(), |kafka| {
        round_trip(&kafka);
        let group = kafka.group("service", ["events"]);
        assert_eq!(group.lag(), 1);
    });
    let (servers, user, password) = cluster::sasl();
    let file = jaas_file(&user, &password, &servers);
    let prefix = unique("sasl-file");
    let outcome = child(&["cluster::makes_everything"], &prefix)
        .env("RSTEST_KAFKA_BOOTSTRAP_SERVERS", "")
        .env("RSTEST_KAFKA_PROPERTIES", file.path())
        .run();
    outcome.exits_with(0);
    assert!(!outcome.to_string().contains(&password));
    cluster::assert_only(&prefix, &[], "after the exit");
}

#[test]
#[ignore = "needs a real cluster: scripts/with-kafka --sasl-plain USER:PASSWORD"]
fn wrong_credentials_say_so_at_once_and_are_never_shown() {
    let _alone = alone();
    let (servers, user, _) = cluster::sasl();
    let wrong = "n0t-the-Passw0rd";
    let clock = Instant::now();
    let harness = as_user(&unique("wrong")).property("sasl.password", wrong).timeout(Duration::from_secs(10)).build();
    for _ in 0..3 {
        let shown = shown(&harness.try_lease().unwrap_err());
        assert!(shown.contains("could not log in on broker") && shown.contains(&servers), "{shown}");
        assert!(!shown.contains(wrong), "{shown}");
    }
    assert!(clock.elapsed() < Duration::from_secs(3), "it did not wait for the timeout: {:?}", clock.elapsed());
    let file = jaas_file(&user, wrong, &servers);
    let outcome = child(&["cluster::makes_everything"], &unique("wrong"))
        .env("RSTEST_KAFKA_BOOTSTRAP_SERVERS", servers)
        .env("RSTEST_KAFKA_PROPERTIES", file.path())
        .env("RSTEST_KAFKA_REPORT", "summary")
        .run();
    outcome.exits_with(101);
    assert!(outcome.stderr.contains("could not log in"), "{outcome}");
    assert!(!outcome.to_string().contains(wrong), "{outcome}");
}

#[test]
#[ignore = "needs a real cluster: scripts/with-kafka --sasl-plain USER:PASSWORD"]
fn a_plain_client_on_a_sasl_listener_says_which_broker() {
    let _alone = alone();
    let (servers, ..) = cluster::sasl();
    let harness = harness(&unique("plain")).bootstrap_servers(&servers).timeout(Duration::from_secs(2)).build();
    let shown = shown(&harness.try_lease().unwrap_err());
    assert!(shown.contains(&servers) && shown.contains("within 2s"), "{shown}");
}

#[test]
#[ignore = "needs a real cluster: scripts/with-kafka --sasl-plain USER:PASSWORD --acl"]
fn a_topic_that_may_not_be_created_says_so() {
    let _alone = alone();
    let prefix = unique("denied");
    let user = cluster::sasl().1;
    // Who may create on the cluster may create any topic; others are asked topic by topic.
    cluster::acl(&user, None, Operation::RD_KAFKA_ACL_OPERATION_CREATE, false);
    cluster::acl(&user, Some(&prefix), Operation::RD_KAFKA_ACL_OPERATION_CREATE, false);
    let (servers, user, password) = cluster::sasl();
    let file = jaas_file(&user, &password, &servers);
    let outcome = child(&["cluster::makes_everything"], &prefix)
        .env("RSTEST_KAFKA_BOOTSTRAP_SERVERS", servers)
        .env("RSTEST_KAFKA_PROPERTIES", file.path())
        .run();
    outcome.exits_with(101);
    let says = format!("could not create topic \"{prefix}-events-");
    assert!(outcome.stderr.contains(&says), "{outcome}");
    assert!(outcome.stderr.contains("needs the right to create topics"), "{outcome}");
    assert!(!outcome.stderr.contains("is left on"), "what was never there is not left: {outcome}");
}

#[test]
#[ignore = "needs a real cluster: scripts/with-kafka --sasl-plain USER:PASSWORD --acl"]
fn what_could_not_be_deleted_is_named_at_exit() {
    let _alone = alone();
    let prefix = unique("undeleted");
    let (servers, user, password) = cluster::sasl();
    let audit = format!("{prefix}-audit");
    cluster::acl(&user, Some(&audit), Operation::RD_KAFKA_ACL_OPERATION_ALL, true);
    cluster::acl(&user, Some(&audit), Operation::RD_KAFKA_ACL_OPERATION_DELETE, false);
    let file = jaas_file(&user, &password, &servers);
    let outcome = child(&["cluster::makes_everything"], &prefix)
        .env("RSTEST_KAFKA_BOOTSTRAP_SERVERS", servers)
        .env("RSTEST_KAFKA_PROPERTIES", file.path())
        .run();
    outcome.exits_with(0);
    let left = cluster::named(&prefix);
    // Of two generations.
    assert!(left.len() == 2 && left.iter().all(|name| name.contains("-audit-")), "{left:?}");
    let named = left.iter().all(|name| outcome.stderr.contains(&format!("rstest-kafka: {name} is left on broker")));
    assert!(named && !outcome.to_string().contains(&password), "{outcome}");
    cluster::delete(&left);
}
