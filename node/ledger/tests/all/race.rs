//! Two platforms race for one licence.

use crate::store::*;
use crate::world::World;

#[test]
fn of_two_that_race_for_the_last_unit_exactly_one_wins() {
    for seed in 0..500 {
        let run = std::panic::AssertUnwindSafe(|| {
            let mut world = World::new(seed, &["1"]);
            let first = world.lodge(0, 0, amount("1"));
            let second = world.lodge(1, 0, amount("1"));
            (0..300).for_each(|_| world.trouble());
            world.heal();
            // A document in a tail that its city lost is not told of; what it reserved stays reserved.
            let told = world.won.iter().filter(|n| **n == first || **n == second).count();
            assert!(told <= 1, "{:?}", world.won);
            world
        });
        let world = std::panic::catch_unwind(run).unwrap_or_else(|failure| {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(failure)
        });
        if !world.forgot() {
            assert_eq!((world.won.len(), world.refused.len()), (1, 1), "seed {seed}");
        }
    }
}

#[test]
fn a_city_that_is_cut_off_wins_by_its_share_and_the_other_is_refused() {
    for seed in 0..100 {
        let mut world = World::new(seed, &["10"]);
        world.share(0, 0, amount("10"));
        world.heal();
        let by_share = world.lodge(0, 0, amount("10"));
        assert_eq!(world.won, [by_share], "told at once, whoever can be reached");
        let other = world.lodge(1, 0, amount("1"));
        (0..300).for_each(|_| world.trouble());
        world.heal();
        assert!(!world.won.contains(&other), "seed {seed}");
    }
}
