//! The topics of a lease. Each logical topic is resolved once, with its fence.

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

/// One logical topic of a lease.
pub(super) struct LeasedTopic {
    /// The first spec; `None` for a topic that was only named.
    spec: Mutex<Option<TopicSpec>>,
    /// The topic with its fence.
    pub(super) resolved: OnceWithDeadline<Topic>,
    /// Whether the topic was created after it was only named.
    created: OnceWithDeadline<()>,
    /// The topic name of an exclusive topic.
    exclusive: OnceLock<String>,
}

impl Lease {
    fn topics(&self) -> MutexGuard<'_, HashMap<String, Arc<LeasedTopic>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves a reference to a topic. Creates and fences the topic if the lease has not used it before.
    pub(crate) fn resolve(&self, topic: TopicRef) -> Result<Topic> {
        match topic {
            TopicRef::Topic(topic) if topic.0.lease == self.id => Ok(topic),
            TopicRef::Topic(topic) => Err(Error::misuse(format!(
                "topic {:?} belongs to another lease: create {:?} with a fixture of this test",
                topic.name(),
                topic.logical_name()
            ))),
            TopicRef::Spec(spec) => self.topic(spec),
        }
    }

    /// Resolves a reference to a topic to which the test sends.
    ///
    /// If the topic was only named, the first send creates it in the broker's default shape, as a service's first send
    /// would.
    pub(crate) fn resolve_to_send(&self, topic: TopicRef) -> Result<Topic> {
        let topic = self.resolve(topic)?;
        if topic.0.fence == Fence::Beginning {
            let (leased, deadline) = (self.entry(topic.logical_name(), None)?, self.deadline());
            let create = || self.cluster().create_named(topic.name(), deadline);
            leased.created.get_or_create(deadline, create, || self.creation_timeout(topic.logical_name()))?;
        }
        Ok(topic)
    }

    pub(crate) fn topic(&self, spec: TopicSpec) -> Result<Topic> {
        spec.check()?;
        self.choose_broker("a topic");
        if let Some(known) = self.by_full_name(&spec.logical) {
            return Ok(known);
        }
        let leased = self.entry(&spec.logical, Some(&spec))?;
        let deadline = self.deadline();
        let topic = leased.resolved.get_or_create(
            deadline,
            || self.create(&spec, &leased, deadline),
            || self.creation_timeout(&spec.logical),
        )?;
        self.check_named_before(&spec, &topic).inspect_err(|_| {
            *leased.spec.lock().unwrap_or_else(PoisonError::into_inner) = None;
        })?;
        if topic.0.fence == Fence::Beginning {
            let shape = self.harness.shape(&spec)?;
            let create = || self.cluster().create_topic(topic.name(), &shape, deadline).map(drop);
            leased.created.get_or_create(deadline, create, || self.creation_timeout(&spec.logical))?;
        }
        Ok(topic)
    }

    /// Resolves several topics. The missing topics are created in one request.
    pub(crate) fn topics_of(&self, specs: Vec<TopicSpec>) -> Result<Vec<Topic>> {
        self.choose_broker("a topic");
        let mut missing: Vec<(String, Shape)> = Vec::with_capacity(specs.len());
        for spec in &specs {
            spec.check()?;
            if self.by_full_name(&spec.logical).is_some() {
                continue;
            }
            let leased = self.entry(&spec.logical, Some(spec))?;
            let shape = self.harness.shape(spec)?;
            let name = match self.shared_names(spec, &shape)?.into_iter().next() {
                Some(name) => name,
                None => self.exclusive_name(spec, &leased)?,
            };
            if leased.resolved.get().is_none() && missing.iter().all(|(other, _)| *other != name) {
                missing.push((name, shape));
            }
        }
        self.cluster().create_missing(&missing, self.deadline())?;
        specs.into_iter().map(|spec| self.topic(spec)).collect()
    }

    /// Resolves a topic that is only named and not created. If it exists, its fence is its current end offsets.
    pub(crate) fn named_topic(&self, logical: &str) -> Result<Topic> {
        if let Some(known) = self.topics().get(logical).and_then(|leased| leased.resolved.get()) {
            return Ok(known);
        }
        let name = self.names.topic(logical)?;
        self.choose_broker("a topic's name");
        let leased = self.entry(logical, None)?;
        let deadline = self.deadline();
        let resolve = || {
            let fence = self.cluster().fence_of_name(&name, deadline)?;
            Ok(self.trace_topic(self.new_topic(logical, name.clone(), true, fence), Origin::Named))
        };
        leased.resolved.get_or_create(deadline, resolve, || self.creation_timeout(logical))
    }

    /// Returns the entry of a logical topic. Within one test a logical topic has one shape.
    fn entry(&self, logical: &str, spec: Option<&TopicSpec>) -> Result<Arc<LeasedTopic>> {
        let mut topics = self.topics();
        let leased = topics.entry(logical.to_owned()).or_insert_with(|| {
            Arc::new(LeasedTopic {
                spec: Mutex::default(),
                resolved: OnceWithDeadline::default(),
                created: OnceWithDeadline::default(),
                exclusive: OnceLock::new(),
            })
        });
        let leased = Arc::clone(leased);
        drop(topics);
        if let Some(spec) = spec {
            let mut first_spec = leased.spec.lock().unwrap_or_else(PoisonError::into_inner);
            match &*first_spec {
                None => *first_spec = Some(spec.clone()),
                // A plain name means the topic that the test already has, in any shape.
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

    /// Checks a spec against a topic that the test has only named before. Such a topic is shared, and its shape is
    /// fixed.
    fn check_named_before(&self, spec: &TopicSpec, topic: &Topic) -> Result<()> {
        if spec.is_plain() {
            return Ok(());
        }
        let shape = self.harness.shape(spec)?;
        let has_other_shape = topic.partitions().is_some_and(|partitions| partitions != shape.partitions)
            || self.cluster().shape_of(topic.name()).is_some_and(|existing| existing != shape);
        if has_other_shape || (spec.exclusive && topic.0.shared) {
            return Err(Error::misuse(format!(
                "topic {:?} was named before in this test, which refers to {:?}, and was then asked for as {spec:?}: ask \
                 for the topic first, or give one of them another name",
                spec.logical,
                topic.name()
            )));
        }
        Ok(())
    }

    fn create(&self, spec: &TopicSpec, leased: &LeasedTopic, deadline: Deadline) -> Result<Topic> {
        let shape = self.harness.shape(spec)?;
        for name in self.shared_names(spec, &shape)? {
            let (now, is_new) = self.cluster().create_topic(&name, &shape, deadline)?;
            // A service under test may have created the topic from its name, in the broker's default shape. Or an
            // earlier test has added partitions.
            if now.partitions() == shape.partitions {
                let origin = if is_new { Origin::Created } else { Origin::Reused };
                return Ok(self.trace_topic(self.new_topic(&spec.logical, name, true, Fence::Ends(now)), origin));
            }
        }
        let name = self.exclusive_name(spec, leased)?;
        let (now, _) = self.cluster().create_topic(&name, &shape, deadline)?;
        Ok(self.trace_topic(self.new_topic(&spec.logical, name, false, Fence::Ends(now)), Origin::Exclusive))
    }

    /// Returns the topic names that the worker's leases may share. There is none for an exclusive topic.
    ///
    /// The first shape that a worker asks for has the plain name. The name of another shape contains that shape, so
    /// tests that alternate between two shapes reuse both topics.
    fn shared_names(&self, spec: &TopicSpec, shape: &Shape) -> Result<Vec<String>> {
        if spec.exclusive {
            return Ok(Vec::new());
        }
        let mut names = vec![self.names.topic(&spec.logical)?, self.names.topic_in_shape(&spec.logical, shape)?];
        names.retain(|name| self.cluster().shape_of(name).is_none_or(|existing| existing == *shape));
        Ok(names)
    }

    fn exclusive_name(&self, spec: &TopicSpec, leased: &LeasedTopic) -> Result<String> {
        if let Some(name) = leased.exclusive.get() {
            return Ok(name.clone());
        }
        let name = self.names.exclusive_topic(&spec.logical, PROCESS.workers.next_exclusive())?;
        Ok(leased.exclusive.get_or_init(|| name).clone())
    }

    fn new_topic(&self, logical: &str, name: String, shared: bool, fence: Fence) -> Topic {
        Topic(Arc::new(TopicParts { logical: logical.to_owned(), name, lease: self.id, shared, fence }))
    }

    /// Finds a topic of the lease by its topic name, if a test passes that name as a `&str`.
    fn by_full_name(&self, name: &str) -> Option<Topic> {
        let topics = self.topics();
        if topics.contains_key(name) {
            return None;
        }
        topics.values().filter_map(|leased| leased.resolved.get()).find(|topic| topic.name() == name)
    }

    fn creation_timeout(&self, logical: &str) -> Error {
        Error::Broker {
            action: format!("create topic {logical:?}"),
            broker: self.cluster().broker().name().to_owned(),
            advice: format!(
                "another thread of this test did not finish creating it within {:?}; set a longer timeout",
                self.harness.timeout()
            ),
            source: None,
        }
    }

    /// Returns the topics that this lease has resolved so far.
    pub(crate) fn resolved_topics(&self) -> Vec<Topic> {
        self.topics().values().filter_map(|leased| leased.resolved.get()).collect()
    }

    fn trace_topic(&self, topic: Topic, origin: Origin) -> Topic {
        self.trace.topic(topic.logical_name(), topic.name(), origin);
        topic
    }
}
