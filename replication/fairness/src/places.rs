//! Places: how many requests of one key are carried out at once while other keys are active too.
//!
//! A key that is active alone is not held up. As soon as another one is active, all of them share `places`; a key that holds
//! nothing gets in at once, whatever the others hold, and one that holds its share waits for its own. So a request of a quiet
//! key finds at most the shares of the others before it on the processors, however many requests those would like to have
//! there, and a waiting request has cost nothing but its head.
//!
//! Invariants: a key that holds nothing has nobody waiting; a key's requests get in in the order in which they came; at most
//! `queue_max` of a key wait; what all hold together is at most `places`, one request a key, and what was let in before
//! somebody else became active.

use crate::queue::Full;
use std::collections::{BTreeMap, VecDeque};

/// Bounds of the places.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    /// What the active keys share.
    pub places: u64,
    /// Requests of one key that wait, at most.
    pub queue_max: usize,
    /// A key counts as active for so long after its last request ended.
    pub active_ms: u64,
}

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entered<T> {
    /// It may go on; what was given comes back.
    Now(T),
    /// It waits until [`Places::leave`] names it.
    Waits,
}

/// Who holds how many places, and who waits.
#[derive(Debug)]
pub struct Places<K, T> {
    room: Room,
    lines: BTreeMap<K, Line<T>>,
}

#[derive(Debug)]
struct Line<T> {
    held: u64,
    waiting: VecDeque<(u64, T)>,
    seen_ms: u64,
}

impl<K: Ord + Copy, T> Places<K, T> {
    /// Nothing is held. Bounds of zero would mean that nobody ever waits or nothing is shared: each is at least one.
    pub fn new(room: Room) -> Self {
        let room = Room { places: room.places.max(1), queue_max: room.queue_max.max(1), ..room };
        Self { room, lines: BTreeMap::new() }
    }

    /// A request of `cost` places wants in.
    pub fn enter(&mut self, key: K, cost: u64, item: T, now_ms: u64) -> Result<Entered<T>, Full<T>> {
        let cost = cost.max(1);
        self.forget(now_ms);
        let line = self.lines.entry(key).or_insert_with(|| Line {
            held: 0,
            waiting: VecDeque::new(),
            seen_ms: now_ms,
        });
        line.seen_ms = now_ms;
        let share = share(&self.room, self.lines.len());
        let Some(line) = self.lines.get_mut(&key) else { return Ok(Entered::Now(item)) };
        if line.waiting.is_empty() && line.fits(cost, share) {
            line.held = line.held.saturating_add(cost);
            return Ok(Entered::Now(item));
        }
        if line.waiting.len() >= self.room.queue_max {
            return Err(Full(item));
        }
        line.waiting.push_back((cost, item));
        Ok(Entered::Waits)
    }

    /// A request that was let in has ended; who gets in now, in order, with the places that each of them takes.
    pub fn leave(&mut self, key: K, cost: u64, now_ms: u64) -> Vec<(u64, T)> {
        if let Some(line) = self.lines.get_mut(&key) {
            line.held = line.held.saturating_sub(cost.max(1));
            line.seen_ms = now_ms;
        }
        self.forget(now_ms);
        let share = share(&self.room, self.lines.len());
        let Some(line) = self.lines.get_mut(&key) else { return Vec::new() };
        let mut entered = Vec::new();
        while line.waiting.front().is_some_and(|(cost, _)| line.fits(*cost, share)) {
            let Some((cost, item)) = line.waiting.pop_front() else { break };
            line.held = line.held.saturating_add(cost);
            entered.push((cost, item));
        }
        entered
    }

    /// Places that a key holds.
    pub fn held(&self, key: K) -> u64 {
        self.lines.get(&key).map_or(0, |l| l.held)
    }

    /// Requests of a key that wait.
    pub fn waiting(&self, key: K) -> usize {
        self.lines.get(&key).map_or(0, |l| l.waiting.len())
    }

    /// Drops the keys that were not active lately.
    fn forget(&mut self, now_ms: u64) {
        let active_ms = self.room.active_ms;
        self.lines.retain(|_, l| {
            l.held > 0 || !l.waiting.is_empty() || now_ms.saturating_sub(l.seen_ms) <= active_ms
        });
    }
}

impl<T> Line<T> {
    /// The first thing of a key always fits: a request that is larger than the share is slow, not impossible.
    fn fits(&self, cost: u64, share: u64) -> bool {
        self.held == 0 || self.held.saturating_add(cost) <= share
    }
}

/// What one of so many active keys may hold; one alone is not held up.
fn share(room: &Room, active: usize) -> u64 {
    match active as u64 {
        0 | 1 => u64::MAX,
        active => (room.places / active).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room { places: 16, queue_max: 100, active_ms: 1_000 };

    fn entered(places: &mut Places<u8, u32>, key: u8, count: u32, now_ms: u64) -> usize {
        (0..count).filter(|n| matches!(places.enter(key, 1, *n, now_ms), Ok(Entered::Now(_)))).count()
    }

    #[test]
    fn one_alone_is_not_held_up_and_two_share_as_soon_as_both_are_active() {
        let mut places = Places::new(ROOM);
        assert_eq!(entered(&mut places, 1, 50, 0), 50, "alone");
        assert_eq!(entered(&mut places, 2, 20, 0), 8, "half of the places");
        assert_eq!(entered(&mut places, 1, 1, 0), 0, "what was let in before counts");
        for _ in 0..42 {
            assert!(places.leave(1, 1, 0).is_empty(), "more than its share is still under way");
        }
        assert_eq!(places.leave(1, 1, 0), [(1, 0)]);
        assert_eq!((places.held(1), places.held(2), places.waiting(2)), (8, 8, 12));
    }

    #[test]
    fn whoever_holds_nothing_gets_in_at_once_beside_any_number_of_floods() {
        let mut places = Places::new(ROOM);
        for flood in 1..=40 {
            entered(&mut places, flood, 60, 0);
            assert!(places.held(flood) >= 1);
        }
        assert_eq!(entered(&mut places, 100, 1, 0), 1);
        assert!((1..=40).all(|flood| places.waiting(flood) > 0 || places.held(flood) == 60));
    }

    #[test]
    fn a_request_larger_than_the_share_gets_in_alone_and_nobody_behind_it_overtakes() {
        let mut places = Places::new(ROOM);
        entered(&mut places, 2, 1, 0);
        assert_eq!(places.enter(1, 3, 1, 0), Ok(Entered::Now(1)));
        assert_eq!(places.enter(1, 30, 2, 0), Ok(Entered::Waits));
        assert_eq!(places.enter(1, 1, 3, 0), Ok(Entered::Waits), "in order");
        assert_eq!(places.leave(1, 3, 0), [(30, 2)]);
        assert_eq!(places.leave(1, 30, 0), [(1, 3)]);
    }

    #[test]
    fn nobody_waits_for_one_that_was_not_active_lately_and_a_queue_is_bounded() {
        let mut places = Places::new(ROOM);
        entered(&mut places, 2, 1, 0);
        assert!(places.leave(2, 1, 0).is_empty());
        assert_eq!(entered(&mut places, 1, 109, 1_000), 8);
        assert_eq!(places.enter(1, 1, 7, 1_000), Err(Full(7)));
        assert_eq!(places.leave(1, 1, 1_001).len(), 100, "the other one was last seen too long ago");
    }

    #[test]
    fn nothing_is_lost_and_nobody_waits_without_somebody_of_its_own_under_way() {
        for seed in 0..200u64 {
            let mut places = Places::new(ROOM);
            let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
            let mut random = move |below: u64| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state % below
            };
            let mut under_way: Vec<(u8, u64)> = Vec::new();
            let (mut came, mut done, mut now) = (0u32, 0u32, 0u64);
            for _ in 0..2_000 {
                now += random(300);
                if random(2) == 0 {
                    let (key, cost) = (random(4) as u8, 1 + random(12));
                    match places.enter(key, cost, came, now) {
                        Ok(Entered::Now(_)) => under_way.push((key, cost)),
                        Ok(Entered::Waits) => {}
                        Err(Full(_)) => continue,
                    }
                    came += 1;
                } else if !under_way.is_empty() {
                    let (key, cost) = under_way.swap_remove(random(under_way.len() as u64) as usize);
                    done += 1;
                    under_way.extend(places.leave(key, cost, now).into_iter().map(|(cost, _)| (key, cost)));
                }
                for key in 0..4 {
                    assert!(places.held(key) > 0 || places.waiting(key) == 0, "seed {seed}: {key} is stuck");
                }
            }
            while let Some((key, cost)) = under_way.pop() {
                done += 1;
                under_way.extend(places.leave(key, cost, now).into_iter().map(|(cost, _)| (key, cost)));
            }
            assert_eq!(came, done, "seed {seed}");
        }
    }
}
