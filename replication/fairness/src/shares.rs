//! Shares of a budget that many keys hold at once, for example bytes of request bodies in memory.
//!
//! A key may hold as much as is still free after it took: one alone gets half of the budget, two a third each. The last eighth
//! is for keys that hold nothing yet. A bound of its own, where it has one, holds as well.
//!
//! Invariant: the sum of what is held is `used`, never above `budget`.

use std::collections::BTreeMap;

/// One part in so many is left to keys that hold nothing yet.
const NEWCOMERS: u64 = 8;

/// Who holds how much.
#[derive(Debug)]
pub struct Shares<K> {
    budget: u64,
    used: u64,
    held: BTreeMap<K, u64>,
}

impl<K: Ord + Copy> Shares<K> {
    /// Nothing is held.
    pub fn new(budget: u64) -> Self {
        Self { budget, used: 0, held: BTreeMap::new() }
    }

    /// Takes `amount` for a key; false when it would hold more than it may. With a bound of its own it may exceed that bound
    /// once, while it holds nothing else: a single request larger than the bound is slow, not impossible.
    pub fn take(&mut self, key: K, amount: u64, bound: Option<u64>) -> bool {
        if amount == 0 {
            return true;
        }
        let held = self.held.get(&key).copied().unwrap_or(0);
        let after = held.saturating_add(amount);
        let free = self.budget.saturating_sub(self.used);
        let left = free.saturating_sub(amount);
        // The first thing of a key needs only room: it is what the others have left free for it.
        let fair = amount <= free && (held == 0 || (after <= left && left >= self.budget / NEWCOMERS));
        let bounded = held == 0 || bound.is_none_or(|b| after <= b);
        if !(fair && bounded) {
            return false;
        }
        self.used += amount;
        self.held.insert(key, after);
        true
    }

    /// Gives back what was taken.
    pub fn give_back(&mut self, key: K, amount: u64) {
        let Some(held) = self.held.get_mut(&key) else { return };
        let amount = amount.min(*held);
        *held -= amount;
        if *held == 0 {
            self.held.remove(&key);
        }
        self.used = self.used.saturating_sub(amount);
    }

    /// What a key holds.
    pub fn held(&self, key: K) -> u64 {
        self.held.get(&key).copied().unwrap_or(0)
    }

    /// What all hold together.
    pub fn used(&self) -> u64 {
        self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_takes_all_it_can_leaves_room_for_whoever_holds_nothing() {
        let mut shares = Shares::new(1_000);
        for flooding in 1..=9 {
            while shares.take(flooding, 10, None) {}
            assert!(shares.used() < 1_000, "{flooding} floods: {} used", shares.used());
            assert!(shares.take(100, 10, None), "beside {flooding} floods the quiet one is refused");
            shares.give_back(100, 10);
        }
        assert!(shares.held(1) <= 500, "one alone gets half, not {}", shares.held(1));
    }

    #[test]
    fn a_bound_holds_and_one_large_request_passes_alone() {
        let mut shares = Shares::new(1_000_000);
        assert!(shares.take(1, 5_000, Some(1_000)), "alone");
        assert!(!shares.take(1, 1, Some(1_000)), "and nothing beside it");
        shares.give_back(1, 5_000);
        assert!(shares.take(1, 600, Some(1_000)) && !shares.take(1, 600, Some(1_000)));
        assert!(shares.take(1, 400, Some(1_000)));
        assert!(!shares.take(2, 1_000_001, None), "more than there is");
    }

    #[test]
    fn what_is_given_back_twice_counts_once() {
        let mut shares = Shares::new(100);
        assert!(shares.take(1, 30, None) && shares.take(2, 30, None));
        shares.give_back(1, 30);
        shares.give_back(1, 30);
        assert_eq!((shares.used(), shares.held(1), shares.held(2)), (30, 0, 30));
        while shares.take(1, 10, None) {}
        assert!(shares.take(1, 0, Some(1)), "nothing takes no room");
    }
}
