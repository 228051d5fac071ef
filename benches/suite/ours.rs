//! With this crate. All is deleted at exit.

use rstest::rstest;
use rstest_kafka::{Kafka, kafka};

use crate::tally;

#[rstest]
#[ignore = "one of the suites that the benchmark of that name runs"]
fn case(
    kafka: Kafka,
    #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)] tens: u32,
    #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19)] ones: u32,
) {
    tally::of(&kafka);
    let events = kafka.topic("events");
    let consumer = kafka.consumer(&events);
    let key = format!("{tens}-{ones}");
    kafka.send(&events, &key, "v");
    assert_eq!(consumer.recv().key(), Some(key.as_bytes()));
}
