//! One connection: the bytes that are read but not yet served, and the bytes that are still to be sent.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use mio::event::Event;

use super::frame::{self, Request};
#[cfg(feature = "sasl")]
use super::login::Login;
use super::stream::Stream;
use crate::api::Client;
use crate::clock::Time;
use crate::fault::Effect;
use crate::wire::Reply;

/// How many bytes are read at once.
pub(super) const CHUNK: usize = 64 * 1024;
/// How many bytes of a long frame are read at once, because the buffer has to be zeroed.
const LONG_CHUNK: usize = 1024 * 1024;
/// How often a connection reads in one turn before it is the turn of the other connections.
const READS_IN_A_TURN: usize = 16;
/// The largest buffer that is kept for the next request or response.
const KEPT: usize = 64 * 1024;
/// How many bytes may be on their way to a client with latency before its next request has to wait.
const MOST_ON_ITS_WAY: usize = 1024 * 1024;

/// A connection serves one request at a time, and reads the next request after the response is written, as Kafka does. So a
/// client that never reads uses no more memory than one response.
pub(super) struct Connection {
    pub(super) stream: Stream,
    /// The broker that the client is connected to.
    pub(super) broker: i32,
    pub(super) peer: SocketAddr,
    pub(super) client: Client,
    /// The request that is being served.
    pub(super) request: Option<Request>,
    /// What a fault does to this request.
    pub(super) effect: Effect,
    /// The part of the request that is delayed, with the time when it continues.
    pub(super) held: Option<(Time, Held)>,
    /// Whether the request will get no response.
    pub(super) silent: bool,
    /// The state of the login, until the client has logged in.
    #[cfg(feature = "sasl")]
    pub(super) login: Option<Login>,
    /// Whether the connection is closed after its responses are sent.
    pub(super) ends: bool,
    /// No request is read before this time, because the client has exceeded its quota.
    pub(super) muted_until: Option<Time>,
    served: u64,
    /// The `client.id` of the last request.
    client_id: Arc<str>,
    received: BytesMut,
    /// The responses that are sent at a later time because of latency.
    on_their_way: VecDeque<(Time, BytesMut)>,
    /// The responses that are being sent, and how many of their bytes are sent.
    unsent: BytesMut,
    sent: usize,
    /// Whether the socket may have more to read, or room to write.
    readable: bool,
    writable: bool,
    /// Whether the client has closed its sending side. It may still read.
    half_closed: bool,
    failed: bool,
}

/// The part of a request that a delay holds back.
pub(super) enum Held {
    Request,
    Answer(Box<dyn Reply>),
}

/// What a connection can do now.
pub(super) enum Progress {
    /// A request has been read.
    Request,
    /// There is more to read after the turn of the other connections.
    Unfinished,
    /// The connection waits for the socket or for the state.
    Waiting,
    Closed,
    /// The client sent bytes that are not a request that the broker serves.
    Rejected(String),
}

impl Connection {
    pub(super) fn new(stream: Stream, broker: i32, peer: SocketAddr) -> Self {
        let host = format!("/{}", peer.ip());
        let client = Client { id: String::new(), host, principal: "ANONYMOUS".to_owned() };
        Self {
            stream,
            broker,
            peer,
            client,
            request: None,
            effect: Effect::default(),
            held: None,
            silent: false,
            #[cfg(feature = "sasl")]
            login: None,
            ends: false,
            muted_until: None,
            served: 0,
            client_id: Arc::from(""),
            received: BytesMut::new(),
            on_their_way: VecDeque::new(),
            unsent: BytesMut::new(),
            sent: 0,
            readable: true,
            writable: true,
            half_closed: false,
            failed: false,
        }
    }

    pub(super) fn notice(&mut self, event: &Event) {
        self.half_closed |= event.is_read_closed();
        self.readable |= event.is_readable() || self.half_closed;
        self.writable |= event.is_writable();
        self.failed |= event.is_error() || event.is_write_closed();
    }

    /// Sends the pending responses, then reads the next request.
    pub(super) fn next(&mut self, chunk: &mut [u8; CHUNK], longest: usize) -> Progress {
        if self.failed || (self.silent && self.half_closed) || self.flush().is_err() {
            return Progress::Closed;
        }
        if self.ends
            && self.writable
            && self.request.is_none()
            && self.unsent.is_empty()
            && self.on_their_way.is_empty()
        {
            return Progress::Closed;
        }
        let on_its_way: usize = self.on_their_way.iter().map(|(_, frame)| frame.len()).sum();
        if self.request.is_some()
            || !self.unsent.is_empty()
            || self.muted_until.is_some()
            || on_its_way > MOST_ON_ITS_WAY
        {
            return Progress::Waiting;
        }
        for _ in 0..READS_IN_A_TURN {
            match frame::take(&mut self.received, longest) {
                Ok(Some(bytes)) => {
                    self.served += 1;
                    #[cfg(feature = "sasl")]
                    if self.login.as_ref().is_some_and(Login::wants_bare_token) {
                        self.request = Some(Request::bare_token(bytes, self.served, &self.client_id));
                        return Progress::Request;
                    }
                    return match frame::parse(bytes, self.served, &self.client_id) {
                        Ok(request) => {
                            if self.client_id != request.client_id {
                                self.client_id = request.client_id.clone();
                                self.client.id = request.client_id.to_string();
                            }
                            self.request = Some(request);
                            Progress::Request
                        }
                        Err(malformed) => Progress::Rejected(malformed.0),
                    };
                }
                Ok(None) if !self.readable => return Progress::Waiting,
                Ok(None) => match self.read(chunk, longest) {
                    // The client sends nothing more, but waits for its responses.
                    Ok(0) if !self.on_their_way.is_empty() => return Progress::Waiting,
                    Ok(0) => return Progress::Closed,
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => return Progress::Closed,
                },
                Err(malformed) => return Progress::Rejected(malformed.0),
            }
        }
        Progress::Unfinished
    }

    /// Reads the available bytes.
    ///
    /// The buffer of a long frame at most doubles with each read, so that a length alone reserves no memory. Short frames are
    /// read through a chunk that all connections share.
    fn read(&mut self, chunk: &mut [u8; CHUNK], longest: usize) -> io::Result<usize> {
        let begun = frame::length(&self.received, longest).ok().flatten().map_or(0, |length| 4 + length);
        let filled = self.received.len();
        let wanted = begun.saturating_sub(filled).min(filled).min(LONG_CHUNK);
        let (result, room) = if wanted > CHUNK {
            self.received.resize(filled + wanted, 0);
            let result = self.stream.read(&mut self.received[filled..]);
            self.received.truncate(filled + result.as_ref().map_or(0, |count| *count));
            (result, wanted)
        } else {
            let result = self.stream.read(chunk);
            self.received.extend_from_slice(&chunk[..result.as_ref().map_or(0, |count| *count)]);
            (result, CHUNK)
        };
        // The read returned fewer bytes than it had room for, so there are no more. The next byte causes an event. This saves a
        // read that returns nothing.
        if result.as_ref().is_ok_and(|count| (1..room).contains(count))
            && self.stream.is_drained_by_a_short_read()
            && !self.half_closed
        {
            self.readable = false;
        }
        result
    }

    /// Sends the response to the request that is being served, at once or at a time. Returns an error if the response cannot be
    /// encoded.
    pub(super) fn reply(&mut self, reply: &dyn Reply, at: Option<Time>) -> Result<(), String> {
        let Some(request) = self.request.take() else { return Ok(()) };
        // Keep the order of the responses, even if the latency has become shorter.
        let at = at.max(self.on_their_way.back().map(|(at, _)| *at));
        let mut later = BytesMut::new();
        let into = if at.is_none() { &mut self.unsent } else { &mut later };
        frame::encode(&request, reply, into)
            .map_err(|error| format!("the answer to {:?} version {}: {error}", request.key, request.version))?;
        self.on_their_way.extend(at.map(|at| (at, later)));
        // If the write fails, the next turn closes the connection.
        self.failed |= self.flush().is_err();
        Ok(())
    }

    /// Leaves the request without a response. Returns whether a client still waits for it.
    pub(super) fn fall_silent(&mut self) -> bool {
        self.silent = true;
        !self.half_closed
    }

    /// Releases the responses that were delayed until now. A delayed request stays delayed.
    pub(super) fn release(&mut self, now: Time) {
        while let Some((at, frame)) = self.on_their_way.front()
            && *at <= now
        {
            self.unsent.extend_from_slice(frame);
            self.on_their_way.pop_front();
        }
        self.muted_until.take_if(|until| *until <= now);
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.writable && self.sent < self.unsent.len() {
            match self.stream.write(&self.unsent[self.sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.writable {
            match self.stream.flush() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                other => other?,
            }
        }
        if self.sent == self.unsent.len() {
            self.sent = 0;
            self.unsent.clear();
            if self.unsent.capacity() > KEPT {
                self.unsent = BytesMut::new();
            }
        }
        Ok(())
    }
}
