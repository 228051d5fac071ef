//! What the benchmarks have written, by broker and benchmark.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// The brokers, as their folders are called.
pub const EMBEDDED: &str = "embedded";
pub const KAFKA: &str = "kafka";
/// Kafka with a join delay of 0, and with three brokers.
pub const KAFKA_NO_DELAY: &str = "kafka-no-delay";
pub const KAFKA_THREE: &str = "kafka-three";

pub struct Measured {
    reports: BTreeMap<(String, String), Value>,
    /// Where, with what and when; from the script.
    pub about: Value,
}

impl Measured {
    pub fn read(folder: &Path) -> Self {
        let mut reports = BTreeMap::new();
        for broker in [EMBEDDED, KAFKA, KAFKA_NO_DELAY, KAFKA_THREE] {
            let Ok(files) = fs::read_dir(folder.join(broker)) else { continue };
            for file in files.flatten() {
                let path = file.path();
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                reports.insert((broker.to_owned(), name), parse(&path));
            }
        }
        assert!(!reports.is_empty(), "{}: nothing was measured", folder.display());
        Self { reports, about: parse(&folder.join("about.json")) }
    }

    pub fn report(&self, broker: &str, bench: &str) -> Option<&Value> {
        self.reports.get(&(broker.to_owned(), bench.to_owned()))
    }

    pub fn reports(&self) -> impl Iterator<Item = (&str, &str, &Value)> {
        self.reports.iter().map(|((broker, bench), report)| (&**broker, &**bench, report))
    }

    /// One number of one line.
    pub fn number(&self, broker: &str, bench: &str, id: &str, column: &str) -> Option<f64> {
        let rows = self.report(broker, bench)?["rows"].as_array()?;
        rows.iter().find(|row| row["id"] == id)?[column].as_f64()
    }

    pub fn about(&self, what: &str) -> &str {
        self.about[what].as_str().unwrap_or("unknown")
    }

    /// Whether only short runs are behind it: then it shows how the figures will look, and no more.
    pub fn is_short(&self) -> bool {
        self.reports.values().any(|report| report["short"] == true)
    }

    /// One line: machine, versions, date.
    pub fn circumstances(&self) -> String {
        let kafka = match self.report(KAFKA, "cases") {
            Some(_) => format!("Apache Kafka {} (KRaft, one broker, loopback), ", self.about("kafka")),
            None => String::new(),
        };
        format!(
            "{kafka}librdkafka {}, rustc {}; {}; commit {}; {}",
            rstest_kafka::rdkafka::util::get_rdkafka_version().1,
            self.about("rustc"),
            self.about("machine"),
            self.about("commit"),
            self.about("date"),
        )
    }
}

fn parse(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Three digits that matter, with commas between thousands; a dash where nothing was measured.
pub fn shown(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value.is_nan() => "-".to_owned(),
        Some(value) if value.abs() >= 1_000.0 => {
            let digits = format!("{:.0}", value.abs());
            let mut text = String::new();
            for (n, digit) in digits.chars().enumerate() {
                if n > 0 && (digits.len() - n) % 3 == 0 {
                    text.push(',');
                }
                text.push(digit);
            }
            if value < 0.0 { format!("-{text}") } else { text }
        }
        Some(value) if value.fract() == 0.0 || value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}
