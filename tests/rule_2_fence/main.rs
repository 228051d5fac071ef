//! Rule 2: a test sees exactly what was written after it first learned the topic's name, and misses none of it.

#[path = "../common/mod.rs"]
mod common;

mod fence;
mod left_behind;
mod receiving;
mod runtimes;
mod transactions;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{lease, put};
use rstest_kafka::rdkafka::util::Timeout;
use rstest_kafka::rdkafka::{Offset, TopicPartitionList};
use rstest_kafka::{Harness, HarnessBuilder};

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
