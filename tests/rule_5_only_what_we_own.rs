//! Rule 5: deletion goes by ledger, never by prefix, never of a live run, never on another cluster than the one recorded.
#![cfg(unix)]

mod common;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use common::child::{CHILD_RUN, children};
use common::cluster;
use rstest_kafka::{Harness, Swept};

/// A run that has made a topic and a group, and waits.
struct Run {
    child: Child,
    topic: String,
    /// Kept open, for what the child's runner has yet to say.
    _output: BufReader<ChildStdout>,
}

impl Run {
    fn start(prefix: &str, state: &Path) -> Self {
        let mut command = Command::new(children());
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("NEXTEST") || name.starts_with("RSTEST_KAFKA_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .args(["--exact", "rule_5::a_run_that_waits", "--nocapture"])
            .env(CHILD_RUN, "yes")
            .env("RSTEST_KAFKA_BOOTSTRAP_SERVERS", cluster::servers())
            .env("RSTEST_KAFKA_TOPIC_PREFIX", prefix)
            .env("RSTEST_KAFKA_GROUP_PREFIX", prefix)
            .env("RSTEST_KAFKA_STATE_DIR", state)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let lines = output.by_ref().lines();
        let made = lines.map(Result::unwrap).find_map(|line| Some(line.split_once("made ")?.1.to_owned()));
        Self { child, topic: made.expect("the child makes its topic"), _output: output }
    }

    fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.topic
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

fn sweep(state: &Path) -> Swept {
    Harness::builder().bootstrap_servers(cluster::servers()).state_dir(state).build().sweep().unwrap()
}

fn prefix(name: &str) -> String {
    format!("own-{name}-{}", std::process::id())
}

fn the_ledger(state: &Path) -> PathBuf {
    let files: Vec<PathBuf> = std::fs::read_dir(state).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[test]
#[ignore = "needs a real cluster in RSTEST_KAFKA_BOOTSTRAP_SERVERS"]
fn a_live_run_and_a_foreign_topic_are_untouched() {
    let (state, prefix) = (tempfile::tempdir().unwrap(), prefix("live"));
    let (alive, killed) = (Run::start(&prefix, state.path()), Run::start(&prefix, state.path()));
    // As near to ours as a name can be, and never written down.
    let foreign = format!("{}-f1", killed.topic);
    cluster::make(&foreign);
    let dead = killed.kill();
    let swept = sweep(state.path());
    assert_eq!(swept.topics, vec![dead.clone()]);
    assert_eq!(swept.groups.len(), 1);
    let left = cluster::named(&prefix);
    assert!(left.contains(&alive.topic) && left.contains(&foreign) && left.len() == 3, "{left:?}");
    alive.end();
    cluster::assert_only(&prefix, &[&foreign], "the live one cleans up after itself");
    assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0);
    cluster::delete(&BTreeSet::from([foreign]));
}

#[test]
#[ignore = "needs a real cluster in RSTEST_KAFKA_BOOTSTRAP_SERVERS"]
fn another_checkouts_state_is_not_seen() {
    let (theirs, ours) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dead = Run::start(&prefix("theirs"), theirs.path()).kill();
    assert!(sweep(ours.path()).topics.is_empty());
    assert!(cluster::named(&dead).contains(&dead));
    assert_eq!(sweep(theirs.path()).topics, vec![dead]);
}

#[test]
#[ignore = "needs a real cluster in RSTEST_KAFKA_BOOTSTRAP_SERVERS"]
fn what_was_made_on_another_cluster_is_not_deleted_here() {
    let (state, prefix) = (tempfile::tempdir().unwrap(), prefix("elsewhere"));
    let dead = Run::start(&prefix, state.path()).kill();
    let path = the_ledger(state.path());
    let whole = std::fs::read_to_string(&path).unwrap();
    // The same file, as if it had been written for another cluster.
    let (header, events) = whole.split_once('\n').unwrap();
    let mut header: serde_json::Value = serde_json::from_str(header).unwrap();
    header["cluster_id"] = "another-cluster".into();
    header["bootstrap_servers"] = "elsewhere:9092".into();
    std::fs::write(&path, format!("{header}\n{events}")).unwrap();
    let swept = sweep(state.path());
    assert!(swept.topics.is_empty() && swept.set_aside.is_empty(), "{swept:?}");
    assert_eq!(swept.elsewhere, vec!["elsewhere:9092".to_owned()]);
    assert!(cluster::named(&prefix).contains(&dead));
    std::fs::write(&path, whole).unwrap();
    assert_eq!(sweep(state.path()).topics, vec![dead]);
    cluster::assert_only(&prefix, &[], "its own cluster");
}

#[test]
#[ignore = "needs a real cluster in RSTEST_KAFKA_BOOTSTRAP_SERVERS"]
fn nothing_is_deleted_by_a_file_that_cannot_be_read() {
    let (state, prefix) = (tempfile::tempdir().unwrap(), prefix("damaged"));
    let dead = Run::start(&prefix, state.path()).kill();
    let path = the_ledger(state.path());
    let whole = std::fs::read(&path).unwrap();
    let mut garbled = whole.clone();
    garbled[whole.len() / 2] = 0;
    for damaged in [whole[..40].to_vec(), garbled, b"somebody's notes\n".to_vec(), vec![0; 5_000]] {
        std::fs::write(&path, &damaged).unwrap();
        let swept = sweep(state.path());
        assert_eq!((swept.topics.len(), swept.groups.len(), swept.set_aside.len()), (0, 0, 1), "{swept:?}");
        assert_eq!(std::fs::read(&swept.set_aside[0]).unwrap(), damaged);
        assert!(cluster::named(&prefix).contains(&dead));
    }
    // Of a line that its owner was killed in the middle of nothing was made yet; all others count.
    let torn = [&whole[..], &whole[whole.len() - 20..whole.len() - 3]].concat();
    std::fs::write(&path, torn).unwrap();
    let swept = sweep(state.path());
    assert_eq!((swept.topics, swept.set_aside.len()), (vec![dead], 0));
    cluster::assert_only(&prefix, &[], "what was written down");
}

#[test]
#[ignore = "needs a real cluster in RSTEST_KAFKA_BOOTSTRAP_SERVERS"]
fn a_state_folder_that_cannot_be_used_is_named_before_a_topic_is_made() {
    let (base, prefix) = (tempfile::tempdir().unwrap(), prefix("unusable"));
    let file = base.path().join("file");
    std::fs::write(&file, "").unwrap();
    let builder = Harness::builder().bootstrap_servers(cluster::servers()).topic_prefix(&prefix);
    let harness = builder.state_dir(file.join("state")).build();
    let error = common::thread_of_a_test(|| harness.try_lease().map(drop)).unwrap().unwrap_err();
    let message = error.to_string();
    assert!(message.contains("file/state") && message.contains("RSTEST_KAFKA_STATE_DIR"), "{message}");
    cluster::assert_only(&prefix, &[], "nothing was made");
}

#[test]
#[ignore = "needs a real cluster in RSTEST_KAFKA_BOOTSTRAP_SERVERS"]
fn a_full_disk_is_named_before_a_topic_is_made_and_leaves_a_whole_file() {
    let (state, prefix) = (tempfile::tempdir().unwrap(), prefix("full"));
    // No file may grow beyond 512 bytes: room for the header and a little more.
    let script = r#"trap '' XFSZ; ulimit -f 1; exec "$0" --exact rule_5::a_run_whose_disk_is_full --nocapture"#;
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(children());
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("NEXTEST") || name.starts_with("RSTEST_KAFKA_") {
            command.env_remove(name);
        }
    }
    command
        .env(CHILD_RUN, "yes")
        .env("FULL_DISK", state.path())
        .env("RSTEST_KAFKA_BOOTSTRAP_SERVERS", cluster::servers())
        .env("RSTEST_KAFKA_TOPIC_PREFIX", &prefix)
        .env("RSTEST_KAFKA_STATE_DIR", state.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    cluster::assert_only(&prefix, &[], "all that was made is deleted");
    assert!(sweep(state.path()).set_aside.is_empty(), "half a line was taken back");
}
