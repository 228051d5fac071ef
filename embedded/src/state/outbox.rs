//! The answers to requests that had to wait.

use crate::wire::Reply;

/// A request that waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Ticket {
    pub(crate) connection: usize,
    /// The request's number on its connection.
    pub(crate) serial: u64,
}

/// Where the state puts the answers to requests that had to wait; the server hands them out.
#[derive(Default)]
pub(crate) struct Outbox(Vec<(Ticket, Box<dyn Reply>)>);

impl Outbox {
    pub(crate) fn reply(&mut self, ticket: Ticket, reply: impl Reply + 'static) {
        self.0.push((ticket, Box::new(reply)));
    }

    pub(crate) fn take(&mut self) -> Vec<(Ticket, Box<dyn Reply>)> {
        std::mem::take(&mut self.0)
    }
}
