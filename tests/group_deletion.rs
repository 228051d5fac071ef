//! A service's group is deleted when its lease is over: off the test's path, and not while it has members.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use common::{alone, cluster, comes_true, lease, thread_of_a_test};
use rstest_kafka::rdkafka::ClientConfig;
use rstest_kafka::rdkafka::consumer::{BaseConsumer, Consumer};
use rstest_kafka::{Harness, Kafka};

/// The groups on the broker whose names begin so.
fn groups(client: &BaseConsumer, prefix: &str) -> BTreeSet<String> {
    let groups = client.fetch_group_list(None, Duration::from_secs(10)).unwrap();
    groups.groups().iter().map(|group| group.name().to_owned()).filter(|name| name.starts_with(prefix)).collect()
}

fn harness(prefix: &str) -> Harness {
    let prefix = format!("{prefix}-{}", std::process::id());
    Harness::builder().topic_prefix(&prefix).group_prefix(&prefix).timeout(Duration::from_secs(30)).build()
}

fn prefix_of(kafka: &Kafka) -> String {
    let group = kafka.group("service", ["events"]);
    // What the harness was given; the worker comes after it.
    let process = std::process::id().to_string();
    let end = group.id().find(&process).unwrap() + process.len();
    group.id()[..end].to_owned()
}

/// A service that is a member of the group by the time that this returns.
fn join(config: &ClientConfig, group: &str, topic: &str) -> BaseConsumer {
    let mut config = config.clone();
    config.set("group.id", group).set("auto.offset.reset", "earliest");
    let service: BaseConsumer = config.create().unwrap();
    service.subscribe(&[topic]).unwrap();
    let is_assigned = || {
        service.poll(Duration::from_millis(20));
        service.assignment().unwrap().count() > 0
    };
    assert!(comes_true(is_assigned));
    service
}

fn deleting_threads() -> usize {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return 0 };
    // The kernel keeps the first 15 characters.
    let is_one = |name: String| name.trim() == "rstest-kafka gr";
    tasks.flatten().filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(is_one)).count()
}

#[test]
fn the_groups_of_many_tests_do_not_stay() {
    const TESTS: usize = 300;
    let _alone = alone();
    let harness = harness("many");
    let (config, prefix) = lease(&harness, |kafka| (kafka.client_config(), prefix_of(&kafka)));
    let client: BaseConsumer = config.create().unwrap();
    let mut most_threads = 0;
    for n in 0..TESTS {
        let case = || {
            let kafka = harness.lease();
            let group = kafka.group("service", ["events"]);
            assert_eq!(group.lag(), 0);
            // One that fails leaves no more than one that passes.
            assert!(n % 50 != 7, "as it must");
        };
        let _ = thread_of_a_test(case);
        most_threads = most_threads.max(deleting_threads());
    }
    assert!(comes_true(|| harness.stats().groups_deleted == TESTS as u64 + 1), "{}", harness.stats());
    assert_eq!(groups(&client, &prefix), BTreeSet::new());
    assert!(most_threads <= 1, "{most_threads}");
    assert!(comes_true(|| deleting_threads() == 0), "the thread ends with its work");
}

#[test]
fn a_group_that_has_members_waits_until_they_have_gone() {
    let _alone = alone();
    let harness = harness("members");
    let (service, served) = lease(&harness, |kafka| {
        let events = kafka.topic("events");
        let group = kafka.group("service", [&events]);
        (join(&kafka.client_config(), &group, &events), group.id().to_owned())
    });
    let (config, prefix) = lease(&harness, |kafka| (kafka.client_config(), prefix_of(&kafka)));
    let client: BaseConsumer = config.create().unwrap();
    // Other groups do not wait for it.
    assert!(comes_true(|| harness.stats().groups_deleted == 1), "{}", harness.stats());
    assert_eq!(groups(&client, &prefix), BTreeSet::from([served]));
    service.poll(Duration::from_millis(20));
    assert!(service.assignment().unwrap().count() > 0, "it is a member still");
    drop(service);
    assert!(comes_true(|| harness.stats().groups_deleted == 2), "{}", harness.stats());
    assert_eq!(groups(&client, &prefix), BTreeSet::new());
}

#[test]
fn a_group_lives_as_long_as_something_of_its_lease() {
    let _alone = alone();
    let harness = harness("lives");
    let group = lease(&harness, |kafka| kafka.group("service", ["events"]));
    let other = lease(&harness, |kafka| prefix_of(&kafka));
    assert!(comes_true(|| harness.stats().groups_deleted == 1), "{other}: {}", harness.stats());
    assert_eq!(group.lag(), 0);
    assert_eq!(group.committed(&group.topics()[0], 0), Some(0));
    drop(group);
    assert!(comes_true(|| harness.stats().groups_deleted == 2), "{}", harness.stats());
}

/// Until it is deleted whoever sweeps finds it, and not any more afterwards.
#[test]
#[ignore = "needs a real cluster in RSTEST_KAFKA_BOOTSTRAP_SERVERS"]
fn a_group_is_struck_from_the_ledger_when_it_is_deleted() {
    let _alone = alone();
    let state = tempfile::tempdir().unwrap();
    let prefix = format!("struck-{}", std::process::id());
    let builder = Harness::builder().topic_prefix(&prefix).group_prefix(&prefix).state_dir(state.path());
    let harness = builder.bootstrap_servers(cluster::servers()).timeout(Duration::from_secs(30)).build();
    let struck = || {
        let files = fs::read_dir(state.path()).unwrap().flatten();
        let text: String = files.map(|file| fs::read_to_string(file.path()).unwrap()).collect();
        let named = |kind: &str| {
            let lines = text.lines().filter_map(|line| line.split_once('\t')?.1.split_once('\t'));
            lines.filter(|(found, _)| *found == kind).map(|(_, name)| name.to_owned()).collect::<BTreeSet<_>>()
        };
        (named("group"), named("group-gone"))
    };
    let (service, served) = lease(&harness, |kafka| {
        let events = kafka.topic("events");
        let group = kafka.group("service", [&events]);
        (join(&kafka.client_config(), &group, &events), group.id().to_owned())
    });
    let other = lease(&harness, |kafka| kafka.group("other", ["events"]).id().to_owned());
    assert!(comes_true(|| struck().1 == BTreeSet::from([other.clone()])), "{:?}", struck());
    assert!(struck().0.contains(&served));
    drop(service);
    assert!(comes_true(|| struck().1 == BTreeSet::from([other.clone(), served.clone()])), "{:?}", struck());
}
