//! The promises of the fair queue, over many seeds: no starvation, bounded, work conserving, in order.
// Tests: an unwrap is an assertion.
#![allow(clippy::unwrap_used)]

use eport_fairness::{Fair, Full, Limits};
use std::collections::BTreeMap;

/// Seeded numbers (xorshift64*), so that a failing seed can be run again.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % n
    }
}

const SEEDS: u64 = 2_000;
const COST_MAX: u64 = 40;

fn limits(random: &mut Random) -> Limits {
    Limits {
        slots: 1 + random.below(4) as usize,
        queue_max: 1 + random.below(30) as usize,
        quantum: 1 + random.below(64),
    }
}

#[test]
fn nothing_is_lost_doubled_or_reordered_and_nothing_idles_while_somebody_waits() {
    for seed in 0..SEEDS {
        let mut random = Random::new(seed);
        let limits = limits(&mut random);
        let mut fair = Fair::new(limits);
        let (mut waiting, mut next, mut running) = (BTreeMap::<u64, Vec<u64>>::new(), 0, 0);
        for now in 0..400 {
            match random.below(3) {
                0 | 1 => {
                    // Key 0 floods.
                    let key = if random.below(2) == 0 { 0 } else { random.below(6) };
                    let line = waiting.entry(key).or_default();
                    let pushed = fair.push(key, random.below(COST_MAX + 1), next, now);
                    assert_eq!(pushed.is_ok(), line.len() < limits.queue_max, "seed {seed}: the bound");
                    match pushed {
                        Ok(()) => line.push(next),
                        Err(Full(item)) => assert_eq!(item, next, "seed {seed}: the item comes back"),
                    }
                    next += 1;
                }
                _ if running > 0 => {
                    fair.done();
                    running -= 1;
                }
                _ => {}
            }
            if random.below(2) == 0 {
                let some = waiting.values().any(|l| !l.is_empty()) && running < limits.slots;
                match fair.pop(now) {
                    Some(taken) => {
                        assert_eq!(
                            waiting.get_mut(&taken.key).unwrap().remove(0),
                            taken.item,
                            "seed {seed}: order"
                        );
                        running += 1;
                    }
                    None => assert!(!some, "seed {seed}: idle while somebody waits"),
                }
            }
            assert_eq!(fair.running(), running, "seed {seed}");
            assert!(running <= limits.slots, "seed {seed}");
            for (key, line) in &waiting {
                assert_eq!(fair.waiting(*key), line.len(), "seed {seed}");
            }
        }
    }
}

#[test]
fn of_two_that_both_wait_neither_gets_more_than_a_quantum_and_an_item_ahead() {
    for seed in 0..SEEDS {
        let mut random = Random::new(seed);
        let quantum = 1 + random.below(64);
        let mut fair = Fair::new(Limits { slots: 1, queue_max: 10_000, quantum });
        let keys = 2 + random.below(5);
        // One asks for little pieces, one for large ones, the others for anything; all of them always wait.
        let mut cost = |key: u64| match key {
            0 => 1,
            1 => COST_MAX,
            _ => 1 + random.below(COST_MAX),
        };
        for key in 0..keys {
            for _ in 0..400 {
                let cost = cost(key);
                fair.push(key, cost, cost, 0).unwrap();
            }
        }
        let mut got = BTreeMap::<u64, u64>::new();
        for _ in 0..300 {
            let taken = fair.pop(0).unwrap();
            fair.done();
            *got.entry(taken.key).or_default() += taken.item;
            for a in 0..keys {
                for b in 0..keys {
                    let (a, b) = (got.get(&a).unwrap_or(&0), got.get(&b).unwrap_or(&0));
                    assert!(
                        a.saturating_sub(*b) <= quantum + COST_MAX,
                        "seed {seed}: {a} against {b}, quantum {quantum}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_quiet_platform_waits_for_one_round_of_the_others_however_many_items_they_have() {
    for seed in 0..SEEDS {
        let mut random = Random::new(seed);
        let quantum = COST_MAX + random.below(64);
        let mut fair = Fair::new(Limits { slots: 1, queue_max: 100_000, quantum });
        let others = 1 + random.below(20);
        for key in 1..=others {
            for _ in 0..500 {
                fair.push(key, 1 + random.below(COST_MAX), 0, 0).unwrap();
            }
        }
        for _ in 0..random.below(200) {
            fair.pop(0).unwrap();
            fair.done();
        }
        fair.push(0, 1, 0, 0).unwrap();
        let mut before = 0;
        let mut by_key = BTreeMap::<u64, u64>::new();
        while let Some(taken) = fair.pop(7) {
            fair.done();
            if taken.key == 0 {
                assert_eq!(taken.waited_ms, 7);
                break;
            }
            before += 1;
            *by_key.entry(taken.key).or_default() += 1;
        }
        // A quantum and what was saved up from the round before, in pieces of at least one.
        let most = by_key.values().max().copied().unwrap_or(0);
        assert!(most <= quantum + COST_MAX, "seed {seed}: one key went {most} times first");
        assert!(before <= others * (quantum + COST_MAX), "seed {seed}: {before} items went first");
    }
}

#[test]
fn zero_bounds_and_absurd_costs_stop_nothing() {
    let mut fair = Fair::new(Limits { slots: 0, queue_max: 0, quantum: 0 });
    fair.push(1, u64::MAX, 'a', 0).unwrap();
    assert_eq!(fair.push(1, 0, 'b', 0), Err(Full('b')));
    fair.push(2, 0, 'c', 0).unwrap();
    let first = fair.pop(0).unwrap();
    assert!(fair.pop(0).is_none(), "one slot");
    fair.done();
    fair.done();
    let second = fair.pop(0).unwrap();
    assert_eq!((first.item, second.item), ('c', 'a'), "the dear one waits for its rounds");
    assert!(fair.is_empty());
}
