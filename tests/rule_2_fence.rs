//! Rule 2: a test sees exactly what was written after it first learned the topic's name, and misses none of it.

mod common;

use std::error::Error as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{alone, in_order, lease, put, sorted};
use futures_util::{FutureExt, StreamExt};
use rstest::rstest;
use rstest_kafka::rdkafka::consumer::{CommitMode, Consumer};
use rstest_kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rstest_kafka::rdkafka::util::Timeout;
use rstest_kafka::rdkafka::{Offset, TopicPartitionList};
use rstest_kafka::{Error, Harness, HarnessBuilder, Kafka, PooledConsumer, TopicSpec};

const LONG: Timeout = Timeout::After(Duration::from_secs(10));

/// A harness of its own on the configured broker, with topics and groups that no other test of this file has.
fn builder() -> HarnessBuilder {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let prefix = format!("fence-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    Harness::builder().topic_prefix(&prefix).group_prefix(prefix)
}

fn list(elements: &[(&str, i32, Offset)]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (topic, partition, offset) in elements {
        list.add_partition_offset(topic, *partition, *offset).unwrap();
    }
    list
}

/// A test that leaves messages on these partitions of `events` and passes; returns the topic's name.
fn leave(harness: &Harness, partitions: impl IntoIterator<Item = i32> + Send, each: usize) -> String {
    lease(harness, |kafka| {
        let events = kafka.topic("events");
        // One that is left at the fence, and so would see all of it.
        let _unread = kafka.consumer(&events);
        for partition in partitions {
            for n in 0..each {
                put(&kafka, &events, partition, &format!("left {n} on {partition}"));
            }
        }
        events.name().to_owned()
    })
}

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
        assert!(kafka.nonblocking().send("events", "k", "late").now_or_never().is_none());
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

#[rstest]
#[case::paused(|consumer: &PooledConsumer, _: &Kafka| {
    consumer.client().pause(&consumer.client().assignment().unwrap()).unwrap();
})]
#[case::partly_paused(|consumer: &PooledConsumer, _: &Kafka| {
    consumer.client().pause(&list(&[(consumer.topic(), 1, Offset::Invalid)])).unwrap();
})]
#[case::paused_then_unassigned(|consumer: &PooledConsumer, _: &Kafka| {
    consumer.client().pause(&consumer.client().assignment().unwrap()).unwrap();
    consumer.client().unassign().unwrap();
})]
#[case::paused_then_partly_assigned(|consumer: &PooledConsumer, _: &Kafka| {
    consumer.client().pause(&consumer.client().assignment().unwrap()).unwrap();
    consumer.client().assign(&list(&[(consumer.topic(), 0, Offset::Offset(0))])).unwrap();
})]
#[case::assigned_to_one_partition(|consumer: &PooledConsumer, _: &Kafka| {
    consumer.client().assign(&list(&[(consumer.topic(), 1, Offset::Beginning)])).unwrap();
})]
#[case::assigned_to_another_topic(|consumer: &PooledConsumer, kafka: &Kafka| {
    let other = kafka.topic("other");
    kafka.send(&other, "k", "of the other");
    consumer.client().assign(&list(&[(&other, 0, Offset::Beginning), (consumer.topic(), 0, Offset::Beginning)])).unwrap();
})]
#[case::unassigned(|consumer: &PooledConsumer, _: &Kafka| consumer.client().unassign().unwrap())]
#[case::subscribed(|consumer: &PooledConsumer, _: &Kafka| {
    consumer.client().unassign().unwrap();
    consumer.client().subscribe(&[consumer.topic().name()]).unwrap();
})]
#[case::subscribed_and_unsubscribed(|consumer: &PooledConsumer, _: &Kafka| {
    consumer.client().subscribe(&[consumer.topic().name()]).unwrap();
    consumer.client().unsubscribe();
})]
#[case::seeked(|consumer: &PooledConsumer, _: &Kafka| {
    consumer.seek(consumer.topic(), 1, Offset::Beginning, LONG).unwrap();
})]
#[case::seeked_and_read(|consumer: &PooledConsumer, _: &Kafka| {
    consumer.seek(consumer.topic(), 0, Offset::Offset(0), LONG).unwrap();
    consumer.recv();
})]
#[case::with_an_error(|consumer: &PooledConsumer, _: &Kafka| {
    consumer.client().assign(&list(&[(consumer.topic(), 0, Offset::Offset(1_000_000))])).unwrap();
    consumer.within(Duration::from_secs(5)).recv().unwrap_err();
})]
#[case::with_an_error_unread(|consumer: &PooledConsumer, _: &Kafka| {
    consumer.client().assign(&list(&[(consumer.topic(), 0, Offset::Offset(1_000_000))])).unwrap();
})]
#[case::with_committed_offsets(|consumer: &PooledConsumer, _: &Kafka| {
    let ahead = list(&[(consumer.topic(), 0, Offset::Offset(7)), (consumer.topic(), 1, Offset::Offset(7))]);
    consumer.client().commit(&ahead, CommitMode::Sync).unwrap();
})]
fn a_consumer_left_in_a_bad_state_comes_back_clean_or_not_at_all(#[case] spoil: fn(&PooledConsumer, &Kafka)) {
    let _alone = alone();
    let harness = builder().partitions(3).build();
    let name = leave(&harness, 0..3, 2);
    lease(&harness, |kafka| {
        let consumer = kafka.consumer("events");
        for partition in 0..3 {
            put(&kafka, &name, partition, "left");
        }
        spoil(&consumer, &kafka);
    });
    for _ in 0..2 {
        lease(&harness, |kafka| {
            let consumer = kafka.consumer("events");
            assert_eq!(consumer.topic().name(), name);
            for partition in 0..3 {
                put(&kafka, &name, partition, &format!("mine {partition}"));
            }
            assert_eq!(sorted(&consumer.recv_n(3)), ["mine 0", "mine 1", "mine 2"]);
            consumer.assert_empty();
        });
    }
}

/// The broker takes a consumer that has joined for a member until it has left: the next test is not in a group with it.
#[rstest]
fn a_test_that_subscribes_its_consumer_leaves_no_member_to_the_next() {
    let _alone = alone();
    let harness = builder().build();
    for round in 0..3 {
        lease(&harness, |kafka| {
            let consumers = [kafka.consumer("events"), kafka.consumer("events")];
            let ahead = list(&[(consumers[0].topic(), 0, Offset::Offset(7))]);
            consumers[0]
                .client()
                .commit(&ahead, CommitMode::Sync)
                .unwrap_or_else(|error| panic!("in round {round}: {error}"));
            consumers[0].client().unassign().unwrap();
            consumers[0].client().subscribe(&[consumers[0].topic().name()]).unwrap();
            assert!(common::comes_true(|| {
                let _ = consumers[0].within(Duration::from_millis(100)).recv();
                consumers[0].client().assignment().is_ok_and(|assignment| assignment.count() == 1)
            }));
        });
    }
    let stats = harness.stats();
    assert_eq!((stats.consumers_made, stats.consumers_reused), (6, 0), "nor the other one, which is in that group too");
}

/// A consumer rests for a moment where the last test has left it: what comes there meanwhile is before the next fence.
#[rstest]
fn what_others_write_while_a_consumer_rests_is_never_seen(#[values(1, 3)] partitions: i32) {
    let _alone = alone();
    let harness = builder().partitions(partitions).build();
    let (name, writer) = lease(&harness, |kafka| {
        let consumer = kafka.consumer("events");
        put(&kafka, consumer.topic(), 0, "mine");
        assert_eq!(consumer.recv().text(), "mine");
        (consumer.topic().name().to_owned(), kafka.client_config())
    });
    let writer: BaseProducer = writer.create().unwrap();
    for round in 0..200 {
        let stray = round % 4 > 0;
        if stray {
            let record = BaseRecord::<str, str>::to(&name).partition(round % partitions).payload("stray");
            writer.send(record).map_err(|(error, _)| error).unwrap();
            // Its own flush takes 100 ms, in which the rest is over.
            while writer.in_flight_count() > 0 {
                writer.poll(Duration::ZERO);
            }
        }
        lease(&harness, |kafka| {
            let consumer = kafka.consumer("events");
            if round % 2 > 0 {
                put(&kafka, &name, round % partitions, &format!("mine {round}"));
                assert_eq!(consumer.recv().text(), format!("mine {round}"));
            }
            consumer.assert_empty();
        });
    }
    assert_eq!(harness.stats().consumers_made, 1);
}

/// The process lives on: librdkafka aborts it when a partition is stopped twice at once.
#[rstest]
fn a_consumer_that_rests_elsewhere_may_be_unassigned_at_once() {
    let _alone = alone();
    let harness = builder().build();
    for _ in 0..200 {
        lease(&harness, |kafka| {
            kafka.send("events", "k", "mine");
            assert_eq!(kafka.consumer("events").recv().text(), "mine");
            // It rests behind the message, and is to begin before it.
            let again = kafka.consumer("events");
            again.client().unassign().unwrap();
            drop(again);
            assert_eq!(kafka.consumer("events").recv().text(), "mine");
        });
    }
    assert_eq!(harness.stats().consumers_made, 1);
}

/// The answer to a Fetch that is still out for the place where it was sent would stop the next test's partition.
#[rstest]
#[case::assigned(|consumer: &PooledConsumer| {
    consumer.client().assign(&list(&[(consumer.topic(), 0, Offset::Offset(1))])).unwrap();
}, 2)]
#[case::seeked(|consumer: &PooledConsumer| consumer.seek(consumer.topic(), 0, Offset::Offset(1), LONG).unwrap(), 2)]
#[case::several_seeked(|consumer: &PooledConsumer| {
    consumer.seek_partitions(list(&[(consumer.topic(), 0, Offset::Offset(1))]), LONG).unwrap();
}, 2)]
#[case::read(|consumer: &PooledConsumer| assert_eq!(consumer.recv().text(), "left"), 1)]
#[case::drained(|consumer: &PooledConsumer| drop(consumer.drain()), 1)]
fn a_consumer_that_a_test_has_sent_elsewhere_is_not_reused(
    #[case] treat: fn(&PooledConsumer),
    #[case] consumers_made: u64,
) {
    let _alone = alone();
    let harness = builder().build();
    lease(&harness, |kafka| {
        let consumer = kafka.consumer("events");
        put(&kafka, consumer.topic(), 0, "left");
        put(&kafka, consumer.topic(), 0, "left");
        treat(&consumer);
    });
    lease(&harness, |kafka| kafka.consumer("events").assert_empty());
    assert_eq!(harness.stats().consumers_made, consumers_made);
}

/// A transaction's producer, and what it does to a topic.
fn writer(kafka: &Kafka, id: &str) -> BaseProducer {
    let mut config = kafka.client_config();
    let unique = format!("{id}-{}", kafka.topic_names().name("events"));
    let writer: BaseProducer = config.set("transactional.id", unique).create().unwrap();
    writer.init_transactions(LONG).unwrap();
    writer
}

fn write(writer: &BaseProducer, topic: &str, text: &str) {
    writer.begin_transaction().unwrap();
    writer.send(BaseRecord::<str, str>::to(topic).partition(0).payload(text)).unwrap();
    writer.flush(LONG).unwrap();
}

#[rstest]
#[case::committed(true)]
#[case::aborted(false)]
fn a_transaction_that_was_open_at_the_fence_is_before_it(#[case] commits: bool) {
    let _alone = alone();
    let harness = builder().build();
    let service = lease(&harness, |kafka| {
        let events = kafka.topic("events");
        put(&kafka, &events, 0, "left");
        let service = writer(&kafka, "service");
        write(&service, &events, "open");
        service
    });
    lease(&harness, |kafka| {
        let events = kafka.topic("events");
        assert_eq!(events.fence(0), 2, "the open transaction's message stands before it");
        let consumer = kafka.consumer(&events);
        put(&kafka, &events, 0, "mine");
        if commits { service.commit_transaction(LONG) } else { service.abort_transaction(LONG) }.unwrap();
        put(&kafka, &events, 0, "mine too");
        assert_eq!(in_order(&consumer.recv_n(2)), ["mine", "mine too"]);
        consumer.assert_empty();
    });
    lease(&harness, |kafka| kafka.consumer("events").assert_empty());
}

#[rstest]
fn what_a_transaction_aborted_is_no_message_where_the_broker_has_markers() {
    let _alone = alone();
    let harness = builder().build();
    lease(&harness, |kafka| {
        let events = kafka.topic("events");
        let service = writer(&kafka, "service");
        write(&service, &events, "aborted");
        service.abort_transaction(LONG).unwrap();
        // Asked of the broker, not guessed: its log has grown by a marker beyond the message, or it has not.
        let (_, end) = kafka.consumer(&events).client().fetch_watermarks(&events, 0, LONG).unwrap();
        let has_markers = end == 2;
        println!("the broker writes {}", if has_markers { "abort markers" } else { "no abort markers" });
        let consumer = kafka.consumer(&events);
        let seen = in_order(&consumer.drain());
        assert_eq!(seen, if has_markers { vec![] } else { vec!["aborted"] });
        put(&kafka, &events, 0, "mine");
        assert_eq!(consumer.recv().text(), "mine");
        write(&service, &events, "aborted again");
        service.abort_transaction(LONG).unwrap();
        assert_eq!(consumer.checked().assert_empty().is_ok(), has_markers);
    });
    // The end of the topic is a marker, or an aborted message.
    lease(&harness, |kafka| {
        let consumer = kafka.consumer("events");
        consumer.assert_empty();
        kafka.send("events", "k", "mine");
        assert_eq!(consumer.recv().text(), "mine");
        consumer.assert_empty();
    });
}

#[rstest]
fn recv_matching_keeps_what_it_skipped_in_order() {
    let _alone = alone();
    let harness = builder().timeout(Duration::from_secs(2)).build();
    leave(&harness, 0..1, 3);
    lease(&harness, |kafka| {
        let consumer = kafka.consumer("events");
        kafka.send_all("events", (0..10).map(|n| ("k", n.to_string())));
        assert_eq!(consumer.recv_matching(|record| record.text() == "4").text(), "4");
        assert_eq!(consumer.recv_matching(|record| record.text() == "2").text(), "2", "it was skipped before");
        assert_eq!(consumer.recv().text(), "0");
        assert_eq!(in_order(&consumer.recv_n(3)), ["1", "3", "5"]);
        let error = consumer.checked().recv_matching(|_| false).unwrap_err();
        assert!(matches!(error, Error::Timeout(_)), "{error}");
        assert_eq!(in_order(&consumer.drain()), ["6", "7", "8", "9"], "also what a receive in vain has skipped");
        assert!(consumer.drain().is_empty());
        consumer.assert_empty();
    });
}

#[rstest]
fn recv_n_in_vain_keeps_what_came() {
    let _alone = alone();
    let harness = builder().partitions(2).timeout(Duration::from_secs(1)).build();
    leave(&harness, 0..2, 3);
    lease(&harness, |kafka| {
        let consumer = kafka.consumer("events");
        for text in ["0", "1", "2"] {
            put(&kafka, consumer.topic(), 1, text);
        }
        let message = consumer.checked().recv_n(4).unwrap_err().to_string();
        assert!(message.contains("3 of 4 messages"), "{message}");
        assert_eq!(in_order(&consumer.recv_n(2)), ["0", "1"]);
        assert_eq!(in_order(&consumer.drain()), ["2"]);
        assert!(consumer.checked().recv_n(0).unwrap().is_empty());
    });
}

#[rstest]
fn drain_has_all_that_was_acknowledged_and_nothing_twice() {
    let _alone = alone();
    let harness = builder().partitions(12).build();
    leave(&harness, 0..12, 2);
    lease(&harness, |kafka| {
        let consumer = kafka.consumer("events");
        assert!(consumer.drain().is_empty(), "leftovers are not this test's");
        let mut expected = Vec::new();
        for round in 0..5 {
            for partition in (0..12).filter(|partition| partition % 3 == round % 3) {
                let text = format!("{round} on {partition}");
                put(&kafka, consumer.topic(), partition, &text);
                expected.push(text);
            }
            if round % 2 == 0 {
                let first = consumer.recv();
                let rest = consumer.drain();
                expected.sort();
                let mut seen = sorted(&rest);
                seen.push(first.text().to_owned());
                seen.sort();
                assert_eq!(seen, expected);
                expected.clear();
            }
        }
        assert!(consumer.drain().is_empty());
    });
}

#[rstest]
fn assert_empty_fails_with_the_messages_and_only_then() {
    let _alone = alone();
    let harness = builder().partitions(3).build();
    leave(&harness, 0..3, 5);
    lease(&harness, |kafka| {
        let consumer = kafka.consumer("events");
        consumer.assert_empty();
        put(&kafka, consumer.topic(), 2, "unexpected");
        match consumer.checked().assert_empty() {
            Err(Error::NotEmpty { records, .. }) => assert_eq!(in_order(&records), ["unexpected"]),
            other => panic!("it should have found the message: {other:?}"),
        }
        consumer.assert_no_more_within(Duration::from_millis(1));
    });
}

#[rstest]
#[case::paused(|consumer: &PooledConsumer| consumer.client().pause(&consumer.client().assignment().unwrap()).unwrap())]
#[case::unassigned(|consumer: &PooledConsumer| consumer.client().unassign().unwrap())]
#[case::assigned_to_another_partition(|consumer: &PooledConsumer| {
    consumer.client().assign(&list(&[(consumer.topic(), 0, Offset::Offset(0))])).unwrap();
})]
fn assert_empty_never_passes_on_what_it_could_not_read(#[case] spoil: fn(&PooledConsumer)) {
    let _alone = alone();
    let harness = builder().partitions(2).timeout(Duration::from_millis(700)).build();
    leave(&harness, 1..2, 1);
    lease(&harness, |kafka| {
        let consumer = kafka.consumer("events");
        spoil(&consumer);
        put(&kafka, consumer.topic(), 1, "unread");
        let error = consumer.checked().assert_empty().unwrap_err();
        assert!(matches!(error, Error::Timeout(_)), "{error}");
        assert!(error.to_string().contains("1 of 1 written, not delivered"), "{error}");
    });
}

#[rstest]
fn a_producer_that_races_with_drain_is_never_missed() {
    let _alone = alone();
    let harness = builder().partitions(3).build();
    lease(&harness, |kafka| {
        let consumer = kafka.consumer("events");
        let acknowledged = AtomicUsize::new(0);
        let mut seen = Vec::new();
        std::thread::scope(|scope| {
            let producer = scope.spawn(|| {
                for n in 0..1_500 {
                    put(&kafka, consumer.topic(), n % 3, &n.to_string());
                    acknowledged.fetch_add(1, Ordering::SeqCst);
                }
            });
            let mut rounds = 0;
            while !producer.is_finished() {
                let before = acknowledged.load(Ordering::SeqCst);
                if rounds % 2 == 0 {
                    seen.extend(in_order(&consumer.drain()));
                } else if let Err(error) = consumer.checked().assert_empty() {
                    let Error::NotEmpty { records, .. } = error else { panic!("{error}") };
                    seen.extend(in_order(&records));
                }
                assert!(seen.len() >= before, "{} of {before} acknowledged messages were found", seen.len());
                rounds += 1;
            }
            assert!(rounds > 10, "it ran beside the producer, {rounds} times");
        });
        seen.extend(in_order(&consumer.drain()));
        let mut numbers: Vec<usize> = seen.iter().map(|text| text.parse().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..1_500).collect::<Vec<_>>(), "each once");
    });
}

#[rstest]
fn a_timeout_tells_what_was_written_from_what_was_not_delivered() {
    let _alone = alone();
    let harness = builder().partitions(2).timeout(Duration::from_millis(400)).build();
    leave(&harness, 0..2, 3);
    lease(&harness, |kafka| {
        let consumer = kafka.consumer("events");
        let nothing = consumer.checked().recv().unwrap_err();
        assert!(nothing.to_string().contains("nothing was written to it after its fence"), "{nothing}");
        assert!(nothing.to_string().contains("partition 1: fence 3, position 3, end 3"), "{nothing}");
        let Error::Timeout(timeout) = &nothing else { panic!("{nothing}") };
        assert_eq!((timeout.expected, timeout.received, timeout.partitions.len()), (1, 0, 2));

        put(&kafka, consumer.topic(), 1, "mine");
        assert_eq!(consumer.recv().text(), "mine");
        let all = consumer.checked().recv().unwrap_err().to_string();
        assert!(all.contains("everything that was written to it after its fence (1) was already received"), "{all}");

        consumer.client().pause(&consumer.client().assignment().unwrap()).unwrap();
        put(&kafka, consumer.topic(), 1, "mine too");
        let paused = consumer.checked().recv().unwrap_err().to_string();
        assert!(paused.contains("1 of 2 written, not delivered: paused"), "{paused}");
        assert!(paused.contains("partition 1: fence 3, position 4, end 5"), "{paused}");

        consumer.client().unassign().unwrap();
        let unassigned = consumer.checked().recv().unwrap_err().to_string();
        assert!(unassigned.contains("not delivered: the test changed the consumer's assignment"), "{unassigned}");
        assert!(unassigned.contains("not assigned"), "{unassigned}");
        assert!(nothing.source().is_none());
    });
}

/// What a sync test does with its consumer, and what an async one does on whichever runtime it has.
fn sync_case(kafka: &Kafka, text: &str) {
    let consumer = kafka.consumer("events");
    kafka.send("events", "k", text);
    assert_eq!(consumer.recv().text(), text);
    consumer.assert_empty();
    put(kafka, consumer.topic(), 0, "left");
}

async fn async_case(kafka: &Kafka, text: &str) {
    let consumer = kafka.consumer("events");
    kafka.nonblocking().send("events", "k", text).await.unwrap();
    assert_eq!(consumer.nonblocking().recv().await.unwrap().text(), text);
    let texts = ["a", "b", "c"];
    for text in texts {
        kafka.nonblocking().send("events", "k", text).await.unwrap();
    }
    assert_eq!(in_order(&consumer.nonblocking().recv_n(3).await.unwrap()), texts);
    consumer.assert_empty();
    kafka.nonblocking().send("events", "k", "left").await.unwrap();
}

fn current_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn multi_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[rstest]
fn one_pooled_consumer_serves_sync_and_async_tests_with_runtimes_of_their_own() {
    let _alone = alone();
    let harness = builder().build();
    for round in 0..3 {
        lease(&harness, |kafka| sync_case(&kafka, &format!("sync {round}")));
        lease(&harness, |kafka| current_thread().block_on(async_case(&kafka, &format!("current_thread {round}"))));
        lease(&harness, |kafka| multi_thread().block_on(async_case(&kafka, &format!("multi_thread {round}"))));
        // A task of the runtime's own threads, too, with a `Kafka` that was moved there.
        lease(&harness, |kafka| {
            let runtime = multi_thread();
            runtime.block_on(runtime.spawn(async move { async_case(&kafka, "in a task").await })).unwrap();
        });
        // No tokio at all.
        lease(&harness, |kafka| futures_executor_block_on(async_case(&kafka, "any executor")));
    }
    assert_eq!(harness.stats().consumers_made, 1);
}

/// An executor that is none of tokio's.
fn futures_executor_block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = std::pin::pin!(future);
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    loop {
        match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

#[rstest]
fn recv_in_a_runtime_works_and_says_what_to_call_when_nothing_comes() {
    let _alone = alone();
    let harness = builder().timeout(Duration::from_millis(700)).build();
    for runtime in [current_thread(), multi_thread()] {
        lease(&harness, |kafka| {
            runtime.block_on(async {
                sync_case(&kafka, "in a runtime");
                let consumer = kafka.consumer("events");
                consumer.drain();
                let message = consumer.checked().recv().unwrap_err().to_string();
                assert!(message.contains("recv_async().await"), "{message}");
                let message = consumer.nonblocking().recv().await.unwrap_err().to_string();
                assert!(!message.contains("recv_async"), "{message}");
            });
        });
    }
}

#[rstest]
fn an_async_receive_that_is_cancelled_loses_nothing() {
    let _alone = alone();
    let harness = builder().build();
    lease(&harness, |kafka| {
        current_thread().block_on(async {
            let consumer = kafka.consumer("events");
            let send = async {
                for n in 0..300 {
                    kafka.nonblocking().send("events", "k", n.to_string()).await.unwrap();
                }
            };
            let receive = async {
                let (mut seen, mut cancelled) = (Vec::new(), 0);
                while seen.len() < 300 {
                    // A receive that is given up wherever it stands, and the next begins.
                    let patience = Duration::from_micros(cancelled % 7 * 100);
                    match tokio::time::timeout(
                        patience,
                        consumer.nonblocking().recv_n((1 + seen.len() % 3).min(300 - seen.len())),
                    )
                    .await
                    {
                        Ok(records) => seen.extend(records.unwrap()),
                        Err(_) => cancelled += 1,
                    }
                }
                assert!(cancelled > 0, "none was cancelled");
                in_order(&seen)
            };
            let ((), seen) = futures_util::future::join(send, receive).await;
            let expected: Vec<String> = (0..300).map(|n| n.to_string()).collect();
            assert_eq!(seen, expected);
            consumer.assert_empty();
        });
    });
}

#[rstest]
fn a_stream_has_every_message_and_ends_with_its_holder() {
    let _alone = alone();
    let harness = builder().partitions(3).build();
    leave(&harness, 0..3, 2);
    lease(&harness, |kafka| {
        let consumer = kafka.consumer("events");
        for partition in 0..3 {
            put(&kafka, consumer.topic(), partition, &partition.to_string());
        }
        consumer.recv_matching(|record| record.partition() == 2);
        current_thread().block_on(async {
            let rest: Vec<_> = consumer.stream().take(2).map(Result::unwrap).collect().await;
            assert_eq!(sorted(&rest), ["0", "1"], "also what was read ahead");
            let mut stream = consumer.stream();
            assert!(tokio::time::timeout(Duration::from_millis(20), stream.next()).await.is_err());
            kafka.nonblocking().send("events", "k", "more").await.unwrap();
            assert_eq!(stream.next().await.unwrap().unwrap().text(), "more");
        });
        consumer.assert_empty();
    });
}
