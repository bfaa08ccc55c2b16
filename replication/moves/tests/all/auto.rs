//! Automatic failover: whom the leader suspects, and what keeps it from acting on it.

use crate::common;
use common::*;
use eport_model::{Epoch, MoveId, Timestamp};
use eport_moves::*;
use eport_registry::*;

const LIMITS: AutoLimits =
    AutoLimits { grace_ms: 1_000, backoff_ms: 2_000, backoff_max_ms: 600_000, give_up_ms: 5_000 };

fn auto() -> World {
    let mut w = World::with_platform();
    let policy = Policy { failover: FailoverMode::Auto, ..policy(DurabilityMode::Sync, 1) };
    w.set_policy(policy, sync(&["gz-a-1", "gz-c-1"])).unwrap();
    w
}

fn seen(w: &mut World) {
    let (region, version) = (region("440300"), w.version());
    let op = Op::Shrink { region, version, nodes: vec![], whole: true };
    w.by_node(node("sz-a-1"), op).unwrap();
}

fn decide(w: &World, watch: &mut Watch, reach: &[&str], now: u64, id: u8) -> Verdict {
    let mut observed = Observed::new(&w.state, Timestamp::from_millis(now as i64));
    observed.reachable = reach.iter().map(|n| node(n)).collect();
    watch.decide(&observed, region("440300"), MoveId([id; 16]), &LIMITS, now)
}

fn renew(w: &World, watch: &mut Watch, now: u64) -> bool {
    watch.renew(&w.state, region("440300"), Epoch::INITIAL, node("sz-a-1"), now)
}

const BOTH: [&str; 2] = ["gz-a-1", "gz-c-1"];

#[test]
fn a_primary_is_suspected_one_grace_after_its_last_renewal_and_never_sooner_by_a_new_leader() {
    let mut w = auto();
    seen(&mut w);
    let mut watch = Watch::begin(10_000);
    assert_eq!(decide(&w, &mut watch, &BOTH, 10_999, 1), Verdict::Fine, "the leader has just begun");
    assert!(renew(&w, &mut watch, 10_900));
    assert_eq!(decide(&w, &mut watch, &BOTH, 11_899, 1), Verdict::Fine);
    let Verdict::Reserve { op, reason } = decide(&w, &mut watch, &BOTH, 11_900, 1) else { panic!() };
    assert!(reason.contains("sz-a-1") && reason.contains("1000 ms"), "{reason}");
    w.by_node(node("gz-a-2"), *op).unwrap();
    assert!(matches!(w.placement().state, PlacementState::Recovering { .. }));
}

#[test]
fn after_the_decision_nothing_more_is_granted_until_the_placement_has_moved_on() {
    let mut w = auto();
    seen(&mut w);
    let mut watch = Watch::begin(0);
    assert!(matches!(decide(&w, &mut watch, &BOTH, 1_000, 1), Verdict::Reserve { .. }));
    assert!(!renew(&w, &mut watch, 1_001), "the reservation may be on its way");
    w.in_sync_remove("gz-a-1").unwrap_err();
    seen(&mut w);
    assert!(renew(&w, &mut watch, 1_002), "the reservation named the version before: it is refused");
}

#[test]
fn no_primary_is_judged_by_a_policy_it_has_not_shown_to_know() {
    let mut w = auto();
    let mut watch = Watch::begin(0);
    assert_eq!(decide(&w, &mut watch, &BOTH, 60_000, 1), Verdict::Fine);
    seen(&mut w);
    assert!(matches!(decide(&w, &mut watch, &BOTH, 60_000, 1), Verdict::Reserve { .. }));
}

#[test]
fn nothing_is_reserved_that_the_reachable_backups_could_not_finish() {
    let mut w = auto();
    seen(&mut w);
    let mut watch = Watch::begin(0);
    let waits = Verdict::Wait(Obstacle::NoProof);
    assert_eq!(decide(&w, &mut watch, &["gz-a-1"], 5_000, 1), waits, "two in sync, one acknowledgement");
    let with_old = ["gz-a-1", "sz-a-1"];
    assert_eq!(decide(&w, &mut watch, &with_old, 5_000, 1), waits, "it may be connected and yet not renew");
    assert!(renew(&w, &mut watch, 5_001), "and nothing was decided");
}

#[test]
fn a_platform_that_fails_again_and_again_waits_longer_each_time_also_under_another_leader() {
    let mut w = auto();
    seen(&mut w);
    let mut at = 0;
    let mut waits = Vec::new();
    for id in 1..4 {
        let mut watch = Watch::begin(0);
        let op = loop {
            at += 1_000;
            match decide(&w, &mut watch, &BOTH, at, id) {
                Verdict::Reserve { op, .. } => break op,
                Verdict::Wait(Obstacle::Backoff(_)) => {}
                other => panic!("{other:?}"),
            }
        };
        waits.push(at);
        w.now = at as i64 - 1_000;
        w.by_node(node("gz-a-2"), *op).unwrap();
        let (region, version, move_id) = (region("440300"), w.version(), MoveId([id; 16]));
        let op = Op::FailMove { region, version, move_id, reason: "drawn".into(), missing: vec![] };
        w.by_node(node("gz-a-2"), op).unwrap();
    }
    assert_eq!(waits, [1_000, 3_000, 7_000]);
    assert!(w.state.moves_of(region("440300")).iter().all(|m| is_automatic(m)));
}
