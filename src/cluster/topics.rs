//! The topics that a harness has created or named. Each is created once, even if several leases ask for it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use dashmap::DashMap;

use super::Cluster;
use crate::broker::{Creation, Shape};
use crate::config::KeepTopics;
use crate::ledger::Event;
use crate::model::error::{Error, Result};
use crate::model::topic::Fence;
use crate::model::topic::TopicNow;
use crate::sync::once::OnceWithDeadline;
use crate::sync::wait::Deadline;
use crate::worker::state::WorkerState;

/// A topic that this harness has created, is about to create, or has only named. The harness deletes it in each case.
#[derive(Debug)]
pub(super) struct OwnedTopic {
    /// `None` for a topic that was only named: the service under test creates it.
    shape: Option<Shape>,
    /// Complete once the topic exists and its partitions have leaders.
    creation: OnceWithDeadline<()>,
    /// The last known number of partitions; 0 if it is not known yet.
    partitions: AtomicI32,
    /// Whether a lease that used the topic has failed.
    pub(super) lease_failed: AtomicBool,
    /// Whether the create request got no response, so that the topic may still appear.
    pub(super) may_appear: AtomicBool,
    /// Whether the broker refused to create the topic. A failure to delete the topic is then not reported.
    pub(super) refused: AtomicBool,
    /// Whether the topic was deleted when its lease ended. It is deleted again at exit.
    pub(super) deleted: AtomicBool,
    /// Whether the topic was created and no lease has used it yet.
    is_new: AtomicBool,
}

impl OwnedTopic {
    fn new(shape: Option<Shape>) -> Self {
        Self {
            shape,
            creation: OnceWithDeadline::default(),
            partitions: AtomicI32::new(0),
            lease_failed: AtomicBool::new(false),
            may_appear: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            deleted: AtomicBool::new(false),
            is_new: AtomicBool::new(false),
        }
    }

    /// If the response is lost, the topic may still appear.
    fn note_outcome(&self, created: &Result<Creation>) {
        let may_appear = matches!(created, Err(Error::Unreachable { .. }));
        self.may_appear.store(may_appear, Ordering::SeqCst);
        self.refused.store(created.is_err() && !may_appear, Ordering::SeqCst);
    }
}

impl Cluster {
    /// Returns the shape of the topic, if this harness knows it.
    ///
    /// The number of partitions may differ from the requested one: another harness or the service under test may have
    /// created the topic first, or a test may have added partitions.
    pub(crate) fn shape_of(&self, name: &str) -> Option<Shape> {
        let entry = Arc::clone(&*self.topics.get(name)?);
        let shape = entry.shape.clone()?;
        let seen = entry.partitions.load(Ordering::Relaxed);
        Some(Shape { partitions: if seen > 0 { seen } else { shape.partitions }, ..shape })
    }

    /// Creates the topic unless this process has created it. Returns the current end offsets for the fence, and whether
    /// the topic was created here and no lease has used it before.
    ///
    /// If the topic was deleted in the meantime, it is created again. If a service under test created it first, it
    /// keeps the number of partitions that the service chose.
    pub(crate) fn create_topic(&self, name: &str, shape: &Shape, deadline: Deadline) -> Result<(TopicNow, bool)> {
        self.check_collision(name)?;
        let entry = self.record_topic(name, Some(shape));
        let create = || {
            entry.is_new.store(true, Ordering::SeqCst);
            self.write_ahead(Event::create_topic(name, Some(shape)))?;
            self.create_on_broker(&entry, name, shape, deadline)
        };
        entry.creation.get_or_create(deadline, create, || self.creation_timeout(name, deadline))?;
        let is_new = entry.is_new.swap(false, Ordering::SeqCst);
        if is_new { &self.counters.topics_made } else { &self.counters.topics_reused }.add(1);
        loop {
            self.counters.fences.add(1);
            if let Some(now) = self.broker.control().topic_now(name, deadline)? {
                self.note_partitions(&entry, name, now.partitions());
                return Ok((now, is_new));
            }
            if deadline.has_passed() {
                return Err(self.creation_timeout(name, deadline));
            }
            deadline.pause(Duration::from_millis(20));
            self.create_on_broker(&entry, name, shape, deadline)?;
        }
    }

    /// Records the number of partitions, in the ledger too, so that a later process of this worker knows the shape of
    /// the topic.
    fn note_partitions(&self, entry: &OwnedTopic, name: &str, partitions: i32) {
        if entry.partitions.swap(partitions, Ordering::Relaxed) != partitions
            && let Some(state) = &self.state
        {
            state.topic_created(name, partitions);
        }
    }

    /// Creates the topics that this process has not created yet, in one request. `create_topic` then finds them.
    pub(crate) fn create_missing(&self, topics: &[(String, Shape)], deadline: Deadline) -> Result<()> {
        for (name, _) in topics {
            self.check_collision(name)?;
        }
        let missing = |(name, shape): &(String, Shape)| {
            let entry = self.record_topic(name, Some(shape));
            entry.creation.get().is_none().then_some(entry)
        };
        let missing: Vec<_> = topics.iter().filter_map(|topic| Some((topic, missing(topic)?))).collect();
        // A single topic is created by `create_topic`, where several callers wait for each other.
        if missing.len() < 2 {
            return Ok(());
        }
        let mut requests = Vec::with_capacity(missing.len());
        for ((name, shape), _) in &missing {
            self.write_ahead(Event::create_topic(name, Some(shape)))?;
            requests.push((name.as_str(), shape));
        }
        let outcomes = self.broker.create_topics(&requests, deadline);
        for (((name, _), entry), created) in missing.into_iter().zip(outcomes) {
            entry.note_outcome(&created);
            created?;
            let create = || {
                entry.is_new.store(true, Ordering::SeqCst);
                self.wait_for_leaders(&entry, name, deadline)
            };
            entry.creation.get_or_create(deadline, create, || self.creation_timeout(name, deadline))?;
        }
        Ok(())
    }

    /// Refuses a name that differs from a known name only in `.` and `_`. Kafka refuses the second of these topics,
    /// because both would have the same metric names.
    fn check_collision(&self, name: &str) -> Result<()> {
        if self.topics.contains_key(name) {
            return Ok(());
        }
        let collide = |one: u8, other: u8| one == other || (b"._".contains(&one) && b"._".contains(&other));
        let is_collision = |other: &str| {
            other.len() == name.len() && other.bytes().zip(name.bytes()).all(|(other, one)| collide(one, other))
        };
        let Some(existing) =
            self.topics.iter().find(|topic| is_collision(topic.key())).map(|topic| topic.key().clone())
        else {
            return Ok(());
        };
        Err(Error::Name {
            part: "topic".to_owned(),
            value: name.to_owned(),
            reason: format!(
                "collides with topic {existing:?}, because Kafka does not distinguish '.' and '_' in topic names: give \
                 one of them another name, or make it exclusive"
            ),
        })
    }

    /// Returns the entry of the topic. The entry is created before the topic, so that a topic that may exist is always
    /// known as ours.
    fn record_topic(&self, name: &str, shape: Option<&Shape>) -> Arc<OwnedTopic> {
        if let Some(entry) = self.topics.get(name)
            && (entry.shape.is_some() || shape.is_none())
        {
            return Arc::clone(&entry);
        }
        let entry = Arc::new(OwnedTopic::new(shape.cloned()));
        self.topics.insert(name.to_owned(), Arc::clone(&entry));
        entry
    }

    fn create_on_broker(&self, entry: &OwnedTopic, name: &str, shape: &Shape, deadline: Deadline) -> Result<()> {
        // If the topic exists, its name contains the id of this run. So it is ours, or a service under test has created
        // it from its name.
        for created in self.broker.create_topics(&[(name, shape)], deadline) {
            entry.note_outcome(&created);
            created?;
        }
        self.wait_for_leaders(entry, name, deadline)
    }

    fn wait_for_leaders(&self, entry: &OwnedTopic, name: &str, deadline: Deadline) -> Result<()> {
        let partitions = self.broker.control().wait_for_leaders(name, deadline)?;
        self.note_partitions(entry, name, partitions);
        Ok(())
    }

    fn creation_timeout(&self, name: &str, deadline: Deadline) -> Error {
        Error::Broker {
            action: format!("create topic {name:?}"),
            broker: self.broker.name().to_owned(),
            advice: format!(
                "it did not exist within {:?}: check that all brokers are running, or set a longer timeout",
                deadline.allowed()
            ),
            source: None,
        }
    }

    /// Returns the fence of a topic that is only named.
    ///
    /// The broker is asked even if this harness does not know the name, because another harness with the same prefix
    /// may have written to the topic on the same lane.
    pub(crate) fn fence_of_name(&self, name: &str, deadline: Deadline) -> Result<Fence> {
        if !self.topics.contains_key(name) {
            self.check_collision(name)?;
            self.write_ahead(Event::create_topic(name, None))?;
            self.record_topic(name, None);
        }
        let now = self.broker.control().topic_now(name, deadline)?;
        if now.is_some() {
            self.counters.fences.add(1);
        }
        Ok(now.map_or(Fence::Beginning, Fence::Ends))
    }

    /// Creates a topic that was only named, unless it exists. The clients of this harness do not create topics
    /// automatically.
    pub(crate) fn create_named(&self, name: &str, deadline: Deadline) -> Result<()> {
        if self.broker.control().topic_now(name, deadline)?.is_none() {
            let default = Shape { partitions: -1, replication_factor: None, config: Vec::new() };
            for created in self.broker.create_topics(&[(name, &default)], deadline) {
                created?;
            }
            self.broker.control().wait_for_leaders(name, deadline)?;
        }
        Ok(())
    }

    /// Deletes exclusive topics of an ended lease in the background. If that fails, they are deleted at exit.
    ///
    /// They stay in the ledger until exit, because a writer that the test has left running may create a topic again.
    pub(crate) fn delete_exclusive_soon(self: &Arc<Self>, names: Vec<String>) {
        if names.is_empty() || self.is_closing() {
            return;
        }
        let cluster = Arc::clone(self);
        let delete = move || {
            let left = cluster.broker.delete_topics(&names, Deadline::after(Duration::from_secs(5)));
            cluster.counters.topics_deleted.add(names.len().saturating_sub(left.len()));
            if !cluster.broker.capabilities().outlives_process {
                return cluster.forget_topics(&names, &left);
            }
            for name in names.iter().filter(|name| !left.iter().any(|(other, _)| other == *name)) {
                if let Some(entry) = cluster.topics.get(name) {
                    entry.deleted.store(true, Ordering::SeqCst);
                }
            }
        };
        // If the thread cannot be started, the topics are deleted at exit.
        let _ = std::thread::Builder::new().name("rstest-kafka delete".to_owned()).spawn(delete);
    }

    /// Forgets deleted topics, except those in `left`.
    pub(super) fn forget_topics(&self, names: &[String], left: &[(String, String)]) {
        let mut deleted: Vec<String> = names.to_vec();
        deleted.retain(|name| !left.iter().any(|(other, _)| other == name));
        for name in &deleted {
            self.topics.remove(name);
        }
        if let Some(state) = &self.state {
            state.forget(&deleted, &[]);
        }
    }

    /// Records that a lease that used the topic has failed, so that `KeepTopics::Failed` keeps the topic.
    pub(crate) fn note_failed_lease(&self, name: &str) {
        if let Some(entry) = self.topics.get(name) {
            entry.lease_failed.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the topics of a lease are kept on the broker after exit.
    pub(crate) fn keeps_topics(&self, failed: bool) -> bool {
        match self.keep_topics {
            KeepTopics::Never => false,
            KeepTopics::Failed => failed,
            KeepTopics::Always => true,
        }
    }
}

/// Returns the topics that an earlier process of this worker created and this process reuses.
pub(super) fn reusable_topics(state: Option<&WorkerState>, deadline: Deadline) -> DashMap<String, Arc<OwnedTopic>> {
    let topics = DashMap::new();
    for topic in state.map(WorkerState::reusable).unwrap_or_default() {
        let entry = OwnedTopic::new(topic.shape.clone());
        if let Some(partitions) = topic.partitions {
            entry.partitions.store(partitions, Ordering::Relaxed);
            let _ = entry.creation.get_or_create(
                deadline,
                || Ok(()),
                || Error::misuse("no other thread creates this entry"),
            );
        }
        topics.insert(topic.name.clone(), Arc::new(entry));
    }
    topics
}
