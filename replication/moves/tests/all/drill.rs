//! A drill whose owner is gone: the leader puts the start state back and closes it.

use crate::common;
use common::*;
use eport_model::{Digest, JournalIndex, Lineage, MoveId, Timestamp};
use eport_moves::*;
use eport_registry::*;

fn begin(w: &mut World) -> CommandId {
    let op = Op::BeginDrill {
        name: "primary-kill".into(),
        region: region("440300"),
        script: Digest::ZERO,
        platforms: vec![DrillPlatform { region: region("440300"), version: w.version() }],
        disturbs: vec![],
        limit_ms: 60_000,
    };
    let Ok(Outcome::Drill { drill, .. }) = w.operator(op) else { panic!() };
    drill
}

fn fail_over(w: &mut World) {
    let version = w.version();
    let outcome = w.reserve(version, Some("gz-a-1"), false).unwrap();
    w.commit_failover(move_id(&outcome), "gz-a-1", at(1, 9), &["gz-a-1", "gz-c-1"]).unwrap();
}

/// What the leader does `after_ms` from the world's now; everybody is level, only `reach` can be reached.
fn step(w: &World, after_ms: i64, reach: &[&str]) -> DrillStep {
    let now = Timestamp::from_millis(w.now + after_ms);
    drill_step(&w.state, now, MoveId([9; 16]), |_| {
        let mut observed = Observed::new(&w.state, now);
        observed.reachable = reach.iter().map(|n| node(n)).collect();
        for n in ["sz-a-1", "gz-a-1", "gz-c-1"] {
            let fact = ReplicaFact {
                durable: at(2, 20),
                applied: JournalIndex::from_u64(20),
                lineage: Lineage::from_bytes([7; 16]),
                at: now,
            };
            observed.replicas.insert(node(n), fact);
        }
        observed
    })
}

const ALL: [&str; 3] = ["sz-a-1", "gz-a-1", "gz-c-1"];

#[test]
fn before_the_deadline_nothing_is_done_and_without_a_drill_never() {
    let mut w = World::with_platform();
    assert_eq!(step(&w, 1_000_000, &ALL), DrillStep::Nothing);
    begin(&mut w);
    fail_over(&mut w);
    assert_eq!(step(&w, 0, &ALL), DrillStep::Nothing, "its owner has time left");
}

#[test]
fn after_the_deadline_the_platform_goes_back_as_soon_as_its_old_primary_is_in_sync_and_the_drill_is_closed() {
    let mut w = World::with_platform();
    let id = begin(&mut w);
    fail_over(&mut w);
    let waits = step(&w, 60_000, &ALL);
    assert!(
        matches!(&waits, DrillStep::Wait { why, .. } if why.contains("not in sync")),
        "the way back has every check of a planned move: {waits:?}"
    );
    w.in_sync_add("sz-a-1").unwrap();
    let waits = step(&w, 60_000, &["gz-a-1", "gz-c-1"]);
    assert!(matches!(&waits, DrillStep::Wait { why, .. } if why.contains("not connected")), "{waits:?}");
    let DrillStep::Propose { op, reason } = step(&w, 60_000, &ALL) else { panic!() };
    assert!(reason.contains("back to sz-a-1"), "{reason}");
    w.now += 60_000;
    let outcome = w.by_node(node("gz-c-1"), *op).unwrap();
    let waits = step(&w, 0, &ALL);
    assert!(matches!(&waits, DrillStep::Wait { why, .. } if why.contains("switching")), "{waits:?}");
    let version = w.version();
    let commit = Op::CommitSwitch {
        region: region("440300"),
        version,
        move_id: move_id(&outcome),
        start: at(2, 21),
        in_sync: vec![node("gz-c-1")],
    };
    w.by_node(node("gz-a-1"), commit).unwrap();
    let DrillStep::Propose { op, .. } = step(&w, 0, &ALL) else { panic!() };
    w.by_node(node("gz-c-1"), *op).unwrap();
    let drill = w.state.drill(id).unwrap();
    assert_eq!((drill.verdict, drill.restored), (Some(DrillVerdict::Aborted), true));
    assert_eq!(step(&w, 0, &ALL), DrillStep::Nothing);
}

#[test]
fn a_way_back_that_was_given_up_is_tried_again_but_not_at_once() {
    let mut w = World::with_platform();
    begin(&mut w);
    fail_over(&mut w);
    w.in_sync_add("sz-a-1").unwrap();
    w.now += 60_000;
    let DrillStep::Propose { op, .. } = step(&w, 1_000, &ALL) else { panic!() };
    let outcome = w.by_node(node("gz-c-1"), *op).unwrap();
    let version = w.version();
    let abort = Op::AbortMove {
        region: region("440300"),
        version,
        move_id: move_id(&outcome),
        reason: "late".into(),
    };
    w.by_node(node("gz-a-1"), abort).unwrap();
    assert!(matches!(step(&w, 0, &ALL), DrillStep::Wait { .. }));
    assert!(matches!(step(&w, 5_000, &ALL), DrillStep::Propose { .. }));
}

#[test]
fn a_drill_that_moved_nothing_is_only_closed() {
    let mut w = World::with_platform();
    let id = begin(&mut w);
    let DrillStep::Propose { op, .. } = step(&w, 60_000, &[]) else { panic!() };
    w.now += 60_000;
    w.by_node(node("gz-c-1"), *op).unwrap();
    assert!(!w.state.drill(id).unwrap().is_running());
}
