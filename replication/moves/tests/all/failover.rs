//! The coordinator of a failover: what it does at each point, and that it may be replaced at any.

use crate::common;
use common::*;
use eport_model::{JournalIndex, MoveId, NodeId, Position, Timestamp};
use eport_moves::*;
use eport_registry::*;
use std::collections::{BTreeMap, BTreeSet};

/// A failover of 440300 that was just reserved, and what its candidates are like.
struct Scene {
    world: World,
    move_id: MoveId,
    reachable: BTreeSet<NodeId>,
    sealed: BTreeMap<NodeId, SealedFact>,
    now: i64,
}

impl Scene {
    fn reserved(world: World, to: Option<&str>, loss: bool) -> Scene {
        let mut world = world;
        let version = world.version();
        let move_id = move_id(&world.reserve(version, to, loss).unwrap());
        Scene { world, move_id, reachable: BTreeSet::new(), sealed: BTreeMap::new(), now: 0 }
    }

    fn reach(mut self, ids: &[&str]) -> Scene {
        self.reachable = ids.iter().map(|id| node(id)).collect();
        self
    }

    fn seal(mut self, id: &str, last: Position) -> Scene {
        let PlacementState::Recovering { epoch, .. } = self.world.placement().state else { panic!() };
        let fact = SealedFact {
            epoch,
            move_id: self.move_id,
            last,
            applied: JournalIndex::ZERO,
            heard: None,
            whole: true,
        };
        self.sealed.insert(node(id), fact);
        self
    }

    fn at(mut self, now: i64) -> Scene {
        self.now = now;
        self
    }

    /// Seals are waited for until 100, copies until 200.
    fn step(&self) -> Step {
        let mut observed = Observed::new(&self.world.state, Timestamp::from_millis(self.now));
        observed.reachable = self.reachable.clone();
        observed.sealed = self.sealed.clone();
        let limits = FailoverLimits {
            seal_until: Timestamp::from_millis(100),
            copy_until: Timestamp::from_millis(200),
        };
        next_step(&observed, self.move_id, limits)
    }
}

fn nodes(ids: &[&str]) -> Vec<NodeId> {
    ids.iter().map(|id| node(id)).collect()
}

#[test]
fn every_reachable_candidate_is_sealed_before_anything_is_chosen() {
    let scene = Scene::reserved(World::with_platform(), None, false).reach(&["gz-a-1", "gz-c-1"]);
    assert!(
        matches!(scene.step(), Step::SealCandidates { nodes: n, .. } if n == nodes(&["gz-a-1", "gz-c-1"]))
    );
    let scene = scene.seal("gz-a-1", at(1, 9)).at(150);
    assert!(
        matches!(scene.step(), Step::SealCandidates { nodes: n, .. } if n == nodes(&["gz-c-1"])),
        "two are needed"
    );
}

/// An old copy of the data of a backup that was in sync counts like no answer, and is chosen only where a loss is accepted.
#[test]
fn an_answer_that_shows_nothing_of_the_epoch_in_which_its_node_was_in_sync_counts_for_nothing() {
    let scene = |loss| {
        let scene = Scene::reserved(World::with_platform(), None, loss).reach(&["gz-a-1"]);
        scene.seal("gz-a-1", at(1, 9)).seal("gz-c-1", at(0, 30)).at(150)
    };
    let wait = Step::WaitSeals { have: 1, need: 2, missing: nodes(&["gz-c-1", "sz-a-1"]) };
    assert_eq!(scene(false).step(), wait);
    let named = |n: &str| matches!(scene(true).reach(&["gz-a-1", "gz-c-1"]).step(), Step::Copy { orders, .. } if orders.iter().any(|o| o.laggard == node(n)));
    assert!(named("gz-c-1"), "where a loss is accepted anything that is left may be used");
}

#[test]
fn too_few_answers_are_waited_for_and_named() {
    let scene =
        Scene::reserved(World::with_platform(), None, false).reach(&["gz-a-1"]).seal("gz-a-1", at(1, 9));
    let wait = Step::WaitSeals { have: 1, need: 2, missing: nodes(&["gz-c-1", "sz-a-1"]) };
    assert_eq!(scene.at(10_000).step(), wait);
}

#[test]
fn with_the_loss_accepted_one_answer_is_enough() {
    let scene =
        Scene::reserved(World::with_platform(), None, true).reach(&["gz-a-1"]).seal("gz-a-1", at(1, 9));
    assert!(matches!(scene.step(), Step::Commit { primary, .. } if primary == node("gz-a-1")));
}

#[test]
fn the_best_position_is_epoch_first_never_index_alone() {
    let scene = Scene::reserved(World::with_platform(), None, false)
        .reach(&["gz-a-1", "gz-c-1"])
        .seal("gz-a-1", at(1, 30))
        .seal("gz-c-1", at(2, 9))
        .at(250);
    assert!(
        matches!(scene.step(), Step::Commit { primary, start, .. } if primary == node("gz-c-1") && start == at(2, 9))
    );
}

#[test]
fn laggards_copy_first_but_only_the_new_primary_s_copy_is_waited_for_without_bound() {
    let scene = Scene::reserved(World::with_platform(), None, false)
        .reach(&["gz-a-1", "gz-c-1"])
        .seal("gz-a-1", at(1, 5))
        .seal("gz-c-1", at(1, 9));
    let order = CopyOrder { laggard: node("gz-a-1"), source: node("gz-c-1"), to: at(1, 9) };
    assert!(matches!(scene.step(), Step::Copy { orders, .. } if orders == [order]));
    let late = scene.at(200);
    let Step::Commit { primary, in_sync, sealed, .. } = late.step() else { panic!("{:?}", late.step()) };
    assert_eq!((primary, in_sync), (node("gz-c-1"), vec![]), "who did not copy is not in sync");
    assert_eq!(sealed, nodes(&["gz-a-1", "gz-c-1"]));
    let caught_up = late.at(0).seal("gz-a-1", at(1, 9));
    let Step::Commit { in_sync, .. } = caught_up.step() else { panic!() };
    assert_eq!(in_sync.len(), 1);
}

/// Its rows come from an open primary, and a primary opens when its in-sync backups have taken its first record.
#[test]
fn who_still_puts_back_rows_is_neither_named_in_sync_nor_told_to_copy() {
    for last in [at(1, 9), at(1, 5)] {
        let mut scene = Scene::reserved(World::with_platform(), None, false)
            .reach(&["gz-a-1", "gz-c-1"])
            .seal("gz-a-1", last)
            .seal("gz-c-1", at(1, 9));
        scene.sealed.get_mut(&node("gz-a-1")).unwrap().whole = false;
        let Step::Commit { primary, in_sync, sealed, .. } = scene.step() else {
            panic!("{:?}", scene.step())
        };
        assert_eq!((primary, in_sync), (node("gz-c-1"), vec![]));
        assert_eq!(sealed, nodes(&["gz-a-1", "gz-c-1"]), "its journal counts");
    }
}

#[test]
fn a_named_target_ends_with_the_best_position_however_long_it_takes() {
    let scene = Scene::reserved(World::with_platform(), Some("gz-a-1"), false)
        .reach(&["gz-a-1", "gz-c-1"])
        .seal("gz-a-1", at(1, 5))
        .seal("gz-c-1", at(1, 9))
        .at(10_000);
    assert!(matches!(scene.step(), Step::Copy { orders, .. } if orders[0].laggard == node("gz-a-1")));
    let done = scene.seal("gz-a-1", at(1, 9));
    assert!(matches!(done.step(), Step::Commit { primary, .. } if primary == node("gz-a-1")));
}

#[test]
fn a_named_target_that_did_not_answer_is_waited_for() {
    let scene = Scene::reserved(World::with_platform(), Some("gz-a-1"), true)
        .reach(&["gz-c-1"])
        .seal("gz-c-1", at(1, 9));
    let Step::WaitSeals { missing, .. } = scene.at(10_000).step() else { panic!() };
    assert!(missing.contains(&node("gz-a-1")));
}

#[test]
fn equal_positions_with_different_digests_are_an_alarm_and_never_a_choice() {
    let forged = Position { digest: eport_model::Digest::of(b"other"), ..at(1, 9) };
    let scene = Scene::reserved(World::with_platform(), None, false)
        .reach(&["gz-a-1", "gz-c-1"])
        .seal("gz-a-1", at(1, 9))
        .seal("gz-c-1", forged);
    assert!(matches!(scene.step(), Step::Alarm { .. }));
}

#[test]
fn the_old_primary_holds_everything_and_is_a_source_but_goes_on_only_when_nobody_else_can() {
    let scene = Scene::reserved(World::with_platform(), None, false)
        .reach(&["gz-a-1", "sz-a-1"])
        .seal("gz-a-1", at(1, 5))
        .seal("sz-a-1", at(1, 9));
    let order = CopyOrder { laggard: node("gz-a-1"), source: node("sz-a-1"), to: at(1, 9) };
    assert!(matches!(scene.step(), Step::Copy { orders, .. } if orders == [order]));
    let alone = Scene::reserved(World::with_platform(), None, false)
        .reach(&["sz-a-1"])
        .seal("sz-a-1", at(1, 9))
        .at(10_000);
    let Step::ConfirmOldPrimary { start, .. } = alone.step() else { panic!("{:?}", alone.step()) };
    assert_eq!(start, at(1, 9));
}

#[test]
fn a_candidate_that_died_after_its_seal_is_left_behind_when_the_others_prove_enough() {
    let mut world = World::with_platform();
    world.set_policy(policy(DurabilityMode::Sync, 2), sync(&["gz-a-1", "gz-c-1", "gz-a-2"])).unwrap();
    world.in_sync_add("gz-a-2").unwrap();
    world.proven(2).unwrap();
    let scene = Scene::reserved(world, None, false)
        .seal("gz-a-1", at(1, 12))
        .seal("gz-a-2", at(1, 9))
        .seal("gz-c-1", at(1, 9));
    let scene = scene.reach(&["gz-a-2", "gz-c-1"]);
    assert!(
        matches!(scene.step(), Step::Commit { start, .. } if start == at(1, 9)),
        "12 had one holder of two needed"
    );
    let scene = scene.reach(&["gz-a-2"]);
    let Step::WaitSeals { missing, .. } = scene.at(10_000).step() else {
        panic!("one of three proves nothing")
    };
    assert!(missing.contains(&node("gz-a-1")) && missing.contains(&node("gz-c-1")));
}

#[test]
fn reports_of_another_epoch_move_or_stranger_count_for_nothing() {
    let mut scene = Scene::reserved(World::with_platform(), None, false)
        .seal("gz-a-1", at(1, 9))
        .seal("gz-c-1", at(1, 9));
    scene.sealed.get_mut(&node("gz-c-1")).unwrap().epoch = eport_model::Epoch::INITIAL;
    let scene = scene.seal("gz-a-2", at(1, 50)).at(10_000);
    assert!(matches!(scene.step(), Step::WaitSeals { have: 1, .. }));
}

#[test]
fn a_move_that_ended_has_no_next_step() {
    let mut scene = Scene::reserved(World::with_platform(), None, false);
    let id = scene.move_id;
    scene.world.commit_failover(id, "gz-a-1", at(1, 9), &["gz-a-1", "gz-c-1"]).unwrap();
    assert_eq!(scene.step(), Step::Finished { state: Some(MoveState::Done) });
    scene.move_id = MoveId([9; 16]);
    assert_eq!(scene.step(), Step::Finished { state: None });
}

/// SplitMix64, as in the registry's model test.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// One failover among candidates that come and go, driven by coordinators that forget everything at any moment. `len` is
/// the candidates' journal length; the record `promised` is held by at least one of every seal quorum.
fn run(seed: u64) -> Option<u64> {
    let mut dice = Dice(seed);
    let world = World::with_platform();
    let promised = 1 + dice.below(20);
    let mut len = BTreeMap::new();
    let holder = ["gz-a-1", "gz-c-1"][dice.below(2) as usize];
    for id in ["gz-a-1", "gz-c-1"] {
        let more = if id == holder { promised + dice.below(5) } else { dice.below(promised + 3) };
        len.insert(node(id), more);
    }
    let ends = len.values().copied().max().unwrap_or(0);
    len.insert(node("sz-a-1"), ends + dice.below(4));
    let to = if dice.below(3) == 0 { Some("gz-a-1") } else { None };
    let mut scene = Scene::reserved(world, to, false);
    let mut copying = false;
    for round in 0..200 {
        scene.now = round * 10;
        let calm = round > 100;
        let up = |dice: &mut Dice, n: &str| {
            n != "sz-a-1" && (calm || dice.below(3) > 0) || n == "sz-a-1" && dice.below(9) == 0
        };
        scene.reachable =
            ["gz-a-1", "gz-c-1", "sz-a-1"].into_iter().filter(|n| up(&mut dice, n)).map(node).collect();
        let gone = scene.sealed.keys().any(|n| !scene.reachable.contains(n));
        if dice.below(10) == 0 || (copying && gone) {
            // Another coordinator takes over, or a candidate went away while copies ran.
            scene.sealed.clear();
            copying = false;
        }
        let step = scene.step();
        match &step {
            Step::SealCandidates { nodes, .. } => {
                for n in nodes.iter().filter(|_| dice.below(4) > 0) {
                    scene = scene.seal(n.as_str(), at(1, len[n]));
                }
            }
            Step::Copy { orders, .. } => {
                for o in orders.clone() {
                    assert_eq!(o.to, at(1, len[&o.source]), "seed {seed}: the source holds what is copied");
                    copying = true;
                    let luck = dice.below(4);
                    if luck < 3 {
                        len.insert(o.laggard, o.to.index.as_u64());
                    }
                    if luck < 2 {
                        // Else the report of the finished copy is lost and the order comes again.
                        scene = scene.seal(o.laggard.as_str(), o.to);
                    }
                }
            }
            Step::Commit { primary, start, .. } => {
                assert_eq!(*start, at(1, len[primary]), "seed {seed}: the primary ends at the start");
                assert!(start.index.as_u64() >= promised, "seed {seed}: record {promised} is lost");
                let op = step.command(region("440300"), scene.move_id).unwrap();
                scene.world.by_node(node("gz-a-2"), op).unwrap();
                assert_eq!(scene.step(), Step::Finished { state: Some(MoveState::Done) });
                return Some(round as u64);
            }
            Step::ConfirmOldPrimary { start, .. } => {
                assert!(start.index.as_u64() >= promised);
                let op = step.command(region("440300"), scene.move_id).unwrap();
                scene.world.by_node(node("gz-a-2"), op).unwrap();
                return Some(round as u64);
            }
            Step::WaitSeals { .. } => {}
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    None
}

#[test]
fn a_failover_ends_under_any_coordinator_and_loses_nothing_promised() {
    for seed in 0..3_000 {
        assert!(run(seed).is_some(), "seed {seed}: it never ended");
    }
}
