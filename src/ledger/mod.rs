//! What survives the process: which topics and groups it has made on a cluster and not yet deleted.
//!
//! What is about to be made is written down before it is made, and forgotten only when the broker has confirmed that it is
//! gone. So whatever a killed process leaves is in its ledger, and whoever sweeps goes by ledgers alone. Nothing else is
//! ever deleted, whatever its name.
//!
//! [`Ledger`] and [`Estate`] are all that the rest of the crate knows; files in a folder are one place for them.

mod book;
mod dead;
mod file;
mod folder;
mod line;
mod owner;
mod record;
pub(crate) mod sweep;
#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::path::PathBuf;

use self::book::Book;
pub(crate) use self::book::BookedTopic;
pub(crate) use self::dead::{Dead, Estate};
use self::file::{Claim, LedgerFile};
pub(crate) use self::folder::StateDir;
pub(crate) use self::owner::{Owner, ProcessMark, note_parent};
use self::record::Record;
pub(crate) use self::record::{Header, Numbers, Unreadable};
use crate::broker::Shape;
use crate::model::error::Result;

/// Something that is about to be made.
#[derive(Debug)]
pub(crate) enum Entry<'a> {
    /// Without a shape it is only named, and the system under test makes it.
    Topic(&'a str, Option<&'a Shape>),
    Group(&'a str),
}

/// One owner's account of what it has on a cluster.
pub(crate) trait Ledger: Debug + Send + Sync {
    /// Writes it down; when this returns, it survives the process.
    fn record(&self, entry: &Entry<'_>) -> Result<()>;

    /// The topic has been seen, with so many partitions.
    fn made(&self, topic: &str, partitions: i32);

    /// The broker has confirmed that they are gone, or they are kept on purpose.
    fn forget(&self, topics: &[String], groups: &[String]);

    fn topics(&self) -> Vec<BookedTopic>;

    fn groups(&self) -> Vec<String>;

    /// The owner has ended: an account with nothing left on it goes away.
    fn end(&self);
}

/// The account of a worker that several processes have in turn: also where its generation is kept.
pub(crate) trait WorkerLedger: Ledger {
    /// This process has the worker now; it counts as failed until [`close`](Self::close). `fresh`: in a generation in which
    /// no process has begun yet. Returns the generation, and the numbers from which to count on.
    fn begin(&self, fresh: bool) -> Result<(u32, Numbers)>;

    /// A failure has moved the worker on within this process.
    fn move_on(&self, generation: u32);

    /// It ended well: the next process begins in this generation.
    fn close(&self, generation: u32, numbers: Numbers);
}

/// Ledgers as files in a folder.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(crate) fn open(state_dir: &StateDir) -> Result<Self> {
        Ok(Self { path: state_dir.open()? })
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// A ledger of this process alone.
    pub(crate) fn for_process(&self, header: &Header) -> Result<Box<dyn Ledger>> {
        loop {
            let name = format!("process-{}-{:08x}.ledger", std::process::id(), uuid::Uuid::new_v4().as_fields().0);
            if let Claim::Ours(file, _) = LedgerFile::open(&self.path.join(name), header)? {
                return Ok(file);
            }
        }
    }

    /// The ledger of a worker of a run; `None` if another process has it, or it cannot be read.
    pub(crate) fn for_worker(&self, header: &Header, run: &str, worker: &str) -> Result<Option<Box<dyn WorkerLedger>>> {
        let path = self.path.join(format!("{}.ledger", self.stem(header, run, worker)));
        if dead::was_set_aside(&path) {
            return Ok(None);
        }
        Ok(match LedgerFile::open(&path, header)? {
            Claim::Ours(file, _) => Some(file),
            Claim::Unreadable(Unreadable::Damaged(why)) => {
                dead::set_aside(&path, &why);
                None
            }
            Claim::Held | Claim::Nothing | Claim::Unreadable(Unreadable::OtherVersion) => None,
        })
    }

    /// The right to sweep for a run of several processes, while it is held; `None` if another has it, or has swept.
    pub(crate) fn right_to_sweep(&self, header: &Header, run: &str) -> Option<SweepRight> {
        let path = self.path.join(format!("{}.ledger", self.stem(header, run, "sweep")));
        match LedgerFile::open(&path, header).ok()? {
            Claim::Ours(file, _) if !file.book(Book::is_swept) => Some(SweepRight(file)),
            _ => None,
        }
    }

    /// One file per run, worker and cluster; a worker's id may be longer than a file's name.
    fn stem(&self, header: &Header, run: &str, worker: &str) -> String {
        let cluster = line::checksum(header.cluster_id.as_bytes()) as u32;
        match worker.len() {
            ..=100 => format!("run-{run}-{cluster:08x}-{worker}"),
            _ => format!("run-{run}-{cluster:08x}-{:016x}", line::checksum(worker.as_bytes())),
        }
    }
}

/// See [`Folder::right_to_sweep`].
#[derive(Debug)]
pub(crate) struct SweepRight(Box<LedgerFile>);

impl SweepRight {
    /// Nobody else of the run needs to sweep.
    pub(crate) fn done(self) {
        let _ = self.0.append(&[Record::Swept], false);
    }
}

impl Ledger for LedgerFile {
    fn record(&self, entry: &Entry<'_>) -> Result<()> {
        let (record, safe) = match *entry {
            Entry::Topic(name, shape) => (Record::Topic { name: name.to_owned(), shape: shape.cloned() }, true),
            // What a power cut may leave of a group the broker itself forgets after offsets.retention.minutes.
            Entry::Group(name) => (Record::Group { name: name.to_owned() }, false),
        };
        let written = self.append(&[record], safe);
        written.map_err(|error| folder::unusable(self.path(), "write the ledger file", error))?;
        crate::sync::fault_point::point("written");
        Ok(())
    }

    fn made(&self, topic: &str, partitions: i32) {
        crate::sync::fault_point::point("made");
        // Without it the next one asks the broker again.
        let _ = self.append(&[Record::Made { name: topic.to_owned(), partitions }], false);
    }

    fn forget(&self, topics: &[String], groups: &[String]) {
        crate::sync::fault_point::point("deleted");
        let topics = topics.iter().map(|name| Record::TopicGone { name: name.clone() });
        let groups = groups.iter().map(|name| Record::GroupGone { name: name.clone() });
        // What is not forgotten is deleted again, which changes nothing.
        let _ = self.append(&topics.chain(groups).collect::<Vec<_>>(), false);
        crate::sync::fault_point::point("forgotten");
    }

    fn topics(&self) -> Vec<BookedTopic> {
        self.book(Book::topics)
    }

    fn groups(&self) -> Vec<String> {
        self.book(Book::groups)
    }

    fn end(&self) {
        if self.book(Book::is_empty) {
            self.remove();
        }
    }
}

impl WorkerLedger for LedgerFile {
    fn begin(&self, fresh: bool) -> Result<(u32, Numbers)> {
        let (generation, numbers) = self.book(|book| (book.next_generation(fresh), book.numbers()));
        let begun = self.append(&[Record::Opened { generation }], false);
        begun.map_err(|error| folder::unusable(self.path(), "write the ledger file", error))?;
        Ok((generation, numbers))
    }

    fn move_on(&self, generation: u32) {
        // Without it, and after a kill, the next process would find its new generation used.
        let _ = self.append(&[Record::Opened { generation }], false);
    }

    fn close(&self, generation: u32, numbers: Numbers) {
        crate::sync::fault_point::point("close");
        // Without it the next process begins in a fresh generation.
        let _ = self.append(&[Record::Closed { generation, numbers }], false);
    }
}
