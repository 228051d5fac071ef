//! One sequence on both brokers, one operation at a time.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use embedded_kafka::EmbeddedKafka;
use kafka_protocol::messages::InitProducerIdRequest;

use super::op::Op;
use super::side::{Side, Versions};
use super::{common, groups, text, transactions};

/// How long it may take until something is so everywhere in Apache Kafka.
const EVENTUALLY: Duration = Duration::from_secs(3);

/// How far the records' timestamps are ahead of the clock.
pub const AHEAD: i64 = 20_000;

/// Where two brokers were first seen to differ.
#[derive(Debug, Clone)]
pub struct Difference {
    pub step: usize,
    pub op: String,
    pub kafka: String,
    pub ours: String,
    /// Each operation before, with what was to be seen of it on both.
    pub before: Vec<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.before {
            writeln!(f, "    {line}")?;
        }
        writeln!(f, "at step {} the brokers differ: {}", self.step, self.op)?;
        writeln!(f, "  Apache Kafka: {}", self.kafka)?;
        write!(f, "  embedded:     {}", self.ours)
    }
}

/// Runs a sequence on Apache Kafka and on an embedded broker of its own.
pub fn run(kafka: &str, versions: &Versions, ops: &[Op]) -> Option<Difference> {
    let embedded = EmbeddedKafka::start().expect("an embedded broker");
    let run = format!("d{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
    // Ahead, so that the markers of transactions, which have the brokers' own times, are older than what is looked for.
    let time = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64 + AHEAD;
    let side = |address: &str| Side::new(address, &run, time, versions).expect("the broker is there");
    let mut ours = side(embedded.bootstrap_servers());
    let mut kafka = side(kafka);
    for side in [&mut ours, &mut kafka] {
        // Do not use the id 0, because a response without a producer contains it.
        let request = InitProducerIdRequest::default().with_transactional_id(None);
        common::eventually(|| side.call(&request, 0).ok().filter(|answer| answer.error_code == 0));
    }
    let (mut found, mut before) = (None, Vec::new());
    for (step, op) in ops.iter().enumerate() {
        let seen = compare(&mut kafka, &mut ours, op);
        adopt_ids(&kafka, &mut ours, &embedded);
        match seen {
            Seen::Same(seen) => before.push(format!("{op:?} -> {seen}")),
            Seen::Apart => break,
            Seen::Differs { kafka, ours } => {
                found = Some(Difference { step, op: format!("{op:?}"), kafka, ours, before });
                break;
            }
        }
    }
    for topic in 0..super::topics::TOPICS {
        let delete = super::topics::Op::Delete { topic, by_id: false, version: 0 };
        let _ = delete.apply(&mut kafka);
    }
    found
}

/// Gives each topic the id that Kafka has given to it: its assignors go by the order of the ids.
fn adopt_ids(kafka: &Side, ours: &mut Side, embedded: &EmbeddedKafka) {
    for (topic, id) in &kafka.topics {
        if ours.topics.get(topic).is_some_and(|own| own != id)
            && embedded.set_topic_id(&ours.topic(*topic), id.as_u128())
        {
            ours.topics.insert(*topic, *id);
            ours.learn(&id.to_string(), format!("id {} of t{topic}", ours.made));
        }
    }
}

/// Whether Kafka's order of the topics depends on more than their ids: two of them share a place in a map of 16.
fn is_ambiguous(side: &Side) -> bool {
    let mut places = BTreeSet::new();
    !side.topics.values().all(|id| {
        let (high, low) = id.as_u64_pair();
        let hash = ((high ^ low) >> 32) as u32 ^ (high ^ low) as u32;
        places.insert((hash ^ (hash >> 16)) & 15)
    })
}

/// What two brokers have shown.
enum Seen {
    Same(String),
    /// Kafka left it to chance: from here on the two may go their own ways.
    Apart,
    Differs {
        kafka: String,
        ours: String,
    },
}

fn differs(kafka: impl fmt::Display, ours: impl fmt::Display) -> Seen {
    Seen::Differs { kafka: kafka.to_string(), ours: ours.to_string() }
}

/// Carries an operation out on both.
fn compare(kafka: &mut Side, ours: &mut Side, op: &Op) -> Seen {
    if matches!(op, Op::Consumers(_)) && is_ambiguous(kafka) {
        return Seen::Apart;
    }
    let mut expected = insistent(ours, op);
    let began = Instant::now();
    loop {
        let seen = insistent(kafka, op);
        if seen == expected {
            break;
        }
        if !op.reads() || began.elapsed() > EVENTUALLY {
            return differs(seen, expected);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    // Nothing comes of its transactional id any more but requests to ask again.
    if expected == transactions::NEVER_ENDS {
        return Seen::Apart;
    }
    if let Some(seen) = waiting(kafka, ours, &mut expected) {
        return seen;
    }
    // Kafka ends the rebalance of a group that is left by its last member a moment later.
    if let Op::Groups(groups::Op::Leave { slot, .. }) = op
        && let Err(seen) = until_alike(kafka, ours, (*slot).into())
    {
        return seen;
    }
    Seen::Same(expected)
}

/// What comes of the requests that have to wait.
fn waiting(kafka: &mut Side, ours: &mut Side, told: &mut String) -> Option<Seen> {
    ours.settle();
    let slots = 0..ours.members.len();
    let answered: Vec<usize> = slots.clone().filter(|&slot| ours.members[slot].has_answer()).collect();
    let mut answers = Vec::new();
    for &slot in &answered {
        let our = groups::answer(ours, slot);
        // Kafka forgets the SyncGroup of a member that is removed, and never answers it.
        if our.is_of_a_removed_member() && !kafka.members[slot].has_answer_within(Duration::from_millis(200)) {
            return Some(Seen::Apart);
        }
        answers.push((slot, groups::answer(kafka, slot), our));
    }
    let shown: Vec<_> =
        answers.into_iter().map(|(slot, theirs, our)| (slot, theirs.show(kafka, slot), our.show(ours, slot))).collect();
    let same_but_for_the_leader = |(_, seen, expected): &(usize, String, String)| {
        groups::but_for_the_leader(seen) == groups::but_for_the_leader(expected)
    };
    if let Some((slot, seen, expected)) = shown.iter().find(|(_, seen, expected)| seen != expected) {
        if shown.len() > 1 && shown.iter().all(same_but_for_the_leader) {
            return Some(Seen::Apart);
        }
        return Some(differs(format_args!("member {slot}: {seen}"), format_args!("member {slot}: {expected}")));
    }
    for (slot, seen, _) in &shown {
        told.push_str(&format!(" member {slot}: {seen}"));
    }
    for slot in slots {
        if !ours.members[slot].is_waiting() {
            continue;
        }
        if kafka.members[slot].has_answer() {
            let seen = groups::answer(kafka, slot).show(kafka, slot);
            return Some(differs(format_args!("member {slot}: {seen}"), format_args!("member {slot}: still waits")));
        }
        // It has to be there before the next request comes by another connection.
        if let Err(seen) = until_alike(kafka, ours, slot) {
            return Some(seen);
        }
    }
    None
}

/// Waits until the group of a member is described alike.
fn until_alike(kafka: &mut Side, ours: &mut Side, slot: usize) -> Result<(), Seen> {
    let expected = groups::of_member(ours, slot);
    let began = Instant::now();
    loop {
        let seen = groups::of_member(kafka, slot);
        if seen == expected {
            return Ok(());
        }
        if began.elapsed() > EVENTUALLY {
            let of_member = |seen| format!("the group of member {slot}: {seen}");
            return Err(differs(of_member(seen), of_member(expected)));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Asks again while the broker asks for that, as a client does.
fn insistent(side: &mut Side, op: &Op) -> String {
    let began = Instant::now();
    loop {
        let seen = op.apply(side);
        if !text::is_passing(&seen) || began.elapsed() > Duration::from_secs(5) {
            return seen;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
