//! The run that is killed.

use std::os::unix::process::parent_id;
use std::time::{Duration, Instant};

use rstest_kafka::{Harness, TopicSpec};

use crate::common::lease;

/// A run with what tests do: shared and exclusive topics, named ones, consumers, groups, a failure.
#[test]
fn a_run_that_may_be_killed() {
    if let Some(begun) = std::env::var_os("BEGUN_AS_AN_ORPHAN_TO_BE") {
        // Its parent ends itself once it knows that this process runs.
        std::fs::write(begun, "").unwrap();
        let (parent, late) = (parent_id(), Instant::now() + Duration::from_secs(20));
        while parent_id() == parent && parent > 1 {
            assert!(Instant::now() < late, "the parent did not end");
        }
    }
    let harness = Harness::builder().build();
    for n in 0..6 {
        lease(&harness, |kafka| {
            let events = kafka.topic("events");
            let consumer = kafka.consumer(&events);
            kafka.send(&events, "k", "v");
            assert_eq!(consumer.recv().text(), "v");
            let own = kafka.topic(TopicSpec::new("own").exclusive());
            let group = kafka.group("service", [&events, &own]);
            assert_eq!(group.lag(), 1, "the fence is before what was sent");
            if n % 3 == 2 {
                kafka.mark_failed();
            }
        });
    }
}
