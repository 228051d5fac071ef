//! Formats the failure report: short lines, cut at the width of the terminal, without characters that a terminal would
//! interpret.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use super::ReportInput;
use super::collect::{GroupPartition, GroupSnapshot, PartitionSnapshot, Snapshot, TopicSnapshot};
use crate::config::FailureReport;
use crate::model::bytes::harmless;
use crate::model::record::Record;

/// The width if `COLUMNS` is not set.
const WIDTH: usize = 120;
const MIN_WIDTH: usize = 60;

/// The number of partitions that the short report shows per topic.
const MAX_PARTITIONS: usize = 12;

pub(super) fn head(input: &ReportInput) -> String {
    let broker = input.cluster.broker().name();
    let names = &input.names;
    format!(
        "rstest-kafka: this test's Kafka when it failed\n  worker {}, generation {}, run {}, {broker}\n",
        names.worker_id, names.generation, names.run_id
    )
}

pub(super) fn body(snapshot: &Snapshot, detail: FailureReport) -> String {
    let width = width(std::env::var("COLUMNS").ok().as_deref());
    let max = if detail == FailureReport::Long { usize::MAX } else { MAX_PARTITIONS };
    let mut text = String::new();
    if snapshot.topics.is_empty() {
        text.push_str("  the test had not used a topic yet\n");
    }
    for topic in &snapshot.topics {
        write_topic(&mut text, topic, width, max);
    }
    for group in &snapshot.groups {
        write_group(&mut text, group, max);
    }
    text
}

fn width(columns: Option<&str>) -> usize {
    columns.and_then(|columns| columns.parse().ok()).filter(|width| *width >= MIN_WIDTH).unwrap_or(WIDTH)
}

fn write_topic(text: &mut String, topic: &TopicSnapshot, width: usize, max: usize) {
    let partitions = match &topic.partitions {
        Ok(partitions) => partitions,
        Err(reason) => {
            let _ = writeln!(text, "  topic {}: {}", topic.name, one_line(reason));
            return write_positions(text, topic);
        }
    };
    let since: i64 = partitions.iter().map(|partition| (partition.end - partition.fence).max(0)).sum();
    let written = if since == 0 { "nothing was written".to_owned() } else { format!("{since} written") };
    let since_when = if topic.is_recreated { "it was deleted and created again" } else { "its fence" };
    let _ = writeln!(text, "  topic {}: {written} since {since_when}", topic.name);
    // Show the partitions with new messages first.
    let (with, without): (Vec<_>, Vec<_>) = partitions.iter().partition(|partition| partition.end > partition.fence);
    for partition in with.iter().chain(&without).take(max) {
        write_partition(text, partition, width);
    }
    if partitions.len() > max {
        let _ = writeln!(text, "    … and {} more partitions", partitions.len() - max);
    }
    write_positions(text, topic);
}

fn write_partition(text: &mut String, partition: &PartitionSnapshot, width: usize) {
    let PartitionSnapshot { partition, fence, end, records, read_to_end, unreadable } = partition;
    let _ = writeln!(text, "    partition {partition}: fence {fence}, end {end}");
    let first = records.first().map_or(*end, |record| record.offset());
    if first > *fence && !records.is_empty() {
        let _ = writeln!(text, "      … {} before", first - fence);
    }
    for record in records {
        let _ = writeln!(text, "{}", cut(&record_line(record), width));
    }
    if !read_to_end {
        let why = unreadable.map_or("in time".to_owned(), |why| format!("({why})"));
        let _ = writeln!(text, "      … the rest could not be read {why}");
    }
}

fn record_line(record: &Record) -> String {
    let age = record.time().and_then(|time| SystemTime::now().duration_since(time).ok()).map_or("-".to_owned(), age);
    let key = record.key().map_or("no key".to_owned(), |key| format!("key {}", preview(key)));
    let mut line = format!("      {:>6}  {age:>7} ago  {key}", record.offset());
    for header in record.headers_iter() {
        let value = header.value.map_or("none".to_owned(), preview);
        let _ = write!(line, "  {}={value}", preview(header.key.as_bytes()));
    }
    let value = record.payload().map_or("tombstone".to_owned(), preview);
    let _ = write!(line, "  {value}");
    line
}

/// Shows the positions of the test's consumers of the topic.
fn write_positions(text: &mut String, topic: &TopicSnapshot) {
    for consumer in &topic.positions {
        let next: Vec<String> = consumer
            .next
            .iter()
            .take(MAX_PARTITIONS)
            .map(|(partition, next)| format!("{partition} up to {next}"))
            .collect();
        let more = if consumer.next.len() > MAX_PARTITIONS { ", …" } else { "" };
        let _ = writeln!(text, "    a consumer had read partition {}{more}", next.join(", "));
    }
}

fn write_group(text: &mut String, group: &GroupSnapshot, max: usize) {
    let partitions = match &group.partitions {
        Ok(partitions) => partitions,
        Err(reason) => {
            let _ = writeln!(text, "  group {}: {}", group.id, one_line(reason));
            return;
        }
    };
    let lag = |of: &GroupPartition| of.end - of.committed.unwrap_or(of.fence);
    let in_all: i64 = partitions.iter().map(lag).sum();
    let _ = writeln!(text, "  group {}: lag {in_all}", group.id);
    let behind = || partitions.iter().filter(|partition| lag(partition) > 0);
    for GroupPartition { topic, partition, committed, end, .. } in behind().take(max) {
        let committed = committed.map_or("nothing".to_owned(), |committed| committed.to_string());
        let _ = writeln!(text, "    {topic} [{partition}]: committed {committed}, end {end}");
    }
    if behind().count() > max {
        let _ = writeln!(text, "    … and {} more partitions", behind().count() - max);
    }
}

fn age(age: Duration) -> String {
    match age.as_millis() {
        millis @ 0..=999 => format!("{millis} ms"),
        1_000..=59_999 => format!("{:.1} s", age.as_secs_f64()),
        _ => format!("{} min", age.as_secs() / 60),
    }
}

/// Shows text as it is, with escaped control characters, and other bytes in hex.
fn preview(bytes: &[u8]) -> String {
    /// Longer than any line.
    const MAX: usize = 400;
    if bytes.is_empty() {
        return "\"\"".to_owned();
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => text.chars().take(MAX).map(harmless).collect(),
        Err(_) => bytes.iter().take(MAX / 2).fold("0x".to_owned(), |hex, byte| hex + &format!("{byte:02x}")),
    }
}

fn cut(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    line.chars().take(width - 1).chain(['…']).collect()
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::text(b"{\"id\":1}", "{\"id\":1}")]
    #[case::bytes(&[0xff, 0x00, 0x0a], "0xff000a")]
    #[case::empty(b"", "\"\"")]
    #[case::a_terminals_commands(b"\x1b[2J\x07\r\n", "\\u{1b}[2J\\u{7}\\r\\n")]
    #[case::a_change_of_direction("\u{202e}abc".as_bytes(), "\\u{202e}abc")]
    fn a_preview_shows_bytes_and_does_nothing(#[case] bytes: &[u8], #[case] shown: &str) {
        assert_eq!(preview(bytes), shown);
    }

    #[rstest]
    fn a_line_is_cut_at_the_terminals_width() {
        assert_eq!(cut(&"ä".repeat(200), 80).chars().count(), 80);
        assert_eq!(cut("short", 80), "short");
        assert_eq!([width(None), width(Some("80")), width(Some("3")), width(Some("wide"))], [120, 80, 120, 120]);
    }

    #[rstest]
    #[case(Duration::from_millis(7), "7 ms")]
    #[case(Duration::from_millis(1_240), "1.2 s")]
    #[case(Duration::from_secs(150), "2 min")]
    fn an_age_is_short(#[case] duration: Duration, #[case] shown: &str) {
        assert_eq!(age(duration), shown);
    }
}
