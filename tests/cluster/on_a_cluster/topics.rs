//! Topics in their shape, what the broker refuses, and what others do to topics.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rstest_kafka::TopicSpec;
use rstest_kafka::rdkafka::admin::{AdminOptions, ResourceSpecifier};
use rstest_kafka::rdkafka::consumer::{BaseConsumer, Consumer};
use rstest_kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::common::{alone, cluster, lease};
use crate::{harness, round_trip, shown, unique};

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
        refused(TopicSpec::new("replicas").replication_factor(brokers + 1), &[&asked, "at most the number of brokers"]);
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
