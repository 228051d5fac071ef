//! What one harness has open on one cluster: its clients, its topics and its groups.

mod at_exit;
mod consumers;
mod exit;
mod groups;
pub(crate) mod lazy;
pub(crate) mod pool;
pub(crate) mod private_broker;
pub(crate) mod process;
pub(crate) mod producer;
mod topics;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use dashmap::{DashMap, DashSet};

pub(crate) use self::exit::LeftOver;
use self::groups::EndedGroups;
use self::process::PROCESS;
use self::topics::{OwnedTopic, reusable_topics};
use crate::broker::Broker;
use crate::cluster::pool::{IdleConsumer, Pool, PoolClient};
use crate::cluster::producer::Producer;
use crate::config::{Config, KeepTopics};
use crate::ledger::Event;
use crate::ledger::sweep::Sweeping;
use crate::model::error::Result;
use crate::model::ids::WorkerId;
use crate::report::Recorder;
use crate::report::stats::{Counters, Stats};
use crate::sync::background::BackgroundDrop;
use crate::sync::wait::Deadline;
use crate::worker::state::WorkerState;

/// What one harness has open on one cluster.
pub(crate) struct Cluster {
    broker: Arc<Broker>,
    producer: Arc<Producer>,
    pool: Pool<Arc<IdleConsumer>>,
    /// Every consumer that is not closed, including consumers that a test holds or has leaked. They are closed at exit.
    open: DashMap<u64, Weak<PoolClient>>,
    closer: BackgroundDrop<Arc<PoolClient>>,
    topics: DashMap<String, Arc<OwnedTopic>>,
    groups: DashSet<String>,
    ended_groups: Arc<EndedGroups>,
    /// By topic, how many groups of its pooled consumers were abandoned because a test had joined them.
    abandoned_groups: DashMap<Arc<str>, u32>,
    /// The counters of the harness. The cluster of a private broker shares them.
    counters: Arc<Counters>,
    recorder: Recorder,
    next_consumer: AtomicU64,
    closing: AtomicBool,
    keep_topics: KeepTopics,
    worker_id: WorkerId,
    /// The ledger and the generation of the worker. `None` on a broker that does not outlive the process.
    state: Option<Arc<WorkerState>>,
    sweeping: Option<Sweeping>,
}

impl Cluster {
    /// Opens the clients of a harness on the broker. Fails if the broker does not respond within the deadline.
    pub(crate) fn open(broker: Arc<Broker>, config: &Config, deadline: Deadline) -> Result<Self> {
        let (mut state, mut sweeping) = (None, None);
        if broker.capabilities().outlives_process {
            let cluster_id = broker.control().cluster_id(deadline)?;
            let (opened, is_new) = PROCESS.workers.state_on(&cluster_id, broker.bootstrap_servers(), config)?;
            sweeping = is_new.then(|| Sweeping::start(&broker, &cluster_id, config)).flatten();
            state = Some(opened);
        }
        let counters = Arc::new(Counters::default());
        let recorder = Recorder::open(config, &counters, broker.name());
        Self::build(broker, config, state, sweeping, (counters, recorder), deadline)
    }

    /// Opens the clients of one lease on its private broker. The lease counts into the counters of the harness.
    pub(crate) fn for_one_lease(
        broker: &Arc<Broker>,
        config: &Config,
        harness: &Self,
        deadline: Deadline,
    ) -> Result<Self> {
        let broker = Arc::clone(broker);
        let counted = (Arc::clone(&harness.counters), harness.recorder);
        Self::build(broker, config, None, None, counted, deadline)
    }

    fn build(
        broker: Arc<Broker>,
        config: &Config,
        state: Option<Arc<WorkerState>>,
        sweeping: Option<Sweeping>,
        (counters, recorder): (Arc<Counters>, Recorder),
        deadline: Deadline,
    ) -> Result<Self> {
        let producer = Arc::new(Producer::new(Arc::clone(&broker), config.timeout)?);
        Ok(Self {
            producer,
            pool: Pool::new(config.max_idle_consumers),
            open: DashMap::new(),
            closer: BackgroundDrop::new(),
            topics: reusable_topics(state.as_deref(), deadline),
            groups: DashSet::new(),
            ended_groups: Arc::default(),
            abandoned_groups: DashMap::new(),
            counters,
            recorder,
            broker,
            next_consumer: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            keep_topics: config.keep_topics,
            worker_id: state.as_ref().map_or(&config.worker_id, |state| state.worker_id()).clone(),
            state,
            sweeping,
        })
    }

    pub(crate) fn broker(&self) -> &Broker {
        &self.broker
    }

    /// The id of the worker on whose lanes the leases of this harness run.
    pub(crate) fn worker_id(&self) -> &WorkerId {
        &self.worker_id
    }

    /// The producer that all lanes share.
    ///
    /// One producer is enough. On an embedded broker it is faster than one producer for every two lanes. On Apache Kafka, where many
    /// lanes send without a pause, it is slower: by a tenth with 8 lanes, by half with 64.
    pub(crate) fn producer(&self) -> &Producer {
        &self.producer
    }

    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    pub(crate) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    pub(crate) fn stats(&self) -> Stats {
        self.counters.snapshot(PROCESS.workers.lanes.used(), self.pool.len())
    }

    /// Writes to the ledger what is about to be created, so that a later run can delete it if this process is killed.
    fn write_ahead(&self, event: Event) -> Result<()> {
        self.state.as_ref().map_or(Ok(()), |state| state.write_ahead(event))
    }

    pub(crate) fn next_group(&self) -> u64 {
        PROCESS.workers.next_group()
    }

    /// Writes to the ledger that a group is about to be created.
    pub(crate) fn record_group(&self, group: &str) -> Result<()> {
        self.write_ahead(Event::create_group(group))?;
        self.groups.insert(group.to_owned());
        Ok(())
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }
}
