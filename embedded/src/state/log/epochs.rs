//! The leader epochs of a log, with their start offsets.

/// The epochs of the leaders that appended records, with their start offsets.
#[derive(Debug, Default)]
pub(super) struct Epochs(Vec<(i32, i64)>);

/// The end offset of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EpochEnd {
    /// The epoch, or the largest earlier epoch in the log.
    pub(crate) epoch: i32,
    pub(crate) end_offset: i64,
}

impl Epochs {
    /// Records that a leader appends at an offset.
    pub(super) fn assign(&mut self, epoch: i32, offset: i64) {
        if self.0.last().is_none_or(|&(last, _)| last < epoch) {
            self.0.push((epoch, offset));
        }
    }

    /// Forgets the epochs before the start offset of the log.
    pub(super) fn truncate_before(&mut self, start: i64) {
        let after = self.0.partition_point(|&(_, offset)| offset <= start);
        if after > 0 {
            self.0.drain(..after - 1);
            self.0[0].1 = start;
        }
    }

    pub(super) fn first(&self) -> Option<i32> {
        self.0.first().map(|&(epoch, _)| epoch)
    }

    /// Returns the end offset of an epoch. `current` is the leader's epoch, and `end` is the end offset of the log. Returns
    /// nothing for a later epoch.
    pub(super) fn end_of(&self, epoch: i32, current: i32, end: i64) -> Option<EpochEnd> {
        if epoch == current {
            return Some(EpochEnd { epoch, end_offset: end });
        }
        if epoch < 0 || epoch > current {
            return None;
        }
        // If the current leader has appended nothing, its epoch starts at the end offset.
        let higher = self.0.partition_point(|&(other, _)| other <= epoch);
        let end_offset = self.0.get(higher).map_or(end, |&(_, start)| start);
        let floor = higher.checked_sub(1).map(|floor| self.0[floor].0);
        Some(EpochEnd { epoch: floor.unwrap_or(epoch), end_offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(epochs: &Epochs, epoch: i32) -> Option<(i32, i64)> {
        epochs.end_of(epoch, 7, 100).map(|end| (end.epoch, end.end_offset))
    }

    #[test]
    fn an_epoch_ends_where_the_next_one_begins() {
        let mut epochs = Epochs::default();
        for (epoch, offset) in [(1, 0), (1, 5), (3, 10), (5, 40)] {
            epochs.assign(epoch, offset);
        }
        let expected = [(0, Some((0, 0))), (1, Some((1, 10))), (2, Some((1, 10))), (3, Some((3, 40)))];
        expected.into_iter().for_each(|(epoch, expected)| assert_eq!(end(&epochs, epoch), expected, "{epoch}"));
        assert_eq!((end(&epochs, 5), end(&epochs, 6)), (Some((5, 100)), Some((5, 100))));
        assert_eq!((end(&epochs, 7), end(&epochs, 8), end(&epochs, -1)), (Some((7, 100)), None, None));
    }

    #[test]
    fn what_lies_before_the_start_is_forgotten() {
        let mut epochs = Epochs::default();
        for (epoch, offset) in [(0, 0), (1, 10), (2, 20)] {
            epochs.assign(epoch, offset);
        }
        epochs.truncate_before(15);
        assert_eq!((epochs.first(), end(&epochs, 0), end(&epochs, 1)), (Some(1), Some((0, 15)), Some((1, 20))));
        epochs.truncate_before(50);
        assert_eq!((epochs.first(), end(&epochs, 2)), (Some(2), Some((2, 100))));
    }
}
