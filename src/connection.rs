//! A broker that is connected, and everything that a harness has open and made on it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use dashmap::{DashMap, DashSet};

use crate::broker::{Broker, Cluster, Creation, Embedded, Partitions, Shape};
use crate::closer::Closer;
use crate::config::{Config, KeepTopics};
use crate::consumer::{self, CheckedOut, IdleConsumer, PoolClient};
use crate::error::{Error, Result};
use crate::flight::Flight;
use crate::ledger::Entry;
use crate::pool::{Pool, PoolKey};
use crate::producer::Producer;
use crate::report::{self, Recorder, Report};
use crate::stats::{Counters, Stats};
use crate::sweep::Sweeping;
use crate::topic::{Fence, Names};
use crate::wait::Deadline;
use crate::worker::WorkerId;
use crate::worker_state::WorkerState;

/// What one harness has open on its broker.
pub(crate) struct Connection {
    broker: Arc<dyn Broker>,
    producer: Producer,
    pool: Pool<Arc<IdleConsumer>>,
    /// Every consumer that is not closed, also those that a test holds or has leaked: exit closes them too.
    open: DashMap<u64, Weak<PoolClient>>,
    closer: Closer<Arc<PoolClient>>,
    topics: DashMap<String, Arc<MadeTopic>>,
    groups: DashSet<String>,
    /// Those of the harness: a connection of one lease counts into the same.
    counters: Arc<Counters>,
    /// Where a page is to be drawn of what its leases do.
    recorder: Option<Arc<Recorder>>,
    warm: Flight<()>,
    next_consumer: AtomicU64,
    closing: AtomicBool,
    keep_topics: KeepTopics,
    worker_id: WorkerId,
    /// What the process leaves behind when it is killed; `None` on a broker that ends with it.
    state: Option<Arc<WorkerState>>,
    sweeping: Option<Sweeping>,
}

/// A topic that we have made, are about to make, or have only named; it is ours to delete either way.
#[derive(Debug)]
struct MadeTopic {
    /// `None`: only named, the system under test makes it.
    shape: Option<Shape>,
    /// How many partitions it turned out to have.
    making: Flight<i32>,
    of_failed_lease: AtomicBool,
    /// Nobody knows whether the broker will make it yet.
    in_doubt: AtomicBool,
    /// The broker would not make it: if it cannot be deleted either, that is nothing to tell.
    refused: AtomicBool,
    /// It was made and no lease has had it yet.
    is_new: AtomicBool,
}

impl MadeTopic {
    fn new(shape: Option<Shape>) -> Self {
        Self {
            shape,
            making: Flight::default(),
            of_failed_lease: AtomicBool::new(false),
            in_doubt: AtomicBool::new(false),
            refused: AtomicBool::new(false),
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

/// What was left behind when a connection was closed, for a message.
#[derive(Debug, Default)]
pub(crate) struct LeftOver {
    pub(crate) broker: String,
    /// Topics and groups that could not be deleted, with the reason.
    pub(crate) undeleted: Vec<(String, String)>,
    /// Topics that were kept on purpose.
    pub(crate) kept: Vec<String>,
    pub(crate) unclosed_consumers: usize,
    pub(crate) closed_consumers: usize,
    pub(crate) deleted_topics: usize,
    pub(crate) deleted_groups: usize,
}

impl Connection {
    /// Starts the embedded broker, or connects to the cluster of the configuration.
    pub(crate) fn open(config: &Config, deadline: Deadline) -> Result<Self> {
        let broker: Arc<dyn Broker> = match &config.bootstrap_servers {
            None => Arc::new(Embedded::start(config.embedded_brokers)?),
            Some(servers) => Arc::new(Cluster::connect(servers, &config.properties, deadline)?),
        };
        let (mut state, mut sweeping) = (None, None);
        if broker.capabilities().outlives_process {
            let cluster_id = broker.control().cluster_id(deadline)?;
            let (opened, is_new) = WorkerState::open(config, &cluster_id, broker.bootstrap_servers())?;
            sweeping = is_new.then(|| Sweeping::start(&broker, &cluster_id, config)).flatten();
            state = Some(opened);
        }
        let counters = Arc::new(Counters::default());
        let recorder = match &config.report {
            Report::Html(path) => Some(report::recorder(path, config, &counters, broker.name())),
            _ => None,
        };
        Self::to(broker, config, state, sweeping, (counters, recorder), deadline)
    }

    /// A connection of one lease to an embedded broker of its own; it counts into the harness's counters.
    pub(crate) fn of_one_lease(
        broker: &Arc<Embedded>,
        config: &Config,
        harness: &Self,
        deadline: Deadline,
    ) -> Result<Self> {
        let broker: Arc<dyn Broker> = Arc::clone(broker) as _;
        Self::to(broker, config, None, None, (Arc::clone(&harness.counters), harness.recorder.clone()), deadline)
    }

    fn to(
        broker: Arc<dyn Broker>,
        config: &Config,
        state: Option<Arc<WorkerState>>,
        sweeping: Option<Sweeping>,
        (counters, recorder): (Arc<Counters>, Option<Arc<Recorder>>),
        deadline: Deadline,
    ) -> Result<Self> {
        let producer = Producer::new(Arc::clone(&broker), config.timeout)?;
        Ok(Self {
            producer,
            pool: Pool::new(config.max_idle_consumers),
            open: DashMap::new(),
            closer: Closer::new(),
            topics: reusable(state.as_deref(), deadline),
            groups: DashSet::new(),
            counters,
            recorder,
            broker,
            warm: Flight::default(),
            next_consumer: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            keep_topics: config.keep_topics,
            worker_id: state.as_ref().map_or(&config.worker_id, |state| state.worker_id()).clone(),
            state,
            sweeping,
        })
    }

    pub(crate) fn broker(&self) -> &dyn Broker {
        &*self.broker
    }

    /// The id of the worker whose lanes its leases have.
    pub(crate) fn worker_id(&self) -> &WorkerId {
        &self.worker_id
    }

    pub(crate) fn producer(&self) -> &Producer {
        &self.producer
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn recorder(&self) -> Option<&Arc<Recorder>> {
        self.recorder.as_ref()
    }

    pub(crate) fn stats(&self) -> Stats {
        self.counters.snapshot(crate::lane::used(), self.pool.len())
    }

    /// The shape in which a topic of that name exists, as far as this harness knows.
    ///
    /// It may have other partitions than were asked for: another harness, or a service under test, made it first.
    pub(crate) fn shape_of(&self, name: &str) -> Option<Shape> {
        let made = Arc::clone(&*self.topics.get(name)?);
        let shape = made.shape.clone()?;
        Some(Shape { partitions: made.making.get().unwrap_or(shape.partitions), ..shape })
    }

    /// Makes the topic unless this process has, and returns the end offset of each partition now: the fence.
    ///
    /// One that somebody has deleted meanwhile is made again. One that a service under test made first has as many
    /// partitions as it has.
    ///
    /// Also says whether it was made here and no lease has had it before.
    pub(crate) fn make_topic(&self, name: &str, shape: &Shape, deadline: Deadline) -> Result<(Vec<i64>, bool)> {
        let began = Instant::now();
        let made = self.record_topic(name, Some(shape));
        let make = || {
            made.is_new.store(true, Ordering::SeqCst);
            self.record(&Entry::Topic(name, Some(shape)))?;
            self.warm_up(name, deadline);
            let began = Instant::now();
            let partitions = self.create(&made, name, shape, deadline)?;
            self.counters.topics_made_in.add(began.elapsed());
            Ok(partitions)
        };
        let mut partitions = made.making.get_or_make(deadline, make, || self.late(name, deadline))?;
        let is_new = made.is_new.swap(false, Ordering::SeqCst);
        if is_new { &self.counters.topics_made } else { &self.counters.topics_reused }.add(1);
        loop {
            self.counters.fences.add(1);
            if let Some(offsets) = self.broker.control().end_offsets(name, partitions, deadline)? {
                if !is_new {
                    self.counters.topics_reused_in.add(began.elapsed());
                }
                return Ok((offsets, is_new));
            }
            if deadline.has_passed() {
                return Err(self.late(name, deadline));
            }
            deadline.pause(Duration::from_millis(20));
            partitions = self.create(&made, name, shape, deadline)?;
        }
    }

    /// Makes those of these topics that this process has not made yet, in one request; `make_topic` then finds them.
    pub(crate) fn make_ahead(&self, topics: &[(String, Shape)], deadline: Deadline) -> Result<()> {
        let missing = |(name, shape): &(String, Shape)| {
            let made = self.record_topic(name, Some(shape));
            made.making.get().is_none().then_some(made)
        };
        let missing: Vec<_> = topics.iter().filter_map(|topic| Some((topic, missing(topic)?))).collect();
        // One alone is made where several who want it at once wait for each other.
        if missing.len() < 2 {
            return Ok(());
        }
        self.warm_up(&missing[0].0.0, deadline);
        let began = Instant::now();
        let mut asked = Vec::with_capacity(missing.len());
        for ((name, shape), _) in &missing {
            self.record(&Entry::Topic(name, Some(shape)))?;
            asked.push((name.as_str(), shape));
        }
        let outcomes = self.broker.create_topics(&asked, deadline);
        for (((name, _), made), created) in missing.into_iter().zip(outcomes) {
            made.note(&created);
            created?;
            let make = || {
                made.is_new.store(true, Ordering::SeqCst);
                self.wait_for_leaders(name, deadline)
            };
            made.making.get_or_make(deadline, make, || self.late(name, deadline))?;
        }
        self.counters.topics_made_in.add(began.elapsed());
        Ok(())
    }

    /// Has the control client connected before the first topic is made, so that connecting is not measured as that topic's
    /// price. A cluster has been asked for its id already.
    fn warm_up(&self, topic: &str, deadline: Deadline) {
        if self.broker.capabilities().outlives_process {
            return;
        }
        let look = || self.broker.control().partitions(topic, Deadline::after(deadline.remaining() / 2)).map(drop);
        // A broker that does not answer is the next request's to tell.
        let _ = self.warm.get_or_make(deadline, look, || self.late(topic, deadline));
    }

    /// Writes down what is about to be made, for whoever sweeps if this process is killed.
    fn record(&self, entry: &Entry<'_>) -> Result<()> {
        self.state.as_ref().map_or(Ok(()), |state| state.record(entry))
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

    fn create(&self, made: &MadeTopic, name: &str, shape: &Shape, deadline: Deadline) -> Result<i32> {
        // One that exists already carries this run's id: it is ours, or a service under test made it from its name.
        for created in self.broker.create_topics(&[(name, shape)], deadline) {
            made.note(&created);
            created?;
        }
        self.wait_for_leaders(name, deadline)
    }

    fn wait_for_leaders(&self, name: &str, deadline: Deadline) -> Result<i32> {
        let partitions = self.broker.control().wait_for_leaders(name, deadline)?;
        if let Some(state) = &self.state {
            state.made(name, partitions);
        }
        Ok(partitions)
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
    /// A name that this process uses for the first time carries its run's id: nobody else can have made it.
    pub(crate) fn fence_of_name(&self, name: &str, deadline: Deadline) -> Result<Fence> {
        if !self.topics.contains_key(name) {
            self.record(&Entry::Topic(name, None))?;
            self.record_topic(name, None);
            return Ok(Fence::Beginning);
        }
        let control = self.broker.control();
        match control.partitions(name, deadline)? {
            Partitions::Unknown => Ok(Fence::Beginning),
            Partitions::Electing | Partitions::Ready(_) => {
                let partitions = control.wait_for_leaders(name, deadline)?;
                self.counters.fences.add(1);
                let ends = control.end_offsets(name, partitions, deadline)?;
                Ok(ends.map_or(Fence::Beginning, Fence::Offsets))
            }
        }
    }

    /// Deletes a topic that one lease had for itself, off the test's path; what fails here is tried again at exit.
    pub(crate) fn forget_exclusive(self: &Arc<Self>, names: Vec<String>) {
        if names.is_empty() || !self.broker.capabilities().delete_topics || self.is_closing() {
            return;
        }
        let connection = Arc::clone(self);
        let delete = move || {
            let left = connection.broker.delete_topics(&names, Deadline::after(Duration::from_secs(5)));
            connection.counters.topics_deleted.add(names.len().saturating_sub(left.len()));
            connection.forget_topics(&names, &left);
        };
        // Without a thread they are deleted at exit.
        let _ = std::thread::Builder::new().name("rstest-kafka delete".to_owned()).spawn(delete);
    }

    /// They are gone, apart from those that are left.
    fn forget_topics(&self, names: &[String], left: &[(String, String)]) {
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

    /// A consumer from the pool, or a new one; and the state that it is in.
    pub(crate) fn check_out(
        &self,
        key: &PoolKey,
        names: &Names,
        logical: &str,
    ) -> Result<(Arc<PoolClient>, CheckedOut)> {
        if let Some(idle) = self.pool.check_out(key) {
            self.counters.consumers_reused.add(1);
            let (client, resting_at) = idle.wake();
            return Ok((client, resting_at.map_or(CheckedOut::Unassigned, CheckedOut::Resting)));
        }
        let group = names.group(logical)?;
        self.record_group(&group)?;
        let client = Arc::new(consumer::make(&*self.broker, &group)?);
        self.counters.consumers_made.add(1);
        self.open.retain(|_, client| client.strong_count() > 0);
        self.open.insert(self.next_consumer.fetch_add(1, Ordering::Relaxed), Arc::downgrade(&client));
        Ok((client, CheckedOut::New))
    }

    /// Takes a consumer back that is idle; the one that is thereby too many is closed elsewhere.
    pub(crate) fn put_back(&self, key: PoolKey, idle: Arc<IdleConsumer>) {
        let evicted = self.pool.put_back(key, idle);
        self.retire(clients(evicted));
    }

    /// Closes consumers elsewhere.
    pub(crate) fn retire(&self, clients: impl IntoIterator<Item = Arc<PoolClient>>) {
        if self.is_closing() {
            // At exit each consumer has been told to close; its Drop would only hold this thread up.
            clients.into_iter().for_each(std::mem::forget);
            return;
        }
        let clients: Vec<_> = clients.into_iter().collect();
        self.counters.consumers_retired.add(clients.len());
        self.closer.close(clients);
    }

    /// Closes a consumer elsewhere that never was in the pool.
    pub(crate) fn close_soon(&self, client: Arc<PoolClient>) {
        if self.is_closing() {
            std::mem::forget(client);
        } else {
            self.closer.close([client]);
        }
    }

    /// A failure has moved a lane: its older consumers are never handed out again.
    pub(crate) fn retire_before(&self, lane: usize, generation: u32) {
        self.retire(clients(self.pool.retire_before(lane, generation)));
    }

    pub(crate) fn next_group(&self) -> u64 {
        crate::worker_state::next_group()
    }

    /// Writes a group down that is about to be made.
    pub(crate) fn record_group(&self, group: &str) -> Result<()> {
        self.record(&Entry::Group(group))?;
        self.groups.insert(group.to_owned());
        Ok(())
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// At exit: closes every consumer and deletes every topic and group, at once, within the deadline.
    pub(crate) fn close_at_exit(&self, deadline: Deadline) -> LeftOver {
        self.closing.store(true, Ordering::SeqCst);
        // None of these may run its own Drop, which has no deadline: the process takes the memory.
        self.closer.take_waiting().into_iter().for_each(std::mem::forget);
        self.pool.take_all().into_iter().for_each(std::mem::forget);
        let open: Vec<Arc<PoolClient>> = self.open.iter().filter_map(|client| client.value().upgrade()).collect();
        let to_close = open.len();
        std::thread::scope(|scope| {
            let closing = scope.spawn(|| consumer::close_all_at_exit(open, deadline));
            if let Some(sweeping) = &self.sweeping {
                scope.spawn(move || sweeping.stop(deadline));
            }
            let mut left = self.delete_all(deadline);
            left.unclosed_consumers = closing.join().unwrap_or(0);
            left.closed_consumers = to_close - left.unclosed_consumers;
            left
        })
    }

    /// When its harness is gone: the consumers in the pool are closed elsewhere, and their memory is given back.
    pub(crate) fn close_idle(&self) {
        self.closer.close(clients(self.pool.take_all()));
    }

    pub(crate) fn wait_for_closing(&self, deadline: Deadline) {
        self.closer.wait(deadline);
    }

    /// Leaves what is to be deleted at exit to another connection to the same broker.
    pub(crate) fn bequeath(&self, heir: &Self) {
        for entry in &self.topics {
            heir.topics.entry(entry.key().clone()).or_insert_with(|| Arc::clone(entry.value()));
        }
        for group in self.groups.iter() {
            heir.groups.insert(group.key().clone());
        }
    }

    fn delete_all(&self, deadline: Deadline) -> LeftOver {
        let mut left = LeftOver { broker: self.broker.name().to_owned(), ..LeftOver::default() };
        let capabilities = self.broker.capabilities();
        let kept = |made: &MadeTopic| self.keeps_topics(made.of_failed_lease.load(Ordering::Relaxed));
        let state = self.state.as_deref();
        let (mut topics, mut in_doubt) = (Vec::new(), Vec::new());
        for entry in self.topics.iter().filter(|entry| !state.is_some_and(|state| state.hands_on(entry.key()))) {
            if kept(entry.value()) { &mut left.kept } else { &mut topics }.push(entry.key().clone());
            if entry.value().in_doubt.load(Ordering::SeqCst) {
                in_doubt.push((entry.key().clone(), String::new()));
            }
        }
        if !capabilities.outlives_process {
            left.kept.clear();
        }
        let inherited = state.map(WorkerState::take_inherited).unwrap_or_default();
        topics.extend(inherited.topics.iter().filter(|name| !self.topics.contains_key(*name)).cloned());
        if capabilities.delete_topics && !topics.is_empty() {
            let mut undeleted = self.broker.delete_topics(&topics, deadline);
            left.deleted_topics = topics.len().saturating_sub(undeleted.len());
            self.counters.topics_deleted.add(left.deleted_topics);
            let refused = |name: &String| self.topics.get(name).is_some_and(|made| made.refused.load(Ordering::SeqCst));
            undeleted.retain(|(name, _)| !refused(name));
            // One that may still come is left to the next run's sweep.
            in_doubt.extend(undeleted.iter().cloned());
            self.forget_topics(&topics, &in_doubt);
            left.undeleted.extend(undeleted);
        }
        let mut groups: Vec<String> = self.groups.iter().map(|group| group.key().clone()).collect();
        groups.extend(inherited.groups);
        if capabilities.delete_groups && !groups.is_empty() {
            let undeleted = self.broker.delete_groups(&groups, deadline);
            groups.retain(|name| !undeleted.iter().any(|(other, _)| other == name));
            left.deleted_groups = groups.len();
            self.counters.groups_deleted.add(left.deleted_groups);
            left.undeleted.extend(undeleted);
        }
        if let Some(state) = state {
            state.forget(&left.kept, if capabilities.delete_groups { &groups } else { &[] });
        }
        left.kept.sort();
        left
    }
}

fn clients(idle: impl IntoIterator<Item = Arc<IdleConsumer>>) -> impl Iterator<Item = Arc<PoolClient>> {
    idle.into_iter().map(|idle| idle.wake().0)
}

/// The topics that an earlier process of this worker made and this one goes on with.
fn reusable(state: Option<&WorkerState>, deadline: Deadline) -> DashMap<String, Arc<MadeTopic>> {
    let topics = DashMap::new();
    for topic in state.map(WorkerState::reusable).unwrap_or_default() {
        let made = MadeTopic::new(topic.shape.clone());
        if let Some(partitions) = topic.partitions {
            let _ = made.making.get_or_make(deadline, || Ok(partitions), || Error::misuse("nobody else is making it"));
        }
        topics.insert(topic.name.clone(), Arc::new(made));
    }
    topics
}
