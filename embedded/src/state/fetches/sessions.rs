//! Fetch sessions (KIP-227): the broker stores the partitions that a client reads, and responds only with changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName;
use uuid::Uuid;

use super::super::topics::Topics;
use super::{Fetch, Found, Wanted};
use crate::clock::Time;

/// The maximum number of sessions: Kafka's `max.incremental.fetch.session.cache.slots`.
const MOST: usize = 1000;
/// How long a session must be idle before a new session may replace it, in milliseconds.
const IDLE: i64 = 120_000;

/// The epoch of a request without a session, or of a request that creates a session.
const INITIAL: i32 = 0;
/// The epoch of a request without a session that closes the given session.
const FINAL: i32 = -1;

/// The sessions of all clients.
#[derive(Default)]
pub(crate) struct Sessions {
    by_id: HashMap<i32, Session>,
    last_used: BTreeSet<(Time, i32)>,
}

struct Session {
    broker: i32,
    /// The epoch that the next request must have.
    epoch: i32,
    uses_ids: bool,
    used: Time,
    /// The partitions in the order in which they are read. Partitions that returned records move to the end.
    partitions: BTreeMap<u64, Kept>,
    places: HashMap<(Uuid, TopicName, i32), u64>,
    next_place: u64,
}

struct Kept {
    wanted: Wanted,
    /// The values that the client saw last.
    high_watermark: i64,
    log_start: i64,
}

/// The session fields of a request.
#[derive(Debug)]
pub(crate) struct Changes {
    pub(crate) session: i32,
    pub(crate) epoch: i32,
    pub(crate) uses_ids: bool,
    pub(crate) wanted: Vec<Wanted>,
    /// Topics by id or by name, each with a partition.
    pub(crate) forgotten: Vec<(Uuid, TopicName, i32)>,
}

/// The session of a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Context {
    None,
    /// The response creates a session.
    New {
        uses_ids: bool,
    },
    Incremental {
        session: i32,
        epoch: i32,
    },
}

/// The content of a response: the session, and some of the partitions.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) session: i32,
    /// The partitions, or `None` for all.
    pub(crate) places: Option<Vec<usize>>,
}

fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

impl Session {
    fn key(wanted: &Wanted) -> (Uuid, TopicName, i32) {
        let name = if wanted.id.is_nil() { wanted.topic.clone().unwrap_or_default() } else { TopicName::default() };
        (wanted.id, name, wanted.index)
    }

    fn put(&mut self, wanted: Wanted, high_watermark: i64, log_start: i64) {
        self.places.insert(Self::key(&wanted), self.next_place);
        self.partitions.insert(self.next_place, Kept { wanted, high_watermark, log_start });
        self.next_place += 1;
    }

    fn want(&mut self, wanted: Wanted) {
        let place = self.places.get(&Self::key(&wanted));
        match place.and_then(|place| self.partitions.get_mut(place)) {
            Some(kept) => kept.wanted = wanted,
            None => self.put(wanted, -1, -1),
        }
    }

    /// Returns whether the response must contain a partition, and records what the response contains.
    fn tell(&mut self, wanted: &Wanted, result: &Result<Found, ResponseError>) -> bool {
        let key = Self::key(wanted);
        let Some(place) = self.places.get(&key).copied() else { return true };
        let Some(kept) = self.partitions.get_mut(&place) else { return true };
        let Ok(found) = result else {
            // After an error, the next response must contain the partition.
            (kept.high_watermark, kept.log_start) = (-1, -1);
            return true;
        };
        let sent = (found.high_watermark, found.log_start);
        let news = std::mem::replace(&mut kept.high_watermark, sent.0) != sent.0;
        let news = (std::mem::replace(&mut kept.log_start, sent.1) != sent.1) | news;
        if !found.records.is_empty()
            && let Some(kept) = self.partitions.remove(&place)
        {
            self.put(kept.wanted, sent.0, sent.1);
            return true;
        }
        news || found.diverging.is_some()
    }
}

impl Sessions {
    /// Returns whether a session contains partitions of a topic.
    pub(crate) fn wants(&self, session: i32, topic: &str) -> bool {
        let is_of = |kept: &Kept| kept.wanted.topic.as_deref().is_some_and(|name| **name == *topic);
        self.by_id.get(&session).is_some_and(|session| session.partitions.values().any(is_of))
    }

    /// Adds a request to its session. Returns the partitions to read.
    pub(crate) fn enter(
        &mut self,
        broker: i32,
        changes: Changes,
        topics: &Topics,
        now: Time,
    ) -> Result<(Context, Vec<Wanted>), ResponseError> {
        let Changes { session: id, epoch, uses_ids, wanted, forgotten } = changes;
        if [INITIAL, FINAL].contains(&epoch) {
            if self.by_id.get(&id).is_some_and(|session| session.broker == broker) {
                self.remove(id);
            }
            let context = if epoch == INITIAL { Context::New { uses_ids } } else { Context::None };
            return Ok((context, wanted));
        }
        let session = self.by_id.get_mut(&id).filter(|session| session.broker == broker);
        let session = session.ok_or(ResponseError::FetchSessionIdNotFound)?;
        if session.epoch != epoch {
            return Err(ResponseError::InvalidFetchSessionEpoch);
        }
        if session.uses_ids != uses_ids {
            return Err(ResponseError::FetchSessionTopicIdError);
        }
        wanted.iter().for_each(|wanted| session.want(wanted.clone()));
        for forgotten in forgotten {
            if let Some(place) = session.places.remove(&forgotten) {
                session.partitions.remove(&place);
            }
        }
        if session.partitions.is_empty() {
            self.remove(id);
            return Ok((Context::None, wanted));
        }
        session.epoch = next_epoch(epoch);
        self.last_used.remove(&(std::mem::replace(&mut session.used, now), id));
        self.last_used.insert((now, id));
        let kept = session.partitions.values_mut().map(|kept| {
            if kept.wanted.topic.is_none() {
                kept.wanted.topic = super::topic_name(topics, kept.wanted.id);
            }
            kept.wanted.clone()
        });
        Ok((Context::Incremental { session: id, epoch: next_epoch(epoch) }, kept.collect()))
    }

    /// Returns the part of the results that the response contains.
    pub(crate) fn leave(
        &mut self,
        fetch: &Fetch,
        found: &[Result<Found, ResponseError>],
        now: Time,
    ) -> Result<Shown, (i32, ResponseError)> {
        match fetch.context {
            Context::None => Ok(Shown { session: 0, places: None }),
            Context::New { uses_ids } => Ok(Shown { session: self.begin(fetch, found, uses_ids, now), places: None }),
            Context::Incremental { session: id, epoch } => {
                // Another request may have been processed in the meantime.
                let session = self.by_id.get_mut(&id).filter(|session| session.epoch == epoch);
                let session = session.ok_or((id, ResponseError::InvalidFetchSessionEpoch))?;
                let each = fetch.wanted.iter().zip(found).enumerate();
                let places = each.filter(|(_, (wanted, result))| session.tell(wanted, result)).map(|(n, _)| n);
                Ok(Shown { session: id, places: Some(places.collect()) })
            }
        }
    }

    /// Creates a session if there is room for it. Returns its id, or 0.
    fn begin(&mut self, fetch: &Fetch, found: &[Result<Found, ResponseError>], uses_ids: bool, now: Time) -> i32 {
        if self.by_id.len() >= MOST {
            match self.last_used.first() {
                Some(&(used, idle)) if used.after(IDLE) < now => self.remove(idle),
                _ => return 0,
            }
        }
        let id = loop {
            let id = (Uuid::new_v4().as_u128() as i32) & i32::MAX;
            if id != 0 && !self.by_id.contains_key(&id) {
                break id;
            }
        };
        let mut session = Session {
            broker: fetch.broker,
            epoch: next_epoch(INITIAL),
            uses_ids,
            used: now,
            partitions: BTreeMap::new(),
            places: HashMap::with_capacity(fetch.wanted.len()),
            next_place: 0,
        };
        for (wanted, found) in fetch.wanted.iter().zip(found) {
            let sent = found.as_ref().map_or((-1, -1), |found| (found.high_watermark, found.log_start));
            session.put(wanted.clone(), sent.0, sent.1);
        }
        self.by_id.insert(id, session);
        self.last_used.insert((now, id));
        id
    }

    fn remove(&mut self, id: i32) {
        if let Some(session) = self.by_id.remove(&id) {
            self.last_used.remove(&(session.used, id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch(context: Context) -> Fetch {
        let wanted = Vec::new();
        Fetch { version: 12, broker: 1, follower: false, committed: false, min_bytes: 0, max_bytes: 0, context, wanted }
    }

    #[test]
    fn sessions_are_bounded_and_only_idle_ones_make_room() {
        let mut sessions = Sessions::default();
        let new = fetch(Context::New { uses_ids: false });
        let mut begin = |now| sessions.leave(&new, &[], Time(now)).unwrap().session;
        for n in 0..MOST {
            assert_ne!(begin(n as i64), 0);
        }
        assert_eq!(begin(IDLE), 0);
        assert_ne!(begin(IDLE + 1), 0);
        assert_eq!(begin(IDLE + 1), 0);
        assert_eq!((sessions.by_id.len(), sessions.last_used.len()), (MOST, MOST));
    }

    #[test]
    fn the_epoch_begins_again_with_1_after_the_largest() {
        assert_eq!((next_epoch(0), next_epoch(7), next_epoch(i32::MAX)), (1, 8, 1));
    }
}
