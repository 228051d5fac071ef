//! Deletes what dead runs have left on a cluster: what their ledgers list, and nothing else.

use std::fmt;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::broker::Broker;
use crate::config::environment::Environment;
use crate::config::{Config, Settings};
use crate::ledger::{DeadOwner, DeadOwners, Folder, Header, Owner, ProcessMark};
use crate::model::error::Result;
use crate::sync::wait::Deadline;

/// How long the deletion of what one dead owner has left may take.
const PER_OWNER: Duration = Duration::from_secs(10);

/// What a [`sweep`] did.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Swept {
    /// The topics of dead runs that are gone now.
    pub topics: Vec<String>,
    /// The same for groups.
    pub groups: Vec<String>,
    /// Topics and groups that are left, with the reason; the next sweep tries again.
    pub left: Vec<(String, String)>,
    /// Ledger files that could not be read, under the names that they have now; nothing that they list was deleted.
    pub set_aside: Vec<PathBuf>,
    /// Clusters on which dead runs have left topics and that were not asked, by their bootstrap servers.
    pub elsewhere: Vec<String>,
}

impl fmt::Display for Swept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "swept {} topics and {} groups of dead runs", self.topics.len(), self.groups.len())?;
        for (name, reason) in &self.left {
            write!(f, "\n  {name} is left: {reason}")?;
        }
        for path in &self.set_aside {
            write!(f, "\n  {} could not be read", path.display())?;
        }
        for servers in &self.elsewhere {
            write!(f, "\n  there are topics of dead runs on {servers}")?;
        }
        Ok(())
    }
}

/// Deletes the topics and groups that dead runs have left on the cluster of the environment.
///
/// A run that was killed, and every run of cargo-nextest, leaves topics behind. The next run deletes them in the background;
/// whoever wants them gone at once calls this after the run, from a binary or a test of their own. Only what the ledgers of
/// dead runs list is deleted: never by prefix, never on another cluster than the one recorded, never of a run that may be
/// alive: one of cargo-nextest whose runner's process cannot be looked up (another container or another boot of the machine,
/// another system than Linux) is taken for dead after 24 hours. On the embedded broker there is nothing to do.
///
/// ```no_run
/// fn main() -> rstest_kafka::Result<()> {
///     eprintln!("{}", rstest_kafka::sweep()?);
///     Ok(())
/// }
/// ```
///
/// # Errors
/// [`Error::Config`](crate::Error::Config) for a setting that is not taken, [`Error::State`](crate::Error::State) for a
/// state folder that cannot be read, [`Error::Unreachable`](crate::Error::Unreachable) when the broker does not answer,
/// [`Error::Broker`](crate::Error::Broker) when it refuses the login.
pub fn sweep() -> Result<Swept> {
    with_config(&Config::resolve(&Settings::default(), &Environment::of_process())?)
}

/// Connects for this alone, and sweeps until nothing is left to do.
pub(crate) fn with_config(config: &Config) -> Result<Swept> {
    let Some(servers) = &config.bootstrap_servers else { return Ok(Swept::default()) };
    let deadline = Deadline::after(config.timeout);
    let cluster = Broker::cluster(servers, &config.properties)?;
    let cluster_id = cluster.control().cluster_id(deadline)?;
    let own_run = config.nextest.as_ref().map(|nextest| nextest.run.as_str());
    let folder = Folder::open(&config.state_dir)?;
    all(&cluster, &folder, &cluster_id, own_run, || true)
}

fn all(
    broker: &Broker,
    folder: &Folder,
    cluster_id: &str,
    own_run: Option<&str>,
    goes_on: impl Fn() -> bool,
) -> Result<Swept> {
    let mut swept = Swept::default();
    loop {
        let DeadOwners { owners, elsewhere, set_aside } = folder.dead_owners(cluster_id, own_run)?;
        swept.set_aside.extend(set_aside);
        swept.elsewhere = elsewhere.into_iter().collect();
        let mut finished = 0;
        for owner in owners {
            if !goes_on() {
                return Ok(swept);
            }
            finished += usize::from(swept.delete_listed(broker, &owner));
        }
        // Where there were many there may be more.
        if finished == 0 {
            return Ok(swept);
        }
    }
}

impl Swept {
    /// Deletes what the owner's ledger lists, and returns whether nothing of it is left.
    fn delete_listed(&mut self, broker: &Broker, owner: &DeadOwner) -> bool {
        let deadline = Deadline::after(PER_OWNER);
        let listed = owner.ledger.topics();
        let names: Vec<String> = listed.iter().map(|topic| topic.name.clone()).collect();
        let (mut gone, mut left) = match (owner.keeps_topics, names.is_empty()) {
            (false, false) => gone_and_left(names, |names| broker.delete_topics(names, deadline)),
            _ => (names, Vec::new()),
        };
        if !owner.keeps_topics {
            self.topics.retain(|name| !gone.contains(name));
            self.topics.extend(gone.iter().cloned());
        }
        // A topic that was asked for just before the kill may come only now.
        gone.retain(|name| {
            !owner.wrote_recently || listed.iter().any(|topic| topic.name == *name && topic.partitions.is_some())
        });
        let groups = owner.ledger.groups();
        let (gone_groups, left_groups) = match groups.is_empty() {
            false => gone_and_left(groups, |names| broker.delete_groups(names, deadline)),
            true => (groups, Vec::new()),
        };
        crate::sync::fault_point::point("swept");
        owner.ledger.forget(&gone, &gone_groups);
        owner.ledger.end();
        self.groups.extend(gone_groups);
        left.extend(left_groups);
        self.left.retain(|(name, _)| !left.iter().any(|(again, _)| again == name));
        self.left.extend(left);
        owner.ledger.is_empty()
    }
}

type Left = Vec<(String, String)>;

fn gone_and_left(mut names: Vec<String>, delete: impl FnOnce(&[String]) -> Left) -> (Vec<String>, Left) {
    let left = delete(&names);
    names.retain(|name| !left.iter().any(|(other, _)| other == name));
    (names, left)
}

/// A sweep that runs beside the tests.
#[derive(Debug)]
pub(crate) struct Sweeping {
    state: Arc<(Mutex<Progress>, Condvar)>,
}

#[derive(Debug, Default)]
struct Progress {
    stop: bool,
    is_over: bool,
}

impl Sweeping {
    /// Sweeps on a thread of its own, once per run: where a run has several processes, the first that can does it.
    pub(crate) fn start(broker: &Arc<Broker>, cluster_id: &str, config: &Config) -> Option<Self> {
        let sweeping = Self { state: Arc::default() };
        let (state, broker, cluster_id) = (Arc::clone(&sweeping.state), Arc::clone(broker), cluster_id.to_owned());
        let (state_dir, run_id, nextest) = (config.state_dir.clone(), config.run_id.clone(), config.nextest.clone());
        let sweep = move || {
            let goes_on = || !lock(&state).stop;
            let outcome = Folder::open(&state_dir).and_then(|folder| {
                let Some(nextest) = nextest else { return all(&broker, &folder, &cluster_id, None, goes_on) };
                let header = Header {
                    cluster_id: cluster_id.clone(),
                    bootstrap_servers: broker.bootstrap_servers().to_owned(),
                    run_id: run_id.as_str().to_owned(),
                    keeps_topics: false,
                    owner: Owner::Run { id: nextest.run.clone(), runner: ProcessMark::of_nextest() },
                };
                let Some(lock) = folder.lock_sweep(&header, &nextest.run) else { return Ok(Swept::default()) };
                let swept = all(&broker, &folder, &cluster_id, Some(&nextest.run), goes_on)?;
                if goes_on() {
                    lock.done();
                }
                Ok(swept)
            });
            tell(outcome, broker.name());
            lock(&state).is_over = true;
            state.1.notify_all();
        };
        // Without a thread the next run sweeps.
        let spawned = std::thread::Builder::new().name("rstest-kafka sweep".to_owned()).spawn(sweep);
        spawned.is_ok().then_some(sweeping)
    }

    /// Has it end after what it is deleting now, and waits for that.
    pub(crate) fn stop(&self, deadline: Deadline) {
        let mut progress = lock(&self.state);
        progress.stop = true;
        while !progress.is_over && !deadline.has_passed() {
            let waited = self.state.1.wait_timeout(progress, deadline.remaining());
            progress = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn lock(state: &(Mutex<Progress>, Condvar)) -> std::sync::MutexGuard<'_, Progress> {
    state.0.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell(outcome: Result<Swept>, broker: &str) {
    let mut stderr = std::io::stderr();
    let _ = match outcome {
        Err(error) => writeln!(stderr, "rstest-kafka: what dead runs left on {broker} was not swept: {error}"),
        Ok(swept) => match swept.left.first() {
            None => Ok(()),
            Some((name, reason)) => {
                let count = swept.left.len();
                writeln!(
                    stderr,
                    "rstest-kafka: {count} topics and groups of dead runs are left on {broker}, {name}: {reason}"
                )
            }
        },
    };
}
