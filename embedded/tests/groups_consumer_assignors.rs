//! The results of the server-side assignors.
//!
//! The order of the members in one of Kafka's hash maps determines which member gets one partition more. Member ids are chosen
//! so that no two members share a bucket.

mod common;

use common::consumers::*;
use common::*;

/// The partitions of each member's target, as `a: t0 t1 | b: t2`. Topics are shortened to their first letter.
fn targets(raw: &mut Raw, group: &str) -> String {
    let described = describe(raw, group);
    let members = described.members.iter().map(|member| {
        let topics = member.target_assignment.topic_partitions.iter();
        let partition = |topic: &str, index: &i32| format!(" {}{index}", &topic[..1]);
        let mut partitions: Vec<String> = topics
            .flat_map(|topic| topic.partitions.iter().map(move |index| partition(&topic.topic_name, index)))
            .collect();
        partitions.sort();
        format!("{}:{}", &*member.member_id, partitions.concat())
    });
    members.collect::<Vec<_>>().join(" | ")
}

/// Has members join (`+a`) and leave (`-a`), and compares the targets after each step.
#[track_caller]
fn check(assignor: &str, subscribe: impl Fn(usize) -> usize, steps: &[(&str, &str)]) {
    let kafka = Kafka::start();
    let topics = [kafka.topic("t", 7), kafka.topic("u", 3)];
    let names = [&*topics[0].name, &*topics[1].name];
    let group = unique("assignor");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topics[0], &topics[1]]);
    for (n, (step, expected)) in steps.iter().enumerate() {
        let member = &step[1..];
        if step.starts_with('+') {
            let join = join_request(&group, member, &names[..subscribe(n)]);
            beat(&mut raw, &join.with_server_assignor(Some(text(assignor))));
        } else {
            beat(&mut raw, &beat_request(&group, member, -1));
            // The next who is heard of has the targets made.
            let described = describe(&mut raw, &group);
            beat(&mut raw, &beat_request(&group, &described.members[0].member_id, described.members[0].member_epoch));
        }
        assert_eq!(targets(&mut raw, &group), *expected, "{assignor} {step}");
    }
}

/// All members want the first topic.
fn same(_: usize) -> usize {
    1
}

/// Every second member wants the second topic too.
fn mixed(n: usize) -> usize {
    1 + n % 2
}

#[test]
fn uniform_is_balanced_and_moves_no_more_than_it_must() {
    check(
        "uniform",
        same,
        &[
            ("+a", "a: t0 t1 t2 t3 t4 t5 t6"),
            ("+b", "a: t0 t1 t2 t3 | b: t4 t5 t6"),
            ("+member-3", "a: t0 t1 t2 | b: t4 t5 | member-3: t3 t6"),
            ("+c", "a: t0 t1 | b: t4 t5 | c: t2 | member-3: t3 t6"),
            ("+x", "a: t0 t1 | b: t4 t5 | c: t2 | member-3: t3 | x: t6"),
            ("+0", "0: t5 | a: t0 t1 | b: t4 | c: t2 | member-3: t3 | x: t6"),
            ("+zz", "0: t5 | a: t0 | b: t4 | c: t2 | member-3: t3 | x: t6 | zz: t1"),
            ("+e1", "0: t5 | a: t0 | b: t4 | c: t2 | e1: | member-3: t3 | x: t6 | zz: t1"),
        ],
    );
}

#[test]
fn uniform_balances_what_the_subscriptions_allow() {
    check(
        "uniform",
        mixed,
        &[
            ("+a", "a: t0 t1 t2 t3 t4 t5 t6"),
            ("+b", "a: t0 t1 t2 t3 t4 | b: t5 t6 u0 u1 u2"),
            ("+member-3", "a: t0 t1 t2 t3 | b: u0 u1 u2 | member-3: t4 t5 t6"),
            ("+c", "a: t0 t1 | b: u0 u1 u2 | c: t2 t3 | member-3: t4 t5 t6"),
            ("+x", "a: t0 t1 | b: u0 u1 u2 | c: t2 t3 | member-3: t4 t5 | x: t6"),
            ("+0", "0: t5 u2 | a: t0 t1 | b: u0 u1 | c: t2 t3 | member-3: t4 | x: t6"),
            ("-b", "0: u0 u2 | a: t0 t1 | c: t2 u1 | member-3: t4 t5 | x: t3 t6"),
            ("-x", "0: t3 u0 u2 | a: t0 t1 t6 | c: t2 u1 | member-3: t4 t5"),
            ("-a", "0: t3 u0 u2 | c: t0 t2 t6 u1 | member-3: t1 t4 t5"),
        ],
    );
}

#[test]
fn range_gives_runs_in_the_order_of_the_members() {
    check(
        "range",
        same,
        &[
            ("+a", "a: t0 t1 t2 t3 t4 t5 t6"),
            ("+b", "a: t0 t1 t2 t3 | b: t4 t5 t6"),
            ("+member-3", "a: t0 t1 t2 | b: t3 t4 | member-3: t5 t6"),
            ("+c", "a: t0 t1 | b: t2 t3 | c: t4 t5 | member-3: t6"),
            ("+x", "a: t0 t1 | b: t2 t3 | c: t4 | member-3: t5 | x: t6"),
            ("+0", "0: t0 t1 | a: t2 | b: t3 | c: t4 | member-3: t5 | x: t6"),
            ("+zz", "0: t0 | a: t1 | b: t2 | c: t3 | member-3: t4 | x: t5 | zz: t6"),
            ("+e1", "0: t0 | a: t1 | b: t2 | c: t3 | e1: t4 | member-3: t5 | x: t6 | zz:"),
        ],
    );
}

#[test]
fn range_gives_runs_of_each_topic_to_its_subscribers() {
    check(
        "range",
        mixed,
        &[
            ("+a", "a: t0 t1 t2 t3 t4 t5 t6"),
            ("+b", "a: t0 t1 t2 t3 | b: t4 t5 t6 u0 u1 u2"),
            ("+member-3", "a: t0 t1 t2 | b: t3 t4 u0 u1 u2 | member-3: t5 t6"),
            ("+c", "a: t0 t1 | b: t2 t3 u0 u1 | c: t4 t5 u2 | member-3: t6"),
            ("+x", "a: t0 t1 | b: t2 t3 u0 u1 | c: t4 u2 | member-3: t5 | x: t6"),
            ("+0", "0: t0 t1 u0 | a: t2 | b: t3 u1 | c: t4 u2 | member-3: t5 | x: t6"),
            ("-b", "0: t0 t1 u0 u1 | a: t2 t3 | c: t4 u2 | member-3: t5 | x: t6"),
            ("-x", "0: t0 t1 u0 u1 | a: t2 t3 | c: t4 t5 u2 | member-3: t6"),
            ("-a", "0: t0 t1 t2 u0 u1 | c: t3 t4 u2 | member-3: t5 t6"),
        ],
    );
}

#[test]
fn the_assignor_that_most_members_want_is_taken() {
    let kafka = Kafka::start();
    let topic = kafka.topic("wanted", 1);
    let group = unique("wanted");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    for (member, wanted, taken) in [
        ("a", None, "uniform"),
        ("b", Some("range"), "range"),
        ("c", Some("uniform"), "uniform"),
        ("d", Some("range"), "range"),
    ] {
        let join = join_request(&group, member, &[&topic.name]).with_server_assignor(wanted.map(text));
        beat(&mut raw, &join);
        assert_eq!(&*describe(&mut raw, &group).assignor_name, taken, "{member}");
    }
}

#[test]
fn of_two_assignors_with_as_many_votes_the_one_that_is_new_is_taken() {
    let kafka = Kafka::start();
    let topic = kafka.topic("tie", 3);
    for (votes, expected) in [(["uniform", "range"], "d: t0 t1 | e: t2"), (["range", "uniform"], "d: t2 | e: t0 t1")] {
        let group = unique("tie");
        let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
        for (member, wanted) in ["e", "d"].iter().zip(votes) {
            let join = join_request(&group, member, &[&topic.name]);
            beat(&mut raw, &join.with_server_assignor(Some(text(wanted))));
        }
        assert_eq!(targets(&mut raw, &group), expected);
        // But that is not the one that is told.
        assert_eq!(&*describe(&mut raw, &group).assignor_name, "uniform");
    }
}

#[test]
fn a_member_without_topics_that_joins_after_another_left_leaves_nothing_to_the_rest() {
    let kafka = Kafka::start();
    let topic = kafka.topic("rest", 5);
    let group = unique("rest");
    let mut raw = kafka.coordinator_that_knows(&group, &[&topic]);
    beat(&mut raw, &join_request(&group, "a", &[&topic.name]));
    beat(&mut raw, &join_request(&group, "b", &[&topic.name]));
    beat(&mut raw, &beat_request(&group, "b", -1));
    // It is no change by itself. So Kafka takes all members to want the same still, and the topics of the first for theirs.
    assert_eq!(beat(&mut raw, &join_request(&group, "0", &[])), (3, of(&topic, &[])));
    assert_eq!(targets(&mut raw, &group), "0: | a:");
    // The next change makes it right.
    beat(&mut raw, &join_request(&group, "c", &[&topic.name]));
    assert_eq!(targets(&mut raw, &group), "0: | a: r0 r2 r4 | c: r1 r3");
}
