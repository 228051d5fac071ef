//! Topics that are deleted and created again.

use rstest::rstest;
use rstest_kafka::Error;
use rstest_kafka::rdkafka::consumer::Consumer;

use super::{LONG, builder, create_again, exclusive, wait, write};
use crate::common::{alone, lease, sorted};

#[track_caller]
fn is_created_again<T: std::fmt::Debug>(outcome: Result<T, Error>) {
    let error = outcome.expect_err("it passed where it must not").to_string();
    assert!(error.contains("was deleted and created again"), "{error}");
}

#[rstest]
#[case::fewer_than_were_read(1)]
#[case::as_many(2)]
#[case::more(3)]
fn a_topic_that_was_created_again_is_an_error_to_who_has_read_it(#[case] records: usize) {
    let _alone = alone();
    let harness = builder().build();
    lease(&harness, |kafka| {
        let events = exclusive(&kafka, 1);
        let consumers = [(); 5].map(|()| kafka.consumer(&events));
        let unread = [(); 3].map(|()| kafka.consumer(&events));
        let group = kafka.group("billing", [&events]);
        kafka.send_all(&events, [("k", "1"), ("k", "2")]);
        for consumer in &consumers {
            assert_eq!(sorted(&consumer.recv_n(2)), ["1", "2"]);
            consumer.assert_empty();
        }
        create_again(&kafka, &events, 1, records);
        let expected: Vec<_> = (0..records).map(|n| format!("new {n}")).collect();
        assert_eq!(sorted(&kafka.consumer(&events).drain()), expected);
        let [drained, empty, drained_async, received, streamed] = consumers;
        is_created_again(drained.checked().drain());
        is_created_again(drained.checked().drain());
        is_created_again(empty.checked().assert_empty());
        is_created_again(wait(drained_async.nonblocking().drain()));
        is_created_again(received.checked().recv());
        is_created_again(wait(streamed.nonblocking().recv_n(2)));
        is_created_again(group.checked().lag());
        is_created_again(group.checked().wait_until_consumed());
        is_created_again(group.checked().wait_until_consumed_past(&events, 0, 0));
        // Nothing of the topic before was missed by who has not read of it.
        let [drained, received, received_async] = unread;
        // A client that has not yet learned of it may still give out what it had fetched of the one before, and fail then.
        for consumer in [&received, &received_async] {
            consumer.client().fetch_metadata(Some(&events), LONG).unwrap();
        }
        assert_eq!(sorted(&drained.drain()), expected);
        assert_eq!(sorted(&received.recv_n(records)), expected);
        assert_eq!(sorted(&wait(received_async.nonblocking().recv_n(records)).unwrap()), expected);
        let after = kafka.group("after", [&events]);
        assert_eq!((after.committed(&events, 0), after.lag()), (Some(0), records as i64));
    });
}

#[rstest]
#[case::fewer_partitions(3, 1)]
#[case::more_partitions(1, 3)]
fn a_topic_that_was_created_again_in_another_shape_is_read_as_it_is(#[case] before: i32, #[case] after: i32) {
    let _alone = alone();
    let harness = builder().build();
    lease(&harness, |kafka| {
        let events = exclusive(&kafka, before);
        let unread = kafka.consumer(&events);
        create_again(&kafka, &events, after, 2);
        write(&kafka, &events, after - 1, 1);
        for consumer in [unread, kafka.consumer(&events)] {
            assert_eq!(consumer.recv_n(3).len(), 3);
            consumer.assert_empty();
        }
    });
}

/// What a test before has deleted is the next one's from its new beginning on.
#[rstest]
#[case::fewer(1)]
#[case::as_many(2)]
#[case::more(5)]
fn the_next_test_begins_at_the_end_of_a_topic_that_was_created_again(#[case] records: usize) {
    let _alone = alone();
    let harness = builder().build();
    lease(&harness, |kafka| {
        let events = kafka.topic("again");
        let consumer = kafka.consumer(&events);
        kafka.send_all(&events, [("k", "1"), ("k", "2")]);
        consumer.recv_n(2);
        create_again(&kafka, &events, 1, records);
    });
    for text in ["first", "second"] {
        lease(&harness, |kafka| {
            let events = kafka.topic("again");
            let (consumer, group) = (kafka.consumer(&events), kafka.group("billing", [&events]));
            assert_eq!(group.lag(), 0);
            kafka.send(&events, "k", text);
            assert_eq!(consumer.recv().text(), text);
            consumer.assert_empty();
            assert_eq!(group.lag(), 1);
        });
    }
}
