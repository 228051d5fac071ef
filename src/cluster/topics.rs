//! The topics that a harness has made or named: each made once, whoever asks at the same time, and fenced for every lease.

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

/// A topic that we have made, are about to make, or have only named; it is ours to delete either way.
#[derive(Debug)]
pub(super) struct MadeTopic {
    /// `None`: only named, the system under test makes it.
    shape: Option<Shape>,
    making: OnceWithDeadline<()>,
    /// How many partitions it was last seen to have; 0: not seen yet.
    partitions: AtomicI32,
    pub(super) of_failed_lease: AtomicBool,
    /// Nobody knows whether the broker will make it yet.
    pub(super) in_doubt: AtomicBool,
    /// The broker would not make it: if it cannot be deleted either, that is nothing to tell.
    pub(super) refused: AtomicBool,
    /// It was deleted when its lease was over, and is deleted again at exit.
    pub(super) deleted: AtomicBool,
    /// It was made and no lease has had it yet.
    is_new: AtomicBool,
}

impl MadeTopic {
    fn new(shape: Option<Shape>) -> Self {
        Self {
            shape,
            making: OnceWithDeadline::default(),
            partitions: AtomicI32::new(0),
            of_failed_lease: AtomicBool::new(false),
            in_doubt: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            deleted: AtomicBool::new(false),
            is_new: AtomicBool::new(false),
        }
    }

    /// An answer that did not come leaves open whether the topic will.
    fn note(&self, created: &Result<Creation>) {
        let in_doubt = matches!(created, Err(Error::Unreachable { .. }));
        self.in_doubt.store(in_doubt, Ordering::SeqCst);
        self.refused.store(created.is_err() && !in_doubt, Ordering::SeqCst);
    }
}

impl Cluster {
    /// The shape in which a topic of that name exists, as far as this harness knows.
    ///
    /// It may have other partitions than were asked for: another harness or a service under test made it first, or a test has
    /// added some.
    pub(crate) fn shape_of(&self, name: &str) -> Option<Shape> {
        let made = Arc::clone(&*self.topics.get(name)?);
        let shape = made.shape.clone()?;
        let seen = made.partitions.load(Ordering::Relaxed);
        Some(Shape { partitions: if seen > 0 { seen } else { shape.partitions }, ..shape })
    }

    /// Makes the topic unless this process has, and returns what it is now: the fence.
    ///
    /// One that somebody has deleted meanwhile is made again. One that a service under test made first has as many
    /// partitions as it has.
    ///
    /// Also says whether it was made here and no lease has had it before.
    pub(crate) fn make_topic(&self, name: &str, shape: &Shape, deadline: Deadline) -> Result<(TopicNow, bool)> {
        self.check_twins(name)?;
        let made = self.record_topic(name, Some(shape));
        let make = || {
            made.is_new.store(true, Ordering::SeqCst);
            self.write_ahead(Event::create_topic(name, Some(shape)))?;
            self.create(&made, name, shape, deadline)
        };
        made.making.get_or_create(deadline, make, || self.late(name, deadline))?;
        let is_new = made.is_new.swap(false, Ordering::SeqCst);
        if is_new { &self.counters.topics_made } else { &self.counters.topics_reused }.add(1);
        loop {
            self.counters.fences.add(1);
            if let Some(now) = self.broker.control().topic_now(name, deadline)? {
                self.saw(&made, name, now.partitions());
                return Ok((now, is_new));
            }
            if deadline.has_passed() {
                return Err(self.late(name, deadline));
            }
            deadline.pause(Duration::from_millis(20));
            self.create(&made, name, shape, deadline)?;
        }
    }

    /// A later process of this worker finds it in the shape that it has now.
    fn saw(&self, made: &MadeTopic, name: &str, partitions: i32) {
        if made.partitions.swap(partitions, Ordering::Relaxed) != partitions
            && let Some(state) = &self.state
        {
            state.topic_created(name, partitions);
        }
    }

    /// Makes those of these topics that this process has not made yet, in one request; `make_topic` then finds them.
    pub(crate) fn make_ahead(&self, topics: &[(String, Shape)], deadline: Deadline) -> Result<()> {
        for (name, _) in topics {
            self.check_twins(name)?;
        }
        let missing = |(name, shape): &(String, Shape)| {
            let made = self.record_topic(name, Some(shape));
            made.making.get().is_none().then_some(made)
        };
        let missing: Vec<_> = topics.iter().filter_map(|topic| Some((topic, missing(topic)?))).collect();
        // One alone is made where several who want it at once wait for each other.
        if missing.len() < 2 {
            return Ok(());
        }
        let mut asked = Vec::with_capacity(missing.len());
        for ((name, shape), _) in &missing {
            self.write_ahead(Event::create_topic(name, Some(shape)))?;
            asked.push((name.as_str(), shape));
        }
        let outcomes = self.broker.create_topics(&asked, deadline);
        for (((name, _), made), created) in missing.into_iter().zip(outcomes) {
            made.note(&created);
            created?;
            let make = || {
                made.is_new.store(true, Ordering::SeqCst);
                self.wait_for_leaders(&made, name, deadline)
            };
            made.making.get_or_create(deadline, make, || self.late(name, deadline))?;
        }
        Ok(())
    }

    /// Kafka takes no two names that differ in `.` and `_` alone, since its metrics would have one name for both.
    fn check_twins(&self, name: &str) -> Result<()> {
        if self.topics.contains_key(name) {
            return Ok(());
        }
        let alike = |one: u8, other: u8| one == other || (b"._".contains(&one) && b"._".contains(&other));
        let is_twin = |other: &str| {
            other.len() == name.len() && other.bytes().zip(name.bytes()).all(|(other, one)| alike(one, other))
        };
        let Some(twin) = self.topics.iter().find(|topic| is_twin(topic.key())).map(|topic| topic.key().clone()) else {
            return Ok(());
        };
        Err(Error::Name {
            part: "topic".to_owned(),
            value: name.to_owned(),
            reason: format!(
                "differs from {twin:?} in '.' and '_' alone, and Kafka takes only one of the two: give one of them another \
                 name, or make it exclusive"
            ),
        })
    }

    /// The entry is made before the topic: what may exist is known to be ours.
    fn record_topic(&self, name: &str, shape: Option<&Shape>) -> Arc<MadeTopic> {
        if let Some(made) = self.topics.get(name)
            && (made.shape.is_some() || shape.is_none())
        {
            return Arc::clone(&made);
        }
        let made = Arc::new(MadeTopic::new(shape.cloned()));
        self.topics.insert(name.to_owned(), Arc::clone(&made));
        made
    }

    fn create(&self, made: &MadeTopic, name: &str, shape: &Shape, deadline: Deadline) -> Result<()> {
        // One that exists already carries this run's id: it is ours, or a service under test made it from its name.
        for created in self.broker.create_topics(&[(name, shape)], deadline) {
            made.note(&created);
            created?;
        }
        self.wait_for_leaders(made, name, deadline)
    }

    fn wait_for_leaders(&self, made: &MadeTopic, name: &str, deadline: Deadline) -> Result<()> {
        let partitions = self.broker.control().wait_for_leaders(name, deadline)?;
        self.saw(made, name, partitions);
        Ok(())
    }

    fn late(&self, name: &str, deadline: Deadline) -> Error {
        Error::Broker {
            action: format!("make topic {name:?}"),
            broker: self.broker.name().to_owned(),
            advice: format!("it was not there within {:?}", deadline.allowed()),
            source: None,
        }
    }

    /// Where a topic that is only named ends now.
    ///
    /// Also one that this connection has never heard of is asked for: another harness of the same prefix may have filled it,
    /// on the same lane.
    pub(crate) fn fence_of_name(&self, name: &str, deadline: Deadline) -> Result<Fence> {
        if !self.topics.contains_key(name) {
            self.check_twins(name)?;
            self.write_ahead(Event::create_topic(name, None))?;
            self.record_topic(name, None);
        }
        let now = self.broker.control().topic_now(name, deadline)?;
        if now.is_some() {
            self.counters.fences.add(1);
        }
        Ok(now.map_or(Fence::Beginning, Fence::Ends))
    }

    /// Creates a topic that was only named, unless somebody has: this harness's clients create none by themselves.
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

    /// Deletes a topic that one lease had for itself, off the test's path; what fails here is tried again at exit.
    ///
    /// It stays in the ledger until then: a writer that the test has left running may create it again.
    pub(crate) fn forget_exclusive(self: &Arc<Self>, names: Vec<String>) {
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
                if let Some(made) = cluster.topics.get(name) {
                    made.deleted.store(true, Ordering::SeqCst);
                }
            }
        };
        // Without a thread they are deleted at exit.
        let _ = std::thread::Builder::new().name("rstest-kafka delete".to_owned()).spawn(delete);
    }

    /// They are gone, apart from those that are left.
    pub(super) fn forget_topics(&self, names: &[String], left: &[(String, String)]) {
        let mut gone: Vec<String> = names.to_vec();
        gone.retain(|name| !left.iter().any(|(other, _)| other == name));
        for name in &gone {
            self.topics.remove(name);
        }
        if let Some(state) = &self.state {
            state.forget(&gone, &[]);
        }
    }

    pub(crate) fn keep_if_failed(&self, name: &str) {
        if let Some(made) = self.topics.get(name) {
            made.of_failed_lease.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the topics of a lease outlive the process.
    pub(crate) fn keeps_topics(&self, failed: bool) -> bool {
        match self.keep_topics {
            KeepTopics::Never => false,
            KeepTopics::Failed => failed,
            KeepTopics::Always => true,
        }
    }
}

/// The topics that an earlier process of this worker made and this one goes on with.
pub(super) fn reusable(state: Option<&WorkerState>, deadline: Deadline) -> DashMap<String, Arc<MadeTopic>> {
    let topics = DashMap::new();
    for topic in state.map(WorkerState::reusable).unwrap_or_default() {
        let made = MadeTopic::new(topic.shape.clone());
        if let Some(partitions) = topic.partitions {
            made.partitions.store(partitions, Ordering::Relaxed);
            let _ = made.making.get_or_create(deadline, || Ok(()), || Error::misuse("nobody else is making it"));
        }
        topics.insert(topic.name.clone(), Arc::new(made));
    }
    topics
}
