use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{JoinGroupResponse, SyncGroupResponse};
use kafka_protocol::protocol::Decodable;

use super::*;
use crate::state::acls::Acls;
use crate::state::configs::Configs;
use crate::state::groups::env::Waiter;
use crate::state::groups::{Around, Timer};
use crate::state::timers::Timers;
use crate::state::{Outbox, Ticket, Topics};

const VERSION: i16 = 5;

/// One group and its surroundings; the tests pass the time.
struct World {
    group: ClassicGroup,
    id: Arc<str>,
    configs: Configs,
    topics: Topics,
    timers: Timers<Timer>,
    outbox: Outbox,
    now: Time,
    requests: u64,
}

impl World {
    fn new() -> Self {
        Self {
            group: ClassicGroup::new(Time(0)),
            id: "g".into(),
            configs: Configs::new(Vec::new(), 1).unwrap(),
            topics: Topics::default(),
            timers: Timers::default(),
            outbox: Outbox::default(),
            now: Time(0),
            requests: 0,
        }
    }

    fn with<R>(&mut self, act: impl FnOnce(&mut ClassicGroup, &mut Env<'_>) -> R) -> R {
        let Self { group, id, configs, topics, timers, outbox, now, .. } = self;
        let mut around = Around { configs, topics, acls: &Acls::default(), now: *now, outbox };
        act(group, &mut Env::new(id, &mut around, timers))
    }

    fn waiter(&mut self) -> Waiter {
        self.requests += 1;
        Waiter { ticket: Ticket { connection: 0, serial: self.requests }, version: VERSION }
    }

    /// Makes a member join, first without an id if it has none yet. Returns its id.
    fn join(&mut self, member_id: &str, protocols: &[&str]) -> String {
        let waiter = self.waiter();
        let join = Join {
            waiter,
            member_id: member_id.to_owned(),
            instance_id: None,
            client_id: "c".to_owned(),
            client_host: String::new(),
            rebalance_timeout: 60_000,
            session_timeout: 10_000,
            protocol_type: CONSUMER.to_owned(),
            protocols: protocols.iter().map(|name| ((*name).to_owned(), Bytes::new())).collect(),
        };
        self.with(|group, env| group.join(env, join));
        if !member_id.is_empty() {
            return member_id.to_owned();
        }
        let given = self.joined();
        assert_eq!(given[0].error_code, ResponseError::MemberIdRequired.code());
        self.join(&given[0].member_id, protocols)
    }

    fn sync(&mut self, member_id: &str, assignments: &[(&str, &'static str)]) {
        let waiter = self.waiter();
        let assignments = assignments.iter();
        let sync = Sync {
            waiter,
            member_id: member_id.to_owned(),
            instance_id: None,
            generation: self.group.generation,
            protocol_type: None,
            protocol: None,
            assignments: assignments
                .map(|(id, share)| ((*id).to_owned(), Bytes::from_static(share.as_bytes())))
                .collect(),
        };
        self.with(|group, env| group.sync(env, sync));
    }

    fn heartbeat(&mut self, member_id: &str) -> Result<(), ResponseError> {
        let generation = self.group.generation;
        self.with(|group, env| group.heartbeat(env, member_id, None, generation))
    }

    /// Lets the time pass, with all that is due.
    fn pass(&mut self, milliseconds: i64) {
        let end = self.now.after(milliseconds);
        while let Some(at) = self.timers.next().filter(|at| *at <= end) {
            self.now = at;
            let timer = self.timers.take_due(at).unwrap();
            self.with(|group, env| match timer.kind {
                TimerKind::ClassicSession => group.session_timeout(env, &timer.member),
                TimerKind::ClassicJoin => group.join_timeout(env),
                _ => group.sync_timeout(env),
            });
        }
        self.now = end;
    }

    fn answers<T: Decodable>(&mut self) -> Vec<T> {
        let decode = |reply: Box<dyn crate::wire::Reply>| {
            let mut bytes = BytesMut::new();
            reply.encode(VERSION, &mut bytes).unwrap();
            T::decode(&mut bytes.freeze(), VERSION).unwrap()
        };
        self.outbox.take().into_iter().map(|(_, reply)| decode(reply)).collect()
    }

    fn joined(&mut self) -> Vec<JoinGroupResponse> {
        self.answers()
    }

    fn synced(&mut self) -> Vec<SyncGroupResponse> {
        self.answers()
    }

    /// A stable group of one, and the member's id.
    fn of_one() -> (Self, String) {
        let mut world = Self::new();
        let id = world.join("", &["range"]);
        world.pass(0);
        world.sync(&id, &[(&id, "all")]);
        assert_eq!((world.group.state, world.outbox.take().len()), (State::Stable, 2));
        (world, id)
    }
}

#[test]
fn a_group_goes_through_its_states() {
    let mut world = World::new();
    let id = world.join("", &["range"]);
    assert_eq!(world.group.state, State::PreparingRebalance);
    world.pass(0);
    assert_eq!((world.group.state, world.group.generation), (State::CompletingRebalance, 1));
    assert_eq!(&*world.joined()[0].leader, id);
    world.sync(&id, &[(&id, "all")]);
    assert_eq!(world.group.state, State::Stable);
    assert_eq!(&world.synced()[0].assignment[..], b"all");
    world.pass(10_000);
    assert_eq!((world.group.state, world.group.generation), (State::Empty, 2));
    assert_eq!(world.timers.next(), None);
}

#[test]
fn heartbeats_keep_a_member() {
    let (mut world, id) = World::of_one();
    for _ in 0..5 {
        world.pass(9_999);
        assert_eq!(world.heartbeat(&id), Ok(()));
    }
    world.pass(10_000);
    assert_eq!(world.heartbeat(&id), Err(ResponseError::UnknownMemberId));
}

#[test]
fn a_member_that_waits_for_the_others_is_not_missed() {
    let (mut world, id) = World::of_one();
    world.join("", &["range"]);
    // The first one stops to send heartbeats, which ends the wait.
    world.pass(9_999);
    assert_eq!(world.group.state, State::PreparingRebalance);
    world.pass(1);
    assert_eq!(world.group.state, State::CompletingRebalance);
    let joined = world.joined();
    assert_eq!((joined.len(), joined[0].members.len(), joined[0].generation_id), (1, 1, 2));
    assert_ne!(&*joined[0].leader, id);
}

#[test]
fn the_leader_alone_ends_the_wait_for_assignments() {
    let (mut world, one) = World::of_one();
    let two = world.join("", &["range"]);
    world.join(&one, &["range"]);
    assert_eq!(world.joined().len(), 2);
    world.sync(&two, &[]);
    assert_eq!(world.synced().len(), 0);
    world.pass(59_999);
    assert_eq!(world.heartbeat(&one), Err(ResponseError::UnknownMemberId), "its session was shorter");
    assert_eq!(world.synced()[0].error_code, ResponseError::RebalanceInProgress.code());
}

#[test]
fn the_protocol_that_most_like_best_is_taken() {
    let mut world = World::new();
    world.join("", &["a", "b", "c"]);
    world.join("", &["b", "a", "x"]);
    world.join("", &["x", "b", "a"]);
    assert_eq!(world.group.select_protocol(), Some("b"));
}

#[test]
fn a_leader_that_leaves_has_a_successor() {
    let (mut world, one) = World::of_one();
    let two = world.join("", &["range"]);
    world.join(&one, &["range"]);
    world.outbox.take();
    let leaving = [Leaving { member_id: one, instance_id: None }];
    assert_eq!(world.with(|group, env| group.leave(env, &leaving)), [Ok(())]);
    assert_eq!((world.group.state, world.group.leader()), (State::PreparingRebalance, Some(&*two)));
    world.join(&two, &["range"]);
    assert_eq!(world.joined()[0].members.len(), 1);
}

#[test]
fn subscriptions_that_cannot_be_read_may_be_to_any_topic() {
    let (world, _) = World::of_one();
    assert!(world.group.is_subscribed_to("t"));
    let read = |bytes: &'static [u8]| subscription(&Bytes::from_static(bytes)).map(|read| read.topics.len());
    assert_eq!(read(b"\0\x01\0\0\0\x01\0\x01t\xff\xff\xff\xff"), Some(1));
    assert_eq!(read(b"\0\0\x7f\xff\xff\xff"), None);
    assert_eq!(read(b"\0"), None);
}
