//! Exits, which leave nothing but what is not ours and what is to be kept.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::common::{alone, cluster};
use crate::{child, unique};

#[test]
#[ignore = "needs a real cluster: scripts/with-kafka"]
fn an_exit_leaves_what_is_not_ours_and_nothing_else() {
    let _alone = alone();
    let prefix = unique("exit");
    // What a prefix would take along: a name like ours, and one that ours begins.
    let neighbours = [format!("{prefix}-events-main"), format!("{prefix}-neighbour")];
    neighbours.iter().for_each(|name| cluster::make(name));
    let outcome = child(&["cluster::makes_everything"], &prefix).run();
    outcome.exits_with(0).stdout_is_libtests();
    assert_eq!(outcome.once_by("group is there"), "true", "one was there to be deleted");
    let stayed: Vec<&str> = neighbours.iter().map(String::as_str).collect();
    cluster::assert_only(&prefix, &stayed, "after the exit");
    cluster::delete(&neighbours.into_iter().collect());
}

#[test]
#[ignore = "needs a real cluster: scripts/with-kafka"]
fn an_exclusive_topic_that_a_writer_creates_again_is_gone_after_the_exit() {
    let _alone = alone();
    let prefix = unique("again");
    let outcome = child(&["cluster::leaves_a_writer"], &prefix).run();
    outcome.exits_with(0).stdout_is_libtests();
    assert!(outcome.once_by("again").starts_with(&prefix), "{outcome}");
    cluster::assert_only(&prefix, &[], "after the exit");
}

#[test]
#[ignore = "needs a real cluster: scripts/with-kafka"]
fn topics_of_failed_leases_are_kept_and_named_if_asked_for() {
    let _alone = alone();
    let prefix = unique("kept");
    let child = child(&["cluster::makes_everything", "cluster::one_fails"], &prefix);
    let outcome = child.env("RSTEST_KAFKA_KEEP_TOPICS", "failed").run();
    outcome.exits_with(101);
    let failed = outcome.once_by("failed");
    assert!(outcome.stderr.contains("rstest-kafka: kept on broker 127.0.0.1"), "{outcome}");
    let line = outcome.stderr.lines().find(|line| line.contains("kept on")).unwrap();
    assert!(line.contains(&failed), "{line}");
    cluster::assert_only(&prefix, &[&failed], "only the failed test's topic is kept");
    cluster::delete(&BTreeSet::from([failed]));
}

#[test]
#[ignore = "needs a real cluster: scripts/with-kafka"]
fn a_hundred_topics_and_a_hundred_consumers_are_gone_at_exit_within_two_seconds() {
    let _alone = alone();
    let prefix = unique("many");
    let outcome = child(&["cluster::has_a_hundred"], &prefix).env("RSTEST_KAFKA_MAX_IDLE_CONSUMERS", "200").run();
    println!("exit of 100 topics and 100 consumers: {:?}", outcome.exit_took);
    outcome.exits_with(0).exits_within(Duration::from_secs(2));
    cluster::assert_only(&prefix, &[], "after the exit");
}
