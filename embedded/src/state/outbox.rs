//! The responses to requests that had to wait.

use crate::wire::Reply;

/// The ticket of a request that waits for its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Ticket {
    pub(crate) connection: usize,
    /// The number of the request on its connection.
    pub(crate) serial: u64,
}

/// The queue of responses to requests that had to wait. The server sends them.
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
