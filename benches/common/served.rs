//! What real brokers have been asked for, by their own count.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

/// How many requests of each kind the brokers of `scripts/with-kafka` have served; `None` without them, or without a JDK.
fn served() -> Option<BTreeMap<String, f64>> {
    let pids = std::env::var("WITH_KAFKA_PIDS").ok()?;
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/common/Requests.java");
    let mut java = Command::new("java");
    java.args(["--add-modules", "jdk.attach", program]).args(pids.split(' ')).stderr(Stdio::inherit());
    let output = java.output().ok()?;
    let text = output.status.success().then(|| String::from_utf8(output.stdout).ok())??;
    text.lines()
        .map(|line| line.split_once('\t').and_then(|(kind, n)| Some((kind.to_owned(), n.parse().ok()?))))
        .collect()
}

/// How many of each kind they have served meanwhile.
pub fn served_by(what: impl FnOnce()) -> Option<BTreeMap<String, f64>> {
    let before = served();
    what();
    let (before, mut after) = (before?, served()?);
    for (kind, n) in &mut after {
        *n -= before.get(kind).copied().unwrap_or(0.0);
    }
    Some(after)
}
