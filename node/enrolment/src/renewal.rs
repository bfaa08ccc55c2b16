//! When a node's certificate is renewed, and in which steps: ask for the next one, try it, and only then let the old one go.
//!
//! Always holds: the old certificate stays until the new one has been used; nothing is asked for more often than once in
//! `PAUSE_MIN_MS`, nor, after a success, before a tenth of a life has passed, whatever the clock says; a clock that steps back
//! never stops the renewal for longer than it would have waited anyway. Time and the seed of the jitter are arguments.

use serde::{Deserialize, Serialize};

/// Shortest pause after a failure: ten seconds.
pub const PAUSE_MIN_MS: i64 = 10_000;
/// Longest pause after failures: ten minutes.
pub const PAUSE_MAX_MS: i64 = 600_000;
/// Longest time until the next look, so that a clock that was set is noticed.
const LOOK_MAX_MS: i64 = 60_000;

/// From when to when a certificate is valid, milliseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Life {
    /// First valid instant.
    pub from: i64,
    /// Last valid instant.
    pub to: i64,
}

impl Life {
    fn span(self) -> i64 {
        self.to.saturating_sub(self.from).max(0)
    }
}

/// When a certificate is due for renewal: at half of its life, a tenth of it earlier or later by the seed, so that nodes that
/// were made together do not all ask together.
pub fn due(life: Life, seed: u64) -> i64 {
    let tenth = life.span() / 10;
    // splitmix64: neighbouring seeds land far apart.
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    let share = i64::try_from(z % 2_001).unwrap_or(0) - 1_000;
    let shift = i64::try_from(i128::from(tenth) * i128::from(share) / 1_000).unwrap_or(0);
    life.from.saturating_add(life.span() / 2).saturating_add(shift)
}

/// What to do now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    /// Nothing; look again after so many milliseconds.
    Wait(i64),
    /// Make a new key and ask for a certificate.
    Ask,
    /// Use the next certificate against a peer; when that works, it becomes the current one.
    Try,
}

/// The renewal of one certificate.
#[derive(Clone, Debug)]
pub struct Renewal {
    seed: u64,
    failures: u32,
    /// Do nothing before: (set at, until).
    pause: Option<(i64, i64)>,
}

impl Renewal {
    /// Begins with a seed for the jitter.
    pub fn new(seed: u64) -> Self {
        Self { seed, failures: 0, pause: None }
    }

    /// What is due at `now` for the current certificate, and the next one if it is there already.
    pub fn look(&mut self, now: i64, current: Life, next: Option<Life>) -> Act {
        if let Some((set, until)) = self.pause {
            // A clock that was set back would stretch the pause: it counts from its own beginning only.
            if now >= until || now < set {
                self.pause = None;
            } else {
                return Act::Wait((until - now).clamp(1, LOOK_MAX_MS));
            }
        }
        if next.is_some_and(|n| n.to > current.to || now > current.to) {
            return Act::Try;
        }
        let due = due(current, self.seed);
        match now >= due {
            true => Act::Ask,
            false => Act::Wait(due.saturating_sub(now).clamp(1, LOOK_MAX_MS)),
        }
    }

    /// A step failed: the next one waits, twice as long each time.
    pub fn failed(&mut self, now: i64) {
        let pause = PAUSE_MIN_MS.saturating_mul(1 << self.failures.min(6)).min(PAUSE_MAX_MS);
        self.failures = self.failures.saturating_add(1);
        self.pause = Some((now, now.saturating_add(pause)));
    }

    /// The certificate that was asked for is here: what failed before was about asking.
    pub fn granted(&mut self) {
        (self.failures, self.pause) = (0, None);
    }

    /// The next certificate is the current one now. If it seems due at once, the clock is wrong, not the certificate.
    pub fn switched(&mut self, now: i64, current: Life) {
        self.failures = 0;
        self.pause = Some((now, now.saturating_add((current.span() / 10).max(PAUSE_MIN_MS))));
    }

    /// How many steps failed since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;
    const LIFE: Life = Life { from: 0, to: 30 * DAY };

    #[test]
    fn renewal_is_due_at_half_life_give_or_take_a_tenth_and_nodes_spread() {
        let mut days = std::collections::BTreeSet::new();
        for seed in 0..1_000 {
            let due = due(LIFE, seed);
            assert!((12 * DAY..=18 * DAY).contains(&due), "seed {seed}: {due}");
            days.insert(due / DAY);
        }
        assert!(days.len() >= 6, "{days:?}");
        assert_eq!(due(LIFE, 7), due(LIFE, 7));
        // A life that makes no sense never overflows.
        due(Life { from: i64::MIN, to: i64::MAX }, 1);
        due(Life { from: 9, to: 3 }, 1);
    }

    #[test]
    fn the_next_certificate_is_tried_before_it_counts_and_a_failure_waits_longer_each_time() {
        let mut r = Renewal::new(1);
        assert!(matches!(r.look(DAY, LIFE, None), Act::Wait(_)));
        assert_eq!(r.look(19 * DAY, LIFE, None), Act::Ask);
        let mut now = 19 * DAY;
        let mut pauses = Vec::new();
        for _ in 0..9 {
            r.failed(now);
            let begun = now;
            while let Act::Wait(ms) = r.look(now, LIFE, None) {
                now += ms;
            }
            pauses.push(now - begun);
        }
        assert_eq!(pauses[..3], [PAUSE_MIN_MS, 2 * PAUSE_MIN_MS, 4 * PAUSE_MIN_MS]);
        assert_eq!(pauses[8], PAUSE_MAX_MS);
        r.granted();
        assert_eq!(r.failures(), 0, "failures to ask do not count against the trial");
        let next = Life { from: 19 * DAY, to: 49 * DAY };
        assert_eq!(r.look(now, LIFE, Some(next)), Act::Try);
        r.switched(now, next);
        assert!(matches!(r.look(now + DAY, next, None), Act::Wait(_)));
        assert_eq!(r.failures(), 0);
        // What lies there from an older renewal than the certificate in use is not tried.
        let mut later = Renewal::new(1);
        assert!(matches!(later.look(22 * DAY, next, Some(LIFE)), Act::Wait(_)), "and not for a pause");
        assert_eq!(
            later.look(50 * DAY, next, Some(LIFE)),
            Act::Try,
            "anything is better than what has ended"
        );
    }

    #[test]
    fn a_clock_far_ahead_renews_once_and_not_in_a_loop() {
        let (mut r, ahead) = (Renewal::new(3), 400 * DAY);
        assert_eq!(r.look(ahead, LIFE, None), Act::Ask, "expired by this clock");
        // The CA's clock is right: what it issues is over by this node's clock as well.
        let next = Life { from: 10 * DAY, to: 40 * DAY };
        assert_eq!(r.look(ahead, LIFE, Some(next)), Act::Try);
        r.switched(ahead, next);
        let mut asked = 0;
        for minute in 0..24 * 60 {
            let now = ahead + minute * 60_000;
            if r.look(now, next, None) == Act::Ask {
                asked += 1;
                r.switched(now, next);
            }
        }
        assert_eq!(asked, 0, "within a day");
        // Set right again, the node waits for the real half life.
        assert!(matches!(r.look(11 * DAY, next, None), Act::Wait(_)));
        assert_eq!(r.look(29 * DAY, next, None), Act::Ask);
    }

    #[test]
    fn a_clock_set_back_holds_nothing_up() {
        let mut r = Renewal::new(3);
        r.failed(500 * DAY);
        assert_eq!(r.look(20 * DAY, LIFE, None), Act::Ask, "the pause was of another time");
        assert!(matches!(r.look(-5 * DAY, LIFE, None), Act::Wait(ms) if ms <= LOOK_MAX_MS));
    }
}
