//! The node's clocks, read in one place.

use eport_model::Timestamp;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Monotonic milliseconds since the process started, and the wall clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Milliseconds since the start; never steps.
    pub fn mono_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The instant of a monotonic millisecond.
    pub fn instant_of(&self, mono_ms: u64) -> Instant {
        self.start + std::time::Duration::from_millis(mono_ms)
    }

    /// Wall time. A clock before 1970 reads as 1970.
    pub fn wall(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            .plus_millis(eport_failpoint::wall_offset_ms())
    }
}
