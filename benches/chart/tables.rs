//! The figures as Markdown.

use std::fmt::Write as _;

use serde_json::Value;

use crate::measured::{EMBEDDED, KAFKA, KAFKA_NO_DELAY, KAFKA_THREE, Measured, shown};

/// The ways to get a test its Kafka, the slowest first: id, and how the README calls it.
pub const WAYS: [(&str, &str); 7] = [
    ("classic_3000", "fresh topic, fresh group, `subscribe`, default join delay of 3 s"),
    ("classic_0", "the same with that delay at 0"),
    ("kip848", "the same with `group.protocol=consumer`"),
    ("assign", "fresh topic, fresh consumer, `assign`"),
    ("consumer", "reused topic, fresh consumer, `assign`"),
    ("reused", "**reused topic and consumer, fenced: this crate**"),
    ("raw", "a raw round trip, nothing isolated"),
];

/// What one case of that way takes on a cluster, in milliseconds; for another join delay it is another cluster.
pub fn on_kafka(measured: &Measured, way: &str) -> Option<f64> {
    let of = |broker| measured.number(broker, "cases", way, "median_ms");
    of(KAFKA).or_else(|| of(KAFKA_NO_DELAY))
}

pub fn embedded(measured: &Measured, way: &str) -> Option<f64> {
    measured.number(EMBEDDED, "cases", way, "median_ms")
}

pub fn readme(measured: &Measured) -> String {
    let mut text = String::new();
    if measured.is_short() {
        text += "\n**From a short run, which only shows how this will look.**\n";
    }
    text += "\n![The time that one test case takes, by how it gets its topic and consumer](docs/figures.svg)\n";
    text += "\nOne test case, with all that it makes, closes and deletes; medians in milliseconds:\n\n";
    text += "| How the case gets its Kafka | Apache Kafka | embedded broker |\n|---|---:|---:|\n";
    for (way, label) in WAYS {
        let mut numbers = [on_kafka(measured, way), embedded(measured, way)].map(shown);
        if way == "reused" {
            numbers = numbers.map(|number| format!("**{number}**"));
        }
        let _ = writeln!(text, "| {label} | {} | {} |", numbers[0], numbers[1]);
    }
    text += "\nA whole test binary of 200 such cases, 8 at once, written four ways (`benches/suite`):\n\n";
    text += &suites(measured);
    let _ = writeln!(text, "\n{}.", measured.circumstances());
    text
}

fn suites(measured: &Measured) -> String {
    let mut text = String::from(
        "| | on | wall s | CPU s | peak MiB | topics made | requests served | left behind |\n|---|---|---:|---:|---:|---:|---:|---:|\n",
    );
    let ways = [
        ("fresh_group", "fresh topic and group each, `subscribe`"),
        ("fresh_assign", "fresh topic each, `assign`"),
        ("shared", "one topic for all, each passes over the others'"),
        ("ours", "**this crate**"),
    ];
    for (way, label) in ways {
        let brokers = [(KAFKA, "Kafka"), (KAFKA_NO_DELAY, "Kafka, join delay 0"), (EMBEDDED, "embedded, join delay 0")];
        for (broker, name) in brokers {
            // Where nobody joins a group the delay makes no difference.
            if broker == KAFKA_NO_DELAY && way != "fresh_group" {
                continue;
            }
            let name = if way == "fresh_group" { name } else { name.split(',').next().unwrap_or(name) };
            let columns = ["wall_s", "cpu_s", "peak_MiB", "topics_made", "requests", "left_behind"];
            let numbers = columns.map(|column| shown(measured.number(broker, "suites", way, column)));
            let _ = writeln!(text, "| {label} | {name} | {} |", numbers.join(" | "));
        }
    }
    text
}

/// Everything, for `docs/figures.md`.
pub fn all(measured: &Measured) -> String {
    let mut text = String::from(
        "# Figures\n\nWritten by `scripts/chart`, which runs the benchmarks in `benches/` on the embedded broker and on Apache \
         Kafka.\nDo not edit. What each measures is said at its top; each can be run alone, such as\n`cargo bench --bench cases` \
         or `scripts/with-kafka -- cargo bench --bench cases`.\n\n",
    );
    let _ = writeln!(text, "{}.", measured.circumstances());
    if measured.is_short() {
        text += "\n**From a short run, which only shows how this will look.**\n";
    }
    text += "\n## Aims\n\n| Benchmark | Figure | on | measured | aim | |\n|---|---|---|---:|---|---|\n";
    for (broker, bench, report) in measured.reports() {
        for figure in report["figures"].as_object().into_iter().flat_map(|figures| figures.values()) {
            let aim = figure["aim"].as_str().unwrap_or_default();
            if !aim.is_empty() {
                let verdict = if figure["meets"] == true { "met" } else { "**not met**" };
                let label = figure["label"].as_str().unwrap_or_default().trim();
                let value = shown(figure["value"].as_f64());
                let _ = writeln!(text, "| {bench} | {label} | {} | {value} | {aim} | {verdict} |", name(broker));
            }
        }
    }
    text += BOUNDS;
    for (broker, bench, report) in measured.reports() {
        let _ = writeln!(text, "\n## {bench}, {}\n", name(broker));
        rows(&mut text, report);
        for figure in report["figures"].as_object().into_iter().flat_map(|figures| figures.values()) {
            if figure["aim"] == "" {
                let label = figure["label"].as_str().unwrap_or_default().trim();
                let _ = writeln!(text, "\n{label}: {}", shown(figure["value"].as_f64()));
            }
        }
        for skipped in report["skipped"].as_array().into_iter().flatten() {
            let part = |key: &str| skipped[key].as_str().unwrap_or_default();
            let _ = writeln!(text, "\nNot measured: {}, {}.", part("id"), part("why"));
        }
    }
    text
}

/// What stands in the way of the aims: found with a profile, the broker's request log and librdkafka's source.
const BOUNDS: &str = "
## What bounds them

- A reused case on Kafka is four requests one after another: two for its fence (which topic this is now with its partitions, and
  where these end), the message with its acknowledgement, the fetch. A raw round trip has the last two at once. `by hand` has one
  request for its fence, and would not notice that a topic has more partitions than before, or was created again. All else that a case
  does, from the lease to the consumer that goes back to the pool, is the line `of it all else`.
- A reused case on the embedded broker is the message and the fetch: the fence is read from the broker's memory, in the same process.
- `one offset request` comes after another of its kind. Between other requests it takes longer, by hand as well: on Kafka, seen
  by the packets on loopback, the broker takes some 0.12 ms for the one and 0.15 ms for the other; the rest, some 0.07 and
  0.12 ms, is librdkafka's threads, which have to be woken while others of them are busy with the messages before. What an
  offset request adds by hand is what a fence is to be compared with. Both are differences of medians that move by a fifth from
  run to run on two cores: over eleven runs it was 1.1 to 2.0 offset requests for this crate and 1.0 to 1.5 by hand. To ask for
  it while the message is on its way would hide it, and would miss what a service writes that knows the topic's name already.
- Many lanes: all lanes share one producer, and one connection for their fences, which Apache Kafka serves in turn: it bounds them at
  some 1,800 cases a second. With a producer for every two lanes, and with fences that went together in one request, it was 2,760 cases
  with 8 lanes and 4,190 with 64. On the embedded broker one producer for all is faster. `by hand` has clients for each lane.
- 64 lanes on the embedded broker: librdkafka's threads take four fifths of the processors' time, the broker's thread a fifth.
- Long runs on the embedded broker: it keeps all messages, in the process that is measured.
- A fresh topic on Kafka takes some 30 ms to make and as much to delete, and the close of a consumer with a group id mostly 100 ms,
  a step of rdkafka's own.
";

fn name(broker: &str) -> &str {
    match broker {
        KAFKA => "Kafka",
        KAFKA_NO_DELAY => "Kafka, join delay 0",
        KAFKA_THREE => "Kafka, three brokers",
        other => other,
    }
}

/// The lines of a benchmark; a new table where the columns change.
fn rows(text: &mut String, report: &Value) {
    let mut last = Vec::new();
    for row in report["rows"].as_array().into_iter().flatten().filter_map(Value::as_object) {
        let columns: Vec<&String> = row.keys().filter(|key| !["id", "label"].contains(&key.as_str())).collect();
        if columns != last {
            if !last.is_empty() {
                text.push('\n');
            }
            let titles: Vec<String> = columns.iter().map(|column| column.replace('_', " ")).collect();
            let _ = writeln!(text, "| | {} |\n|---|{}", titles.join(" | "), "---:|".repeat(columns.len()));
            last = columns.clone();
        }
        let numbers: Vec<String> = columns.iter().map(|column| shown(row[*column].as_f64())).collect();
        let label = row["label"].as_str().unwrap_or_default().trim();
        let _ = writeln!(text, "| {label} | {} |", numbers.join(" | "));
    }
}
