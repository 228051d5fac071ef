//! What dead owners have left, found by their ledger files.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::book::Book;
use super::file::{Claim, LedgerFile};
use super::owner::{Life, Owner, left_alone};
use super::record::{self, Header, Unreadable};
use super::{Folder, Ledger, folder};
use crate::error::Result;

/// A request that a process sent before it was killed may be served so much later; what is not there before that may
/// still come.
const IN_FLIGHT: Duration = Duration::from_secs(30);

/// What one dead owner has left.
#[derive(Debug)]
pub(crate) struct Estate {
    pub(crate) ledger: Box<dyn Ledger>,
    /// A topic that nobody has seen may still come.
    pub(crate) is_fresh: bool,
    /// The owner wanted its topics to stay.
    pub(crate) keeps_topics: bool,
}

/// What dead owners have left on another cluster, where it cannot be deleted now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Elsewhere {
    pub(crate) bootstrap_servers: String,
    pub(crate) topics: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Dead {
    pub(crate) estates: Vec<Estate>,
    pub(crate) elsewhere: Vec<Elsewhere>,
    /// Files that could not be read, under the names that they have now.
    pub(crate) set_aside: Vec<PathBuf>,
}

/// A file as it was found, before anybody was asked for its lock.
struct Found {
    path: PathBuf,
    written: SystemTime,
    content: Result<Header, Unreadable>,
}

impl Folder {
    /// What dead owners have left; those of `own_run` are alive. Each estate is this process's alone until it is dropped.
    pub(crate) fn dead(&self, cluster_id: &str, own_run: Option<&str>) -> Result<Dead> {
        let listed = std::fs::read_dir(&self.path);
        let listed = listed.map_err(|error| folder::unusable(&self.path, "read the state folder", error))?;
        let mut paths: Vec<PathBuf> = listed.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "ledger"));
        paths.sort();
        let found: Vec<Found> = paths.into_iter().filter_map(Found::look).collect();

        // A run is as young as the file that one of its processes wrote last.
        let mut youngest = HashMap::<String, SystemTime>::new();
        for (run, written) in found.iter().filter_map(|found| Some((found.run()?, found.written))) {
            let time = youngest.entry(run.to_owned()).or_insert(written);
            *time = written.max(*time);
        }
        let now = SystemTime::now();
        let mut dead = Dead::default();
        for found in found {
            let alive = match &found.content {
                Ok(Header { owner: Owner::Process(_), .. }) | Err(Unreadable::Damaged(_)) => false,
                Ok(Header { owner: Owner::Run { id, runner }, .. }) => {
                    own_run == Some(id.as_str())
                        || match runner.as_ref().map_or(Life::Unknown, |runner| runner.life()) {
                            Life::Alive => true,
                            Life::Dead => false,
                            Life::Unknown => !youngest.get(id).is_some_and(|time| left_alone(*time, now)),
                        }
                }
                Err(Unreadable::OtherVersion) => true,
            };
            if !alive {
                dead.claim(&found, cluster_id, now);
            }
        }
        Ok(dead)
    }
}

impl Found {
    /// `None` for what is not ours to look at.
    fn look(path: PathBuf) -> Option<Self> {
        let mut file: File = folder::read_file(&path).ok()?;
        if !folder::is_own(&file) {
            return None;
        }
        let written = file.metadata().ok()?.modified().ok()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        let content = record::read(&bytes).map(|(header, _)| header);
        Some(Self { path, written, content })
    }

    fn run(&self) -> Option<&str> {
        match &self.content {
            Ok(Header { owner: Owner::Run { id, .. }, .. }) => Some(id),
            _ => None,
        }
    }
}

impl Dead {
    /// Takes the file if nobody holds it; only then what it says is final.
    fn claim(&mut self, found: &Found, cluster_id: &str, now: SystemTime) {
        let is_older_than = |age| now.duration_since(found.written).is_ok_and(|passed| passed > age);
        match LedgerFile::claim(&found.path) {
            Ok(Claim::Ours(file, header)) if header.cluster_id == cluster_id => self.estates.push(Estate {
                ledger: file,
                is_fresh: !is_older_than(IN_FLIGHT),
                keeps_topics: header.keeps_topics,
            }),
            Ok(Claim::Ours(file, Header { bootstrap_servers, .. })) => {
                let topics = file.book(Book::topics).len();
                match self.elsewhere.iter_mut().find(|known| known.bootstrap_servers == bootstrap_servers) {
                    Some(known) => known.topics += topics,
                    None => self.elsewhere.push(Elsewhere { bootstrap_servers, topics }),
                }
            }
            Ok(Claim::Unreadable(Unreadable::Damaged(why))) => {
                self.set_aside.extend(set_aside(&found.path, &why));
            }
            // Left by a process that was killed before it wrote anything; one that has just made it is given time.
            Ok(Claim::Nothing) if is_older_than(IN_FLIGHT) => LedgerFile::remove_empty(&found.path),
            Ok(Claim::Nothing | Claim::Held | Claim::Unreadable(Unreadable::OtherVersion)) | Err(_) => {}
        }
    }
}

fn aside(path: &Path, n: u32) -> PathBuf {
    match n {
        0 => path.with_extension("damaged"),
        n => path.with_extension(format!("damaged-{n}")),
    }
}

/// Whether the file's place was taken by a damaged one.
pub(super) fn was_set_aside(path: &Path) -> bool {
    aside(path, 0).exists()
}

/// Gives an unreadable file another name and says so; nothing that it lists is deleted.
pub(super) fn set_aside(path: &Path, why: &str) -> Option<PathBuf> {
    let free = (0..1_000).map(|n| aside(path, n)).find(|path| path.symlink_metadata().is_err())?;
    let renamed = std::fs::rename(path, &free);
    let mut stderr = std::io::stderr();
    let _ = match &renamed {
        Ok(()) => writeln!(
            stderr,
            "rstest-kafka: the ledger file {} is set aside as {}: {why}; nothing that it lists is deleted",
            path.display(),
            free.display()
        ),
        Err(error) => writeln!(stderr, "rstest-kafka: the ledger file {}: {why} ({error})", path.display()),
    };
    renamed.ok().map(|()| free)
}
