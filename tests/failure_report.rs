//! The account of a failure: at the end of a failed test's output, once, in time, and harmless to the reader's terminal.

mod common;

use std::time::{Duration, Instant};

use common::child::{Child, Outcome, children};
use common::embedded::Embedded;
use common::{alone, lease};
use rstest::rstest;
use rstest_kafka::{FailureReport, Harness};

/// How each account begins.
const BEGINS: &str = "rstest-kafka: this test's Kafka when it failed";

/// Runs one child test as a user runs it, with libtest keeping its output.
fn run(test: &str, variables: &[(&str, &str)]) -> Outcome {
    let child = Child::with(&["--exact", "--test-threads=1", test]);
    let child = child.env("COLUMNS", "120").env("RUST_BACKTRACE", "0");
    variables.iter().fold(child, |child, (name, value)| child.env(name, value)).run()
}

/// The part of libtest's output that belongs to the test, from the account on; what differs from run to run is masked.
fn account_of(outcome: &Outcome, test: &str) -> String {
    let all = outcome.stdout.join("\n");
    let own = all.split(&format!("---- {test} stdout ----")).nth(1).unwrap_or_else(|| panic!("{outcome}"));
    let own = own.split("\nfailures:").next().unwrap();
    assert_eq!(own.matches(BEGINS).count(), 1, "{outcome}");
    let account = &own[own.find(BEGINS).unwrap()..];
    assert!(!outcome.stderr.contains(BEGINS), "it is kept with its test: {outcome}");
    masked(account)
}

fn masked(account: &str) -> String {
    let run_id = account.split("run ").nth(1).and_then(|rest| rest.get(..8)).unwrap();
    let account = account.replace(run_id, "RUN");
    let broker = account.lines().nth(1).unwrap().split("run RUN, ").nth(1).unwrap();
    let account = account.replace(broker, "BROKER");
    let mut lines = Vec::new();
    for line in account.lines() {
        let age = line.find(" ago  ").map(|end| (line[..end].trim_end().rfind("  ").unwrap() + 2, end));
        lines.push(match age {
            Some((start, end)) => format!("{}AGE{}", line[..start].trim_end().to_owned() + "  ", &line[end..]),
            None => line.to_owned(),
        });
    }
    lines.join("\n").trim_end().to_owned()
}

#[rstest]
fn it_shows_the_topics_the_records_the_reads_and_the_groups() {
    let test = "failure_report::asserts_on_much";
    let shown = account_of(&run(test, &[]), test);
    let expected = r#"rstest-kafka: this test's Kafka when it failed
  worker main, generation 0, run RUN, BROKER
  topic account-orders-main-RUN: 8 written since its fence
    partition 1: fence 1, end 6
      … 2 before
           3  AGE ago  key k  3
           4  AGE ago  key k  tombstone
           5  AGE ago  key 0xff00  trace=a1  span=none  0xfffe
    partition 2: fence 0, end 3
           0  AGE ago  key ""  ""
           1  AGE ago  key k  \u{1b}[2Jgone\r\n
           2  AGE ago  no key  xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
    partition 0: fence 0, end 0
    a consumer had read partition 0 up to 0, 1 up to 3, 2 up to 0
  topic account-quiet-main-RUN: nothing was written since its fence
    partition 0: fence 0, end 0
  group test-consumer-main-RUN-billing-0-0: lag 8
    account-orders-main-RUN [1]: committed 1, end 6
    account-orders-main-RUN [2]: committed 0, end 3"#;
    let cut = |text: &str| text.lines().map(|line| line.trim_end_matches(['x', '…']).to_owned()).collect::<Vec<_>>();
    assert_eq!(cut(&shown), cut(expected), "\n{shown}");
    assert!(shown.contains("xxx…"), "a long line is cut: {shown}");
}

#[rstest]
fn a_header_whose_name_is_not_utf_8_is_shown_escaped() {
    let test = "failure_report::gets_a_header_of_other_bytes";
    let shown = account_of(&run(test, &[]), test);
    assert!(shown.contains("AGE ago  key k  \\xfftrace\\u{1b}=a1  v"), "{shown}");
}

#[cfg(not(feature = "zstd"))]
#[rstest]
fn a_codec_that_the_build_lacks_is_named() {
    let test = "failure_report::gets_a_record_compressed_with_zstd";
    let shown = account_of(&run(test, &[]), test);
    assert!(shown.contains("fence 0, end 1") && shown.contains("cargo feature `zstd`"), "{shown}");
}

#[rstest]
#[case("failure_report::panics")]
#[case("failure_report::returns_an_err")]
#[case("failure_report::drops_its_fixture_first")]
#[case("failure_report::moves_its_fixture_away")]
#[case("failure_report::is_timed_out")]
#[case("failure_report::is_timed_out_async")]
#[case("failure_report::panics_in_a_thread_that_it_joins")]
#[case("failure_report::panics_in_a_task")]
#[case("failure_report::is_marked")]
fn each_way_of_failing_is_told_once(#[case] test: &str) {
    let shown = account_of(&run(test, &[]), test);
    assert!(shown.contains(": 1 written since its fence\n    partition 0: fence 0, end 1\n"), "{shown}");
    assert!(shown.contains("AGE ago  key k  what was sent"), "{shown}");
}

#[rstest]
#[case::one_that_passes("failure_report::passes")]
#[case::one_that_catches_its_own_panic("failure_report::catches_a_panic")]
#[case::one_that_handles_its_err("failure_report::handles_an_err")]
#[case::one_that_is_to_panic("failure_report::is_to_panic")]
fn of_a_test_that_passes_nothing_is_shown(#[case] test: &str) {
    let outcome = run(test, &[]);
    outcome.exits_with(0).test_was(test, "ok");
    assert!(!outcome.stdout.join("\n").contains(BEGINS) && !outcome.stderr.contains(BEGINS), "{outcome}");
}

#[rstest]
fn it_is_off_or_longer_by_configuration() {
    let test = "failure_report::sends_twenty_to_each_of_twenty_partitions";
    let lines = |value| account_of(&run(test, &[("RSTEST_KAFKA_FAILURE_REPORT", value)]), test).lines().count();
    assert!(lines("on") < 70, "{}", lines("on"));
    assert!(lines("long") > 400, "{}", lines("long"));
    let off = run(test, &[("RSTEST_KAFKA_FAILURE_REPORT", "off")]);
    off.exits_with(101);
    assert!(!format!("{off}").contains(BEGINS), "{off}");
    let unknown = run(test, &[("RSTEST_KAFKA_FAILURE_REPORT", "verbose")]);
    assert!(format!("{unknown}").contains("off, on or long"), "{unknown}");
}

#[rstest]
fn embedded_a_broker_that_does_not_answer_is_told_and_not_waited_for() {
    let test = "failure_report::loses_its_broker";
    children();
    let began = Instant::now();
    let shown = account_of(&run(test, &[]), test);
    assert!(shown.contains("did not respond"), "{shown}");
    // Half of the child's timeout.
    assert!(began.elapsed() < Duration::from_secs(30), "it took {:?}", began.elapsed());
}

/// Its broker is there until the test's verdict is.
#[rstest]
fn embedded_the_err_of_a_test_with_a_broker_of_its_own_is_told() {
    let test = "failure_report::returns_an_err_on_a_broker_of_its_own";
    let shown = account_of(&run(test, &[]), test);
    assert!(shown.contains("AGE ago  key k  what was sent"), "{shown}");
}

#[rstest]
fn embedded_a_test_that_passes_asks_nothing_for_it() {
    let _alone = alone();
    let counted = |account| {
        let harness = Harness::builder().topic_prefix("asks").embedded_brokers(1).failure_report(account).build();
        let case = || {
            lease(&harness, |kafka| kafka.send("events", "k", "v"));
        };
        (0..20).for_each(|_| case());
        let broker = lease(&harness, |kafka| Embedded::of(&kafka));
        broker.start_counting();
        (0..100).for_each(|_| case());
        // Produce alone; what clients ask now and then is not the account's.
        [0, 1, 2, 9].map(|kind| broker.count().get(&kind).copied().unwrap_or_default())
    };
    assert_eq!(counted(FailureReport::Long), [100, 0, 0, 0]);
}
