//! One operation of any kind. It names nothing that a broker has chosen, so that any part of a sequence is one too.

use super::random::Random;
use super::side::Side;
use super::{consumers, groups, offsets, producers, records, topics, transactions};

#[derive(Debug, Clone)]
pub enum Op {
    Topics(topics::Op),
    Produce(producers::Op),
    Records(records::Op),
    Transactions(transactions::Op),
    Offsets(offsets::Op),
    Groups(groups::Op),
    Consumers(consumers::Op),
}

/// The kinds by their names, each with how often it is drawn.
pub const KINDS: [(&str, u8); 7] = [
    ("topics", 6),
    ("produce", 26),
    ("records", 26),
    ("transactions", 26),
    ("offsets", 12),
    ("groups", 22),
    ("consumers", 14),
];

/// A sequence: first topics to work on, then anything of the kinds that are wanted.
pub fn sequence(random: &mut Random, length: usize, kinds: &[usize]) -> Vec<Op> {
    let mut drawn: Vec<usize> = Vec::new();
    // Some cases are of a few kinds only, and go deeper there.
    for &kind in kinds {
        if kind == 0 || random.chance(60) {
            drawn.extend(std::iter::repeat_n(kind, KINDS[kind].1.into()));
        }
    }
    if drawn.is_empty() {
        drawn.extend(kinds);
    }
    let mut ops: Vec<Op> = (0..topics::TOPICS - 1).map(|topic| Op::Topics(topics::Op::create(topic, random))).collect();
    while ops.len() < length {
        ops.push(match random.pick(&drawn) {
            0 => Op::Topics(topics::Op::random(random)),
            1 => Op::Produce(producers::Op::random(random)),
            2 => Op::Records(records::Op::random(random)),
            3 => Op::Transactions(transactions::Op::random(random)),
            4 => Op::Offsets(offsets::Op::random(random)),
            5 => Op::Groups(groups::Op::random(random)),
            _ => Op::Consumers(consumers::Op::random(random)),
        });
    }
    ops
}

impl Op {
    /// The name of its kind.
    pub fn kind(&self) -> &'static str {
        let index = match self {
            Self::Topics(_) => 0,
            Self::Produce(_) => 1,
            Self::Records(_) => 2,
            Self::Transactions(_) => 3,
            Self::Offsets(_) => 4,
            Self::Groups(_) => 5,
            Self::Consumers(_) => 6,
        };
        KINDS[index].0
    }

    /// Whether it changes nothing, and may be asked again.
    pub fn reads(&self) -> bool {
        match self {
            Self::Topics(op) => op.reads(),
            Self::Produce(_) => false,
            Self::Records(op) => op.reads(),
            Self::Transactions(op) => op.reads(),
            Self::Offsets(op) => op.reads(),
            Self::Groups(op) => op.reads(),
            Self::Consumers(op) => op.reads(),
        }
    }

    /// Carries it out; what is to be seen of it.
    pub fn apply(&self, side: &mut Side) -> String {
        let seen = match self {
            Self::Topics(op) => op.apply(side),
            Self::Produce(op) => op.apply(side),
            Self::Records(op) => op.apply(side),
            Self::Transactions(op) => op.apply(side),
            Self::Offsets(op) => op.apply(side),
            Self::Groups(op) => op.apply(side),
            Self::Consumers(op) => op.apply(side),
        };
        seen.unwrap_or_else(|error| error)
    }
}
