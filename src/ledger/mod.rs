//! What survives the process: the topics and groups that it has created on a cluster and not yet deleted.
//!
//! The ledger is a write-ahead log. What is about to be created is written to it first, and is struck out only when the
//! broker has confirmed that it is gone. So whatever a killed process leaves is in its ledger, and whoever sweeps goes by
//! ledgers alone: nothing else is ever deleted, whatever its name.
//!
//! # Files
//!
//! A ledger is a file of JSON lines in a folder of the user's own. Its owner, a process or the processes of a run in turn,
//! holds a lock on it, which the system releases when the process dies. It is never edited, only appended to, each line
//! in one write (`O_APPEND`):
//!
//! - A process that is killed loses nothing that it has written: the page cache is the system's. So no line is synced to the
//!   disk. Only a crash of the machine may lose the last lines, and what they list then stays on the cluster.
//! - A process that is killed within a write leaves a torn last line, which is ignored: what it announces was not begun.
//!   Any other line that is not what we write makes the file a damaged one, which is set aside. A changed letter within a
//!   name is not noticed; nobody but its owner writes to the file.
//! - A file of another version is left alone.

mod contents;
mod dead;
mod event;
mod file;
mod folder;
mod owner;
pub(crate) mod sweep;
#[cfg(test)]
mod tests;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use self::contents::Contents;
pub(crate) use self::contents::ListedTopic;
pub(crate) use self::dead::{DeadOwner, DeadOwners};
use self::event::Unreadable;
pub(crate) use self::event::{Event, Header, Numbers};
use self::file::Claim;
pub(crate) use self::file::Ledger;
pub(crate) use self::owner::{Owner, ProcessMark, note_parent};
use crate::config::StateDir;
use crate::model::error::Result;
use crate::sync::fault_point;

/// The folder in which the ledgers are.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(crate) fn open(state_dir: &StateDir) -> Result<Self> {
        Ok(Self { path: state_dir.open()? })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A ledger of this process alone.
    pub(crate) fn for_process(&self, header: &Header) -> Result<Ledger> {
        loop {
            let name = format!("process-{}-{:08x}.ledger", std::process::id(), uuid::Uuid::new_v4().as_fields().0);
            if let Claim::Ours(ledger) = Ledger::open(&self.path.join(name), header)? {
                return Ok(*ledger);
            }
        }
    }

    /// The ledger of a worker of a run; `None` if another process has it, or it cannot be read.
    pub(crate) fn for_worker(&self, header: &Header, run: &str, worker: &str) -> Result<Option<Ledger>> {
        let path = self.path_of(header, run, worker);
        if dead::was_set_aside(&path) {
            return Ok(None);
        }
        Ok(match Ledger::open(&path, header)? {
            Claim::Ours(ledger) => Some(*ledger),
            Claim::Unreadable(Unreadable::Damaged(why)) => {
                dead::set_aside(&path, &why);
                None
            }
            Claim::Held | Claim::Nothing | Claim::Unreadable(Unreadable::OtherVersion) => None,
        })
    }

    /// The right to sweep for a run of several processes, while it is held; `None` if another has it, or has swept.
    pub(crate) fn lock_sweep(&self, header: &Header, run: &str) -> Option<SweepLock> {
        match Ledger::open(&self.path_of(header, run, "sweep"), header).ok()? {
            Claim::Ours(ledger) if !ledger.contents(|contents| contents.is_swept) => Some(SweepLock(*ledger)),
            _ => None,
        }
    }

    /// One file per run, worker and cluster; a worker's id may be longer than a file's name.
    fn path_of(&self, header: &Header, run: &str, worker: &str) -> PathBuf {
        let cluster = hash(&header.cluster_id) as u32;
        self.path.join(match worker.len() {
            ..=100 => format!("run-{run}-{cluster:08x}-{worker}.ledger"),
            _ => format!("run-{run}-{cluster:08x}-{:016x}.ledger", hash(worker)),
        })
    }
}

/// The same in all processes of a run.
fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// See [`Folder::lock_sweep`].
#[derive(Debug)]
pub(crate) struct SweepLock(Ledger);

impl SweepLock {
    /// Nobody else of the run needs to sweep.
    pub(crate) fn done(self) {
        let _ = self.0.append(&[Event::Swept]);
    }
}

impl Ledger {
    /// Writes what is about to be created; when this returns, it survives the process.
    pub(crate) fn write_ahead(&self, event: Event) -> Result<()> {
        self.append(&[event])?;
        fault_point::point("written");
        Ok(())
    }

    /// The topic has been seen, with so many partitions.
    pub(crate) fn topic_created(&self, topic: &str, partitions: i32) {
        fault_point::point("made");
        // Without it the next process asks the broker again.
        let _ = self.append(&[Event::TopicCreated { name: topic.to_owned(), partitions }]);
    }

    /// The broker has confirmed that they are gone, or they are kept on purpose.
    pub(crate) fn forget(&self, topics: &[String], groups: &[String]) {
        fault_point::point("deleted");
        let topics = topics.iter().map(|name| Event::TopicGone { name: name.clone() });
        let groups = groups.iter().map(|name| Event::GroupGone { name: name.clone() });
        // What is not forgotten is deleted again, which changes nothing.
        let _ = self.append(&topics.chain(groups).collect::<Vec<_>>());
        fault_point::point("forgotten");
    }

    pub(crate) fn topics(&self) -> Vec<ListedTopic> {
        self.contents(Contents::topics)
    }

    pub(crate) fn groups(&self) -> Vec<String> {
        self.contents(Contents::groups)
    }

    /// Nothing is left to delete.
    pub(crate) fn is_empty(&self) -> bool {
        self.contents(Contents::is_empty)
    }

    /// The owner has ended: a ledger with nothing left on it goes away.
    pub(crate) fn end(&self) {
        if self.is_empty() {
            self.remove();
        }
    }
}

/// The ledger of a worker that several processes have in turn also holds the worker's generation.
impl Ledger {
    /// This process has the worker now; it counts as failed until [`close`](Self::close). `fresh`: in a generation in which
    /// no process has begun yet. Returns the generation, and the numbers from which to count on.
    pub(crate) fn begin(&self, fresh: bool) -> Result<(u32, Numbers)> {
        let (generation, numbers) = self.contents(|contents| (contents.next_generation(fresh), contents.numbers));
        self.append(&[Event::Begun { generation }])?;
        Ok((generation, numbers))
    }

    /// A failure has moved the worker on within this process.
    pub(crate) fn move_on(&self, generation: u32) {
        // Without it, and after a kill, the next process would find its new generation used.
        let _ = self.append(&[Event::Begun { generation }]);
    }

    /// The process ended well: the next one begins in this generation.
    pub(crate) fn close(&self, generation: u32, numbers: Numbers) {
        fault_point::point("close");
        // Without it the next process begins in a new generation.
        let _ = self.append(&[Event::Closed { generation, numbers }]);
    }
}
