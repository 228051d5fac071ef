//! Timeouts of transactions, and expiration of unused transactional ids.

use super::{State, Transactions};
use crate::clock::Time;

impl Transactions {
    pub(crate) fn next_timeout(&self) -> Option<Time> {
        self.timers.next()
    }

    /// Aborts the transactions whose timeout is over, and forgets the expired transactional ids.
    pub(super) fn expire(&mut self, now: Time) {
        while let Some(id) = self.timers.take_due(now) {
            let Some(transaction) = self.by_id.get_mut(&id) else { continue };
            if transaction.state() == State::Ongoing {
                let ended = transaction.fence(now);
                self.ended.push((id.clone(), ended));
                self.set_timer(&id);
            } else {
                self.by_id.remove(&id);
            }
        }
    }
}
