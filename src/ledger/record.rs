//! What a ledger file says, record by record.

use super::line;
use super::owner::{Owner, ProcessMark};
use crate::broker::Shape;

/// Also what tells our files from others in the same folder.
const MAGIC: &str = "rstest-kafka-ledger";
const VERSION: &str = "1";

/// The numbers in the names of what one lease has for itself; each is given out once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Numbers {
    pub(crate) exclusive: u64,
    pub(crate) group: u64,
}

/// Whose file it is and what it is about: the first line. No secret is ever in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) cluster_id: String,
    pub(crate) bootstrap_servers: String,
    /// The short id, as it stands in names.
    pub(crate) run_id: String,
    /// The user wants all topics to stay: nobody ever sweeps them.
    pub(crate) keeps_topics: bool,
    pub(crate) owner: Owner,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    Header(Box<Header>),
    /// About to be made in this shape; without one it was only named, and the system under test makes it.
    Topic {
        name: String,
        shape: Option<Shape>,
    },
    /// It was made, with so many partitions.
    Made {
        name: String,
        partitions: i32,
    },
    Group {
        name: String,
    },
    /// No longer ours to delete: the broker confirmed that it is gone, or it is kept on purpose.
    TopicGone {
        name: String,
    },
    GroupGone {
        name: String,
    },
    /// A process has the worker, and its leases begin in this generation: dirty from now on.
    Opened {
        generation: u32,
    },
    /// That process ended well: the next one begins in this generation, with these numbers.
    Closed {
        generation: u32,
        numbers: Numbers,
    },
    /// What there was to sweep for this run has been swept.
    Swept,
}

/// Why a file is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Garbled, or not one of ours.
    Damaged(String),
    /// Of another version of this crate, which knows what to do with it.
    OtherVersion,
}

impl Record {
    pub(super) fn write(&self) -> String {
        let mut fields: Vec<String> = Vec::new();
        let mut add = |field: &str| fields.push(field.to_owned());
        match self {
            Self::Header(header) => {
                add(MAGIC);
                add(VERSION);
                add(&header.cluster_id);
                add(&header.bootstrap_servers);
                add(&header.run_id);
                add(if header.keeps_topics { "keep" } else { "delete" });
                match &header.owner {
                    Owner::Process(mark) => {
                        add("process");
                        write_mark(&mut add, Some(mark));
                    }
                    Owner::Run { id, runner } => {
                        add("run");
                        add(id);
                        write_mark(&mut add, runner.as_ref());
                    }
                }
            }
            Self::Topic { name, shape: None } => {
                add("named");
                add(name);
            }
            Self::Topic { name, shape: Some(shape) } => {
                add("topic");
                add(name);
                add(&shape.partitions.to_string());
                add(&shape.replication_factor.map_or(String::new(), |factor| factor.to_string()));
                for (key, value) in &shape.config {
                    add(key);
                    add(value);
                }
            }
            Self::Made { name, partitions } => {
                add("made");
                add(name);
                add(&partitions.to_string());
            }
            Self::Group { name } => {
                add("group");
                add(name);
            }
            Self::TopicGone { name } => {
                add("topic-gone");
                add(name);
            }
            Self::GroupGone { name } => {
                add("group-gone");
                add(name);
            }
            Self::Opened { generation } => {
                add("opened");
                add(&generation.to_string());
            }
            Self::Closed { generation, numbers } => {
                add("closed");
                add(&generation.to_string());
                add(&numbers.exclusive.to_string());
                add(&numbers.group.to_string());
            }
            Self::Swept => add("swept"),
        }
        line::write(&fields)
    }

    fn read(fields: &[String]) -> Option<Self> {
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let name = |name: &str| name.to_owned();
        Some(match *fields.as_slice() {
            ["named", topic] => Self::Topic { name: name(topic), shape: None },
            ["topic", topic, partitions, factor, ref config @ ..] if config.len() % 2 == 0 => {
                let replication_factor = match factor {
                    "" => None,
                    factor => Some(factor.parse().ok()?),
                };
                let config = config.chunks(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect();
                let shape = Shape { partitions: partitions.parse().ok()?, replication_factor, config };
                Self::Topic { name: name(topic), shape: Some(shape) }
            }
            ["made", topic, partitions] => Self::Made { name: name(topic), partitions: partitions.parse().ok()? },
            ["group", group] => Self::Group { name: name(group) },
            ["topic-gone", topic] => Self::TopicGone { name: name(topic) },
            ["group-gone", group] => Self::GroupGone { name: name(group) },
            ["opened", generation] => Self::Opened { generation: generation.parse().ok()? },
            ["closed", generation, exclusive, group] => Self::Closed {
                generation: generation.parse().ok()?,
                numbers: Numbers { exclusive: exclusive.parse().ok()?, group: group.parse().ok()? },
            },
            ["swept"] => Self::Swept,
            _ => return None,
        })
    }
}

impl Header {
    fn read(fields: &[String]) -> Result<Self, Unreadable> {
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        match *fields.as_slice() {
            [MAGIC, VERSION, ref rest @ ..] => {
                Self::of_fields(rest).ok_or_else(|| Unreadable::Damaged("its header is not complete".to_owned()))
            }
            [MAGIC, ..] => Err(Unreadable::OtherVersion),
            _ => Err(Unreadable::Damaged("it is not a ledger of rstest-kafka".to_owned())),
        }
    }

    fn of_fields(fields: &[&str]) -> Option<Self> {
        let [cluster_id, bootstrap_servers, run_id, keeps, ref owner @ ..] = *fields else { return None };
        let owner = match *owner {
            ["process", pid, start, host] => Owner::Process(read_mark(pid, start, host)??),
            ["run", id, pid, start, host] => Owner::Run { id: id.to_owned(), runner: read_mark(pid, start, host)? },
            _ => return None,
        };
        Some(Self {
            cluster_id: cluster_id.to_owned(),
            bootstrap_servers: bootstrap_servers.to_owned(),
            run_id: run_id.to_owned(),
            keeps_topics: keeps == "keep",
            owner,
        })
    }
}

fn write_mark(add: &mut impl FnMut(&str), mark: Option<&ProcessMark>) {
    add(&mark.map_or(String::new(), |mark| mark.pid.to_string()));
    add(&mark.and_then(|mark| mark.start).map_or(String::new(), |start| start.to_string()));
    add(mark.map_or("", |mark| &mark.host));
}

/// `None`: not what we write. `Some(None)`: no process was known.
fn read_mark(pid: &str, start: &str, host: &str) -> Option<Option<ProcessMark>> {
    if pid.is_empty() {
        return Some(None);
    }
    let start = match start {
        "" => None,
        start => Some(start.parse().ok()?),
    };
    Some(Some(ProcessMark { pid: pid.parse().ok()?, start, host: host.to_owned() }))
}

/// The part of a file that consists of whole lines. Its owner may have been killed while it wrote the last one, before it did
/// what that line was to announce.
pub(super) fn whole_lines(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    &bytes[..end]
}

/// The header and the records of a file, as far as its lines are whole.
pub(super) fn read(bytes: &[u8]) -> Result<(Header, Vec<Record>), Unreadable> {
    let damaged = |why: &str| Unreadable::Damaged(why.to_owned());
    let text = std::str::from_utf8(whole_lines(bytes)).map_err(|_| damaged("it is not text"))?;
    // Empty lines are filling.
    let mut lines = text.split('\n').enumerate().filter(|(_, line)| !line.is_empty());
    let header = lines.next().and_then(|(_, line)| line::read(line));
    let header = Header::read(&header.ok_or_else(|| damaged("it is not a ledger of rstest-kafka"))?)?;
    let records = lines.map(|(at, line)| {
        let record = line::read(line).and_then(|fields| Record::read(&fields));
        record.ok_or_else(|| Unreadable::Damaged(format!("line {} is garbled", at + 1)))
    });
    Ok((header, records.collect::<Result<_, _>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let runner = Some(ProcessMark { pid: 7, start: Some(8), host: "here".to_owned() });
        Header {
            cluster_id: "c".to_owned(),
            bootstrap_servers: "a:1,b:2".to_owned(),
            run_id: "1a2b3c4d".to_owned(),
            keeps_topics: false,
            owner: Owner::Run { id: "r".to_owned(), runner },
        }
    }

    fn records() -> Vec<Record> {
        let config = vec![("cleanup.policy".to_owned(), "compact\tdelete".to_owned())];
        let name = "test-a".to_owned();
        vec![
            Record::Opened { generation: 0 },
            Record::Topic { name: name.clone(), shape: None },
            Record::Topic {
                name: name.clone(),
                shape: Some(Shape { partitions: 3, replication_factor: None, config: Vec::new() }),
            },
            Record::Topic {
                name: name.clone(),
                shape: Some(Shape { partitions: 3, replication_factor: Some(2), config }),
            },
            Record::Made { name: name.clone(), partitions: 3 },
            Record::Group { name: name.clone() },
            Record::TopicGone { name: name.clone() },
            Record::GroupGone { name },
            Record::Closed { generation: 4, numbers: Numbers { exclusive: 5, group: 6 } },
            Record::Swept,
        ]
    }

    fn whole() -> String {
        let mut text = Record::Header(Box::new(header())).write();
        text.push('\n');
        records().iter().for_each(|record| text.push_str(&record.write()));
        text
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(read(whole().as_bytes()).unwrap(), (header(), records()));
        let unknown_runner = Header { owner: Owner::Run { id: "r".to_owned(), runner: None }, ..header() };
        let text = Record::Header(Box::new(unknown_runner.clone())).write();
        assert_eq!(read(text.as_bytes()).unwrap().0, unknown_runner);
        let mark = ProcessMark { pid: 1, start: None, host: String::new() };
        let process = Header { owner: Owner::Process(mark), keeps_topics: true, ..header() };
        let text = Record::Header(Box::new(process.clone())).write();
        assert_eq!(read(text.as_bytes()).unwrap().0, process);
    }

    #[test]
    fn of_a_cut_file_all_whole_lines_count() {
        let whole = whole();
        let header_ends = whole.find('\n').unwrap() + 1;
        for at in 0..=whole.len() {
            let cut = read(&whole.as_bytes()[..at]);
            if at < header_ends {
                assert!(matches!(cut, Err(Unreadable::Damaged(_))), "cut at {at}: {cut:?}");
                continue;
            }
            let lines = whole[header_ends..at].matches('\n').count().saturating_sub(1);
            assert_eq!(cut, Ok((header(), records()[..lines].to_vec())), "cut at {at}");
        }
        let torn = [whole.as_bytes(), "0123\tgroup\tü".as_bytes().split_last().unwrap().1].concat();
        assert_eq!(read(&torn), Ok((header(), records())), "also in the middle of a character");
        let zeroed = [whole.as_bytes(), &[0; 100]].concat();
        assert_eq!(read(&zeroed), Ok((header(), records())), "also what a power cut leaves");
    }

    #[test]
    fn a_garbled_file_is_damaged_and_never_a_panic() {
        let whole = whole();
        // Without its end the last line is taken for one that was cut.
        for at in 0..whole.len() - 1 {
            let mut garbled = whole.clone().into_bytes();
            garbled[at] = garbled[at].wrapping_add(0x55);
            assert!(matches!(read(&garbled), Err(Unreadable::Damaged(_))), "garbled at {at}");
        }
        for foreign in ["", "\n", "hello\n", "[section]\nkey = value\n"] {
            assert!(matches!(read(foreign.as_bytes()), Err(Unreadable::Damaged(_))), "{foreign:?}");
        }
    }

    #[test]
    fn a_file_of_another_version_is_left_to_it() {
        let text = line::write(&[MAGIC, "2", "whatever"]) + "and\nwhat it has\n";
        assert_eq!(read(text.as_bytes()), Err(Unreadable::OtherVersion));
    }
}
