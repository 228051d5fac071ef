//! What a benchmark has found: a table on stdout, and with `--json FILE` the same for a program.

use std::path::PathBuf;

use rstest_kafka::{Harness, Kafka};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::is_embedded;

#[derive(Serialize)]
pub struct Bench {
    bench: &'static str,
    /// Which broker it ran on: `embedded` or `cluster`, with how many brokers.
    broker: &'static str,
    brokers: usize,
    /// Whether it ran for a moment only: of its figures only the counts say much.
    short: bool,
    rows: Vec<Map<String, Value>>,
    figures: Map<String, Value>,
    skipped: Vec<Value>,
    #[serde(skip)]
    json: Option<PathBuf>,
    #[serde(skip)]
    only: Option<String>,
    #[serde(skip)]
    columns: Vec<String>,
}

/// What a figure is to be.
#[derive(Clone, Copy)]
pub enum Target {
    AtMost(f64),
    AtLeast(f64),
    None,
}

impl Bench {
    /// Reads the arguments; `None` where the benchmark is only asked for its name, by a test runner.
    ///
    /// It is short unless cargo says `--bench`: so `cargo test --benches` shows in seconds that all of them work.
    pub fn begin(name: &'static str) -> Option<Self> {
        let mut bench = Self {
            bench: name,
            broker: "",
            brokers: 0,
            short: true,
            rows: Vec::new(),
            figures: Map::new(),
            skipped: Vec::new(),
            json: None,
            only: None,
            columns: Vec::new(),
        };
        let mut arguments = std::env::args().skip(1);
        let mut may_be_full = true;
        while let Some(argument) = arguments.next() {
            match &*argument {
                "--bench" => bench.short = false,
                "--short" | "--test" => may_be_full = false,
                "--list" => return None,
                "--json" => bench.json = arguments.next().map(PathBuf::from),
                "--only" => bench.only = arguments.next(),
                // Whatever else cargo and its runners pass on.
                _ => {}
            }
        }
        bench.short |= !may_be_full;
        println!("== {name}{}", if bench.short { ", in short: of its figures only the counts say much" } else { "" });
        Some(bench)
    }

    /// A harness with this topic prefix, on which the benchmark runs.
    pub fn harness(&mut self, prefix: &str) -> Harness {
        let harness = Harness::builder().topic_prefix(prefix).max_idle_consumers(1_000).build();
        self.on(&harness.lease());
        harness
    }

    pub fn on(&mut self, kafka: &Kafka) {
        self.broker = if is_embedded(kafka) { "embedded" } else { "cluster" };
        self.brokers = kafka.bootstrap_servers().split(',').count();
        let plural = if self.brokers == 1 { "" } else { "s" };
        println!("on {} broker{plural}, {} ({})", self.brokers, self.broker, kafka.bootstrap_servers());
    }

    pub fn is_short(&self) -> bool {
        self.short
    }

    pub fn pick<T>(&self, full: T, short: T) -> T {
        if self.short { short } else { full }
    }

    /// Whether this part was asked for, with `--only PART,PART`; without it all are.
    pub fn wants(&self, part: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.split(',').any(|one| one == part))
    }

    /// One line of the table: an id for programs, a label for people, and numbers in columns named with their unit.
    pub fn row(&mut self, id: &str, label: &str, values: &[(&str, f64)]) {
        let columns: Vec<String> = values.iter().map(|(column, _)| (*column).to_owned()).collect();
        if columns != self.columns {
            print!("{:<58}", "");
            columns.iter().for_each(|column| print!(" {:>16}", column.replace('_', " ")));
            println!();
            self.columns = columns;
        }
        print!("{label:<58}");
        values.iter().for_each(|(_, value)| print!(" {:>16}", shown(*value)));
        println!();
        let mut row = Map::from_iter([("id".to_owned(), json!(id)), ("label".to_owned(), json!(label))]);
        row.extend(values.iter().map(|(column, value)| ((*column).to_owned(), json!(value))));
        self.rows.push(row);
    }

    /// A figure by itself, mostly a ratio within this run.
    pub fn figure(&mut self, id: &str, label: &str, value: f64, target: Target) {
        let (meets, goal) = match target {
            Target::AtMost(most) => (value <= most, format!("at most {}", shown(most))),
            Target::AtLeast(least) => (value >= least, format!("at least {}", shown(least))),
            Target::None => (true, String::new()),
        };
        let verdict = match (goal.is_empty(), self.short, meets) {
            (true, ..) => String::new(),
            (false, true, _) => format!("   (aim: {goal})"),
            (false, false, true) => format!("   (aim: {goal}: met)"),
            (false, false, false) => format!("   (aim: {goal}: NOT met)"),
        };
        println!("{label:<58} {:>16}{verdict}", shown(value));
        let limit = match target {
            Target::AtMost(limit) | Target::AtLeast(limit) => json!(limit),
            Target::None => Value::Null,
        };
        let figure = json!({ "label": label, "value": value, "aim": goal, "limit": limit, "meets": meets });
        self.figures.insert(id.to_owned(), figure);
    }

    /// What cannot be known or done here is said, not left out.
    pub fn skip(&mut self, id: &str, why: &str) {
        println!("{id}: skipped, {why}");
        self.skipped.push(json!({ "id": id, "why": why }));
    }

    /// Writes the file, if one was asked for.
    pub fn end(self) {
        if let Some(path) = &self.json {
            let text = serde_json::to_string_pretty(&self).expect("the report is plain data");
            std::fs::write(path, text + "\n").unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }
}

/// Three digits that matter.
fn shown(value: f64) -> String {
    match value.abs() {
        v if v == 0.0 || v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ if value.fract() == 0.0 => format!("{value:.0}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
