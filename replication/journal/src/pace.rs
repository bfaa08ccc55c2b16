//! How much may be under way to one peer, so that a slow line is kept busy and never buried.
//!
//! Messages of one peer travel in order. What is shipped to a slow line waits in front of it, and beats, answers to hellos
//! and everything else wait behind: with a full window of 8 MiB a line of 1 Mbit/s is silent about new things for a minute,
//! the peer takes that for a dead source, asks anew, and the answer waits too. So the window follows the time that records
//! take to be acknowledged: it doubles a round trip while that is short, and halves when it exceeds the silence that a peer
//! bears. A batch is a quarter of the window, so that something arrives well within that silence.
//!
//! Always: `WINDOW_MIN <= window <= max`, unless `max` itself is smaller.

/// Bytes that may be under way when nothing is known of the line.
const WINDOW_START: usize = 256 << 10;
/// Bytes that may always be under way: a batch of 16 KiB takes a second at 128 kbit/s.
const WINDOW_MIN: usize = 64 << 10;

/// The window of one stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    window: usize,
    max: usize,
    /// What was shipped before says nothing about the window of now.
    halved_ms: u64,
}

impl Pace {
    pub(crate) fn new(max: usize) -> Self {
        Self { window: WINDOW_START.min(max), max, halved_ms: 0 }
    }

    /// Bytes that may be unacknowledged.
    pub(crate) fn window(&self) -> usize {
        self.window
    }

    /// Bytes of one batch.
    pub(crate) fn batch(&self, limit: usize) -> usize {
        limit.min(self.window / 4)
    }

    /// `bytes` shipped at `shipped_ms` are acknowledged; `limited` says that the window was what held shipping back.
    pub(crate) fn acknowledged(
        &mut self,
        bytes: usize,
        shipped_ms: u64,
        now: u64,
        silence_ms: u64,
        limited: bool,
    ) {
        let took = now.saturating_sub(shipped_ms);
        if took > silence_ms {
            if shipped_ms >= self.halved_ms {
                self.halve(now);
            }
        } else if limited && took < silence_ms / 2 {
            // Every byte acknowledged lets two go: the window doubles a round trip.
            self.window = (self.window + bytes).min(self.max);
        }
    }

    /// Nothing was acknowledged for too long.
    pub(crate) fn halve(&mut self, now: u64) {
        self.window = (self.window / 2).max(WINDOW_MIN.min(self.max));
        self.halved_ms = now;
    }

    /// The pace of a new stream to the same peer: no faster than one starts, and slower when the former was not answered.
    pub(crate) fn renewed(mut self, answered: bool, now: u64) -> Self {
        self.window = self.window.min(WINDOW_START);
        if !answered {
            self.halve(now);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_line_doubles_the_window_a_round_trip_until_its_bound() {
        let mut pace = Pace::new(8 << 20);
        for round in 0..5 {
            let window = pace.window();
            pace.acknowledged(window, round * 30, round * 30 + 30, 1_000, true);
            assert_eq!(pace.window(), (window * 2).min(8 << 20));
        }
        assert_eq!(pace.window(), 8 << 20);
    }

    #[test]
    fn a_window_that_is_not_used_does_not_grow() {
        let mut pace = Pace::new(8 << 20);
        pace.acknowledged(1_000, 0, 10, 1_000, false);
        assert_eq!(pace.window(), WINDOW_START);
    }

    #[test]
    fn one_slow_round_trip_halves_once_and_never_below_the_least() {
        let mut pace = Pace::new(8 << 20);
        for shipped in 0..10 {
            pace.acknowledged(1_000, shipped, 1_500 + shipped, 1_000, true);
        }
        assert_eq!(pace.window(), WINDOW_START / 2, "ten records of one window are one slow round trip");
        for n in 1..10 {
            pace.halve(n);
        }
        assert_eq!(pace.window(), WINDOW_MIN);
        assert_eq!(Pace::new(1_000).window(), 1_000, "a smaller bound holds");
    }
}
