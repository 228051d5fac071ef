//! Makes a sequence that differs shorter.

use std::time::{Duration, Instant};

use super::case::Difference;
use super::op::{KINDS, Op};

/// Leaves out what can be left out, for so long; the sequence that is left, and where it differs.
pub fn shrink(
    ops: Vec<Op>,
    difference: Difference,
    limit: Duration,
    run: impl Fn(&[Op]) -> Option<Difference>,
) -> (Vec<Op>, Difference) {
    let (began, mut size) = (Instant::now(), (ops.len() / 2).max(1));
    let mut shrinking = Shrinking { ops, difference, run };
    // What comes after the difference has no part in it. Mostly reading has none either, nor have other kinds.
    shrinking.ops.truncate(shrinking.difference.step + 1);
    shrinking.without(|op| op.reads());
    for (kind, _) in KINDS {
        shrinking.without(|op| op.kind() == kind);
    }
    loop {
        let mut left_out = false;
        let mut at = shrinking.ops.len();
        while at > 0 && began.elapsed() < limit {
            at = at.saturating_sub(size);
            let mut fewer = shrinking.ops.clone();
            fewer.drain(at..(at + size).min(fewer.len()));
            left_out |= shrinking.try_with(fewer);
            at = at.min(shrinking.ops.len());
        }
        if began.elapsed() >= limit || size == 1 && !left_out {
            return (shrinking.ops, shrinking.difference);
        }
        size = (size / 2).max(1);
    }
}

struct Shrinking<F> {
    ops: Vec<Op>,
    difference: Difference,
    run: F,
}

impl<F: Fn(&[Op]) -> Option<Difference>> Shrinking<F> {
    /// Leaves out all of a kind but the last, which shows the difference.
    fn without(&mut self, is_one: impl Fn(&Op) -> bool) {
        let last = self.ops.len() - 1;
        let kept = self.ops.iter().enumerate().filter(|(n, op)| *n == last || !is_one(op));
        let fewer: Vec<Op> = kept.map(|(_, op)| op.clone()).collect();
        if fewer.len() < self.ops.len() {
            self.try_with(fewer);
        }
    }

    /// Goes on with fewer operations where they still differ in the same kind of operation.
    fn try_with(&mut self, mut fewer: Vec<Op>) -> bool {
        let differs = |found: &Difference| name(&found.op) == name(&self.difference.op);
        let Some(found) = (self.run)(&fewer).filter(differs) else { return false };
        fewer.truncate(found.step + 1);
        (self.ops, self.difference) = (fewer, found);
        true
    }
}

/// What kind of operation it is: another one is another difference.
fn name(op: &str) -> &str {
    op.split([' ', '{']).next().unwrap_or(op)
}
