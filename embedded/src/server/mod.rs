//! The thread that serves every connection: sockets, frames and timeouts. It does not interpret requests.

mod connection;
mod control;
mod course;
mod faults;
mod frame;
#[cfg(any(test, fuzzing))]
#[allow(missing_docs, reason = "it is for the fuzz targets")]
pub mod fuzzing;
mod listener;
#[cfg(feature = "sasl")]
mod login;
mod requests;
mod stream;
#[cfg(feature = "tls")]
mod tls;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Registry, Token, Waker};

use self::connection::{CHUNK, Connection, Progress};
use self::faults::Faults;
use self::listener::Listener;
use self::requests::Requests;
#[cfg(feature = "tls")]
pub(crate) use self::tls::Tls;
use crate::api;
use crate::clock::{Clock, Time};
use crate::state::{Cluster, Outbox};

const WAKER: Token = Token(usize::MAX);
/// The tokens of listeners are smaller than this token, the tokens of connections are not.
const FIRST_CONNECTION: usize = 64;
/// How many requests of one connection are served before it is the turn of the other connections.
const REQUESTS_IN_A_TURN: usize = 32;

/// The server, shared by its thread and the handle. The thread holds the lock while it serves, but not while it sleeps.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Server>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Server> {
        // Ignore poisoning. A panic in a call of the handle leaves the server usable, so the thread keeps serving connections.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves until the server is stopped.
    pub(crate) fn run(&self, mut poll: Poll) {
        let mut events = Events::with_capacity(256);
        let mut timeout = self.lock().timeout();
        loop {
            match poll.poll(&mut events, timeout) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            }
            let mut server = self.lock();
            if server.stopping {
                return;
            }
            server.serve_events(&events);
            timeout = server.timeout();
        }
    }
}

/// The state of the thread.
pub(crate) struct Server {
    registry: Registry,
    listeners: Vec<Listener>,
    /// The TLS configuration of the connections.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Tls>,
    connections: HashMap<usize, Connection>,
    next_connection: usize,
    /// The buffer for short requests.
    chunk: Box<[u8; CHUNK]>,
    /// The longest request in bytes, Kafka's `socket.request.max.bytes`.
    longest: usize,
    /// When the listeners that could not accept retry.
    accept_again: Option<Time>,
    /// The connections that had more to do than fits in their turn.
    unfinished: Vec<usize>,
    /// When a delayed part of a connection continues. This uses the real time, even if the clock is paused.
    wakes: BTreeSet<(Time, usize)>,
    outbox: Outbox,
    faults: Faults,
    /// The delay of every response.
    latency: Duration,
    /// The throttle time in every response.
    throttle: Duration,
    requests: Requests,
    /// How often the thread has woken up.
    wakeups: usize,
    /// How many requests panicked.
    panics: usize,
    stopping: bool,
    pub(crate) cluster: Cluster,
    pub(crate) clock: Clock,
}

impl Server {
    /// Creates the server, the poll of its thread, and the waker of that thread.
    pub(crate) fn shared(sockets: Vec<(i32, TcpListener)>, cluster: Cluster) -> io::Result<(Shared, Poll, Waker)> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let waker = Waker::new(&registry, WAKER)?;
        let mut listeners = Vec::with_capacity(sockets.len());
        for (n, (broker, mut socket)) in sockets.into_iter().enumerate() {
            registry.register(&mut socket, Token(n), Interest::READABLE)?;
            listeners.push(Listener { broker, address: socket.local_addr()?, socket: Some(socket) });
        }
        let server = Self {
            registry,
            listeners,
            #[cfg(feature = "tls")]
            tls: None,
            connections: HashMap::new(),
            next_connection: FIRST_CONNECTION,
            chunk: Box::new([0; CHUNK]),
            longest: usize::try_from(cluster.configs.broker_number("socket.request.max.bytes")).unwrap_or_default(),
            accept_again: None,
            unfinished: Vec::new(),
            wakes: BTreeSet::new(),
            outbox: Outbox::default(),
            faults: Faults::default(),
            latency: Duration::ZERO,
            throttle: Duration::ZERO,
            requests: Requests::default(),
            wakeups: 0,
            panics: 0,
            stopping: false,
            cluster,
            clock: Clock::start(),
        };
        Ok((Shared(Arc::new(Mutex::new(server))), poll, waker))
    }

    pub(crate) fn stop(&mut self) {
        self.stopping = true;
    }

    /// Serves the events, and then the timeouts that are due.
    fn serve_events(&mut self, events: &Events) {
        for event in events {
            match event.token() {
                WAKER => {}
                Token(n) if n < FIRST_CONNECTION => self.accept(n),
                Token(id) => {
                    if let Some(connection) = self.connections.get_mut(&id) {
                        connection.notice(event);
                        self.turn(id);
                    }
                }
            }
        }
        self.wakeups += 1;
        if !self.wakes.is_empty() {
            self.wake(self.clock.real());
        }
        self.accept_late();
        self.expire();
        for id in std::mem::take(&mut self.unfinished) {
            self.turn(id);
        }
        self.settle();
    }

    /// Returns how long the thread may sleep, or `None` if it may sleep until the next event.
    fn timeout(&self) -> Option<Duration> {
        if !self.unfinished.is_empty() {
            return Some(Duration::ZERO);
        }
        let until = |at: Time, now: Time| Duration::from_millis((at.0 - now.0).max(0) as u64);
        let real = self.clock.real();
        let waits = [
            self.cluster.next_timeout().filter(|_| !self.clock.is_stopped()).map(|at| until(at, self.clock.now())),
            self.cluster.fetches.next_deadline().map(|at| until(at, real)),
            self.wakes.first().map(|&(at, _)| until(at, real)),
            self.accept_again.map(|at| until(at, real)),
        ];
        waits.into_iter().flatten().min()
    }

    /// Serves the requests of a connection until it has to wait, or until its turn is over.
    fn turn(&mut self, id: usize) {
        for _ in 0..REQUESTS_IN_A_TURN {
            let Some(connection) = self.connections.get_mut(&id) else { return };
            match connection.next(&mut self.chunk, self.longest) {
                Progress::Request => {
                    if !self.serve(id) {
                        return self.close(id);
                    }
                    self.settle_parked();
                }
                Progress::Waiting => return,
                Progress::Unfinished => break,
                Progress::Closed => return self.close(id),
                Progress::Rejected(reason) => {
                    self.reject(id, reason);
                    return self.close(id);
                }
            }
        }
        self.unfinished.push(id);
    }

    /// Processes the timeouts that are over.
    fn expire(&mut self) {
        let (now, real) = (self.clock.now(), self.clock.real());
        self.cluster.expire(now, &mut self.outbox);
        self.cluster.fetches.expire(real);
        self.settle_parked();
    }

    /// Responds to the fetches whose records have arrived.
    fn settle_parked(&mut self) {
        api::fetch::answer_ready(&mut self.cluster, self.clock.real(), &mut self.outbox);
    }

    /// Sends the responses to requests that had to wait, and then serves the requests that follow on their connections.
    fn settle(&mut self) {
        loop {
            self.settle_parked();
            let replies = self.outbox.take();
            if replies.is_empty() {
                return;
            }
            for (ticket, reply) in replies {
                let waits = |connection: &Connection| {
                    connection.request.as_ref().is_some_and(|request| request.serial == ticket.serial)
                };
                if self.connections.get(&ticket.connection).is_some_and(waits) {
                    match self.answered(ticket.connection, reply) {
                        true => self.turn(ticket.connection),
                        false => self.close(ticket.connection),
                    }
                }
            }
        }
    }

    fn close(&mut self, id: usize) {
        if let Some(mut connection) = self.connections.remove(&id) {
            let _ = self.registry.deregister(&mut connection.stream);
            self.cluster.fetches.forget(id);
        }
    }
}
