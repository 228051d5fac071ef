//! One of the two brokers, and what its clients know of it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use kafka_protocol::messages::{ApiVersionsRequest, TopicName};
use kafka_protocol::protocol::{Request, StrBytes};
use uuid::Uuid;

use super::connection::Connection;
use super::consumers::Consumer;
use super::groups::Member;
use super::producers::Producer;
use super::text;

/// The lowest and the highest version of each API that both brokers serve.
pub type Versions = Rc<BTreeMap<i16, (i16, i16)>>;

pub struct Side {
    pub address: String,
    /// What all names of this case begin with; the same on both sides.
    pub run: String,
    /// The time that the records' timestamps are about; the same on both sides.
    pub time: i64,
    /// Whether it may take a moment until something is so everywhere.
    pub versions: Versions,
    connection: Connection,
    /// The ids of the topics, the last one of each.
    pub topics: BTreeMap<u8, Uuid>,
    /// How many topics have been made.
    pub made: usize,
    /// Topics whose records have the time at which they were appended.
    pub append_times: Vec<u8>,
    /// Topics whose records have been deleted in part.
    pub truncated: Vec<u8>,
    pub producers: Vec<Producer>,
    pub members: Vec<Member>,
    pub consumers: Vec<Consumer>,
    /// What the broker has named, and how it is written here.
    names: Vec<(String, String)>,
    /// The producer ids in the order in which they were given out.
    ids: Vec<i64>,
}

impl Side {
    pub fn new(address: &str, run: &str, time: i64, versions: &Versions) -> io::Result<Self> {
        Ok(Self {
            address: address.to_owned(),
            run: run.to_owned(),
            time,
            versions: Rc::clone(versions),
            connection: Connection::open(address)?,
            topics: BTreeMap::new(),
            made: 0,
            append_times: Vec::new(),
            truncated: Vec::new(),
            producers: (0..4).map(Producer::new).collect(),
            members: (0..5).map(|slot| Member::new(slot, address)).collect::<io::Result<_>>()?,
            consumers: (0..3).map(Consumer::new).collect(),
            names: Vec::new(),
            ids: Vec::new(),
        })
    }

    /// One of the versions that both brokers serve, up to a highest one.
    pub fn version_up_to<R: Request>(&self, choice: u8, highest: i16) -> i16 {
        let (low, high) = self.versions.get(&R::KEY).copied().unwrap_or((0, 0));
        let high = high.min(highest).max(low);
        low + i16::from(choice) % (high - low + 1)
    }

    pub fn version<R: Request>(&self, choice: u8) -> i16 {
        self.version_up_to::<R>(choice, i16::MAX)
    }

    /// Whether both brokers serve an API.
    pub fn serves<R: Request>(&self) -> bool {
        self.versions.contains_key(&R::KEY)
    }

    /// Asks; where the broker closes the connection instead, says so.
    pub fn call<R: Request>(&mut self, request: &R, version: i16) -> Result<R::Response, String> {
        if !self.serves::<R>() {
            return Err("not served by both".to_owned());
        }
        self.connection.call(request, version).map_err(|error| {
            self.connection = Connection::open(&self.address).expect("the broker is there");
            failed(&error)
        })
    }

    /// Sends a request that is not answered, and waits until it is served.
    pub fn tell<R: Request>(&mut self, request: &R, version: i16) -> Result<(), String> {
        self.connection.send(request, version).map_err(|error| failed(&error))?;
        self.call(&ApiVersionsRequest::default(), 0).map(|_| ())
    }

    /// Returns when all that the broker does at once has been done.
    pub fn settle(&mut self) {
        // The first may be answered before what came with it is.
        for _ in 0..2 {
            self.connection.call(&ApiVersionsRequest::default(), 0).expect("the broker is there");
        }
    }

    pub fn topic(&self, topic: u8) -> TopicName {
        TopicName(StrBytes::from_string(format!("{}-t{topic}", self.run)))
    }

    pub fn group(&self, group: u8) -> StrBytes {
        StrBytes::from_string(format!("{}-g{group}", self.run))
    }

    pub fn transactional_id(&self, slot: u8) -> StrBytes {
        StrBytes::from_string(format!("{}-x{slot}", self.run))
    }

    pub fn topic_id(&self, topic: u8) -> Uuid {
        self.topics.get(&topic).copied().unwrap_or(Uuid::from_u128(u128::from(topic) + 1))
    }

    /// Remembers a name that the broker has chosen.
    pub fn learn(&mut self, chosen: &str, shown: String) {
        if !chosen.is_empty() && !self.names.iter().any(|(known, _)| known == chosen) {
            self.names.push((chosen.to_owned(), shown));
        }
    }

    pub fn learn_producer(&mut self, id: i64) {
        if id >= 0 && !self.ids.contains(&id) {
            self.ids.push(id);
        }
    }

    pub fn producer_shown(&self, id: i64) -> String {
        match self.ids.iter().position(|known| *known == id) {
            Some(index) => format!("#{index}"),
            None => id.to_string(),
        }
    }

    /// An answer as text, without what may differ.
    pub fn show(&self, answer: &impl Debug) -> String {
        self.plain(format!("{answer:?}"))
    }

    pub fn plain(&self, mut text: String) -> String {
        for (chosen, shown) in &self.names {
            text = text.replace(chosen, shown);
        }
        text = text.replace(&self.run, "");
        text = text::rewrite(&text, "producer_id: ", ",", |id| match id.parse() {
            Ok(id) => self.producer_shown(id),
            Err(_) => id.to_owned(),
        });
        text::plain(&text)
    }
}

/// What a client sees of a connection that has no answer.
pub fn failed(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "closed".to_owned(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "no answer".to_owned(),
        _ => format!("malformed: {error}"),
    }
}
