//! Consumers that come back to the pool in whatever state the test has left them.

use std::time::Duration;

use rstest::rstest;
use rstest_kafka::rdkafka::Offset;
use rstest_kafka::rdkafka::consumer::{CommitMode, Consumer};
use rstest_kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rstest_kafka::{Kafka, PooledConsumer};

use super::{LONG, builder, leave, list};
use crate::common::{alone, comes_true, lease, put, sorted};

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
            assert!(comes_true(|| {
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
