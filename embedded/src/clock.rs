//! The broker's clock, which a test can pause and advance.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A time of the broker's clock, in milliseconds since the Unix epoch.
///
/// Timestamps and timeouts use the same clock. It is monotonic, even if the system's clock is set back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Time(pub(crate) i64);

impl Time {
    /// Returns the time this many milliseconds later. A negative number counts as 0.
    pub(crate) fn after(self, milliseconds: i64) -> Self {
        Self(self.0.saturating_add(milliseconds.max(0)))
    }
}

/// The clock of timeouts and timestamps, and the real time for the waits of Fetch requests.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    /// The system's time at the start.
    origin: i64,
    /// The milliseconds that a test has advanced the clock, minus the milliseconds that it was paused.
    shift: i64,
    stopped_at: Option<Time>,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let origin = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
        Self { started: Instant::now(), origin, shift: 0, stopped_at: None }
    }

    /// Returns the time of the broker's clock.
    pub(crate) fn now(&self) -> Time {
        self.stopped_at.unwrap_or_else(|| Time(self.real().0 + self.shift))
    }

    /// Returns the real time, which a test cannot pause or advance.
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

    /// Stops the clock at this time.
    pub(crate) fn set(&mut self, time: Time) {
        self.stopped_at = Some(time);
    }
}
