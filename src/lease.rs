//! One test's hold on a worker: its names, its fences, and what it has learned of its own failure.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError, Weak};
use std::time::Duration;

use crate::account::{self, Facts, LeasedGroup, Read};
use crate::broker::Shape;
use crate::config::FailureAccount;
use crate::connection::Connection;
use crate::consumer::PooledConsumer;
use crate::error::{Error, Result};
use crate::failure;
use crate::faults::OwnBroker;
use crate::flight::Flight;
use crate::harness::HarnessInner;
use crate::lane::{self, Hold};
use crate::report::{Had, Trace, Waiting};
use crate::topic::{Fence, Names, Topic, TopicParts, TopicRef, TopicSpec};
use crate::wait::Deadline;
use crate::worker_state::next_exclusive;

/// Tells the leases of a process apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct LeaseId(u64);

thread_local! {
    /// The leases of the test that runs on this thread, one per harness.
    static OF_THREAD: RefCell<Vec<Weak<Lease>>> = const { RefCell::new(Vec::new()) };
}

pub(crate) struct Lease {
    id: LeaseId,
    harness: Arc<HarnessInner>,
    /// The harness's connection, which all leases have but those that asked for faults.
    shared: Arc<Connection>,
    /// Which broker it runs on, settled by the first thing that depends on it.
    settled: OnceLock<Settled>,
    hold: Arc<Hold>,
    names: Names,
    topics: Mutex<HashMap<String, Arc<LeasedTopic>>>,
    groups: Mutex<Vec<LeasedGroup>>,
    /// How far the consumers that are dropped had read.
    reads: Mutex<Vec<Read>>,
    account: FailureAccount,
    /// Whether its account has been told.
    told: AtomicBool,
    /// How many guards are alive; the last to go ends the lease.
    guards: AtomicUsize,
    /// Where the lease is noted for a page.
    trace: Option<Arc<Trace>>,
}

/// Why a lease runs on the broker that it runs on.
struct Settled {
    /// What settled it, for the error of who comes too late.
    by: &'static str,
    /// The broker of its own, if it has one.
    own: Option<OwnBroker>,
}

/// What a lease knows of one logical topic.
struct LeasedTopic {
    /// How it was asked for first; `None` for one that was only named.
    spec: Mutex<Option<TopicSpec>>,
    /// The topic with its fence, learned once.
    learned: Flight<Topic>,
    /// Whether it was made, where it was only named at first.
    made: Flight<()>,
    /// Its name as a topic for this lease only, once it has one.
    exclusive: OnceLock<String>,
}

impl Lease {
    /// The lease of this thread's test with this harness, started now if it has none.
    pub(crate) fn of_this_thread(harness: &Arc<HarnessInner>) -> Result<LeaseGuard> {
        let running = OF_THREAD.try_with(|leases| {
            let mut leases = leases.borrow_mut();
            leases.retain(|lease| lease.strong_count() > 0);
            leases.iter().filter_map(Weak::upgrade).find(|lease| Arc::ptr_eq(&lease.harness, harness))
        });
        if let Ok(Some(lease)) = running
            && let Some(guard) = LeaseGuard::of_running(&lease)
        {
            return Ok(guard);
        }
        failure::watch_panics(tell_of_this_thread);
        let config = harness.config()?;
        let connection = harness.connection()?;
        let hold = Hold::of_this_thread();
        let names = Names {
            topic_prefix: config.topic_prefix.as_str().into(),
            group_prefix: config.group_prefix.as_str().into(),
            worker_id: connection.worker_id().of_lane(hold.lane()),
            run_id: config.run_id.clone(),
            generation: hold.generation(),
        };
        connection.counters().leases.add(1);
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let trace = connection.recorder().map(|recorder| {
            let test = hold.thread_name();
            Arc::new(recorder.begin(id, test, names.worker_id.as_str(), names.generation))
        });
        let lease = Arc::new(Self {
            id: LeaseId(id),
            trace,
            harness: Arc::clone(harness),
            shared: connection,
            settled: OnceLock::new(),
            hold,
            names,
            topics: Mutex::default(),
            groups: Mutex::default(),
            reads: Mutex::default(),
            account: config.failure_account,
            told: AtomicBool::new(false),
            guards: AtomicUsize::new(1),
        });
        let _ = OF_THREAD.try_with(|leases| leases.borrow_mut().push(Arc::downgrade(&lease)));
        Ok(LeaseGuard(lease))
    }

    pub(crate) fn harness(&self) -> &Arc<HarnessInner> {
        &self.harness
    }

    /// Its own connection where it has one, else the harness's.
    pub(crate) fn connection(&self) -> &Arc<Connection> {
        self.own_broker().map_or(&self.shared, OwnBroker::connection)
    }

    /// As [`connection`](Self::connection), for something that another broker would not know any more: from now on the
    /// lease stays where it is.
    pub(crate) fn settle(&self, by: &'static str) -> &Arc<Connection> {
        self.settled.get_or_init(|| Settled { by, own: None });
        self.connection()
    }

    pub(crate) fn own_broker(&self) -> Option<&OwnBroker> {
        self.settled.get().and_then(|settled| settled.own.as_ref())
    }

    /// Gives the lease a broker of its own, unless it has one.
    pub(crate) fn take_own_broker(&self) -> Result<()> {
        let settled_by = || self.settled.get().map(|settled| (settled.by, settled.own.is_some()));
        let too_late = |by: &str| {
            Error::misuse(format!(
                "faults() came after {by}, which was already of the broker that other tests use too: ask for faults first"
            ))
        };
        match settled_by() {
            Some((_, true)) => return Ok(()),
            Some((by, false)) => return Err(too_late(by)),
            None => {}
        }
        let own = OwnBroker::start(self.harness.config()?, &self.shared, self.deadline())?;
        if let Err(Settled { own: Some(unused), .. }) = self.settled.set(Settled { by: "faults()", own: Some(own) }) {
            // Another thread of the test was faster.
            unused.ending().close();
            return match settled_by() {
                Some((by, false)) => Err(too_late(by)),
                _ => Ok(()),
            };
        }
        Ok(())
    }

    /// The harness's connection, which is not the lease's if it has a broker of its own.
    pub(crate) fn shared(&self) -> &Connection {
        &self.shared
    }

    pub(crate) fn hold(&self) -> &Hold {
        &self.hold
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    pub(crate) fn deadline(&self) -> Deadline {
        Deadline::after(self.harness.timeout())
    }

    /// A consumer was made or reused, and that took so long.
    pub(crate) fn got_consumer(&self, is_new: bool, took: Duration) {
        let counters = self.connection().counters();
        if is_new { &counters.consumers_made_in } else { &counters.consumers_reused_in }.add(took);
        if let Some(trace) = &self.trace {
            trace.consumer(is_new);
        }
    }

    /// A service under test has a group now.
    pub(crate) fn got_group(&self, name: &str) {
        if let Some(trace) = &self.trace {
            trace.group(name);
        }
    }

    fn got_topic(&self, topic: Topic, had: Had) -> Topic {
        if let Some(trace) = &self.trace {
            trace.topic(topic.logical_name(), topic.name(), had);
        }
        topic
    }

    /// The test waits for Kafka for as long as this lives.
    pub(crate) fn waiting(&self) -> Waiting {
        Waiting::begin(self.connection(), self.trace.as_ref())
    }

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

    pub(crate) fn topic(&self, spec: TopicSpec) -> Result<Topic> {
        spec.check()?;
        self.settle("a topic");
        if let Some(known) = self.by_full_name(&spec.logical) {
            return Ok(known);
        }
        let leased = self.leased(&spec.logical, Some(&spec))?;
        let deadline = self.deadline();
        let learned = leased.learned.get_or_make(
            deadline,
            || self.make(&spec, &leased, deadline),
            || self.late(&spec.logical),
        )?;
        if learned.0.fence == Fence::Beginning {
            let shape = self.harness.shape(&spec)?;
            let make = || self.connection().make_topic(learned.name(), &shape, deadline).map(drop);
            leased.made.get_or_make(deadline, make, || self.late(&spec.logical))?;
        }
        Ok(learned)
    }

    /// Several, of which those that are not made yet are made in one request.
    pub(crate) fn topics_of(&self, specs: Vec<TopicSpec>) -> Result<Vec<Topic>> {
        self.settle("a topic");
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
        self.connection().make_ahead(&ahead, self.deadline())?;
        specs.into_iter().map(|spec| self.topic(spec)).collect()
    }

    /// A topic that is named and not made: its fence is where it ends now, if it exists.
    pub(crate) fn name(&self, logical: &str) -> Result<Topic> {
        if let Some(known) = self.topics().get(logical).and_then(|leased| leased.learned.get()) {
            return Ok(known);
        }
        let name = self.names.topic(logical)?;
        self.settle("a topic's name");
        let leased = self.leased(logical, None)?;
        let deadline = self.deadline();
        let learn = || {
            let fence = self.connection().fence_of_name(&name, deadline)?;
            Ok(self.got_topic(self.known(logical, name.clone(), true, fence), Had::Named))
        };
        leased.learned.get_or_make(deadline, learn, || self.late(logical))
    }

    /// The lease's entry for a logical topic; one logical topic has one shape in one test.
    fn leased(&self, logical: &str, spec: Option<&TopicSpec>) -> Result<Arc<LeasedTopic>> {
        let mut topics = self.topics();
        let leased = topics.entry(logical.to_owned()).or_insert_with(|| {
            Arc::new(LeasedTopic {
                spec: Mutex::default(),
                learned: Flight::default(),
                made: Flight::default(),
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
                Some(first) if first == spec || *spec == TopicSpec::new(logical) => {}
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

    fn make(&self, spec: &TopicSpec, leased: &LeasedTopic, deadline: Deadline) -> Result<Topic> {
        let shape = self.harness.shape(spec)?;
        for name in self.shared_names(spec, &shape)? {
            let (ends, is_new) = self.connection().make_topic(&name, &shape, deadline)?;
            // A service under test may have made it, in the broker's default shape, from its name alone.
            if ends.len() == shape.partitions as usize {
                let had = if is_new { Had::Made } else { Had::Reused };
                return Ok(self.got_topic(self.known(&spec.logical, name, true, Fence::Offsets(ends)), had));
            }
        }
        let name = self.exclusive_name(spec, leased)?;
        let (ends, _) = self.connection().make_topic(&name, &shape, deadline)?;
        Ok(self.got_topic(self.known(&spec.logical, name, false, Fence::Offsets(ends)), Had::Own))
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
        names.retain(|name| self.connection().shape_of(name).is_none_or(|made| made == *shape));
        Ok(names)
    }

    fn exclusive_name(&self, spec: &TopicSpec, leased: &LeasedTopic) -> Result<String> {
        if let Some(name) = leased.exclusive.get() {
            return Ok(name.clone());
        }
        let name = self.names.exclusive_topic(&spec.logical, next_exclusive())?;
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
            broker: self.connection().broker().name().to_owned(),
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

    /// A group that was made, for the account of a failure.
    pub(crate) fn note_group(&self, id: &str, topics: &[Topic]) {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.push(LeasedGroup { id: id.to_owned(), topics: topics.to_vec() });
    }

    /// How far a consumer had read that is dropped, for the account of a failure.
    pub(crate) fn note_read(&self, topic: &str, next: Vec<(i32, i64)>) {
        if self.account == FailureAccount::Off {
            return;
        }
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        if reads.len() < MOST_READS {
            reads.push(Read { topic: topic.to_owned(), next });
        }
    }

    /// What the account of a failure needs, once; `None` if it has been told or is switched off.
    fn facts(&self) -> Option<Facts> {
        if self.account == FailureAccount::Off || self.told.swap(true, Ordering::SeqCst) {
            return None;
        }
        // Not waited for: it is asked for in a panic hook too, whose thread may hold it.
        let topics = match self.topics.try_lock() {
            Ok(topics) => topics.values().filter_map(|leased| leased.learned.get()).collect(),
            Err(TryLockError::Poisoned(topics)) => {
                topics.into_inner().values().filter_map(|leased| leased.learned.get()).collect()
            }
            Err(TryLockError::WouldBlock) => Vec::new(),
        };
        Some(Facts {
            connection: Arc::clone(self.connection()),
            detail: self.account,
            names: self.names.clone(),
            topics,
            groups: self.groups.try_lock().map(|groups| groups.clone()).unwrap_or_default(),
            reads: self.reads.try_lock().map(|reads| reads.clone()).unwrap_or_default(),
        })
    }

    /// Tells the account now if there is a sign of failure, else keeps it ready until the test's thread has ended.
    fn tell(&self) {
        let Some(facts) = self.facts() else { return };
        if self.hold.is_suspect() {
            account::print(&account::tell(facts));
        } else {
            self.hold.keep_untold(move || account::tell(facts));
        }
    }

    /// The last guard is gone; whether the test failed may show only later.
    fn end(&self) {
        // First: a lease that has failed has its topics deleted, and its own broker closed.
        self.tell();
        let connection = Arc::clone(&self.shared);
        // Topics of a broker of its own end with it.
        let own = self.own_broker().map(OwnBroker::ending);
        let learned = if own.is_some() { Vec::new() } else { self.learned() };
        let trace = self.trace.clone();
        if let Some(trace) = &trace {
            trace.ended();
        }
        self.hold.lease_ended(move |failed| {
            if let Some(trace) = trace {
                trace.decided(failed);
            }
            if failed {
                connection.counters().failed_leases.add(1);
                learned.iter().for_each(|topic| connection.keep_if_failed(topic.name()));
            }
            if !connection.keeps_topics(failed) {
                let exclusive = learned.iter().filter(|topic| !topic.0.shared).map(|topic| topic.name().to_owned());
                connection.forget_exclusive(exclusive.collect());
            }
            // Not before: the account of an `Err` asks it.
            if let Some(own) = own {
                own.close();
            }
        });
    }
}

/// More consumers than a reader wants to hear of.
const MOST_READS: usize = 16;

/// The accounts of this thread's test that no drop of its fixtures on this thread will tell: those of leases that have
/// ended, and of leases whose fixtures were moved to another thread.
fn tell_of_this_thread() -> String {
    let untold = lane::untold_of_this_thread().into_iter().map(|telling| telling());
    let moved = OF_THREAD.try_with(|leases| {
        let leases = leases.try_borrow().map(|leases| leases.iter().filter_map(Weak::upgrade).collect());
        leases.unwrap_or_else(|_| Vec::new())
    });
    let moved: Vec<Arc<Lease>> = moved.unwrap_or_default();
    let moved = moved.iter().filter(|lease| lease.hold.was_used_elsewhere());
    untold.chain(moved.filter_map(|lease| lease.facts()).map(account::tell)).collect()
}

/// What every fixture and consumer of a test holds; when the last is dropped the lease ends.
pub(crate) struct LeaseGuard(Arc<Lease>);

impl LeaseGuard {
    /// Another guard of a lease that has not ended.
    fn of_running(lease: &Arc<Lease>) -> Option<Self> {
        let more = |guards: usize| (guards > 0).then_some(guards + 1);
        lease.guards.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).ok()?;
        Some(Self(Arc::clone(lease)))
    }

    /// The lease; its use on this thread shows that a panic before was caught.
    pub(crate) fn lease(&self) -> &Lease {
        self.0.hold.observe();
        &self.0
    }

    pub(crate) fn consumer(&self, topic: TopicRef) -> Result<PooledConsumer> {
        let lease = self.lease();
        let topic = lease.resolve(topic)?;
        PooledConsumer::check_out(self.clone(), topic)
    }
}

impl Clone for LeaseGuard {
    fn clone(&self) -> Self {
        self.0.guards.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(&self.0))
    }
}

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        self.0.hold.observe();
        if self.0.guards.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.end();
        }
    }
}

impl fmt::Debug for LeaseGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Names { worker_id, run_id, generation, .. } = &self.0.names;
        f.debug_struct("Lease")
            .field("worker_id", worker_id)
            .field("run_id", run_id)
            .field("generation", generation)
            .field("broker", &self.0.connection().broker().name())
            .finish()
    }
}
