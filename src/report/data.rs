//! The run inside its page, as an HTML comment: from it the next process of the same run draws the page anew.
//!
//! A line is a record, its fields have spaces between them. A field's characters are percent-encoded, but for those that are
//! harmless everywhere: nothing that a test is called can end the comment.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::str::SplitWhitespace;
use std::time::Duration;

use super::run::{Block, Had, LeaseNote, Run, TopicNote};
use crate::report::stats::Stats;

/// How a page of ours begins; a file that begins otherwise is somebody else's.
pub(super) const BEGINNING: &str = "<!doctype html>\n<!-- rstest-kafka report 1\n";
const END: &str = "-->\n";

/// Every figure of the totals, in the order in which they are written.
fn figures(run: &mut Run) -> [&mut u64; 16] {
    let (stats, closing) = (&mut run.stats, &mut run.closing);
    [
        &mut run.processes,
        &mut run.until,
        &mut stats.leases,
        &mut stats.failed_leases,
        &mut stats.generations,
        &mut stats.topics_made,
        &mut stats.topics_reused,
        &mut stats.consumers_made,
        &mut stats.consumers_reused,
        &mut stats.consumers_retired,
        &mut stats.messages_sent,
        &mut stats.topics_deleted,
        &mut stats.groups_deleted,
        &mut closing.consumers,
        &mut closing.topics,
        &mut closing.groups,
    ]
}

fn durations(run: &mut Run) -> [&mut Duration; 6] {
    let Stats { topics_made_in, topics_reused_in, consumers_made_in, consumers_reused_in, waited, .. } = &mut run.stats;
    [topics_made_in, topics_reused_in, consumers_made_in, consumers_reused_in, waited, &mut run.closing.took]
}

/// The page's beginning, up to where the document starts.
pub(super) fn encode(run: &Run, runner: &str) -> String {
    let mut totals = Run { leases: Vec::new(), blocks: Vec::new(), brokers: BTreeSet::new(), ..run.clone() };
    let mut out = format!("{BEGINNING}runner {}\ntotals", Field(runner));
    for figure in figures(&mut totals) {
        let _ = write!(out, " {figure}");
    }
    for duration in durations(&mut totals) {
        let _ = write!(out, " {}", duration.as_nanos());
    }
    for broker in &run.brokers {
        let _ = write!(out, "\nbroker {}", Field(broker));
    }
    for lease in &run.leases {
        let LeaseNote { test, binary, worker, generation, began, failed, waited, .. } = lease;
        let ended = lease.ended.unwrap_or(0);
        let _ = write!(
            out,
            "\nlease {} {} {} {generation} {began} {ended} {} {waited} {} {}",
            Field(test),
            Field(binary),
            Field(worker),
            u8::from(*failed),
            lease.consumers_made,
            lease.consumers_reused
        );
        for TopicNote { logical, name, had } in &lease.topics {
            let _ = write!(out, " t {} {} {}", Field(logical), Field(name), had.as_str());
        }
        for group in &lease.groups {
            let _ = write!(out, " g {}", Field(group));
        }
        for (at, took) in &lease.waits {
            let _ = write!(out, " w {at} {took}");
        }
    }
    for Block { worker, generation, began, ended, leases, failed, waited } in &run.blocks {
        let worker = Field(worker);
        let _ = write!(out, "\nblock {worker} {generation} {began} {ended} {leases} {failed} {waited}");
    }
    out.push('\n');
    out.push_str(END);
    out
}

/// The run of a page and its runner; `None` for one that was not written to its end.
pub(super) fn decode(page: &str) -> Option<(Run, String)> {
    let data = page.strip_prefix(BEGINNING)?.split_once(END)?.0;
    let (mut run, mut runner) = (Run::default(), None);
    for line in data.lines() {
        let (kind, rest) = line.split_once(' ')?;
        let mut fields = Fields(rest.split_whitespace());
        match kind {
            "runner" => runner = Some(fields.text()?),
            "totals" => {
                for figure in figures(&mut run) {
                    *figure = fields.number()?;
                }
                for duration in durations(&mut run) {
                    *duration = Duration::from_nanos(fields.number()?);
                }
            }
            "broker" => drop(run.brokers.insert(fields.text()?)),
            "lease" => run.leases.push(fields.lease()?),
            "block" => run.blocks.push(fields.block()?),
            _ => return None,
        }
    }
    Some((run, runner?))
}

struct Fields<'a>(SplitWhitespace<'a>);

impl Fields<'_> {
    fn number<T: std::str::FromStr>(&mut self) -> Option<T> {
        self.0.next()?.parse().ok()
    }

    fn text(&mut self) -> Option<String> {
        decoded(self.0.next()?)
    }

    fn lease(&mut self) -> Option<LeaseNote> {
        let mut lease = LeaseNote {
            test: self.text()?,
            binary: self.text()?,
            worker: self.text()?,
            generation: self.number()?,
            began: self.number()?,
            ended: Some(self.number()?).filter(|ended| *ended > 0),
            failed: self.number::<u8>()? == 1,
            waited: self.number()?,
            consumers_made: self.number()?,
            consumers_reused: self.number()?,
            ..LeaseNote::default()
        };
        while let Some(kind) = self.0.next() {
            match kind {
                "t" => {
                    let (logical, name, had) = (self.text()?, self.text()?, self.0.next()?);
                    let had = Had::ALL.into_iter().find(|known| known.as_str() == had)?;
                    lease.topics.push(TopicNote { logical, name, had });
                }
                "g" => lease.groups.push(self.text()?),
                "w" => lease.waits.push((self.number()?, self.number()?)),
                _ => return None,
            }
        }
        Some(lease)
    }

    fn block(&mut self) -> Option<Block> {
        Some(Block {
            worker: self.text()?,
            generation: self.number()?,
            began: self.number()?,
            ended: self.number()?,
            leases: self.number()?,
            failed: self.number()?,
            waited: self.number()?,
        })
    }
}

/// A text as one field; an empty one is a lone `%`.
struct Field<'a>(&'a str);

impl std::fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_char('%');
        }
        for byte in self.0.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b':' | b'/' => f.write_char(byte as char)?,
                _ => write!(f, "%{byte:02x}")?,
            }
        }
        Ok(())
    }
}

fn decoded(field: &str) -> Option<String> {
    if field == "%" {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || char::from(rest.next()?).to_digit(16);
        bytes.push(if byte == b'%' { (digit()? * 16 + digit()?) as u8 } else { byte });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_run_comes_back_as_it_was() {
        let mut run = Run { brokers: ["broker a:9092".to_owned()].into(), ..Run::default() };
        for (value, figure) in (1..).zip(figures(&mut run)) {
            *figure = value;
        }
        for (value, duration) in (1..).zip(durations(&mut run)) {
            *duration = Duration::from_nanos(value);
        }
        let topic = |had| TopicNote { logical: "a b".into(), name: "test-a b-main".into(), had };
        run.leases.push(LeaseNote {
            test: "odd --> <i>&\u{fc}\n%".into(),
            topics: Had::ALL.map(topic).into(),
            groups: vec!["g".into(), String::new()],
            waits: vec![(1, 2), (3, 4)],
            ended: Some(9),
            failed: true,
            ..LeaseNote::default()
        });
        run.leases.push(LeaseNote::default());
        let block = Block { worker: "w".into(), generation: 1, began: 2, ended: 3, leases: 4, failed: 5, waited: 6 };
        run.blocks.push(block);
        let page = encode(&run, "7 8 here") + "<html>";
        assert_eq!(decode(&page), Some((run, "7 8 here".to_owned())));
        assert_eq!(page.matches("-->").count(), 1);
    }

    #[test]
    fn what_is_no_whole_page_of_ours_is_none() {
        let whole = encode(&Run::default(), "runner");
        assert!(decode(&whole).is_some());
        for cut in 0..whole.len() {
            assert_eq!(decode(&whole[..cut]), None, "{cut}");
        }
        for odd in ["", "<!doctype html>\n<html>", "[package]"] {
            assert_eq!(decode(odd), None);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_one_harmless_field(text in any::<String>()) {
            let field = Field(&text).to_string();
            prop_assert!(!field.contains(['-', '<', '>', '&', ' ', '\n']));
            prop_assert_eq!(decoded(&field), Some(text));
        }
    }
}
