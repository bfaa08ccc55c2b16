//! Who failed too often waits.
//!
//! Always: at most `LOCKOUTS_MAX` keys are remembered; one that failed too often within the window is locked for a time and no
//! longer; while every place is taken by somebody who is locked, a new key that fails is locked at once.

use std::collections::BTreeMap;

/// Keys remembered at most.
pub const LOCKOUTS_MAX: usize = 4_096;
/// Failures are counted over this time.
const WINDOW_MS: u64 = 600_000;

#[derive(Clone, Copy, Debug)]
struct Count {
    failures: u32,
    since: u64,
    until: u64,
}

impl Count {
    fn is_live(&self, now: u64) -> bool {
        self.until > now || now.saturating_sub(self.since) < WINDOW_MS
    }
}

/// What a failure did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// It was counted.
    Counted,
    /// It was one too many: locked from now on.
    Locked,
    /// Locked already, or there is no place to count.
    Refused,
}

/// The table.
#[derive(Clone, Debug)]
pub struct Lockouts<K> {
    table: BTreeMap<K, Count>,
    max: usize,
}

impl<K: Ord + Clone> Default for Lockouts<K> {
    fn default() -> Self {
        Self { table: BTreeMap::new(), max: LOCKOUTS_MAX }
    }
}

impl<K: Ord + Clone> Lockouts<K> {
    /// Milliseconds that a key has to wait, if it is locked.
    pub fn locked(&self, key: &K, now: u64) -> Option<u64> {
        self.table.get(key).map(|c| c.until.saturating_sub(now)).filter(|left| *left > 0)
    }

    /// Counts a failure. `limit` failures within the window lock the key for `lock_ms`.
    pub fn failed(&mut self, key: K, now: u64, (limit, lock_ms): (u32, u64)) -> Failure {
        if self.locked(&key, now).is_some() {
            return Failure::Refused;
        }
        if !self.table.contains_key(&key) && self.table.len() >= self.max && !self.make_room(now) {
            return Failure::Refused;
        }
        let fresh = Count { failures: 0, since: now, until: 0 };
        let count = self.table.entry(key).or_insert(fresh);
        if !count.is_live(now) || count.until > 0 {
            *count = fresh;
        }
        count.failures = count.failures.saturating_add(1);
        if count.failures < limit {
            return Failure::Counted;
        }
        count.until = now.saturating_add(lock_ms.max(1));
        Failure::Locked
    }

    /// Forgets what is over, else the one with the fewest failures that is not locked.
    fn make_room(&mut self, now: u64) -> bool {
        self.table.retain(|_, c| c.is_live(now));
        if self.table.len() < self.max {
            return true;
        }
        let free = self.table.iter().filter(|(_, c)| c.until <= now);
        let Some(least) = free.min_by_key(|(_, c)| (c.failures, c.since)).map(|(k, _)| k.clone()) else {
            return false;
        };
        self.table.remove(&least);
        true
    }

    /// Keys remembered.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// True when nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: (u32, u64) = (3, 1_000);

    #[test]
    fn the_third_failure_locks_for_a_time_and_then_the_count_begins_anew() {
        let mut l = Lockouts::default();
        assert_eq!(l.failed("a", 0, LIMIT), Failure::Counted);
        assert_eq!(l.failed("a", 1, LIMIT), Failure::Counted);
        assert_eq!(l.failed("b", 1, LIMIT), Failure::Counted);
        assert_eq!(l.failed("a", 2, LIMIT), Failure::Locked);
        assert_eq!(l.locked(&"a", 500), Some(502));
        assert_eq!(l.locked(&"b", 500), None, "one's failures are not another's");
        assert_eq!(l.failed("a", 600, LIMIT), Failure::Refused, "a failure while locked does not lengthen it");
        assert_eq!(l.locked(&"a", 1_002), None);
        assert_eq!(l.failed("a", 1_003, LIMIT), Failure::Counted);
    }

    #[test]
    fn failures_far_apart_lock_nobody() {
        let mut l = Lockouts::default();
        for n in 0..10 {
            assert_eq!(l.failed("a", n * WINDOW_MS, LIMIT), Failure::Counted);
        }
    }

    #[test]
    fn a_flood_of_keys_takes_no_more_room_and_unlocks_nobody() {
        let mut l = Lockouts { max: 4, ..Lockouts::default() };
        for _ in 0..3 {
            l.failed(0, 0, LIMIT);
        }
        assert_eq!(l.locked(&0, 1), Some(999));
        for key in 1..1_000 {
            l.failed(key, 1, LIMIT);
            assert!(l.len() <= 4);
        }
        assert_eq!(l.locked(&0, 2), Some(998));
        // All places locked: a stranger that fails has no place to count and is refused.
        let mut l = Lockouts { max: 2, ..Lockouts::default() };
        for key in [1, 2] {
            for _ in 0..3 {
                l.failed(key, 0, LIMIT);
            }
        }
        assert_eq!(l.failed(3, 1, LIMIT), Failure::Refused);
        assert_eq!(l.failed(3, 1_001, LIMIT), Failure::Counted);
    }
}
