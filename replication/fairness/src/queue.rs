//! Deficit round robin over one bounded queue a key.
//!
//! Each round gives every waiting key the same quantum of cost; what it does not use up for its first item it keeps for the
//! next round, as long as it waits. So over any time in which two keys both wait, neither gets more than a quantum and one
//! item ahead of the other, whatever the items cost and however many of them wait.
//!
//! Invariants: `round` names exactly the keys with a waiting item, each once; `running <= slots`; a queue holds at most
//! `queue_max` items; within a key items are taken in the order in which they came.

use std::collections::{BTreeMap, VecDeque};

/// An item may cost at most so many quanta: the bound of the work that finding the next one takes.
const QUANTA_MAX: u64 = 64;

/// Bounds of a fair queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Items taken and not done yet, at most.
    pub slots: usize,
    /// Items of one key that wait, at most.
    pub queue_max: usize,
    /// Cost that every waiting key is given in a round.
    pub quantum: u64,
}

/// The key has as many items waiting as it may have; the item comes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full<T>(pub T);

/// An item whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Taken<K, T> {
    /// Whose it is.
    pub key: K,
    /// The item.
    pub item: T,
    /// How long it waited.
    pub waited_ms: u64,
}

/// The queues of all keys.
#[derive(Debug)]
pub struct Fair<K, T> {
    limits: Limits,
    lines: BTreeMap<K, Line<T>>,
    round: VecDeque<K>,
    running: usize,
}

#[derive(Debug)]
struct Line<T> {
    items: VecDeque<Waiting<T>>,
    deficit: u64,
    /// True once this round's quantum is in `deficit`.
    granted: bool,
}

#[derive(Debug)]
struct Waiting<T> {
    item: T,
    cost: u64,
    since_ms: u64,
}

impl<K: Ord + Copy, T> Fair<K, T> {
    /// Empty queues. Zero slots, places or cost would mean that nothing ever moves: each is at least one.
    pub fn new(limits: Limits) -> Self {
        let limits = Limits {
            slots: limits.slots.max(1),
            queue_max: limits.queue_max.max(1),
            quantum: limits.quantum.max(1),
        };
        Self { limits, lines: BTreeMap::new(), round: VecDeque::new(), running: 0 }
    }

    /// Puts an item behind the others of its key.
    pub fn push(&mut self, key: K, cost: u64, item: T, now_ms: u64) -> Result<(), Full<T>> {
        let line = self.lines.entry(key).or_insert_with(|| {
            self.round.push_back(key);
            Line { items: VecDeque::new(), deficit: 0, granted: false }
        });
        if line.items.len() >= self.limits.queue_max {
            return Err(Full(item));
        }
        let cost = cost.clamp(1, self.limits.quantum.saturating_mul(QUANTA_MAX));
        line.items.push_back(Waiting { item, cost, since_ms: now_ms });
        Ok(())
    }

    /// The next item, if one waits and a slot is free. [`Fair::done`] gives the slot back.
    pub fn pop(&mut self, now_ms: u64) -> Option<Taken<K, T>> {
        if self.running >= self.limits.slots {
            return None;
        }
        loop {
            let key = *self.round.front()?;
            let line = self.lines.get_mut(&key)?;
            if !std::mem::replace(&mut line.granted, true) {
                line.deficit = line.deficit.saturating_add(self.limits.quantum);
            }
            match line.items.pop_front() {
                Some(first) if first.cost <= line.deficit => {
                    line.deficit -= first.cost;
                    if line.items.is_empty() {
                        // Who does not wait saves nothing up.
                        self.lines.remove(&key);
                        self.round.pop_front();
                    }
                    self.running += 1;
                    let waited_ms = now_ms.saturating_sub(first.since_ms);
                    return Some(Taken { key, item: first.item, waited_ms });
                }
                Some(first) => {
                    line.items.push_front(first);
                    line.granted = false;
                    self.round.rotate_left(1);
                }
                None => {
                    self.lines.remove(&key);
                    self.round.pop_front();
                }
            }
        }
    }

    /// An item that was taken is done with.
    pub fn done(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// Items of a key that wait.
    pub fn waiting(&self, key: K) -> usize {
        self.lines.get(&key).map_or(0, |l| l.items.len())
    }

    /// Items taken and not done yet.
    pub fn running(&self) -> usize {
        self.running
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.round.is_empty()
    }
}
