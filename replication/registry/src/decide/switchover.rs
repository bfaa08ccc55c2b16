//! Rules about planned moves: opened by an operator (or by a node, back from an overdue drill), committed only by the old primary, aborted by anyone before that.

use super::Decision;
use super::check::{self, invalid};
use super::epoch::{self, NewEpoch};
use crate::rows::Row;
use crate::{
    Command, DurabilityMode, MoveKind, MoveRecord, MoveState, Op, Outcome, Placement, PlacementState, Plan,
    Refusal, State, StepDone,
};
use eport_model::{MoveId, NodeId, Position, RegionCode};

/// Steps kept of one move; more are refused, so that a looping coordinator cannot grow the registry.
const STEPS_MAX: usize = 64;

/// Longest time that a planned move may hold requests: nobody means more.
const SWITCH_MS_MAX: u32 = 600_000;

pub(super) fn decide(state: &State, c: &Command) -> Decision {
    match &c.op {
        Op::OpenSwitchover { region, move_id, kind, to, within_ms, expected_version, plan } => {
            entitled(state, c, *region, *to)?;
            let placement = check::at_version(state, *region, *expected_version)?;
            open(
                state,
                c,
                placement,
                &Wanted { move_id: *move_id, kind: *kind, to: *to, within_ms: *within_ms, plan },
            )
        }
        Op::CommitSwitch { region, version, move_id, start, in_sync } => {
            commit(state, c, *region, *version, *move_id, *start, in_sync)
        }
        Op::AbortMove { region, version, move_id, reason } => {
            abort(state, c, *region, *version, *move_id, reason)
        }
        Op::NoteMoveStep { move_id, name, detail } => note(state, c, *move_id, name, detail),
        _ => Err(Refusal::Rule("not a command about a planned move".to_owned())),
    }
}

/// Operators open planned moves. A node may open one way only: back to where a platform was before a drill whose deadline
/// has passed; whoever began the drill signed for that.
fn entitled(state: &State, c: &Command, region: RegionCode, to: NodeId) -> Result<(), Refusal> {
    let back = |d: &&crate::Drill| {
        d.is_overdue(c.at) && d.start.iter().any(|s| s.region == region && s.primary == to)
    };
    if check::member(state, c).is_some() && state.running_drill().as_ref().is_some_and(back) {
        return Ok(());
    }
    check::operator(c)
}

struct Wanted<'a> {
    move_id: MoveId,
    kind: MoveKind,
    to: NodeId,
    within_ms: u32,
    plan: &'a Plan,
}

fn open(state: &State, c: &Command, mut placement: Placement, wanted: &Wanted<'_>) -> Decision {
    let Wanted { move_id, kind, to, within_ms, plan } = *wanted;
    check::active(&placement)?;
    check_plan(plan)?;
    check_new_move(state, move_id)?;
    check::fit(state, to)?;
    let backup = placement.backup(to).ok_or_else(|| check::not_found("backup", to))?;
    if backup.leaving {
        return Err(Refusal::Rule(format!("backup {to} is leaving")));
    }
    if !backup.in_sync && placement.policy.durability != DurabilityMode::Async {
        return Err(Refusal::Rule(format!("backup {to} is not in sync")));
    }
    if kind == MoveKind::Failover {
        return Err(invalid("kind", "a failover is reserved, not opened"));
    }
    if kind == MoveKind::Promote && check::node(state, to)?.region != placement.region {
        return Err(Refusal::Rule(format!("node {to} is no home node of platform {}", placement.region)));
    }
    if !(1..=SWITCH_MS_MAX).contains(&within_ms) {
        return Err(invalid("within_ms", format!("1 to {SWITCH_MS_MAX} are allowed")));
    }
    let version_before = placement.version;
    placement.version = placement.version.saturating_add(1);
    placement.state = PlacementState::Switching { move_id, to, within_ms };
    let mut movement = new_move(c, &placement, move_id, kind, version_before, plan);
    movement.to = Some(to);
    movement.deadline = Some(c.at.plus_millis(i64::from(within_ms)));
    let outcome =
        Outcome::Moved { move_id, version: placement.version, epoch: placement.epoch, joined: false };
    Ok((outcome, vec![Row::Placement(placement), Row::Move(movement)]))
}

/// A move at its beginning; `placement` is the one after the opening.
pub(super) fn new_move(
    c: &Command,
    placement: &Placement,
    id: MoveId,
    kind: MoveKind,
    version_before: u64,
    plan: &Plan,
) -> MoveRecord {
    MoveRecord {
        id,
        region: placement.region,
        kind,
        from: placement.primary,
        to: None,
        state: MoveState::Running,
        plan: plan.clone(),
        by: c.by.clone(),
        reason: c.reason.clone(),
        opened_at: c.at,
        deadline: None,
        ended_at: None,
        ended_reason: String::new(),
        epoch_before: placement.epoch,
        epoch_after: None,
        version_before,
        version: placement.version,
        steps: Vec::new(),
        exported_tail: None,
        accept_data_loss: false,
        old_primary: None,
        missing: Vec::new(),
    }
}

/// A plan within bounds; its content is for people and is not trusted.
pub(super) fn check_plan(plan: &Plan) -> Result<(), Refusal> {
    if plan.steps.len() > STEPS_MAX || plan.checks.len() > STEPS_MAX {
        return Err(invalid("plan", format!("at most {STEPS_MAX} steps and checks are allowed")));
    }
    let texts = plan
        .steps
        .iter()
        .map(|s| (&s.name, &s.detail))
        .chain(plan.checks.iter().map(|c| (&c.name, &c.detail)));
    for (name, detail) in texts {
        check::bounded("plan", name)?;
        check::bounded("plan", &detail.zh)?;
        check::bounded("plan", &detail.en)?;
    }
    Ok(())
}

/// A move id is used once.
pub(super) fn check_new_move(state: &State, move_id: MoveId) -> Result<(), Refusal> {
    if move_id == MoveId::default() {
        return Err(invalid("move_id", "an id is needed"));
    }
    match state.movement(move_id) {
        Some(_) => Err(Refusal::AlreadyExists { what: "move".into(), name: move_id.to_string() }),
        None => Ok(()),
    }
}

fn commit(
    state: &State,
    c: &Command,
    region: RegionCode,
    version: u64,
    move_id: MoveId,
    start: Position,
    in_sync: &[NodeId],
) -> Decision {
    let placement = check::at_version(state, region, version)?;
    let movement = epoch::under_way(state, &placement, move_id)?;
    let PlacementState::Switching { to, .. } = placement.state else {
        return Err(Refusal::MoveNotUnderWay { region, move_id });
    };
    // Nobody else knows whether the old primary has stopped acknowledging under its epoch.
    check::exactly(state, c, placement.primary)?;
    if start.epoch != placement.epoch {
        return Err(invalid("start", format!("it must be a record of epoch {}", placement.epoch)));
    }
    epoch::check_start(&placement, &start, false)?;
    let others: Vec<NodeId> =
        in_sync.iter().copied().filter(|n| *n != placement.primary && *n != to).collect();
    epoch::check_backups(&placement, &others)?;
    let new = NewEpoch {
        epoch: placement.last_epoch.next(),
        primary: to,
        start,
        in_sync: &others,
        old_in_sync: true,
        end: MoveState::Done,
    };
    Ok(epoch::commit(state, c, &placement, movement, &new))
}

fn abort(
    state: &State,
    c: &Command,
    region: RegionCode,
    version: u64,
    move_id: MoveId,
    reason: &str,
) -> Decision {
    check::operator_or_member(state, c)?;
    check::bounded("reason", reason)?;
    let mut placement = check::at_version(state, region, version)?;
    let movement = epoch::under_way(state, &placement, move_id)?;
    if !matches!(placement.state, PlacementState::Switching { .. }) {
        let rule =
            "a failover is ended by confirming a primary: its candidates have promised the reserved epoch";
        return Err(Refusal::Rule(rule.to_owned()));
    }
    placement.version = placement.version.saturating_add(1);
    placement.state = PlacementState::Active;
    let ended = epoch::ended(c, movement, MoveState::Aborted, reason, placement.version);
    let outcome =
        Outcome::Moved { move_id, version: placement.version, epoch: placement.epoch, joined: false };
    Ok((outcome, vec![Row::Placement(placement), Row::Move(ended)]))
}

fn note(state: &State, c: &Command, move_id: MoveId, name: &str, detail: &str) -> Decision {
    check::operator_or_member(state, c)?;
    check::bounded("name", name)?;
    check::bounded("detail", detail)?;
    let mut movement = state.movement(move_id).cloned().ok_or_else(|| check::not_found("move", move_id))?;
    if movement.steps.last().is_some_and(|s| s.name == name && s.detail == detail && s.by == c.by) {
        return Ok((Outcome::Done, vec![]));
    }
    if movement.steps.len() >= STEPS_MAX {
        return Err(Refusal::Rule(format!("move {move_id} has {STEPS_MAX} steps already")));
    }
    movement.steps.push(StepDone {
        name: name.to_owned(),
        detail: detail.to_owned(),
        by: c.by.clone(),
        at: c.at,
    });
    Ok((Outcome::Done, vec![Row::Move(movement)]))
}
