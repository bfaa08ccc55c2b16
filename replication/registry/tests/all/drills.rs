//! Drills: one at a time, a start state to return to, an end that has returned to it, schedules.

use crate::common;
use common::*;
use eport_model::{Coded, Digest, Timestamp, codes};
use eport_registry::*;

fn begin_op(w: &World, limit_ms: u64) -> Op {
    Op::BeginDrill {
        name: "primary-kill".into(),
        region: region("440300"),
        script: Digest::of(b"script"),
        platforms: vec![DrillPlatform { region: region("440300"), version: w.version() }],
        disturbs: vec!["process sz-a-1".into()],
        limit_ms,
    }
}

fn begin(w: &mut World, limit_ms: u64) -> Result<CommandId, Refusal> {
    let op = begin_op(w, limit_ms);
    match w.operator(op)? {
        Outcome::Drill { drill, .. } => Ok(drill),
        other => panic!("{other:?}"),
    }
}

fn end_op(drill: CommandId, verdict: DrillVerdict) -> Op {
    let figures = DrillFigures { acknowledged: 9, present: 9, ..DrillFigures::default() };
    Op::EndDrill { drill, verdict, figures, report: None, note: "over".into(), keep: false }
}

/// The platform fails over from sz-a-1 to gz-a-1.
fn fail_over(w: &mut World) {
    let version = w.version();
    let outcome = w.reserve(version, Some("gz-a-1"), false).unwrap();
    w.commit_failover(move_id(&outcome), "gz-a-1", at(1, 9), &["gz-a-1", "gz-c-1"]).unwrap();
    assert_eq!(w.placement().primary, node("gz-a-1"));
}

fn back(w: &mut World) -> Op {
    Op::OpenSwitchover {
        region: region("440300"),
        move_id: eport_model::MoveId(w.id()),
        kind: MoveKind::Failback,
        to: node("sz-a-1"),
        within_ms: 60_000,
        expected_version: w.version(),
        plan: bare_plan(),
    }
}

#[test]
fn a_drill_records_who_served_what_and_until_when_it_may_take() {
    let mut w = World::with_platform();
    let id = begin(&mut w, 60_000).unwrap();
    let drill = w.state.drill(id).unwrap().clone();
    assert_eq!(drill.start.iter().map(|s| s.primary).collect::<Vec<_>>(), [node("sz-a-1")]);
    assert_eq!(drill.deadline, drill.begun.plus_millis(60_000));
    assert_eq!((drill.by.as_str(), drill.is_running()), ("operator/admin", true));
    assert_eq!(State::from_rows(w.stored.clone()).unwrap(), w.state, "the row survives a restart");
}

#[test]
fn one_drill_at_a_time_on_placements_that_are_still_as_planned() {
    let mut w = World::with_platform();
    let stale = Op::BeginDrill {
        name: "switchover".into(),
        region: region("440300"),
        script: Digest::ZERO,
        platforms: vec![DrillPlatform { region: region("440300"), version: w.version() - 1 }],
        disturbs: vec![],
        limit_ms: 60_000,
    };
    assert_eq!(w.operator(stale).unwrap_err().code(), codes::VERSION_CONFLICT);
    assert!(begin(&mut w, 999).is_err(), "no time at all");
    assert!(begin(&mut w, 86_400_001).is_err(), "more than a day");
    let op = begin_op(&w, 60_000);
    let by_node = w.by_node(node("gz-a-1"), op).unwrap_err();
    assert_eq!(by_node.code(), codes::NOT_ENTITLED);
    begin(&mut w, 60_000).unwrap();
    assert_eq!(begin(&mut w, 60_000).unwrap_err().code(), codes::DRILL_RUNNING);
}

#[test]
fn a_drill_ends_only_when_its_platforms_are_back_or_an_operator_keeps_what_is() {
    let mut w = World::with_platform();
    let id = begin(&mut w, 600_000).unwrap();
    fail_over(&mut w);
    let refused = w.operator(end_op(id, DrillVerdict::Passed)).unwrap_err();
    assert_eq!(refused.code(), codes::DRILL_AWAY);
    let mut kept = w.clone();
    let Op::EndDrill { drill, verdict, figures, report, note, .. } = end_op(id, DrillVerdict::Failed) else {
        unreachable!()
    };
    kept.operator(Op::EndDrill { drill, verdict, figures, report, note, keep: true }).unwrap();
    assert!(!kept.state.drill(id).unwrap().restored, "the record says that it is not back");
    w.in_sync_add("sz-a-1").unwrap();
    let op = back(&mut w);
    let outcome = w.operator(op).unwrap();
    assert_eq!(
        w.operator(end_op(id, DrillVerdict::Passed)).unwrap_err().code(),
        codes::DRILL_AWAY,
        "a move under way is not back"
    );
    let version = w.version();
    let commit = Op::CommitSwitch {
        region: region("440300"),
        version,
        move_id: move_id(&outcome),
        start: at(2, 12),
        in_sync: vec![node("gz-c-1")],
    };
    w.by_node(node("gz-a-1"), commit).unwrap();
    w.operator(end_op(id, DrillVerdict::Passed)).unwrap();
    let drill = w.state.drill(id).unwrap();
    assert!(drill.restored && drill.is_complete() && drill.figures.present == 9);
    assert!(w.operator(end_op(id, DrillVerdict::Failed)).is_err(), "the verdict is final");
}

#[test]
fn a_node_moves_back_and_closes_after_the_deadline_and_never_before() {
    let mut w = World::with_platform();
    let id = begin(&mut w, 60_000).unwrap();
    fail_over(&mut w);
    w.in_sync_add("sz-a-1").unwrap();
    let op = back(&mut w);
    assert_eq!(w.by_node(node("gz-c-1"), op.clone()).unwrap_err().code(), codes::NOT_ENTITLED);
    assert!(w.by_node(node("gz-c-1"), end_op(id, DrillVerdict::Aborted)).is_err(), "time is left");
    w.operator(Op::StopDrill { drill: id, reason: "enough".into() }).unwrap();
    assert!(w.state.drill(id).unwrap().is_overdue(Timestamp::from_millis(w.now)), "its deadline is now");
    let Op::OpenSwitchover { region, move_id, kind, within_ms, expected_version, plan, .. } = op.clone()
    else {
        unreachable!()
    };
    let elsewhere =
        Op::OpenSwitchover { region, move_id, kind, to: node("gz-c-1"), within_ms, expected_version, plan };
    assert_eq!(
        w.by_node(node("gz-c-1"), elsewhere).unwrap_err().code(),
        codes::NOT_ENTITLED,
        "only to where the platform was"
    );
    let outcome = w.by_node(node("gz-c-1"), op).unwrap();
    let version = w.version();
    let commit = Op::CommitSwitch {
        region,
        version,
        move_id: common::move_id(&outcome),
        start: at(2, 12),
        in_sync: vec![],
    };
    w.by_node(node("gz-a-1"), commit).unwrap();
    assert!(w.by_node(node("gz-c-1"), end_op(id, DrillVerdict::Passed)).is_err(), "a node saw no verdict");
    w.by_node(node("gz-c-1"), end_op(id, DrillVerdict::Aborted)).unwrap();
    let drill = w.state.drill(id).unwrap();
    assert!(drill.restored && !drill.is_complete());
    let op = back(&mut w);
    assert_eq!(w.by_node(node("gz-c-1"), op).unwrap_err().code(), codes::NOT_ENTITLED, "it is over");
}

#[test]
fn finished_drills_are_forgotten_beyond_the_bound_and_the_running_one_never() {
    let mut w = World::with_platform();
    let first = begin(&mut w, 600_000).unwrap();
    w.operator(end_op(first, DrillVerdict::Passed)).unwrap();
    for _ in 0..DRILLS_KEPT {
        let id = begin(&mut w, 600_000).unwrap();
        w.operator(end_op(id, DrillVerdict::Passed)).unwrap();
    }
    assert_eq!(w.state.drills().count(), DRILLS_KEPT);
    assert!(w.state.drill(first).is_none(), "the oldest went");
    let running = begin(&mut w, 600_000).unwrap();
    assert!(w.state.drill(running).is_some_and(Drill::is_running));
    assert_eq!(w.state.drills().count(), DRILLS_KEPT);
    assert_eq!(State::from_rows(w.stored.clone()).unwrap(), w.state);
}

#[test]
fn a_schedule_counts_from_the_last_complete_drill_and_an_aborted_one_does_not_count() {
    let mut w = World::with_platform();
    let day = 86_400_000;
    let schedule = DrillSchedule {
        name: "primary-kill".into(),
        region: region("440300"),
        every_days: 30,
        first: Timestamp::from_millis(w.now + day),
        owner: "ops".into(),
        since: Timestamp::default(),
    };
    w.operator(Op::PutDrillSchedule(schedule.clone())).unwrap();
    let due =
        |w: &World| w.state.drill_due(w.state.drill_schedule(region("440300"), "primary-kill").unwrap());
    assert_eq!(due(&w), schedule.first);
    let aborted = begin(&mut w, 600_000).unwrap();
    w.operator(end_op(aborted, DrillVerdict::Aborted)).unwrap();
    assert_eq!(due(&w), schedule.first);
    w.now += 2 * day;
    let done = begin(&mut w, 600_000).unwrap();
    w.operator(end_op(done, DrillVerdict::Failed)).unwrap();
    assert_eq!(due(&w), w.state.drill(done).unwrap().begun.plus_millis(30 * day));
    let none = DrillSchedule { every_days: 0, ..schedule };
    assert!(w.operator(Op::PutDrillSchedule(none)).is_err());
    let forget = Op::RemoveDrillSchedule { region: region("440300"), name: "primary-kill".into() };
    w.operator(forget.clone()).unwrap();
    assert_eq!(w.state.drill_schedules().count(), 0);
    assert_eq!(State::from_rows(w.stored.clone()).unwrap(), w.state);
    assert!(w.operator(forget).is_err());
}
