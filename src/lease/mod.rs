//! A lease: one test's use of a worker, with its names, its fences and what its failure report needs.

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
use crate::lease::failure_report::{ConsumerPositions, LeasedGroup};
use crate::model::error::{Error, Result};
use crate::model::topic::LeaseId;
use crate::report::{Trace, Waiting};
use crate::sync::wait::Deadline;
use crate::worker::names::Names;

thread_local! {
    /// The leases of the test that runs on this thread, one per harness.
    static OF_THREAD: RefCell<Vec<Weak<Lease>>> = const { RefCell::new(Vec::new()) };
}

/// One test's use of a worker through one harness.
pub(crate) struct Lease {
    id: LeaseId,
    harness: Arc<LazyCluster>,
    /// The cluster of the harness. Every lease without a private broker uses it.
    shared: Arc<Cluster>,
    /// The broker of the lease. The first call that depends on the broker chooses it.
    chosen: OnceLock<ChosenBroker>,
    held_lane: Arc<HeldLane>,
    names: Names,
    topics: Mutex<HashMap<String, Arc<LeasedTopic>>>,
    groups: Mutex<Vec<LeasedGroup>>,
    /// The positions of the consumers that were dropped.
    positions: Mutex<Vec<ConsumerPositions>>,
    /// How much the failure report shows.
    report_detail: FailureReport,
    /// Whether the failure report was taken. It is printed once.
    is_report_taken: AtomicBool,
    /// The number of guards. The drop of the last guard ends the lease.
    guards: AtomicUsize,
    trace: Trace,
}

/// The broker of a lease, and the call that chose it.
struct ChosenBroker {
    /// The call that chose the broker, for the error of a later call to `faults()`.
    by: &'static str,
    /// The private broker, if the lease has one.
    private: Option<PrivateBroker>,
}

impl Lease {
    /// Returns the lease of this thread's test with this harness. Starts one if there is none.
    pub(crate) fn of_this_thread(harness: &Arc<LazyCluster>) -> Result<LeaseGuard> {
        let alive = of_this_thread();
        if alive.iter().any(|lease| lease.held_lane.has_failed()) {
            // If the runner reuses its threads, these leases may belong to an earlier test.
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

    /// Starts a lease that belongs to no thread. It has its own lane and is never shared.
    pub(crate) fn detached(harness: &Arc<LazyCluster>) -> Result<LeaseGuard> {
        Self::begin(harness, HeldLane::detached).map(LeaseGuard)
    }

    fn begin(harness: &Arc<LazyCluster>, take_lane: impl FnOnce() -> Arc<HeldLane>) -> Result<Arc<Self>> {
        let config = harness.config()?;
        let cluster = harness.cluster()?;
        let held_lane = take_lane();
        let names = Names {
            topic_prefix: config.topic_prefix.as_str().into(),
            group_prefix: config.group_prefix.as_str().into(),
            worker_id: cluster.worker_id().of_lane(held_lane.lane()),
            run_id: config.run_id.clone(),
            generation: held_lane.begin_lease(),
        };
        cluster.counters().leases.add(1);
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let trace = cluster.recorder().begin(held_lane.thread_name(), &names.worker_id, names.generation);
        Ok(Arc::new(Self {
            id: LeaseId(id),
            trace,
            harness: Arc::clone(harness),
            shared: cluster,
            chosen: OnceLock::new(),
            held_lane,
            names,
            topics: Mutex::default(),
            groups: Mutex::default(),
            positions: Mutex::default(),
            report_detail: config.failure_report,
            is_report_taken: AtomicBool::new(false),
            guards: AtomicUsize::new(1),
        }))
    }

    pub(crate) fn harness(&self) -> &Arc<LazyCluster> {
        &self.harness
    }

    /// Returns the cluster of the private broker if the lease has one, otherwise the cluster of the harness.
    pub(crate) fn cluster(&self) -> &Arc<Cluster> {
        self.private_broker().map_or(&self.shared, PrivateBroker::cluster)
    }

    /// Returns the cluster, like [`cluster`](Self::cluster), and fixes the broker of the lease.
    ///
    /// It must be called before anything that exists on one broker only. `by` names the call in the error of a later
    /// `faults()`.
    pub(crate) fn choose_broker(&self, by: &'static str) -> &Arc<Cluster> {
        self.chosen.get_or_init(|| ChosenBroker { by, private: None });
        self.cluster()
    }

    pub(crate) fn private_broker(&self) -> Option<&PrivateBroker> {
        self.chosen.get().and_then(|chosen| chosen.private.as_ref())
    }

    /// Gives the lease a private broker, unless it has one.
    pub(crate) fn take_private_broker(&self) -> Result<()> {
        let chosen_by = || self.chosen.get().map(|chosen| (chosen.by, chosen.private.is_some()));
        let misuse = |by: &str| {
            Error::misuse(format!(
                "faults() came after {by}, which chose the broker that other tests use: ask for faults first"
            ))
        };
        match chosen_by() {
            Some((_, true)) => return Ok(()),
            Some((by, false)) => return Err(misuse(by)),
            None => {}
        }
        let private = PrivateBroker::start(self.harness.config()?, &self.shared, self.deadline())?;
        if let Err(ChosenBroker { private: Some(unused), .. }) =
            self.chosen.set(ChosenBroker { by: "faults()", private: Some(private) })
        {
            // Another thread of the test chose the broker in the meantime.
            unused.closing().close();
            return match chosen_by() {
                Some((by, false)) => Err(misuse(by)),
                _ => Ok(()),
            };
        }
        Ok(())
    }

    /// Returns the cluster of the harness, even if the lease has a private broker.
    pub(crate) fn shared(&self) -> &Cluster {
        &self.shared
    }

    pub(crate) fn held_lane(&self) -> &HeldLane {
        &self.held_lane
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    pub(crate) fn deadline(&self) -> Deadline {
        Deadline::after(self.harness.timeout())
    }

    /// Records a consumer that was created or reused, for the HTML report.
    pub(crate) fn trace_consumer(&self, is_new: bool) {
        self.trace.consumer(is_new);
    }

    /// Records the group of a service under test, for the HTML report.
    pub(crate) fn trace_group(&self, name: &str) {
        self.trace.group(name);
    }

    /// Measures the time that the test waits for Kafka, until the returned value is dropped.
    pub(crate) fn waiting(&self) -> Waiting {
        self.trace.waiting()
    }

    /// Ends the lease, because its last guard was dropped.
    ///
    /// What happens to its topics depends on whether the test failed, which may show only later. So the rest runs when
    /// [`HeldLane`] decides: at once after a sign of failure, otherwise when the thread of the test ends or starts
    /// another lease.
    fn end(&self) {
        // Report first, because the topics of a failed lease are deleted below, and its private broker is closed.
        self.report_failure();
        let cluster = Arc::clone(&self.shared);
        // Topics and groups of a private broker need no deletion.
        let private = self.private_broker().map(PrivateBroker::closing);
        let (topics, groups) =
            if private.is_some() { Default::default() } else { (self.resolved_topics(), self.group_ids()) };
        let trace = self.trace;
        trace.ended();
        let (lane, generation) = (self.held_lane.lane(), self.names.generation);
        self.held_lane.lease_ended(move |failed| {
            // A later lease on the thread may have advanced the lane before this lease ended.
            let failed = failed || PROCESS.workers.lanes.generation_of(lane) > generation;
            trace.decided(failed);
            if failed {
                cluster.counters().failed_leases.add(1);
                topics.iter().for_each(|topic| cluster.note_failed_lease(topic.name()));
            }
            if !cluster.keeps_topics(failed) {
                let exclusive = topics.iter().filter(|topic| !topic.0.shared).map(|topic| topic.name().to_owned());
                cluster.delete_exclusive_soon(exclusive.collect());
            }
            // Delete and close only now, because the failure report of an `Err` asks the broker.
            cluster.delete_groups_soon(groups);
            if let Some(private) = private {
                private.close();
            }
        });
    }
}

/// Returns the leases of this thread's test that are alive.
///
/// The list is read completely before a lease is dropped, because that drop may be the last and then borrows the list
/// again.
fn of_this_thread() -> Vec<Arc<Lease>> {
    let alive = OF_THREAD.try_with(|leases| {
        let leases = leases.try_borrow().map(|leases| leases.iter().filter_map(Weak::upgrade).collect());
        leases.unwrap_or_default()
    });
    alive.unwrap_or_default()
}
