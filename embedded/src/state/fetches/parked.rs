//! The fetches that wait for records, by partition.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use uuid::Uuid;

use super::super::Ticket;
use super::super::topics::Topics;
use super::Fetch;
use crate::clock::Time;

/// Each fetch stores the available bytes of each of its partitions. So a change of one partition is processed without reading
/// the others.
#[derive(Default)]
pub(crate) struct Parked {
    waiting: HashMap<Ticket, Waiting>,
    /// The waiting fetch of each connection. A connection has at most one.
    by_connection: HashMap<usize, Ticket>,
    /// The index of a partition in a fetch that waits for it.
    by_partition: BTreeMap<(Uuid, i32, Ticket), usize>,
    deadlines: BTreeSet<(Time, Ticket)>,
    /// The fetches whose wait is over.
    ready: VecDeque<Ticket>,
}

struct Waiting {
    fetch: Fetch,
    deadline: Time,
    /// The topic ids, and the last known number of available bytes of each partition.
    parts: Vec<(Uuid, usize)>,
    available: usize,
}

impl Parked {
    /// Makes a fetch wait until a deadline.
    pub(crate) fn park(&mut self, ticket: Ticket, fetch: Fetch, topics: &Topics, deadline: Time) {
        let mut available = 0;
        let mut parts = Vec::with_capacity(fetch.wanted.len());
        let mut last = None;
        for (place, wanted) in fetch.wanted.iter().enumerate() {
            let name = wanted.topic.as_ref();
            let id = match last {
                Some((known, id)) if known == name => id,
                _ => name.and_then(|name| topics.get(name)).map_or(Uuid::nil(), |topic| topic.id),
            };
            last = Some((name, id));
            let bytes = fetch.available(topics, wanted).unwrap_or_default();
            available += bytes;
            parts.push((id, bytes));
            self.by_partition.insert((id, wanted.index, ticket), place);
        }
        self.deadlines.insert((deadline, ticket));
        self.by_connection.insert(ticket.connection, ticket);
        self.waiting.insert(ticket, Waiting { fetch, deadline, parts, available });
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// Marks the fetches whose wait is over by now.
    pub(crate) fn expire(&mut self, now: Time) {
        while let Some(&(deadline, ticket)) = self.deadlines.first()
            && deadline <= now
        {
            self.deadlines.pop_first();
            self.ready.push_back(ticket);
        }
    }

    /// Checks the fetches that wait for a changed partition.
    pub(crate) fn changed(&mut self, (id, index): (Uuid, i32), topics: &Topics) {
        let first = Ticket { connection: 0, serial: 0 };
        let last = Ticket { connection: usize::MAX, serial: u64::MAX };
        for (&(.., ticket), &place) in self.by_partition.range((id, index, first)..=(id, index, last)) {
            let Some(waiting) = self.waiting.get_mut(&ticket) else { continue };
            match waiting.fetch.available(topics, &waiting.fetch.wanted[place]) {
                Ok(bytes) => {
                    let before = std::mem::replace(&mut waiting.parts[place].1, bytes);
                    waiting.available = waiting.available - before + bytes;
                    if waiting.available >= waiting.fetch.min_bytes {
                        self.ready.push_back(ticket);
                    }
                }
                Err(_) => self.ready.push_back(ticket),
            }
        }
    }

    /// Removes and returns a fetch whose wait is over.
    pub(crate) fn take_ready(&mut self) -> Option<(Ticket, Fetch)> {
        loop {
            let ticket = self.ready.pop_front()?;
            if let Some(fetch) = self.remove(ticket) {
                return Some((ticket, fetch));
            }
        }
    }

    fn remove(&mut self, ticket: Ticket) -> Option<Fetch> {
        let Waiting { fetch, deadline, parts, .. } = self.waiting.remove(&ticket)?;
        self.deadlines.remove(&(deadline, ticket));
        self.by_connection.remove(&ticket.connection);
        for (wanted, (id, _)) in fetch.wanted.iter().zip(parts) {
            self.by_partition.remove(&(id, wanted.index, ticket));
        }
        Some(fetch)
    }

    /// Drops the fetch of a closed connection.
    pub(crate) fn forget(&mut self, connection: usize) {
        if let Some(&ticket) = self.by_connection.get(&connection) {
            self.remove(ticket);
        }
    }
}
