//! The time that a node has seen already: below it its clock was set back.
//!
//! Always: the floor only rises, but for an operator's word at the machine itself; what is judged by time is judged by no
//! earlier time than the floor.

/// The file of a node's data directory that holds the time it has seen, in milliseconds since 1970.
pub const CLOCK_FLOOR_FILE: &str = "clock.floor";
/// How far the clock may lie below the floor: corrections of the clock and the coarseness of what is stored.
pub const CLOCK_TOLERANCE_MS: i64 = 60_000;
/// The floor is stored again when it has risen so far.
const STORE_EVERY_MS: i64 = 20_000;

/// The floor of one node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClockFloor {
    seen: i64,
    stored: i64,
}

impl ClockFloor {
    /// The floor that was stored, in milliseconds since 1970; 0 on a new node.
    pub const fn new(stored: i64) -> Self {
        Self { seen: stored, stored }
    }

    /// Takes note of the clock. Answers a floor to store.
    pub fn advance(&mut self, now: i64) -> Option<i64> {
        self.seen = self.seen.max(now);
        (self.seen - self.stored >= STORE_EVERY_MS).then_some(self.seen)
    }

    /// What was stored.
    pub fn stored(&mut self, floor: i64) {
        self.stored = self.stored.max(floor);
    }

    /// How far the clock lies behind, in milliseconds, when that is too far.
    pub fn behind(&self, now: i64) -> Option<i64> {
        let by = self.seen.saturating_sub(now);
        (by > CLOCK_TOLERANCE_MS).then_some(by)
    }

    /// The time by which validity is judged.
    pub fn now(&self, clock: i64) -> i64 {
        clock.max(self.seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_set_back_is_seen_also_after_a_restart_and_revives_nothing() {
        let day = 86_400_000;
        let mut floor = ClockFloor::new(0);
        assert_eq!(floor.advance(100 * day), Some(100 * day));
        floor.stored(100 * day);
        assert_eq!(floor.advance(100 * day + 5_000), None, "not every second is stored");
        assert_eq!(floor.behind(100 * day - 30_000), None, "corrections of the clock are no attack");
        assert_eq!(floor.behind(70 * day), Some(30 * day + 5_000));
        let again = ClockFloor::new(100 * day);
        assert_eq!(again.behind(70 * day), Some(30 * day));
        assert_eq!(again.now(70 * day), 100 * day, "what was over stays over");
    }
}
