//! The time that tests spend waiting, for the sum and for the picture.

use std::sync::Arc;
use std::time::Instant;

use crate::connection::Connection;

/// A test waits for as long as this lives, also if its future is dropped half way.
pub(crate) struct Waiting {
    began: Instant,
    connection: Arc<Connection>,
}

impl Waiting {
    pub(crate) fn begin(connection: &Arc<Connection>) -> Self {
        Self { began: Instant::now(), connection: Arc::clone(connection) }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.connection.counters().waited.add(self.began.elapsed());
    }
}
