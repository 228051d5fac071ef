//! The broker's clock, which a test can stop and set forward.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A time of the broker's clock, in milliseconds since the Unix epoch.
///
/// One scale serves for timestamps and for timeouts: it never runs backwards, whatever happens to the system's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Time(pub(crate) i64);

impl Time {
    /// This many milliseconds later; at once for a negative number.
    pub(crate) fn after(self, milliseconds: i64) -> Self {
        Self(self.0.saturating_add(milliseconds.max(0)))
    }
}

/// The time that timeouts and timestamps go by, beside the time that a waiting Fetch goes by.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    /// The system's time at the start.
    origin: i64,
    /// How far a test has set the clock forward, or how long it stood still.
    shift: i64,
    stopped_at: Option<Time>,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let origin = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
        Self { started: Instant::now(), origin, shift: 0, stopped_at: None }
    }

    /// The time of the broker's clock.
    pub(crate) fn now(&self) -> Time {
        self.stopped_at.unwrap_or_else(|| Time(self.real().0 + self.shift))
    }

    /// The time that passes whatever a test does to the clock.
    pub(crate) fn real(&self) -> Time {
        Time(self.origin + self.started.elapsed().as_millis() as i64)
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped_at.is_some()
    }

    pub(crate) fn stop(&mut self) {
        self.stopped_at = Some(self.now());
    }

    pub(crate) fn resume(&mut self) {
        if let Some(stopped_at) = self.stopped_at.take() {
            self.shift = stopped_at.0 - self.real().0;
        }
    }

    /// Sets a clock that is stopped.
    pub(crate) fn set(&mut self, time: Time) {
        self.stopped_at = Some(time);
    }
}
