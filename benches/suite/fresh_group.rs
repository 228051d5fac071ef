//! A topic and a group of a random name for each case: the way of most suites. Nothing is deleted.

use rstest::rstest;
use rstest_kafka::rdkafka::consumer::{BaseConsumer, Consumer};

use crate::plain::{PLAIN, receive, send};
use crate::tally;

#[rstest]
#[ignore = "one of the suites that the benchmark of that name runs"]
fn case(
    #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)] tens: u32,
    #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19)] ones: u32,
) {
    let topic = PLAIN.make();
    tally::topic();
    let group = format!("group-of-{topic}");
    let consumer: BaseConsumer = PLAIN.config().set("group.id", group).create().unwrap();
    consumer.subscribe(&[&topic]).unwrap();
    let key = format!("{tens}-{ones}");
    send(&topic, &key);
    assert_eq!(receive(&consumer), key);
}
