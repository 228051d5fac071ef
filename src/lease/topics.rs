//! The topics of a lease: each learned once, with its fence.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::Lease;
use crate::broker::Shape;
use crate::cluster::process::PROCESS;
use crate::model::error::{Error, Result};
use crate::model::topic::{Fence, Topic, TopicParts, TopicRef, TopicSpec};
use crate::report::Origin;
use crate::sync::once::OnceWithDeadline;
use crate::sync::wait::Deadline;

/// What a lease knows of one logical topic.
pub(super) struct LeasedTopic {
    /// How it was asked for first; `None` for one that was only named.
    spec: Mutex<Option<TopicSpec>>,
    /// The topic with its fence, learned once.
    pub(super) learned: OnceWithDeadline<Topic>,
    /// Whether it was made, where it was only named at first.
    made: OnceWithDeadline<()>,
    /// Its name as a topic for this lease only, once it has one.
    exclusive: OnceLock<String>,
}

impl Lease {
    fn topics(&self) -> MutexGuard<'_, HashMap<String, Arc<LeasedTopic>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The topic that is meant, made and fenced if this is the first time that the lease hears of it.
    pub(crate) fn resolve(&self, topic: TopicRef) -> Result<Topic> {
        match topic {
            TopicRef::Topic(topic) if topic.0.lease == self.id => Ok(topic),
            TopicRef::Topic(topic) => Err(Error::misuse(format!(
                "topic {:?} belongs to another lease: ask this test's own fixture for {:?}",
                topic.name(),
                topic.logical_name()
            ))),
            TopicRef::Spec(spec) => self.topic(spec),
        }
    }

    /// The topic that is meant, to write to. One that was only named is created by the first write, as by a service's: in the
    /// broker's default shape.
    pub(crate) fn resolve_to_send(&self, topic: TopicRef) -> Result<Topic> {
        let topic = self.resolve(topic)?;
        if topic.0.fence == Fence::Beginning {
            let (leased, deadline) = (self.leased(topic.logical_name(), None)?, self.deadline());
            let create = || self.cluster().create_named(topic.name(), deadline);
            leased.made.get_or_create(deadline, create, || self.late(topic.logical_name()))?;
        }
        Ok(topic)
    }

    pub(crate) fn topic(&self, spec: TopicSpec) -> Result<Topic> {
        spec.check()?;
        self.choose_broker("a topic");
        if let Some(known) = self.by_full_name(&spec.logical) {
            return Ok(known);
        }
        let leased = self.leased(&spec.logical, Some(&spec))?;
        let deadline = self.deadline();
        let learned = leased.learned.get_or_create(
            deadline,
            || self.make(&spec, &leased, deadline),
            || self.late(&spec.logical),
        )?;
        self.check_named_before(&spec, &learned).inspect_err(|_| {
            *leased.spec.lock().unwrap_or_else(PoisonError::into_inner) = None;
        })?;
        if learned.0.fence == Fence::Beginning {
            let shape = self.harness.shape(&spec)?;
            let make = || self.cluster().make_topic(learned.name(), &shape, deadline).map(drop);
            leased.made.get_or_create(deadline, make, || self.late(&spec.logical))?;
        }
        Ok(learned)
    }

    /// Several, of which those that are not made yet are made in one request.
    pub(crate) fn topics_of(&self, specs: Vec<TopicSpec>) -> Result<Vec<Topic>> {
        self.choose_broker("a topic");
        let mut ahead: Vec<(String, Shape)> = Vec::with_capacity(specs.len());
        for spec in &specs {
            spec.check()?;
            if self.by_full_name(&spec.logical).is_some() {
                continue;
            }
            let leased = self.leased(&spec.logical, Some(spec))?;
            let shape = self.harness.shape(spec)?;
            let name = match self.shared_names(spec, &shape)?.into_iter().next() {
                Some(name) => name,
                None => self.exclusive_name(spec, &leased)?,
            };
            if leased.learned.get().is_none() && ahead.iter().all(|(other, _)| *other != name) {
                ahead.push((name, shape));
            }
        }
        self.cluster().make_ahead(&ahead, self.deadline())?;
        specs.into_iter().map(|spec| self.topic(spec)).collect()
    }

    /// A topic that is named and not made: its fence is where it ends now, if it exists.
    pub(crate) fn name(&self, logical: &str) -> Result<Topic> {
        if let Some(known) = self.topics().get(logical).and_then(|leased| leased.learned.get()) {
            return Ok(known);
        }
        let name = self.names.topic(logical)?;
        self.choose_broker("a topic's name");
        let leased = self.leased(logical, None)?;
        let deadline = self.deadline();
        let learn = || {
            let fence = self.cluster().fence_of_name(&name, deadline)?;
            Ok(self.got_topic(self.known(logical, name.clone(), true, fence), Origin::Named))
        };
        leased.learned.get_or_create(deadline, learn, || self.late(logical))
    }

    /// The lease's entry for a logical topic; one logical topic has one shape in one test.
    fn leased(&self, logical: &str, spec: Option<&TopicSpec>) -> Result<Arc<LeasedTopic>> {
        let mut topics = self.topics();
        let leased = topics.entry(logical.to_owned()).or_insert_with(|| {
            Arc::new(LeasedTopic {
                spec: Mutex::default(),
                learned: OnceWithDeadline::default(),
                made: OnceWithDeadline::default(),
                exclusive: OnceLock::new(),
            })
        });
        let leased = Arc::clone(leased);
        drop(topics);
        if let Some(spec) = spec {
            let mut asked = leased.spec.lock().unwrap_or_else(PoisonError::into_inner);
            match &*asked {
                None => *asked = Some(spec.clone()),
                // A plain name means the topic that the test already has, in whatever shape.
                Some(first) if first == spec || spec.is_plain() => {}
                Some(first) => {
                    return Err(Error::misuse(format!(
                        "topic {logical:?} was asked for in two shapes in one test, {first:?} and {spec:?}: give the \
                         second another name"
                    )));
                }
            }
        }
        Ok(leased)
    }

    /// A topic that the test has only named so far is the one that its worker's tests share, as it is.
    fn check_named_before(&self, spec: &TopicSpec, learned: &Topic) -> Result<()> {
        if spec.is_plain() {
            return Ok(());
        }
        let shape = self.harness.shape(spec)?;
        let is_other = learned.partitions().is_some_and(|partitions| partitions != shape.partitions)
            || self.cluster().shape_of(learned.name()).is_some_and(|made| made != shape);
        if is_other || (spec.exclusive && learned.0.shared) {
            return Err(Error::misuse(format!(
                "topic {:?} was named before in this test, which means {:?}, and then asked for as {spec:?}: ask for the topic \
                 first, or give one of them another name",
                spec.logical,
                learned.name()
            )));
        }
        Ok(())
    }

    fn make(&self, spec: &TopicSpec, leased: &LeasedTopic, deadline: Deadline) -> Result<Topic> {
        let shape = self.harness.shape(spec)?;
        for name in self.shared_names(spec, &shape)? {
            let (now, is_new) = self.cluster().make_topic(&name, &shape, deadline)?;
            // A service under test may have made it, in the broker's default shape, from its name alone; or an earlier test
            // has added partitions.
            if now.partitions() == shape.partitions {
                let origin = if is_new { Origin::Created } else { Origin::Reused };
                return Ok(self.got_topic(self.known(&spec.logical, name, true, Fence::Ends(now)), origin));
            }
        }
        let name = self.exclusive_name(spec, leased)?;
        let (now, _) = self.cluster().make_topic(&name, &shape, deadline)?;
        Ok(self.got_topic(self.known(&spec.logical, name, false, Fence::Ends(now)), Origin::Exclusive))
    }

    /// The names under which the worker's leases may share it, unless this one needs a topic of its own.
    ///
    /// The first shape that a worker asks for has the plain name; another one's name tells its shape, so that tests which
    /// alternate between two reuse both.
    fn shared_names(&self, spec: &TopicSpec, shape: &Shape) -> Result<Vec<String>> {
        if spec.exclusive {
            return Ok(Vec::new());
        }
        let mut names = vec![self.names.topic(&spec.logical)?, self.names.topic_in_shape(&spec.logical, shape)?];
        names.retain(|name| self.cluster().shape_of(name).is_none_or(|made| made == *shape));
        Ok(names)
    }

    fn exclusive_name(&self, spec: &TopicSpec, leased: &LeasedTopic) -> Result<String> {
        if let Some(name) = leased.exclusive.get() {
            return Ok(name.clone());
        }
        let name = self.names.exclusive_topic(&spec.logical, PROCESS.workers.next_exclusive())?;
        Ok(leased.exclusive.get_or_init(|| name).clone())
    }

    fn known(&self, logical: &str, name: String, shared: bool, fence: Fence) -> Topic {
        Topic(Arc::new(TopicParts { logical: logical.to_owned(), name, lease: self.id, shared, fence }))
    }

    /// A topic's full name, where one of the lease's topics came as a `&str`.
    fn by_full_name(&self, name: &str) -> Option<Topic> {
        let topics = self.topics();
        if topics.contains_key(name) {
            return None;
        }
        topics.values().filter_map(|leased| leased.learned.get()).find(|topic| topic.name() == name)
    }

    fn late(&self, logical: &str) -> Error {
        Error::Broker {
            action: format!("make topic {logical:?}"),
            broker: self.cluster().broker().name().to_owned(),
            advice: format!(
                "another thread of this test was making it and is not done within {:?}",
                self.harness.timeout()
            ),
            source: None,
        }
    }

    /// The topics that this lease has learned so far.
    pub(crate) fn learned(&self) -> Vec<Topic> {
        self.topics().values().filter_map(|leased| leased.learned.get()).collect()
    }

    fn got_topic(&self, topic: Topic, origin: Origin) -> Topic {
        self.trace.topic(topic.logical_name(), topic.name(), origin);
        topic
    }
}
