//! Finds the ledgers of dead owners.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::event::{self, Header, Unreadable};
use super::file::{Claim, Ledger};
use super::owner::{Life, Owner, ProcessMark, left_alone};
use super::{Folder, folder};
use crate::model::error::Result;

/// A request that a process sent before it was killed may be served so much later; what is not there before that may
/// still come.
const IN_FLIGHT: Duration = Duration::from_secs(30);

/// How many dead owners are taken at once; each holds a file open.
const MOST_AT_ONCE: usize = 64;

/// A process or a run that has ended, with what it has left on the cluster.
#[derive(Debug)]
pub(crate) struct DeadOwner {
    pub(crate) ledger: Ledger,
    /// It wrote a moment ago: a topic that nobody has seen may still come.
    pub(crate) wrote_recently: bool,
    /// The owner wanted its topics to stay.
    pub(crate) keeps_topics: bool,
}

#[derive(Debug, Default)]
pub(crate) struct DeadOwners {
    pub(crate) owners: Vec<DeadOwner>,
    /// The bootstrap servers of other clusters on which dead owners have left topics: these cannot be deleted now.
    pub(crate) elsewhere: BTreeSet<String>,
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
    /// The dead owners, or the first of them where there are many; those of `own_run` are alive. Each is this process's
    /// alone until it is dropped.
    pub(crate) fn dead_owners(&self, cluster_id: &str, own_run: Option<&str>) -> Result<DeadOwners> {
        let listed = std::fs::read_dir(&self.path);
        let listed = listed.map_err(|error| folder::unusable(&self.path, "read the state folder", error))?;
        let mut paths: Vec<PathBuf> = listed.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "ledger"));
        paths.sort();
        let found: Vec<Found> = paths.into_iter().filter_map(Found::look).collect();

        let now = SystemTime::now();
        let dead_runs = dead_runs(&found, now);
        let mut dead = DeadOwners::default();
        for found in &found {
            let alive = match &found.content {
                Ok(Header { owner: Owner::Process(_), .. }) | Err(Unreadable::Damaged(_)) => false,
                Ok(Header { owner: Owner::Run { id, .. }, .. }) => {
                    own_run == Some(id.as_str()) || !dead_runs.contains(id.as_str())
                }
                Err(Unreadable::OtherVersion) => true,
            };
            if !alive && dead.owners.len() < MOST_AT_ONCE {
                dead.claim(found, cluster_id, now);
            }
        }
        Ok(dead)
    }
}

/// The runs that are over: their runner has ended or, where none of their files knows it, all of them are old.
fn dead_runs(found: &[Found], now: SystemTime) -> HashSet<String> {
    let mut runs = HashMap::<&str, (Life, SystemTime)>::new();
    for found in found {
        let Ok(Header { owner: Owner::Run { id, runner }, .. }) = &found.content else { continue };
        let life = runner.as_ref().map_or(Life::Unknown, ProcessMark::life);
        let (known, youngest) = runs.entry(id).or_insert((life, found.written));
        *youngest = found.written.max(*youngest);
        if *known == Life::Unknown || life == Life::Alive {
            *known = life;
        }
    }
    let is_over = |(life, youngest)| match life {
        Life::Alive => false,
        Life::Dead => true,
        Life::Unknown => left_alone(youngest, now),
    };
    runs.into_iter().filter(|(_, run)| is_over(*run)).map(|(id, _)| id.to_owned()).collect()
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
        let content = event::read(&bytes).map(|(header, _)| header);
        Some(Self { path, written, content })
    }
}

impl DeadOwners {
    /// Takes the file if nobody holds it; only then what it says is final.
    fn claim(&mut self, found: &Found, cluster_id: &str, now: SystemTime) {
        let is_older_than = |age| now.duration_since(found.written).is_ok_and(|passed| passed > age);
        match Ledger::claim(&found.path) {
            Ok(Claim::Ours(ledger)) if ledger.header().cluster_id == cluster_id => self.owners.push(DeadOwner {
                wrote_recently: !is_older_than(IN_FLIGHT),
                keeps_topics: ledger.header().keeps_topics,
                ledger: *ledger,
            }),
            Ok(Claim::Ours(ledger)) => {
                let has_topics = !ledger.topics().is_empty();
                self.elsewhere.extend(has_topics.then(|| ledger.header().bootstrap_servers.clone()));
            }
            Ok(Claim::Unreadable(Unreadable::Damaged(why))) => {
                self.set_aside.extend(set_aside(&found.path, &why));
            }
            // Left by a process that was killed before it wrote anything; one that has just created it is given time.
            Ok(Claim::Nothing) if is_older_than(IN_FLIGHT) => Ledger::remove_empty(&found.path),
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

/// Whether a damaged file of this name was set aside.
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
