//! A consumer that is asked for before its service has created the topic: arrange, act, assert.

mod common;

use std::thread;
use std::time::Duration;

use common::{alone, lease, sorted};
use rstest::rstest;
use rstest_kafka::rdkafka::ClientConfig;
use rstest_kafka::rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rstest_kafka::rdkafka::client::DefaultClientContext;
use rstest_kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rstest_kafka::{Error, Harness, HarnessBuilder};

const LONG: Duration = Duration::from_secs(30);

/// A prefix that no other test has: on a cluster their topics are there until the process exits.
fn builder(prefix: &str) -> HarnessBuilder {
    Harness::builder().topic_prefix(prefix).timeout(LONG)
}

/// The service creates its topic, with as many partitions, and writes one record to each.
fn serve(config: &ClientConfig, topic: &str, partitions: i32) {
    let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    for made in common::cluster::wait(admin.create_topics([&new], &AdminOptions::new())).unwrap() {
        made.unwrap();
    }
    let service: BaseProducer = config.create().unwrap();
    for partition in 0..partitions {
        let text = partition.to_string();
        service.send(BaseRecord::<str, str>::to(topic).partition(partition).payload(&text)).unwrap();
    }
    service.flush(LONG).unwrap();
}

#[rstest]
fn it_reads_every_partition_from_its_beginning_once_the_topic_exists(#[values(1, 3)] partitions: i32) {
    let _alone = alone();
    let harness = builder(&format!("to-come-{partitions}")).build();
    lease(&harness, |kafka| {
        let audit = kafka.topic_names().name("audit");
        let consumer = kafka.consumer(&audit);
        serve(&kafka.client_config(), &audit, partitions);
        let expected: Vec<String> = (0..partitions).map(|partition| partition.to_string()).collect();
        assert_eq!(sorted(&consumer.recv_n(partitions as usize)), expected);
        consumer.assert_empty();
    });
    // The next test finds it: its messages are not seen again.
    lease(&harness, |kafka| {
        let audit = kafka.topic_names().name("audit");
        let consumer = kafka.consumer(&audit);
        assert_eq!(audit.partitions(), Some(partitions));
        consumer.assert_empty();
        kafka.send(&audit, "k", "mine");
        assert_eq!(consumer.recv().text(), "mine");
    });
}

#[rstest]
fn it_waits_while_the_topic_does_not_exist() {
    let _alone = alone();
    let harness = builder("to-come-wait").build();
    lease(&harness, |kafka| {
        let audit = kafka.topic_names().name("audit");
        let (one, other) = (kafka.consumer(&audit), kafka.consumer(&audit));
        let config = kafka.client_config();
        thread::scope(|scope| {
            // Both ways of waiting have begun, or begin, before there is a topic.
            let blocking = scope.spawn(|| one.recv().text().to_owned());
            let matching = scope.spawn(|| {
                common::cluster::wait(other.nonblocking().recv_matching(|_| true)).unwrap().text().to_owned()
            });
            serve(&config, &audit, 1);
            assert_eq!([blocking.join().unwrap(), matching.join().unwrap()], ["0", "0"]);
        });
        assert_eq!(one.drain().len() + other.drain().len(), 0);
    });
}

#[rstest]
fn two_receives_at_once_share_what_comes() {
    let _alone = alone();
    let harness = builder("to-come-two").build();
    lease(&harness, |kafka| {
        let audit = kafka.topic_names().name("audit");
        let consumer = kafka.consumer(&audit);
        let config = kafka.client_config();
        let both = async {
            let served = tokio::task::spawn_blocking({
                let audit = audit.clone();
                move || serve(&config, &audit, 2)
            });
            let (one, other) = tokio::join!(consumer.nonblocking().recv(), consumer.nonblocking().recv());
            served.await.unwrap();
            [one.unwrap(), other.unwrap()]
        };
        assert_eq!(sorted(&common::cluster::wait(both)), ["0", "1"]);
        consumer.assert_empty();
    });
}

/// Nothing has been looked at: the name may be another one than the service's.
#[rstest]
fn of_a_topic_that_does_not_exist_nothing_is_asserted() {
    let _alone = alone();
    let harness = builder("to-come-nobody").timeout(Duration::from_millis(300)).build();
    lease(&harness, |kafka| {
        let consumer = kafka.consumer(kafka.topic_names().name("nobody"));
        let timeout = consumer.checked().recv().unwrap_err();
        assert!(matches!(timeout, Error::Timeout(_)), "{timeout}");
        assert!(timeout.to_string().contains("the topic does not exist"), "{timeout}");
        let calm = Duration::from_millis(20);
        let asserted = [
            consumer.checked().assert_empty(),
            consumer.checked().drain().map(drop),
            consumer.checked().assert_no_more_within(calm),
            common::cluster::wait(consumer.nonblocking().assert_empty()),
            common::cluster::wait(consumer.nonblocking().drain()).map(drop),
            common::cluster::wait(consumer.nonblocking().assert_no_more_within(calm)),
        ];
        for asserted in asserted {
            let error = asserted.unwrap_err().to_string();
            assert!(
                error.contains("the topic does not exist") && error.contains(r#"kafka.topic("nobody")"#),
                "{error}"
            );
        }
        // Created, and left empty by the service, it is empty.
        kafka.topic("nobody");
        consumer.assert_empty();
    });
    assert_eq!(harness.stats().consumers_made, 1);
}

/// One that has never seen its topic knows nothing that the next test could use.
#[rstest]
fn a_consumer_whose_topic_never_came_is_not_reused() {
    let _alone = alone();
    let harness = builder("to-come-never").build();
    lease(&harness, |kafka| drop(kafka.consumer(kafka.topic_names().name("never"))));
    lease(&harness, |kafka| {
        let never = kafka.topic_names().name("never");
        let consumer = kafka.consumer(&never);
        serve(&kafka.client_config(), &never, 1);
        assert_eq!(consumer.recv().text(), "0");
        consumer.assert_empty();
    });
    assert_eq!(harness.stats().consumers_made, 2);
}
