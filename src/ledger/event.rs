//! The lines of a ledger file, each of them a JSON object: a header, then the events in their order.
//!
//! ```text
//! {"format":"rstest-kafka-ledger","version":2,"cluster_id":"…","bootstrap_servers":"localhost:9092",…}
//! {"event":"create_topic","name":"test-events-…","shape":{"partitions":3,"replication_factor":null,"config":[]}}
//! {"event":"topic_created","name":"test-events-…","partitions":3}
//! {"event":"topic_gone","name":"test-events-…"}
//! ```

use std::io;

use serde::{Deserialize, Serialize};

use super::owner::Owner;
use crate::broker::Shape;

/// Distinguishes our files from others in the same folder.
const FORMAT: &str = "rstest-kafka-ledger";
const VERSION: u32 = 2;

/// The numbers in the names of what one lease has for itself; each is given out once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Numbers {
    pub(crate) exclusive: u64,
    pub(crate) group: u64,
}

/// The owner of a file and the cluster that the file is about. No secret is ever in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) cluster_id: String,
    pub(crate) bootstrap_servers: String,
    /// The short id that names contain.
    pub(crate) run_id: String,
    /// The user wants all topics to stay: nobody ever sweeps them.
    pub(crate) keeps_topics: bool,
    pub(crate) owner: Owner,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// The topic is about to be created in this shape; without a shape the system under test may create it.
    CreateTopic { name: String, shape: Option<Shape> },
    /// The topic has been seen, with so many partitions.
    TopicCreated { name: String, partitions: i32 },
    /// The group is about to be created.
    CreateGroup { name: String },
    /// The topic is no longer ours to delete: the broker confirmed that it is gone, or it is kept on purpose.
    TopicGone { name: String },
    /// The same for a group.
    GroupGone { name: String },
    /// A process has the worker, and its leases begin in this generation. Until `Closed` it counts as failed.
    Begun { generation: u32 },
    /// That process ended well: the next one begins in this generation, with these numbers.
    Closed { generation: u32, numbers: Numbers },
    /// What there was to sweep for this run has been swept.
    Swept,
}

impl Event {
    pub(crate) fn create_topic(name: &str, shape: Option<&Shape>) -> Self {
        Self::CreateTopic { name: name.to_owned(), shape: shape.cloned() }
    }

    pub(crate) fn create_group(name: &str) -> Self {
        Self::CreateGroup { name: name.to_owned() }
    }
}

/// Why a file is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// A line of it is not what we write, or none is.
    Damaged(String),
    /// Written by another version of this crate, which knows what to do with it.
    OtherVersion,
}

/// The text of a file with this header and these events.
pub(super) fn file<'a>(header: &Header, events: impl IntoIterator<Item = &'a Event>) -> io::Result<Vec<u8>> {
    #[derive(Serialize)]
    struct FirstLine<'a> {
        format: &'static str,
        version: u32,
        #[serde(flatten)]
        header: &'a Header,
    }

    let mut text = serde_json::to_vec(&FirstLine { format: FORMAT, version: VERSION, header })?;
    text.push(b'\n');
    text.extend(lines(events)?);
    Ok(text)
}

/// A line for each of the events.
pub(super) fn lines<'a>(events: impl IntoIterator<Item = &'a Event>) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    for event in events {
        serde_json::to_writer(&mut text, event)?;
        text.push(b'\n');
    }
    Ok(text)
}

/// The part of a file that consists of whole lines. A process that was killed while it wrote the last line had not yet done
/// what that line announces.
pub(super) fn whole_lines(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    &bytes[..end]
}

/// The header and the events of a file, without a torn last line.
pub(super) fn read(bytes: &[u8]) -> Result<(Header, Vec<Event>), Unreadable> {
    let mut lines = whole_lines(bytes).split_inclusive(|byte| *byte == b'\n');
    let header = read_header(lines.next().unwrap_or_default())?;
    let event = |(at, line)| {
        serde_json::from_slice(line).map_err(|_| Unreadable::Damaged(format!("line {} is damaged", at + 2)))
    };
    Ok((header, lines.enumerate().map(event).collect::<Result<_, _>>()?))
}

fn read_header(line: &[u8]) -> Result<Header, Unreadable> {
    #[derive(Deserialize)]
    struct Format {
        format: String,
        version: u32,
    }

    // Version 1 was a checksum and fields with tabs between them.
    if line.split(|byte| *byte == b'\t').nth(1) == Some(FORMAT.as_bytes()) {
        return Err(Unreadable::OtherVersion);
    }
    let damaged = |why: &str| Unreadable::Damaged(why.to_owned());
    let foreign = || damaged("it is not a ledger of rstest-kafka");
    let Format { format, version } = serde_json::from_slice(line).map_err(|_| foreign())?;
    match (format.as_str(), version) {
        (FORMAT, VERSION) => serde_json::from_slice(line).map_err(|_| damaged("its header is not complete")),
        (FORMAT, _) => Err(Unreadable::OtherVersion),
        _ => Err(foreign()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::owner::ProcessMark;
    use crate::ledger::tests::{header, run};

    fn events() -> Vec<Event> {
        let config = vec![("cleanup.policy".to_owned(), "compact\n\"ü".to_owned())];
        let name = "test-a".to_owned();
        let plain = Shape { partitions: 3, replication_factor: None, config: Vec::new() };
        vec![
            Event::Begun { generation: 0 },
            Event::create_topic(&name, None),
            Event::create_topic(&name, Some(&plain)),
            Event::create_topic(&name, Some(&Shape { replication_factor: Some(2), config, ..plain })),
            Event::TopicCreated { name: name.clone(), partitions: 3 },
            Event::create_group(&name),
            Event::TopicGone { name: name.clone() },
            Event::GroupGone { name },
            Event::Closed { generation: 4, numbers: Numbers { exclusive: 5, group: 6 } },
            Event::Swept,
        ]
    }

    #[test]
    fn what_is_written_is_read() {
        let mark = ProcessMark { pid: 7, start: Some(8), host: "here".to_owned() };
        let process = header(Owner::Process(ProcessMark { start: None, ..mark.clone() }));
        for header in [run(Some(mark)), run(None), process.clone(), Header { keeps_topics: true, ..process }] {
            let text = file(&header, &events()).unwrap();
            assert_eq!(read(&text), Ok((header, events())));
        }
    }

    #[test]
    fn a_torn_last_line_is_ignored() {
        let header = run(None);
        let whole = file(&header, &events()).unwrap();
        let header_ends = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for at in 0..=whole.len() {
            let cut = read(&whole[..at]);
            if at < header_ends {
                assert!(matches!(cut, Err(Unreadable::Damaged(_))), "cut at {at}: {cut:?}");
                continue;
            }
            let lines = whole[header_ends..at].iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(cut, Ok((header.clone(), events()[..lines].to_vec())), "cut at {at}");
        }
        let zeroed = [&whole[..], &[0; 100]].concat();
        assert_eq!(read(&zeroed), Ok((header, events())), "as a crash of the machine may leave it");
    }

    #[test]
    fn a_damaged_line_elsewhere_is_an_error_and_never_a_panic() {
        let whole = file(&run(None), &events()).unwrap();
        // Without its end the last line is torn.
        for at in 0..whole.len() - 1 {
            for byte in [0, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = byte;
                assert!(matches!(read(&damaged), Err(Unreadable::Damaged(_))), "{byte} at {at}");
            }
        }
        let (other, no_more) = (r#"{"format":"x","version":2}"#, r#"{"format":"rstest-kafka-ledger","version":2}"#);
        for foreign in ["", "hello", "[section]\nkey = value", "{}", other, no_more] {
            let read = read(format!("{foreign}\n").as_bytes());
            assert!(matches!(read, Err(Unreadable::Damaged(_))), "{foreign:?}: {read:?}");
        }
    }

    #[test]
    fn a_file_of_another_version_is_not_damaged() {
        for other in [
            "{\"format\":\"rstest-kafka-ledger\",\"version\":3,\"new\":1}\nand what it has\n",
            "0123456789abcdef\trstest-kafka-ledger\t1\tc\ta:1\t1a2b3c4d\tdelete\trun\tr\t\t\t\n",
        ] {
            assert_eq!(read(other.as_bytes()), Err(Unreadable::OtherVersion), "{other}");
        }
    }
}
