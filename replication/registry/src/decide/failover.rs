//! Rules about failovers: reserve an epoch, commit it for whoever sealed and holds everything, or confirm the old primary.

use super::Decision;
use super::check::{self, invalid};
use super::epoch::{self, NewEpoch};
use super::switchover::{check_new_move, check_plan, new_move};
use crate::rows::Row;
use crate::{
    Command, FailoverMode, MoveKind, MoveRecord, MoveState, OldPrimary, Op, Outcome, Placement,
    PlacementState, Plan, Refusal, State, StepDone,
};
use eport_model::{MoveId, NodeId, Position, RegionCode, Timestamp};

pub(super) fn decide(state: &State, c: &Command) -> Decision {
    match &c.op {
        Op::ReserveFailover {
            region,
            move_id,
            to,
            expected_version,
            accept_data_loss,
            old_primary,
            deadline,
            plan,
        } => {
            let wanted = Wanted {
                move_id: *move_id,
                to: *to,
                accept_data_loss: *accept_data_loss,
                old_primary: *old_primary,
                deadline: *deadline,
                plan,
            };
            reserve(state, c, *region, *expected_version, &wanted)
        }
        Op::CommitFailover { region, version, move_id, primary, start, in_sync, sealed, fresh } => {
            let found = Found { primary: *primary, start: *start, in_sync, sealed, fresh };
            commit(state, c, *region, *version, *move_id, &found)
        }
        Op::ConfirmOldPrimary { region, version, move_id, start, in_sync } => {
            confirm(state, c, *region, *version, *move_id, *start, in_sync)
        }
        Op::FailMove { region, version, move_id, reason, missing } => {
            fail(state, c, *region, *version, *move_id, reason, missing)
        }
        _ => Err(Refusal::Rule("not a command about a failover".to_owned())),
    }
}

struct Wanted<'a> {
    move_id: MoveId,
    to: Option<NodeId>,
    accept_data_loss: bool,
    old_primary: OldPrimary,
    deadline: Option<Timestamp>,
    plan: &'a Plan,
}

struct Found<'a> {
    primary: NodeId,
    start: Position,
    in_sync: &'a [NodeId],
    sealed: &'a [NodeId],
    fresh: &'a [NodeId],
}

fn reserve(state: &State, c: &Command, region: RegionCode, expected: u64, wanted: &Wanted<'_>) -> Decision {
    let placement = check::placement(state, region)?;
    let by_node = placement.policy.failover == FailoverMode::Auto && !wanted.accept_data_loss;
    if by_node {
        check::operator_or_member(state, c)?;
    } else {
        check::operator(c)?;
    }
    if let Some(movement) = joinable(state, &placement, expected) {
        return join(c, &placement, movement, wanted.accept_data_loss);
    }
    let placement = check::at_version(state, region, expected)?;
    check_plan(wanted.plan)?;
    check_new_move(state, wanted.move_id)?;
    if placement.state == PlacementState::Stopped {
        return Err(Refusal::Rule(format!("platform {region} is stopped")));
    }
    if let Some(to) = wanted.to {
        check::fit(state, to)?;
        let backup = placement.backup(to).ok_or_else(|| check::not_found("backup", to))?;
        if backup.leaving {
            return Err(Refusal::Rule(format!("backup {to} is leaving")));
        }
    }
    Ok(open(state, c, placement, wanted))
}

/// The failover that a command planned on `expected` meets: the one under way, or one done since.
fn joinable<'a>(state: &'a State, placement: &Placement, expected: u64) -> Option<&'a MoveRecord> {
    let running = match placement.state {
        PlacementState::Recovering { move_id, .. } => state.movement(move_id),
        _ => None,
    };
    running
        .filter(|m| m.state == MoveState::Running && expected <= placement.version)
        .or_else(|| state.failover_since(placement.region, expected))
}

fn join(c: &Command, placement: &Placement, movement: &MoveRecord, accept_data_loss: bool) -> Decision {
    let epoch = match placement.state {
        PlacementState::Recovering { move_id, epoch } if move_id == movement.id => epoch,
        _ => movement.epoch_after.unwrap_or(placement.epoch),
    };
    let outcome = Outcome::Moved { move_id: movement.id, version: placement.version, epoch, joined: true };
    if !accept_data_loss || movement.accept_data_loss || movement.state != MoveState::Running {
        return Ok((outcome, vec![]));
    }
    let mut movement = MoveRecord { accept_data_loss: true, ..movement.clone() };
    // The record of who accepted the loss is kept whatever the bound on steps: it happens once a move.
    let detail = c.reason.clone();
    movement.steps.push(StepDone { name: "accept_data_loss".into(), detail, by: c.by.clone(), at: c.at });
    Ok((outcome, vec![Row::Move(movement)]))
}

fn open(state: &State, c: &Command, mut placement: Placement, wanted: &Wanted<'_>) -> (Outcome, Vec<Row>) {
    let version_before = placement.version;
    placement.version = placement.version.saturating_add(1);
    let mut rows = Vec::new();
    if let PlacementState::Switching { move_id, .. } = placement.state
        && let Some(planned) = state.movement(move_id)
    {
        let reason = "a failover took its place";
        rows.push(Row::Move(epoch::ended(c, planned, MoveState::Aborted, reason, placement.version)));
    }
    // Allocated for good: candidates may promise it even if this move never commits.
    let reserved = placement.last_epoch.next();
    placement.last_epoch = reserved;
    placement.state = PlacementState::Recovering { move_id: wanted.move_id, epoch: reserved };
    let mut movement =
        new_move(c, &placement, wanted.move_id, MoveKind::Failover, version_before, wanted.plan);
    movement.to = wanted.to;
    movement.deadline = wanted.deadline;
    movement.accept_data_loss = wanted.accept_data_loss;
    movement.old_primary = Some(wanted.old_primary);
    let outcome = Outcome::Moved {
        move_id: wanted.move_id,
        version: placement.version,
        epoch: reserved,
        joined: false,
    };
    rows.push(Row::Placement(placement));
    rows.push(Row::Move(movement));
    (outcome, rows)
}

fn recovering(placement: &Placement, move_id: MoveId) -> Result<eport_model::Epoch, Refusal> {
    match placement.state {
        PlacementState::Recovering { move_id: known, epoch } if known == move_id => Ok(epoch),
        _ => Err(Refusal::MoveNotUnderWay { region: placement.region, move_id }),
    }
}

fn commit(
    state: &State,
    c: &Command,
    region: RegionCode,
    version: u64,
    move_id: MoveId,
    found: &Found<'_>,
) -> Decision {
    check::member_node(state, c)?;
    let placement = check::at_version(state, region, version)?;
    let reserved = recovering(&placement, move_id)?;
    let movement = epoch::under_way(state, &placement, move_id)?;
    if movement.state != MoveState::Running {
        return Err(Refusal::MoveNotUnderWay { region, move_id });
    }
    check_found(state, &placement, movement, found)?;
    let in_sync: Vec<NodeId> = found.in_sync.iter().copied().filter(|n| *n != found.primary).collect();
    let new = NewEpoch {
        epoch: reserved,
        primary: found.primary,
        start: found.start,
        in_sync: &in_sync,
        old_in_sync: false,
        end: MoveState::Done,
    };
    Ok(epoch::commit(state, c, &placement, movement, &new))
}

/// The coordinator has checked all this; it is checked again because nothing later can undo a wrong commit.
fn check_found(
    state: &State,
    placement: &Placement,
    movement: &MoveRecord,
    found: &Found<'_>,
) -> Result<(), Refusal> {
    let loss = movement.accept_data_loss;
    epoch::check_start(placement, &found.start, loss)?;
    epoch::check_backups(placement, &[found.primary])?;
    epoch::check_backups(placement, found.in_sync)?;
    if !state.is_member(found.primary) {
        return Err(Refusal::Rule(format!("node {} is no member", found.primary)));
    }
    if let Some(unsealed) = found.in_sync.iter().chain([&found.primary]).find(|n| !found.sealed.contains(n)) {
        return Err(invalid("sealed", format!("{unsealed} is named but did not seal")));
    }
    if let Some(to) = movement.to
        && to != found.primary
    {
        return Err(Refusal::Rule(format!("the move names {to} as new primary, not {}", found.primary)));
    }
    // Nobody's report lies beyond the start that was chosen.
    let witness = |n: NodeId| found.sealed.contains(&n) && state.may_witness(placement, n, &found.start);
    if loss || state.proves(placement, witness, |n| found.fresh.contains(&n)) {
        return Ok(());
    }
    let have = state.in_sync_counted(placement).filter(|b| witness(b.node)).count();
    let need = state.seal_quorum(placement);
    if have < need {
        return Err(Refusal::SealQuorum { region: placement.region, have, need });
    }
    Err(Refusal::Degraded { region: placement.region, need: placement.degrade_k })
}

fn confirm(
    state: &State,
    c: &Command,
    region: RegionCode,
    version: u64,
    move_id: MoveId,
    start: Position,
    in_sync: &[NodeId],
) -> Decision {
    check::member_node(state, c)?;
    let placement = check::at_version(state, region, version)?;
    let reserved = recovering(&placement, move_id)?;
    let movement = epoch::under_way(state, &placement, move_id)?;
    epoch::check_start(&placement, &start, false)?;
    epoch::check_backups(&placement, in_sync)?;
    if !state.is_member(placement.primary) {
        return Err(Refusal::Rule(format!("node {} is no member", placement.primary)));
    }
    let new = NewEpoch {
        epoch: reserved,
        primary: placement.primary,
        start,
        in_sync,
        old_in_sync: false,
        end: MoveState::Aborted,
    };
    Ok(epoch::commit(state, c, &placement, movement, &new))
}

fn fail(
    state: &State,
    c: &Command,
    region: RegionCode,
    version: u64,
    move_id: MoveId,
    reason: &str,
    missing: &[NodeId],
) -> Decision {
    check::operator_or_member(state, c)?;
    check::bounded("reason", reason)?;
    let mut placement = check::at_version(state, region, version)?;
    recovering(&placement, move_id)?;
    let movement = epoch::under_way(state, &placement, move_id)?;
    if movement.state != MoveState::Running {
        return Err(Refusal::MoveNotUnderWay { region, move_id });
    }
    if let Some(stranger) = missing.iter().find(|n| !placement.names(**n)) {
        return Err(check::not_found("backup", stranger));
    }
    placement.version = placement.version.saturating_add(1);
    let mut ended = epoch::ended(c, movement, MoveState::Failed, reason, placement.version);
    ended.missing = missing.to_vec();
    let outcome =
        Outcome::Moved { move_id, version: placement.version, epoch: placement.epoch, joined: false };
    Ok((outcome, vec![Row::Placement(placement), Row::Move(ended)]))
}
