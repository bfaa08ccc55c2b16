//! Placements: compare-and-set, entitlement, the in-sync set and what is proven.

use crate::common;
use common::*;
use eport_model::{NodeId, Position};
use eport_registry::*;

#[test]
fn a_placement_changes_only_by_a_command_that_names_its_version() {
    let mut w = World::with_platform();
    let (before, stale) = (w.placement().clone(), w.version() - 1);
    let op = Op::SetStopped { region: region("440300"), version: stale, stopped: true };
    assert!(matches!(w.operator(op), Err(Refusal::VersionConflict { .. })));
    assert_eq!(*w.placement(), before);
    let op = Op::SetStopped { region: region("440300"), version: before.version, stopped: true };
    w.operator(op).unwrap();
    assert_eq!(w.version(), before.version + 1);
}

#[test]
fn only_the_primary_changes_its_in_sync_set() {
    let mut w = World::with_platform();
    let (version, region) = (w.version(), region("440300"));
    for by in ["gz-a-1", "gz-a-2"] {
        let op = Op::InSyncRemove { region, version, node: node("gz-c-1") };
        assert!(matches!(w.by_node(node(by), op), Err(Refusal::NotEntitled { .. })), "{by}");
    }
    let op = Op::Proven { region, version, k: 1 };
    assert!(matches!(w.operator(op), Err(Refusal::NotEntitled { .. })));
}

#[test]
fn a_backup_taken_out_of_the_policy_counts_in_the_seal_quorum_until_the_primary_lets_it_go() {
    let mut w = World::with_platform();
    assert_eq!(w.state.seal_quorum(w.placement()), 2, "two in sync, one acknowledgement: both must answer");
    w.set_policy(policy(DurabilityMode::Sync, 1), sync(&["gz-c-1"])).unwrap();
    let leaving = *w.placement().backup(node("gz-a-1")).unwrap();
    assert!(leaving.in_sync && leaving.leaving);
    assert_eq!(w.state.seal_quorum(w.placement()), 2, "the leaving backup may be the only holder");
    w.in_sync_remove("gz-a-1").unwrap();
    assert!(w.placement().backup(node("gz-a-1")).is_none());
    assert_eq!(w.state.seal_quorum(w.placement()), 1);
}

#[test]
fn under_sync_the_set_never_shrinks_below_what_is_proven() {
    let mut w = World::with_platform();
    assert!(w.in_sync_remove("gz-a-1").is_err(), "named by the policy");
    w.set_policy(policy(DurabilityMode::Sync, 1), sync(&["gz-a-2"])).unwrap();
    w.in_sync_remove("gz-a-1").unwrap();
    assert!(matches!(w.in_sync_remove("gz-c-1"), Err(Refusal::Rule(_))), "the new one is not in sync yet");
    w.in_sync_add("gz-a-2").unwrap();
    w.in_sync_remove("gz-c-1").unwrap();
    assert_eq!(w.placement().proven_k, 1);
}

#[test]
fn a_higher_k_binds_at_once_and_is_proven_later_a_lower_k_proves_less_at_once() {
    let mut w = World::with_platform();
    let backups = || sync(&["gz-a-1", "gz-c-1"]);
    w.set_policy(policy(DurabilityMode::Sync, 2), backups()).unwrap();
    assert_eq!((w.placement().policy.k, w.placement().proven_k), (2, 1));
    assert_eq!(w.state.seal_quorum(w.placement()), 2, "older records may have one holder");
    assert!(w.proven(3).is_err());
    w.proven(2).unwrap();
    assert_eq!(w.state.seal_quorum(w.placement()), 1);
    let version = w.version();
    w.proven(2).unwrap();
    assert_eq!(w.version(), version, "nothing new is no change");
    w.set_policy(policy(DurabilityMode::Sync, 1), backups()).unwrap();
    assert_eq!(w.placement().proven_k, 1);
    w.set_policy(policy(DurabilityMode::Async, 0), backups()).unwrap();
    assert_eq!(w.placement().proven_k, 0);
    assert!(w.state.seal_quorum(w.placement()) > 2, "under async no number of answers proves anything");
    w.set_policy(policy(DurabilityMode::Sync, 1), backups()).unwrap();
    assert_eq!(w.placement().proven_k, 0, "what async wrote is not proven by the policy alone");
}

#[test]
fn backups_on_the_primary_s_site_count_only_when_the_policy_says_so() {
    let mut w = World::founded(Mode::Dev);
    w.operator(Op::AddNode(new_node("sz-a-2", "sz-a", "440300"))).unwrap();
    assert!(w.create(policy(DurabilityMode::Sync, 1), &["sz-a-2"]).is_err(), "no countable backup for k = 1");
    let same_site = Policy { same_site: true, ..policy(DurabilityMode::Sync, 1) };
    w.create(same_site, &["sz-a-2", "gz-c-1"]).unwrap();
    w.in_sync_add("sz-a-2").unwrap();
    assert_eq!(w.state.in_sync_counted(w.placement()).count(), 1);
    w.set_policy(policy(DurabilityMode::Sync, 1), sync(&["sz-a-2", "gz-c-1"])).unwrap();
    assert_eq!(w.state.in_sync_counted(w.placement()).count(), 0);
    assert_eq!(w.placement().proven_k, 0, "the only holder no longer counts");
}

#[test]
fn auto_sync_shrinks_on_the_primary_s_word_and_what_is_proven_shrinks_with_it() {
    let mut w = World::founded(Mode::Dev);
    w.create(policy(DurabilityMode::AutoSync, 2), &["gz-a-1", "gz-c-1"]).unwrap();
    assert_eq!(w.placement().proven_k, 0);
    w.in_sync_add("gz-a-1").unwrap();
    assert_eq!(w.state.effective_k(w.placement()), 1);
    assert!(w.proven(2).is_err());
    w.proven(1).unwrap();
    w.in_sync_add("gz-c-1").unwrap();
    w.proven(2).unwrap();
    w.in_sync_remove("gz-a-1").unwrap();
    assert_eq!((w.placement().proven_k, w.state.effective_k(w.placement())), (1, 1));
    assert!(w.placement().backup(node("gz-a-1")).is_some(), "it stays a backup and may come back");
    w.in_sync_remove("gz-c-1").unwrap();
    assert_eq!((w.placement().proven_k, w.state.effective_k(w.placement())), (0, 0));
}

#[test]
fn auto_sync_proves_no_more_than_the_backups_that_stay() {
    let mut w = World::founded(Mode::Dev);
    w.create(policy(DurabilityMode::AutoSync, 2), &["gz-a-1", "gz-c-1"]).unwrap();
    w.in_sync_add("gz-a-1").unwrap();
    w.in_sync_add("gz-c-1").unwrap();
    w.proven(2).unwrap();
    w.set_policy(policy(DurabilityMode::AutoSync, 2), sync(&["gz-a-1", "gz-a-2"])).unwrap();
    assert_eq!(w.state.effective_k(w.placement()), 1, "an answer now needs one");
    assert_eq!((w.placement().proven_k, w.state.seal_quorum(w.placement())), (1, 2));
}

#[test]
fn a_policy_that_cannot_hold_is_refused() {
    let mut w = World::with_platform();
    let backups = || sync(&["gz-a-1", "gz-c-1"]);
    let sync1 = policy(DurabilityMode::Sync, 1);
    let auto = FailoverMode::Auto;
    assert!(w.set_policy(Policy { failover: auto, ..policy(DurabilityMode::Async, 0) }, backups()).is_err());
    assert!(
        w.set_policy(Policy { failover: auto, isolation: Isolation::Degrade, ..sync1 }, backups()).is_err()
    );
    assert!(w.set_policy(policy(DurabilityMode::Sync, 3), backups()).is_err());
    assert!(w.set_policy(policy(DurabilityMode::Sync, 0), backups()).is_err());
    assert!(w.set_policy(sync1, sync(&["gz-a-1", "gz-a-1"])).is_err());
    assert!(w.set_policy(sync1, sync(&["sz-a-1"])).is_err(), "the primary backs nobody");
    assert!(w.set_policy(sync1, sync(&["nobody"])).is_err());
}

#[test]
fn a_platform_is_physical_when_a_home_node_is_or_was_its_primary() {
    let mut w = World::with_platform();
    assert_eq!(w.state.kind(region("440300")), Kind::Physical);
    let op = Op::CreatePlatform {
        region: region("440500"),
        name_zh: "汕头".into(),
        name_en: "Shantou".into(),
        primary: node("gz-a-1"),
        backups: vec![],
        policy: policy(DurabilityMode::Async, 0),
    };
    w.operator(op).unwrap();
    assert_eq!(w.state.kind(region("440500")), Kind::Virtual);
    let moved = w.open("gz-a-1").unwrap();
    let (version, region) = (w.version(), region("440300"));
    let op = Op::CommitSwitch { region, version, move_id: moved, start: at(1, 9), in_sync: vec![] };
    w.by_node(node("sz-a-1"), op).unwrap();
    assert_eq!(w.state.kind(region), Kind::Physical, "being served elsewhere is no change of kind");
    assert!(w.state.is_away(w.placement()));
}

#[test]
fn silent_backups_are_dropped_together_only_under_auto_sync_and_what_is_proven_goes_with_them() {
    let mut w = World::with_platform();
    let (region, both) = (region("440300"), vec![node("gz-a-1"), node("gz-c-1")]);
    let shrink = |w: &mut World, nodes: Vec<NodeId>, whole| {
        let version = w.version();
        w.by_node(node("sz-a-1"), Op::Shrink { region, version, nodes, whole })
    };
    assert!(shrink(&mut w, both.clone(), false).is_err(), "sync waits");
    w.set_policy(policy(DurabilityMode::AutoSync, 1), sync(&["gz-a-1", "gz-c-1"])).unwrap();
    shrink(&mut w, both.clone(), false).unwrap();
    let p = w.placement();
    assert_eq!((w.state.effective_k(p), p.proven_k, w.state.seal_quorum(p)), (0, 0, 1));
    assert!(p.backups.iter().all(|b| !b.in_sync), "they stay backups");
    assert!(
        !w.state.proves(p, |n| n != node("sz-a-1"), |_| true),
        "only the primary itself proves anything now"
    );
    assert!(shrink(&mut w, both, false).is_err(), "they are not waited for any more");
}

#[test]
fn a_policy_is_seen_by_a_step_of_the_primary_and_what_it_answered_alone_outlives_the_policy() {
    let mut w = World::with_platform();
    let backups = || sync(&["gz-a-1", "gz-c-1"]);
    let degrade = Policy { isolation: Isolation::Degrade, ..policy(DurabilityMode::AutoSync, 1) };
    assert!(w.set_policy(Policy { durability: DurabilityMode::Sync, ..degrade }, backups()).is_err());
    w.set_policy(degrade, backups()).unwrap();
    assert_eq!((w.placement().seen, w.placement().degrade_k), (false, 1));
    let all = |n: NodeId| n != node("sz-a-1");
    assert!(!w.state.proves(w.placement(), all, |_| false), "it may have gone on alone before they sealed");
    assert!(w.state.proves(w.placement(), all, |n| n == node("gz-c-1")));
    w.set_policy(policy(DurabilityMode::Sync, 1), backups()).unwrap();
    assert_eq!(w.placement().degrade_k, 1, "the primary may not know yet");
    let (region, nodes) = (region("440300"), Vec::new());
    let op = |w: &World, whole| Op::Shrink { region, version: w.version(), nodes: nodes.clone(), whole };
    let step = op(&w, false);
    w.by_node(node("sz-a-1"), step).unwrap();
    assert_eq!(
        (w.placement().seen, w.placement().degrade_k),
        (true, 1),
        "it knows, and still holds such answers"
    );
    let step = op(&w, true);
    w.by_node(node("sz-a-1"), step).unwrap();
    assert_eq!(w.placement().degrade_k, 0);
}

/// A shrink can be carried out after the primary that asked for it has gone on alone: two backups were waited for when it did, so
/// that a fresh acknowledgement of the one that is left proves nothing about it.
#[test]
fn a_late_shrink_asks_no_fewer_proofs_before_the_primary_shows_that_it_knows_of_it() {
    let mut w = World::with_platform();
    let degrade = Policy { isolation: Isolation::Degrade, ..policy(DurabilityMode::AutoSync, 2) };
    w.set_policy(degrade, sync(&["gz-a-1", "gz-c-1"])).unwrap();
    let (region, primary, left) = (region("440300"), node("sz-a-1"), node("gz-a-1"));
    let shrink = |w: &mut World, nodes: Vec<NodeId>, whole| {
        let version = w.version();
        w.by_node(primary, Op::Shrink { region, version, nodes, whole }).unwrap();
    };
    shrink(&mut w, vec![], true);
    let version = w.version();
    w.by_node(primary, Op::Proven { region, version, k: 2 }).unwrap();
    assert_eq!((w.placement().degrade_k, w.state.awaits_primary(w.placement())), (2, false));
    shrink(&mut w, vec![node("gz-c-1")], false);
    assert_eq!(w.state.effective_k(w.placement()), 1);
    assert!(!w.state.proves(w.placement(), |n| n == left, |n| n == left), "it may have degraded under k = 2");
    assert!(w.state.awaits_primary(w.placement()), "the primary is asked to show that it knows");
    shrink(&mut w, vec![], false);
    assert!(!w.state.proves(w.placement(), |n| n == left, |n| n == left), "and that nothing is left of it");
    shrink(&mut w, vec![], true);
    assert!(w.state.proves(w.placement(), |n| n == left, |n| n == left));
    assert!(!w.state.awaits_primary(w.placement()));
}

/// A backup's journal that shows nothing of the epoch in which it was taken in sync is an old copy, whatever its length.
#[test]
fn who_was_taken_in_sync_in_this_epoch_and_shows_nothing_of_it_is_no_witness() {
    let mut w = World::with_platform();
    let version = w.version();
    let moved = move_id(&w.reserve(version, None, false).unwrap());
    let (region, version) = (region("440300"), w.version());
    let both = vec![node("gz-a-1"), node("gz-c-1")];
    let commit = |start, sealed: &[NodeId], version| Op::CommitFailover {
        region,
        version,
        move_id: moved,
        primary: node("gz-a-1"),
        start,
        in_sync: vec![],
        sealed: sealed.to_vec(),
        fresh: vec![],
    };
    let refused = w.by_node(node("gz-c-1"), commit(Position::ZERO, &both, version));
    assert!(matches!(refused, Err(Refusal::SealQuorum { have: 0, .. })), "{refused:?}");
    w.by_node(node("gz-c-1"), commit(at(1, 9), &both, version)).unwrap();
    let p = w.placement();
    assert!(
        w.state.may_witness(p, node("gz-c-1"), &at(1, 9)),
        "nobody was taken in sync in the new epoch yet"
    );
}

/// Two failovers that accepted a loss: epochs 3 and 4 went on from record 26, then epoch 5 from the tail that epoch 2 had left.
#[test]
fn a_tail_that_a_failover_left_behind_witnesses_nothing_although_its_epoch_is_a_later_one() {
    let w = World::with_platform();
    let mut p = w.placement().clone();
    let founding = p.history[0].clone();
    let began = |(epoch, start): (u64, Position)| eport_registry::EpochRecord {
        epoch: eport_model::Epoch::from_u64(epoch),
        start,
        ..founding.clone()
    };
    let starts = [(1, Position::ZERO), (2, at(1, 58)), (3, at(1, 26)), (4, at(1, 26)), (5, at(2, 69))];
    p.history = starts.map(began).to_vec();
    (p.epoch, p.start) = (eport_model::Epoch::from_u64(5), at(2, 69));
    for left in [at(3, 27), at(4, 27), at(4, 900)] {
        assert!(!p.is_on_branch(&left), "{left}");
        assert!(!w.state.may_witness(&p, node("gz-c-1"), &left), "{left}");
    }
    for held in [Position::ZERO, at(1, 10), at(2, 69), at(2, 80), at(5, 70), at(6, 71)] {
        assert!(p.is_on_branch(&held), "{held}");
    }
    // Epoch 5 began where epoch 4 had begun: who holds the tail of epoch 4 holds everything before epoch 5.
    (p.start, p.history[4].start) = (at(1, 26), at(1, 26));
    assert!(p.is_on_branch(&at(4, 27)) && p.is_on_branch(&at(3, 27)) && p.is_on_branch(&at(2, 69)));
}

#[test]
fn a_fresh_platform_proves_nothing_before_its_primary_says_so() {
    let mut w = World::founded(Mode::Dev);
    w.create(policy(DurabilityMode::Sync, 1), &["gz-a-1", "gz-c-1"]).unwrap();
    let others = |n: NodeId| n != node("sz-a-1");
    assert!(!w.state.proves(w.placement(), others, |_| true));
    w.in_sync_add("gz-a-1").unwrap();
    assert!(!w.state.proves(w.placement(), others, |_| true));
    w.proven(1).unwrap();
    assert!(w.state.proves(w.placement(), others, |_| true));
}
