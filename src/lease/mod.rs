//! One test's hold on a worker: its names, its fences, and what it has learned of its own failure.

pub(crate) mod failure_report;
mod guard;
pub(crate) mod held_lane;
mod panic_hook;
mod pending_reports;
pub(crate) mod test_result;
mod topics;

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

pub(crate) use self::guard::LeaseGuard;
use self::held_lane::HeldLane;
use self::topics::LeasedTopic;
use crate::cluster::Cluster;
use crate::cluster::lazy::LazyCluster;
use crate::cluster::private_broker::PrivateBroker;
use crate::cluster::process::PROCESS;
use crate::config::FailureReport;
use crate::lease::failure_report::{LeasedGroup, Read};
use crate::model::error::{Error, Result};
use crate::model::topic::LeaseId;
use crate::report::{Trace, Waiting};
use crate::sync::wait::Deadline;
use crate::worker::names::Names;

thread_local! {
    /// The leases of the test that runs on this thread, one per harness.
    static OF_THREAD: RefCell<Vec<Weak<Lease>>> = const { RefCell::new(Vec::new()) };
}

pub(crate) struct Lease {
    id: LeaseId,
    harness: Arc<LazyCluster>,
    /// The harness's connection, which all leases have but those that asked for faults.
    shared: Arc<Cluster>,
    /// Which broker it runs on, chosen by the first thing that depends on it.
    chosen: OnceLock<ChosenBroker>,
    hold: Arc<HeldLane>,
    names: Names,
    topics: Mutex<HashMap<String, Arc<LeasedTopic>>>,
    groups: Mutex<Vec<LeasedGroup>>,
    /// How far the consumers that are dropped had read.
    reads: Mutex<Vec<Read>>,
    account: FailureReport,
    /// Whether its account has been told.
    told: AtomicBool,
    /// How many guards are alive; the last to go ends the lease.
    guards: AtomicUsize,
    trace: Trace,
}

/// Why a lease runs on the broker that it runs on.
struct ChosenBroker {
    /// What chosen it, for the error of who comes too late.
    by: &'static str,
    /// The broker of its own, if it has one.
    own: Option<PrivateBroker>,
}

impl Lease {
    /// The lease of this thread's test with this harness, started now if it has none.
    pub(crate) fn of_this_thread(harness: &Arc<LazyCluster>) -> Result<LeaseGuard> {
        let alive = of_this_thread();
        if alive.iter().any(|lease| lease.hold.has_failed()) {
            // Where the runner uses its threads again, these may be left over from the test before.
            let _ = OF_THREAD.try_with(|leases| leases.borrow_mut().clear());
        } else {
            let running = alive.iter().find(|lease| Arc::ptr_eq(&lease.harness, harness));
            if let Some(guard) = running.and_then(LeaseGuard::of_running) {
                return Ok(guard);
            }
        }
        panic_hook::install();
        let lease = Self::begin(harness, HeldLane::of_this_thread)?;
        let _ = OF_THREAD.try_with(|leases| {
            let mut leases = leases.borrow_mut();
            leases.retain(|lease| lease.strong_count() > 0);
            leases.push(Arc::downgrade(&lease));
        });
        Ok(LeaseGuard(lease))
    }

    /// A lease that no thread has: on a lane of its own, and never shared.
    pub(crate) fn detached(harness: &Arc<LazyCluster>) -> Result<LeaseGuard> {
        Self::begin(harness, HeldLane::detached).map(LeaseGuard)
    }

    fn begin(harness: &Arc<LazyCluster>, take_hold: impl FnOnce() -> Arc<HeldLane>) -> Result<Arc<Self>> {
        let config = harness.config()?;
        let cluster = harness.cluster()?;
        let hold = take_hold();
        let names = Names {
            topic_prefix: config.topic_prefix.as_str().into(),
            group_prefix: config.group_prefix.as_str().into(),
            worker_id: cluster.worker_id().of_lane(hold.lane()),
            run_id: config.run_id.clone(),
            generation: hold.begin_lease(),
        };
        cluster.counters().leases.add(1);
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let trace = cluster.recorder().begin(hold.thread_name(), &names.worker_id, names.generation);
        Ok(Arc::new(Self {
            id: LeaseId(id),
            trace,
            harness: Arc::clone(harness),
            shared: cluster,
            chosen: OnceLock::new(),
            hold,
            names,
            topics: Mutex::default(),
            groups: Mutex::default(),
            reads: Mutex::default(),
            account: config.failure_report,
            told: AtomicBool::new(false),
            guards: AtomicUsize::new(1),
        }))
    }

    pub(crate) fn harness(&self) -> &Arc<LazyCluster> {
        &self.harness
    }

    /// Its own connection where it has one, else the harness's.
    pub(crate) fn cluster(&self) -> &Arc<Cluster> {
        self.private_broker().map_or(&self.shared, PrivateBroker::cluster)
    }

    /// As [`connection`](Self::connection), for something that another broker would not know any more: from now on the
    /// lease stays where it is.
    pub(crate) fn choose_broker(&self, by: &'static str) -> &Arc<Cluster> {
        self.chosen.get_or_init(|| ChosenBroker { by, own: None });
        self.cluster()
    }

    pub(crate) fn private_broker(&self) -> Option<&PrivateBroker> {
        self.chosen.get().and_then(|chosen| chosen.own.as_ref())
    }

    /// Gives the lease a broker of its own, unless it has one.
    pub(crate) fn take_private_broker(&self) -> Result<()> {
        let chosen_by = || self.chosen.get().map(|chosen| (chosen.by, chosen.own.is_some()));
        let too_late = |by: &str| {
            Error::misuse(format!(
                "faults() came after {by}, which was already of the broker that other tests use too: ask for faults first"
            ))
        };
        match chosen_by() {
            Some((_, true)) => return Ok(()),
            Some((by, false)) => return Err(too_late(by)),
            None => {}
        }
        let own = PrivateBroker::start(self.harness.config()?, &self.shared, self.deadline())?;
        if let Err(ChosenBroker { own: Some(unused), .. }) =
            self.chosen.set(ChosenBroker { by: "faults()", own: Some(own) })
        {
            // Another thread of the test was faster.
            unused.ending().close();
            return match chosen_by() {
                Some((by, false)) => Err(too_late(by)),
                _ => Ok(()),
            };
        }
        Ok(())
    }

    /// The harness's connection, which is not the lease's if it has a broker of its own.
    pub(crate) fn shared(&self) -> &Cluster {
        &self.shared
    }

    pub(crate) fn hold(&self) -> &HeldLane {
        &self.hold
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    pub(crate) fn deadline(&self) -> Deadline {
        Deadline::after(self.harness.timeout())
    }

    /// A consumer was created or reused.
    pub(crate) fn got_consumer(&self, is_new: bool) {
        self.trace.consumer(is_new);
    }

    /// A service under test has a group now.
    pub(crate) fn got_group(&self, name: &str) {
        self.trace.group(name);
    }

    /// The test waits for Kafka for as long as this lives.
    pub(crate) fn waiting(&self) -> Waiting {
        self.trace.waiting()
    }

    /// The last guard is gone; whether the test failed may show only later.
    fn end(&self) {
        // First: a lease that has failed has its topics deleted, and its own broker closed.
        self.tell();
        let cluster = Arc::clone(&self.shared);
        // Topics of a broker of its own end with it.
        let own = self.private_broker().map(PrivateBroker::ending);
        let (learned, groups) = if own.is_some() { Default::default() } else { (self.learned(), self.group_ids()) };
        let trace = self.trace;
        trace.ended();
        let (lane, generation) = (self.hold.lane(), self.names.generation);
        self.hold.lease_ended(move |failed| {
            // A later lease on its thread may have moved the lane on before this one ended.
            let failed = failed || PROCESS.workers.lanes.generation_of(lane) > generation;
            trace.decided(failed);
            if failed {
                cluster.counters().failed_leases.add(1);
                learned.iter().for_each(|topic| cluster.keep_if_failed(topic.name()));
            }
            if !cluster.keeps_topics(failed) {
                let exclusive = learned.iter().filter(|topic| !topic.0.shared).map(|topic| topic.name().to_owned());
                cluster.forget_exclusive(exclusive.collect());
            }
            // Neither of these before: the account of an `Err` asks the broker.
            cluster.delete_groups_soon(groups);
            if let Some(own) = own {
                own.close();
            }
        });
    }
}

/// The leases of this thread's test that are alive. All are taken out of the list before one is dropped, which may be the
/// last reference to it.
fn of_this_thread() -> Vec<Arc<Lease>> {
    let alive = OF_THREAD.try_with(|leases| {
        let leases = leases.try_borrow().map(|leases| leases.iter().filter_map(Weak::upgrade).collect());
        leases.unwrap_or_default()
    });
    alive.unwrap_or_default()
}
