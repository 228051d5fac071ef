//! Each way to receive, and each to find that nothing is there, misses nothing and gives nothing twice.

use std::error::Error as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rstest::rstest;
use rstest_kafka::rdkafka::Offset;
use rstest_kafka::rdkafka::consumer::Consumer;
use rstest_kafka::{Error, PooledConsumer};

use super::{builder, leave, list};
use crate::common::{alone, in_order, lease, put, sorted};

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
