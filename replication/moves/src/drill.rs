//! The end of a drill that nobody ended: platforms go back to who served them before, then the drill is closed.
//!
//! Only the leader of the registry acts, and only after the deadline that the drill itself recorded. Always: a platform is moved
//! back by a planned switchover with all its checks, so the way back loses nothing; one platform at a time; while something
//! speaks against the way back the drill stays open and says why; a drill is closed only when everything is back. Nothing is
//! remembered: any leader goes on where another stopped.

use crate::{Intent, Observed, plan};
use eport_model::{MoveId, RegionCode, Timestamp};
use eport_registry::{
    Drill, DrillFigures, DrillStart, DrillVerdict, MoveKind, MoveRecord, MoveState, Op, PlacementState, State,
};

/// A way back that ended otherwise is tried again after this time.
const AGAIN_MS: i64 = 5_000;
/// A planned move that has not been committed after this time is given up by the old primary.
const SWITCH_MS: u32 = 30_000;

/// What is to be done about a drill.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DrillStep {
    /// Nothing runs, or it has time left.
    Nothing,
    /// The way back of this platform is not open now.
    Wait {
        /// The platform.
        region: RegionCode,
        /// What speaks against it.
        why: String,
    },
    /// Propose this; the reason is kept in the history.
    Propose {
        /// The command's reason.
        reason: String,
        /// The command.
        op: Box<Op>,
    },
}

/// What the leader does now about the drill that runs. `observe` gives the soft facts of one platform.
pub fn drill_step<'a>(
    state: &'a State,
    now: Timestamp,
    move_id: MoveId,
    observe: impl Fn(RegionCode) -> Observed<'a>,
) -> DrillStep {
    let Some(drill) = state.running_drill().filter(|d| d.is_overdue(now)) else { return DrillStep::Nothing };
    let away = state.drill_away(drill);
    let mut waits = None;
    for start in &away {
        match way_back(state, drill, start, now, move_id, &observe) {
            DrillStep::Wait { region, why } => waits = waits.or(Some(DrillStep::Wait { region, why })),
            step => return step,
        }
    }
    waits.unwrap_or_else(|| close(drill))
}

fn way_back<'a>(
    state: &'a State,
    drill: &Drill,
    start: &DrillStart,
    now: Timestamp,
    move_id: MoveId,
    observe: &impl Fn(RegionCode) -> Observed<'a>,
) -> DrillStep {
    let region = start.region;
    let wait = |why: String| DrillStep::Wait { region, why };
    let Some(placement) = state.placement(region) else { return wait("it is gone".to_owned()) };
    match placement.state {
        PlacementState::Active => {}
        other => return wait(format!("it is {}", other.word())),
    }
    if let Some(until) = not_before(&state.moves_of(region), drill, now) {
        return wait(format!("the last way back did not end well; again at {} ms", until.as_millis()));
    }
    let intent = Intent::Planned { kind: MoveKind::Failback, to: start.primary };
    let plan = match plan(&observe(region), region, &intent) {
        Ok(plan) => plan,
        Err(refusal) => return wait(refusal.to_string()),
    };
    if let Some(refused) = &plan.refused {
        return wait(refused.detail.en.clone());
    }
    let op = Op::OpenSwitchover {
        region,
        move_id,
        kind: MoveKind::Failback,
        to: start.primary,
        within_ms: SWITCH_MS,
        expected_version: plan.version,
        plan,
    };
    let reason = format!("drill {} ({}) is over: back to {}", drill.id, drill.name, start.primary);
    DrillStep::Propose { reason, op: Box::new(op) }
}

/// A switchover that was given up lately is not repeated at once.
fn not_before(moves: &[&MoveRecord], drill: &Drill, now: Timestamp) -> Option<Timestamp> {
    let last = moves.last().filter(|m| m.opened_at >= drill.deadline && m.state == MoveState::Aborted)?;
    let until = last.ended_at?.plus_millis(AGAIN_MS);
    (until > now).then_some(until)
}

fn close(drill: &Drill) -> DrillStep {
    let why = if drill.stop.is_empty() { "its deadline has passed" } else { "it was asked to stop" };
    let note = format!("{why} and its owner did not end it; the start state is back");
    let op = Op::EndDrill {
        drill: drill.id,
        verdict: DrillVerdict::Aborted,
        figures: DrillFigures::default(),
        report: None,
        note: note.clone(),
        keep: false,
    };
    DrillStep::Propose { reason: note, op: Box::new(op) }
}
