//! Two platforms and an agency under loss, doubled and late requests, failovers of both sides at every step, and days without a
//! link. The code under test is the real core; journals, network and agency are models. A failure names its seed.

mod journal;
mod world;

use world::{Bug, World};

/// Seeds of the fast suite: a few seconds.
const SEEDS: u64 = 400;

fn first_failure(bug: Bug, seeds: u64) -> Option<(u64, String)> {
    (1..=seeds).find_map(|seed| World::new(seed, bug).run().err().map(|broken| (seed, broken)))
}

#[test]
fn every_message_has_exactly_one_effect_in_order_whatever_fails_on_either_side() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 1..=SEEDS {
        let mut world = World::new(seed, Bug::None);
        if let Err(broken) = world.run() {
            panic!("seed {seed}: {broken}");
        }
        seen.extend(world.seen);
    }
    for needed in [
        "ack_lost",
        "away",
        "deliver",
        "duplicate",
        "lost_at_receiver",
        "lost_at_sender",
        "moved",
        "receiver_moved",
        "reinstate",
        "replace",
        "stale",
        "withdraw",
    ] {
        assert!(seen.contains(needed), "{needed} never happened: {seen:?}");
    }
}

/// Each of these was a way to build it; each must be seen.
#[test]
fn every_planted_bug_is_found() {
    for bug in [
        Bug::NoDedupe,
        Bug::RowsLeaveOnAcknowledgement,
        Bug::NothingOfferedAgain,
        Bug::ForkIgnored,
        Bug::EpochOfReceiverIgnored,
        Bug::WithdrawalForgotten,
    ] {
        let found = first_failure(bug, SEEDS);
        assert!(found.is_some(), "{bug:?} was not found in {SEEDS} seeds");
    }
}
