//! On a real cluster: topics in their shape, what is refused, what others do to it, and an exit that leaves nothing of ours.

mod common;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use common::child::{Child, only_in_a_child, say};
use common::embedded::Embedded;
use common::{alone, cluster, lease};
use rstest_kafka::{Error, Harness, HarnessBuilder, Kafka, Request};

/// A prefix that nobody else has.
fn unique(name: &str) -> String {
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let n = NEXT.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    format!("{name}-{}-{n}", std::process::id())
}

fn harness(prefix: &str) -> HarnessBuilder {
    Harness::builder().bootstrap_servers(cluster::servers()).topic_prefix(prefix).group_prefix(prefix)
}

fn child(name: &str, prefix: &str) -> Child {
    Child::of_tests(&[name], 1)
        .env("RSTEST_KAFKA_BOOTSTRAP_SERVERS", cluster::servers())
        .env("RSTEST_KAFKA_TOPIC_PREFIX", prefix)
        .env("RSTEST_KAFKA_GROUP_PREFIX", prefix)
}

/// The whole of what a failing test would show.
fn shown(error: &Error) -> String {
    let mut shown = format!("{error}\n{error:?}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        shown.push_str(&format!("\n{error}"));
        cause = error.source();
    }
    shown
}

fn round_trip(kafka: &Kafka) {
    let consumer = kafka.consumer("events");
    kafka.send("events", "k", "v");
    assert_eq!(consumer.recv().text(), "v");
    consumer.assert_empty();
}

#[test]
fn embedded_topics_that_are_asked_for_together_are_made_in_one_request() {
    let _alone = alone();
    let harness = Harness::builder().topic_prefix("together").embedded_brokers(1).build();
    lease(&harness, |kafka| {
        let broker = Embedded::of(&kafka);
        kafka.topics(["one", "two", "three"]);
        assert_eq!(broker.count_of(Request::CreateTopics), 1);
    });
}

mod on_a_cluster {
    use super::*;
    use rstest_kafka::TopicSpec;
    use rstest_kafka::rdkafka::admin::{AdminOptions, ResourceSpecifier};
    use rstest_kafka::rdkafka::bindings::rd_kafka_AclOperation_t as Operation;
    use rstest_kafka::rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
    use rstest_kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer};

    fn config_of(topic: &str, key: &str) -> Option<String> {
        let resource = ResourceSpecifier::Topic(topic);
        let described = cluster::wait(cluster::admin().describe_configs([&resource], &AdminOptions::new())).unwrap();
        described.into_iter().next().unwrap().unwrap().get(key).and_then(|entry| entry.value.clone())
    }

    fn partitions_and_replicas(topic: &str) -> (usize, usize) {
        let client: BaseConsumer = cluster::config().create().unwrap();
        let metadata = client.fetch_metadata(Some(topic), Duration::from_secs(10)).unwrap();
        let partitions = metadata.topics()[0].partitions();
        (partitions.len(), partitions[0].replicas().len())
    }

    fn brokers() -> i32 {
        let client: BaseConsumer = cluster::config().create().unwrap();
        client.fetch_metadata(None, Duration::from_secs(10)).unwrap().brokers().len() as i32
    }

    #[test]
    #[ignore = "needs a real cluster: scripts/with-kafka"]
    fn topics_are_made_in_the_shape_that_was_asked_for() {
        let _alone = alone();
        let harness = harness(&unique("shape")).partitions(2).build();
        lease(&harness, |kafka| {
            let plain = kafka.topic("plain");
            assert_eq!(partitions_and_replicas(&plain).0, 2);
            let spec = TopicSpec::new("compacted").partitions(5).replication_factor(1);
            let compacted = kafka.topic(spec.config("cleanup.policy", "compact").config("segment.ms", "123456"));
            assert_eq!(partitions_and_replicas(&compacted), (5, 1));
            assert_eq!(config_of(&compacted, "cleanup.policy").as_deref(), Some("compact"));
            assert_eq!(config_of(&compacted, "segment.ms").as_deref(), Some("123456"));
            assert_eq!(config_of(&plain, "cleanup.policy").as_deref(), Some("delete"));
        });
    }

    #[test]
    #[ignore = "needs a real cluster: scripts/with-kafka"]
    fn what_the_broker_refuses_says_why_and_costs_the_next_topic_nothing() {
        let _alone = alone();
        let harness = harness(&unique("refused")).timeout(Duration::from_secs(10)).build();
        lease(&harness, |kafka| {
            let refused = |spec: TopicSpec, says: &[&str]| {
                let clock = Instant::now();
                let shown = shown(&kafka.checked().topic(spec).unwrap_err());
                assert!(clock.elapsed() < Duration::from_secs(2), "it need not wait: {:?}", clock.elapsed());
                for part in says.iter().chain(&["127.0.0.1"]) {
                    assert!(shown.contains(part), "{part:?} is not in: {shown}");
                }
            };
            let brokers = brokers();
            let asked = format!("the replication factor is {}", brokers + 1);
            refused(
                TopicSpec::new("replicas").replication_factor(brokers + 1),
                &[&asked, "at most the number of brokers"],
            );
            refused(TopicSpec::new("policy").config("cleanup.policy", "sometimes"), &["configurations"]);
            refused(TopicSpec::new("key").config("no.such.key", "x"), &["configurations"]);
            // Of several in one request only the one that is refused is.
            let several =
                [TopicSpec::new("good"), TopicSpec::new("bad").replication_factor(brokers + 1), TopicSpec::new("fine")];
            let shown = shown(&kafka.checked().topics_of(several).unwrap_err());
            assert!(shown.contains(&asked) && shown.contains("-bad-"), "{shown}");
            assert_eq!(kafka.topics(["good", "fine"]).map(|topic| topic.partitions()), [Some(1), Some(1)]);
            round_trip(&kafka);
        });
    }

    #[test]
    #[ignore = "needs a real cluster: scripts/with-kafka"]
    fn topics_that_are_asked_for_together_are_each_made_once() {
        let _alone = alone();
        let harness = harness(&unique("batch")).timeout(Duration::from_secs(30)).build();
        let names = || (0..20).map(|n| format!("batch-{n}")).collect::<Vec<_>>();
        lease(&harness, |kafka| {
            let topics = kafka.checked().topics_of(names()).unwrap();
            assert_eq!(topics.iter().map(|topic| topic.logical_name()).collect::<Vec<_>>(), names());
        });
        assert_eq!((harness.stats().topics_made, harness.stats().topics_reused), (20, 0));
        lease(&harness, |kafka| drop(kafka.checked().topics_of(names()).unwrap()));
        assert_eq!((harness.stats().topics_made, harness.stats().topics_reused), (20, 20));
        lease(&harness, |kafka| {
            let [one, own, again] = kafka.topics([
                TopicSpec::new("batch-1"),
                TopicSpec::new("own").exclusive(),
                TopicSpec::new("own").exclusive(),
            ]);
            assert_eq!((own.name(), own.partitions()), (again.name(), Some(1)));
            assert!(own.ends_with("-x1") || own.contains("-x"), "{own}");
            assert_eq!(kafka.topic("batch-1"), one);
        });
    }

    #[test]
    #[ignore = "needs a real cluster: scripts/with-kafka"]
    fn a_named_topic_that_the_broker_makes_itself_is_read_from_its_beginning() {
        let _alone = alone();
        let harness = harness(&unique("auto")).timeout(Duration::from_secs(10)).build();
        lease(&harness, |kafka| {
            let events = kafka.topic_names().name("events");
            let service: BaseProducer = cluster::config().create().unwrap();
            service.send(BaseRecord::<str, str>::to(&events).payload("first")).unwrap();
            service.flush(Duration::from_secs(10)).unwrap();
            assert_eq!(kafka.consumer(&events).recv().text(), "first");
        });
    }

    #[test]
    #[ignore = "needs a real cluster: scripts/with-kafka"]
    fn a_topic_that_somebody_deleted_is_made_again_for_the_next_lease() {
        let _alone = alone();
        let harness = harness(&unique("deleted")).build();
        let name = lease(&harness, |kafka| {
            round_trip(&kafka);
            kafka.topic("events").name().to_owned()
        });
        for _ in 0..3 {
            cluster::delete(&BTreeSet::from([name.clone()]));
            lease(&harness, |kafka| {
                assert_eq!(kafka.topic("events").name(), name);
                round_trip(&kafka);
            });
        }
    }

    #[test]
    #[ignore = "needs a real cluster: scripts/with-kafka"]
    fn a_consumer_whose_topic_somebody_deletes_says_so() {
        let _alone = alone();
        let harness = harness(&unique("gone")).timeout(Duration::from_secs(5)).build();
        lease(&harness, |kafka| {
            let events = kafka.topic("events");
            let consumer = kafka.consumer(&events);
            kafka.send(&events, "k", "v");
            consumer.recv();
            cluster::delete(&BTreeSet::from([events.name().to_owned()]));
            let clock = Instant::now();
            let shown = shown(&consumer.checked().recv().unwrap_err());
            assert!(clock.elapsed() < Duration::from_secs(8), "{:?}", clock.elapsed());
            assert!(shown.contains(events.name()) && shown.contains("deleted"), "{shown}");
            kafka.mark_failed();
        });
        lease(&harness, |kafka| round_trip(&kafka));
    }

    #[test]
    #[ignore = "needs a real cluster: scripts/with-kafka"]
    fn an_exit_leaves_what_is_not_ours_and_nothing_else() {
        let _alone = alone();
        let prefix = unique("exit");
        // What a prefix would take along: a name like ours, and one that ours begins.
        let neighbours = [format!("{prefix}-events-main"), format!("{prefix}-neighbour")];
        neighbours.iter().for_each(|name| cluster::make(name));
        let outcome = child("child_makes_everything", &prefix).run();
        outcome.exits_with(0).stdout_is_libtests();
        assert_eq!(outcome.once_by("group is there"), "true", "one was there to be deleted");
        let stayed: Vec<&str> = neighbours.iter().map(String::as_str).collect();
        cluster::assert_only(&prefix, &stayed, "after the exit");
        cluster::delete(&neighbours.into_iter().collect());
    }

    #[test]
    #[ignore = "needs a real cluster: scripts/with-kafka"]
    fn an_exclusive_topic_that_a_writer_creates_again_is_gone_after_the_exit() {
        let _alone = alone();
        let prefix = unique("again");
        let outcome = child("child_leaves_a_writer", &prefix).run();
        outcome.exits_with(0).stdout_is_libtests();
        assert!(outcome.once_by("again").starts_with(&prefix), "{outcome}");
        cluster::assert_only(&prefix, &[], "after the exit");
    }

    #[test]
    #[ignore = "needs a real cluster: scripts/with-kafka"]
    fn topics_of_failed_leases_are_kept_and_named_if_asked_for() {
        let _alone = alone();
        let prefix = unique("kept");
        let outcome = Child::of_tests(&["child_one_fails", "child_makes_everything"], 1)
            .env("RSTEST_KAFKA_BOOTSTRAP_SERVERS", cluster::servers())
            .env("RSTEST_KAFKA_TOPIC_PREFIX", &prefix)
            .env("RSTEST_KAFKA_GROUP_PREFIX", &prefix)
            .env("RSTEST_KAFKA_KEEP_TOPICS", "failed")
            .run();
        outcome.exits_with(101);
        let failed = outcome.once_by("failed");
        assert!(outcome.stderr.contains("rstest-kafka: kept on broker 127.0.0.1"), "{outcome}");
        let line = outcome.stderr.lines().find(|line| line.contains("kept on")).unwrap();
        assert!(line.contains(&failed), "{line}");
        cluster::assert_only(&prefix, &[&failed], "only the failed test's topic is kept");
        cluster::delete(&BTreeSet::from([failed]));
    }

    #[test]
    #[ignore = "needs a real cluster: scripts/with-kafka"]
    fn a_hundred_topics_and_a_hundred_consumers_are_gone_at_exit_within_two_seconds() {
        let _alone = alone();
        let prefix = unique("many");
        let outcome = child("child_has_a_hundred", &prefix).env("RSTEST_KAFKA_MAX_IDLE_CONSUMERS", "200").run();
        println!("exit of 100 topics and 100 consumers: {:?}", outcome.exit_took);
        outcome.exits_with(0).exits_within(Duration::from_secs(2));
        cluster::assert_only(&prefix, &[], "after the exit");
    }

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
        let outcome = child("child_makes_everything", &prefix)
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
        let harness =
            as_user(&unique("wrong")).property("sasl.password", wrong).timeout(Duration::from_secs(10)).build();
        for _ in 0..3 {
            let shown = shown(&harness.try_lease().unwrap_err());
            assert!(shown.contains("could not log in on broker") && shown.contains(&servers), "{shown}");
            assert!(!shown.contains(wrong), "{shown}");
        }
        assert!(clock.elapsed() < Duration::from_secs(3), "it did not wait for the timeout: {:?}", clock.elapsed());
        let file = jaas_file(&user, wrong, &servers);
        let outcome = child("child_makes_everything", &unique("wrong"))
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
        let outcome = child("child_makes_everything", &prefix)
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
    #[ignore = "needs a real cluster: scripts/with-kafka --refuse-topics '.*-forbidden-.*'"]
    fn a_topic_that_the_clusters_policy_refuses_says_so() {
        let _alone = alone();
        let prefix = unique("policy");
        lease(&harness(&prefix).build(), |kafka| {
            let error = kafka.checked().topic("forbidden").unwrap_err();
            let shown = shown(&error);
            assert!(shown.contains("create.topic.policy refuses it"), "{shown}");
            assert!(shown.contains(&format!("{prefix}-forbidden-")), "it names the topic: {shown}");
            // One that is refused takes no other along that is made in the same request.
            assert!(kafka.checked().topics_of(["forbidden", "allowed", "allowed-too"]).is_err());
            round_trip(&kafka);
        });
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
        let outcome = child("child_makes_everything", &prefix)
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

    /// Made here, where the imports are; run by the children below.
    pub(super) fn make_everything(harness: &Harness) {
        for failed in [false, true, false] {
            lease(harness, |kafka| {
                round_trip(&kafka);
                let [audit, own] =
                    kafka.topics([TopicSpec::new("audit").partitions(3), TopicSpec::new("own").exclusive()]);
                let _service = kafka.group("service", [&audit, &own]);
                // A pooled consumer's group, which exists only where it commits.
                let consumer = kafka.consumer("events");
                kafka.send("events", "k", "v");
                consumer.recv();
                if !failed && kafka.generation() == 0 {
                    consumer.client().commit(&consumer.client().position().unwrap(), CommitMode::Sync).unwrap();
                }
                // KEEP_TOPICS would keep what the others are to find deleted.
                if failed && std::env::var_os("RSTEST_KAFKA_KEEP_TOPICS").is_none() {
                    kafka.mark_failed();
                }
            });
        }
    }
}

#[test]
#[ignore = "run by the tests of exits"]
fn child_makes_everything() {
    only_in_a_child();
    let harness = Harness::from_environment();
    on_a_cluster::make_everything(harness);
    // The groups of leases that are over may be gone by now, but not this one.
    let kafka = harness.lease();
    let group = kafka.group("service", ["events"]);
    if std::env::var("RSTEST_KAFKA_PROPERTIES").is_err() {
        say("group is there", cluster::named(&group).contains(&*group));
    }
}

#[test]
#[ignore = "run by an_exclusive_topic_that_a_writer_creates_again_is_gone_after_the_exit"]
fn child_leaves_a_writer() {
    use rstest_kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer};
    only_in_a_child();
    let own = lease(Harness::from_environment(), |kafka| {
        let own = kafka.topic(rstest_kafka::TopicSpec::new("own").exclusive());
        kafka.send(&own, "k", "v");
        own.name().to_owned()
    });
    let is_there = || cluster::named(&own).contains(&own);
    assert!(common::comes_true(|| !is_there()), "it is deleted when its lease is over");
    let writer: BaseProducer = cluster::config().create().unwrap();
    assert!(common::comes_true(|| {
        writer.send(BaseRecord::to(&own).key("k").payload("late")).unwrap();
        writer.flush(Duration::from_secs(1)).is_ok() && is_there()
    }));
    say("again", own);
}

#[test]
#[ignore = "run by topics_of_failed_leases_are_kept_and_named_if_asked_for"]
fn child_one_fails() {
    only_in_a_child();
    let kafka = Harness::from_environment().lease();
    let lost = kafka.topic("lost");
    say("failed", &lost);
    panic!("as it must");
}

#[test]
#[ignore = "run by a_hundred_topics_and_a_hundred_consumers_are_gone_at_exit_within_two_seconds"]
fn child_has_a_hundred() {
    only_in_a_child();
    let kafka = Harness::from_environment().lease();
    let topics = kafka.checked().topics_of((0..100).map(|n| format!("topic-{n}"))).unwrap();
    let consumers: Vec<_> = topics.iter().map(|topic| kafka.consumer(topic)).collect();
    drop(consumers);
    assert_eq!(kafka.stats().consumers_idle, 100);
}

#[test]
#[ignore = "run by a_broker_that_does_not_answer_fails_each_test_and_one_that_is_not_there_the_second_at_once"]
fn child_has_no_broker_1() {
    only_in_a_child();
    drop(Harness::from_environment().lease());
}

#[test]
#[ignore = "run by a_broker_that_does_not_answer_fails_each_test_and_one_that_is_not_there_the_second_at_once"]
fn child_has_no_broker_2() {
    only_in_a_child();
    drop(Harness::from_environment().lease());
}

/// Needs no cluster: a port on which nobody listens, and one on which nobody answers. To the second the clients may yet connect.
#[test]
fn a_broker_that_does_not_answer_fails_each_test_and_one_that_is_not_there_the_second_at_once() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for address in [silent.local_addr().unwrap(), closed] {
        let clock = Instant::now();
        let outcome = Child::of_tests(&["child_has_no_broker_1", "child_has_no_broker_2"], 1)
            .env("RSTEST_KAFKA_BOOTSTRAP_SERVERS", address.to_string())
            .env("RSTEST_KAFKA_TIMEOUT_MS", "5000")
            .run();
        let took = clock.elapsed();
        outcome.exits_with(101);
        outcome.test_was("child_has_no_broker_1", "FAILED").test_was("child_has_no_broker_2", "FAILED");
        let says = format!("broker {address} did not respond within 5s");
        assert_eq!(outcome.stderr.matches(&says).count(), 2, "{outcome}");
        assert!(address != closed || took < Duration::from_secs(9), "the second test waited too: {took:?}");
    }
}
