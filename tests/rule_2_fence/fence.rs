//! What a test sees of the topics that it names, and of those that it has named before.

use std::time::Duration;

use futures_util::FutureExt;
use rstest::rstest;
use rstest_kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rstest_kafka::{Error, Harness, Kafka, TopicSpec};

use super::{LONG, builder, leave};
use crate::common::{alone, in_order, lease, put, sorted};

#[rstest]
fn a_test_sees_what_was_written_after_it_learned_the_name(
    #[values(1, 3, 12, 64)] partitions: i32,
    #[values(None, Some(1), Some(3))] embedded_brokers: Option<usize>,
) {
    let _alone = alone();
    let builder = match embedded_brokers {
        Some(brokers) => builder().embedded_brokers(brokers),
        None => builder(),
    };
    let harness = builder.partitions(partitions).build();
    let all = 0..partitions;
    let name = leave(&harness, all.clone(), 3);
    let some: Vec<i32> = all.clone().filter(|partition| partition % 5 == 0).collect();
    assert_eq!(leave(&harness, some.clone(), 1), name);
    lease(&harness, |kafka| {
        let events = kafka.topic("events");
        assert_eq!(events.name(), name, "the same topic, full by now");
        for partition in all.clone() {
            let left = 3 + i64::from(some.contains(&partition));
            assert_eq!(events.fence(partition), left, "of partition {partition}");
        }
        for partition in all.clone() {
            put(&kafka, &events, partition, &format!("before {partition}"));
        }
        // Asked for late: what was written since the fence is there all the same.
        let consumer = kafka.consumer(&events);
        for partition in all.clone() {
            put(&kafka, &events, partition, &format!("later {partition}"));
        }
        let mut expected: Vec<String> =
            all.clone().flat_map(|p| [format!("before {p}"), format!("later {p}")]).collect();
        expected.sort();
        assert_eq!(sorted(&consumer.recv_n(2 * partitions as usize)), expected);
        consumer.assert_empty();
    });
    lease(&harness, |kafka| {
        let consumer = kafka.consumer("events");
        assert_eq!(consumer.topic().name(), name);
        consumer.assert_empty();
        let last = put(&kafka, &name, partitions - 1, "mine");
        let mine = consumer.recv();
        assert_eq!((mine.text(), mine.partition(), mine.offset()), ("mine", partitions - 1, last));
        consumer.assert_empty();
    });
    let stats = harness.stats();
    assert_eq!((stats.topics_made, stats.consumers_made), (1, 1), "a topic and a consumer served all of them");
}

#[rstest]
fn what_a_returned_consumer_had_prefetched_is_never_seen() {
    let _alone = alone();
    let harness = builder().partitions(2).build();
    lease(&harness, |kafka| {
        let consumer = kafka.consumer("events");
        let numbers = (0..1_000).map(|n| (n.to_string(), format!("left {n}")));
        kafka.send_all("events", numbers);
        // With the first comes the fetch that has the others; some are read ahead, too, and not taken.
        consumer.recv();
        consumer.recv_matching(|record| record.text().ends_with("00"));
    });
    for round in 0..3 {
        lease(&harness, |kafka| {
            let consumer = kafka.consumer("events");
            let mine = format!("mine {round}");
            kafka.send("events", "k", &mine);
            assert_eq!(consumer.recv().text(), mine);
            consumer.assert_empty();
        });
    }
    assert_eq!(harness.stats().consumers_made, 1);
}

#[rstest]
fn a_name_of_a_topic_that_an_earlier_lease_left_full_begins_at_its_end() {
    let _alone = alone();
    let harness = builder().partitions(3).build();
    let name = leave(&harness, 0..3, 4);
    lease(&harness, |kafka| {
        let names = kafka.topic_names();
        let events = names.name("events");
        assert_eq!((events.name(), events.partitions()), (name.as_str(), Some(3)));
        put(&kafka, &events, 1, "mine");
        assert_eq!(names.name("events"), events, "it was learned before, and its fence with it");
        let consumer = kafka.consumer(&events);
        assert_eq!(consumer.recv().text(), "mine");
        consumer.assert_empty();
        assert_eq!(kafka.topic("events").fence(1), 4);
    });
}

#[rstest]
fn a_topic_that_is_only_named_is_read_from_its_first_message() {
    let _alone = alone();
    let harness = builder().build();
    // The service under test: it has the broker make the topic by writing to it.
    let serve = |kafka: &Kafka, topic: &str, text: &str| {
        let service: BaseProducer = kafka.client_config().create().unwrap();
        service.send(BaseRecord::<str, str>::to(topic).payload(text)).unwrap();
        service.flush(LONG).unwrap();
    };
    for round in ["first", "second", "third"] {
        lease(&harness, |kafka| {
            let events = kafka.topic_names().name("events");
            serve(&kafka, &events, round);
            let consumer = kafka.consumer(&events);
            assert_eq!(consumer.recv().text(), round);
            consumer.assert_empty();
        });
    }
}

#[rstest]
fn an_exclusive_topic_is_no_other_leases() {
    let _alone = alone();
    let harness = builder().build();
    let exclusive = |shared_name: &str| {
        lease(&harness, |kafka| {
            let events = kafka.topic(TopicSpec::new("events").exclusive());
            assert!(events.starts_with(shared_name) && events.name() != shared_name, "{events}");
            assert_eq!(events.fence(0), 0);
            let consumer = kafka.consumer(&events);
            put(&kafka, &events, 0, "mine");
            assert_eq!(consumer.recv().text(), "mine");
            consumer.assert_empty();
            put(&kafka, &events, 0, "left");
            events.name().to_owned()
        })
    };
    let shared = leave(&harness, 0..1, 1);
    assert_ne!(exclusive(&shared), exclusive(&shared));
    lease(&harness, |kafka| kafka.consumer("events").assert_empty());
}

/// Two harnesses of one prefix have the same names on the same lane; what one has filled the other has only named.
#[rstest]
fn a_name_that_another_harness_has_filled_is_fenced_too() {
    let _alone = alone();
    let [one, other] = [(); 2].map(|()| Harness::builder().topic_prefix("fence-shared").build());
    lease(&one, |kafka| {
        kafka.send("audit", "k", "left");
    });
    lease(&other, |kafka| {
        let audit = kafka.topic_names().name("audit");
        put(&kafka, &audit, 0, "mine");
        assert_eq!(in_order(&kafka.consumer(&audit).drain()), ["mine"]);
    });
}

/// What a test has named already is the topic that others share, in the shape that it has.
#[rstest]
fn a_topic_that_was_named_before_is_no_other_one_afterwards() {
    let _alone = alone();
    let harness = builder().build();
    lease(&harness, |kafka| drop(kafka.topic("events")));
    lease(&harness, |kafka| {
        let named = kafka.topic_names().name("events");
        for spec in [TopicSpec::new("events").exclusive(), TopicSpec::new("events").partitions(6)] {
            let error = kafka.checked().topic(spec).unwrap_err();
            assert!(matches!(error, Error::Misuse { .. }) && error.to_string().contains("named before"), "{error}");
        }
        assert_eq!(kafka.topic(TopicSpec::new("events").partitions(1)), named);
        assert_eq!(kafka.topic("events"), named);
    });
}

/// What was sent is not left on its way to the next test, though something else could not be sent.
#[rstest]
fn several_are_all_waited_for_though_one_is_refused() {
    let _alone = alone();
    let harness = builder().build();
    let huge = "x".repeat(2_000_000);
    for n in 0..20 {
        lease(&harness, |kafka| {
            let events = kafka.topic(format!("events-{n}"));
            let consumer = kafka.consumer(&events);
            assert!(kafka.checked().send_all(&events, [("k", "small"), ("k", &huge), ("k", "never")]).is_err());
            assert_eq!(in_order(&consumer.drain()), ["small"]);
        });
    }
}

/// A message that an async test has stopped waiting for may come when the next one has begun.
#[rstest]
fn who_gives_up_on_a_message_has_its_worker_moved() {
    let _alone = alone();
    let harness = builder().build();
    let generation = || lease(&harness, |kafka| kafka.topic_names().generation());
    let before = generation();
    lease(&harness, |kafka| {
        kafka.topic("events");
        // On a busy machine a message may have been acknowledged by the time it is asked for.
        let gives_up = || kafka.nonblocking().send("events", "k", "late").now_or_never().is_none();
        assert!((0..100).any(|_| gives_up()));
    });
    assert_eq!(generation(), before + 1);
    lease(&harness, |kafka| kafka.consumer("events").assert_no_more_within(Duration::from_millis(100)));
}

#[rstest]
fn a_topic_asked_for_in_another_shape_has_that_shape() {
    let _alone = alone();
    let harness = builder().build();
    for partitions in [1, 6, 1, 6, 2, 1] {
        lease(&harness, |kafka| {
            let events = kafka.topic(TopicSpec::new("events").partitions(partitions));
            assert_eq!(events.partitions(), Some(partitions));
            let consumer = kafka.consumer(&events);
            for partition in 0..partitions {
                put(&kafka, &events, partition, &partition.to_string());
            }
            let expected: Vec<String> = (0..partitions).map(|partition| partition.to_string()).collect();
            assert_eq!(sorted(&consumer.drain()), expected);
            put(&kafka, &events, partitions - 1, "left");
        });
    }
    assert_eq!(harness.stats().topics_made, 3, "a shape that comes again finds its topic");
}

#[rstest]
fn embedded_a_topic_of_another_replication_factor_is_another_topic() {
    let _alone = alone();
    let harness = builder().embedded_brokers(3).build();
    let name_of = |factor| {
        lease(&harness, |kafka| {
            let events = kafka.topic(TopicSpec::new("events").replication_factor(factor));
            put(&kafka, &events, 0, "left");
            events.name().to_owned()
        })
    };
    let [once, thrice, again] = [1, 3, 1].map(name_of);
    assert_eq!(once, again);
    assert_ne!(once, thrice);
}

#[rstest]
fn several_consumers_of_one_topic_each_get_every_message() {
    let _alone = alone();
    let harness = builder().partitions(3).build();
    for round in 0..3 {
        lease(&harness, |kafka| {
            let events = kafka.topic("events");
            let consumers = [kafka.consumer(&events), kafka.consumer("events"), kafka.consumer(events.name())];
            for partition in 0..3 {
                put(&kafka, &events, partition, &format!("{round} on {partition}"));
            }
            let expected: Vec<String> = (0..3).map(|partition| format!("{round} on {partition}")).collect();
            for consumer in &consumers {
                assert_eq!(sorted(&consumer.recv_n(3)), expected);
                consumer.assert_empty();
            }
            put(&kafka, &events, 1, "left");
        });
    }
    assert_eq!(harness.stats().consumers_made, 3);
}
