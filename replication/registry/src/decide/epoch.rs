//! The commit of an epoch: the same for every kind of move.

use super::check::{self, invalid};
use crate::rows::Row;
use crate::{
    Backup, Command, EpochRecord, MoveRecord, MoveState, NUMBER_BLOCK_LEN, NumberBlock, Outcome, Placement,
    PlacementState, Refusal, Role, State,
};
use eport_model::{Epoch, MoveId, NodeId, Position, RegionCode};

/// What the new epoch is to be.
pub(super) struct NewEpoch<'a> {
    pub epoch: Epoch,
    pub primary: NodeId,
    pub start: Position,
    /// Nodes that hold `start` besides the primary.
    pub in_sync: &'a [NodeId],
    /// Whether the old primary, now a backup, is in sync.
    pub old_in_sync: bool,
    pub end: MoveState,
}

/// The rows of an epoch commit: placement, move and the epoch's first block of numbers.
pub(super) fn commit(
    state: &State,
    c: &Command,
    old: &Placement,
    movement: &MoveRecord,
    new: &NewEpoch<'_>,
) -> (Outcome, Vec<Row>) {
    let mut placement = old.clone();
    placement.version = old.version.saturating_add(1);
    placement.epoch = new.epoch;
    placement.last_epoch = old.last_epoch.max(new.epoch);
    placement.primary = new.primary;
    placement.start = new.start;
    placement.state = PlacementState::Active;
    placement.backups = backups_after(old, new);
    // Everybody named holds everything up to `start`, so that many acknowledgements are proven for what is inherited;
    // later records need k of them, which is not less.
    let named = super::sync::staying(state, &placement);
    placement.start_k = placement.policy.k.min(named);
    placement.proven_k = placement.start_k;
    placement.seen = true;
    placement.degrade_k = super::sync::degrade_k(state, &placement);
    placement.history.push(EpochRecord {
        epoch: new.epoch,
        primary: new.primary,
        start: new.start,
        reason: if movement.reason.is_empty() { c.reason.clone() } else { movement.reason.clone() },
        move_id: movement.id,
        at: c.at,
    });
    let mut ended = ended(c, movement, new.end, &c.reason, placement.version);
    if new.end == MoveState::Done {
        ended.to = Some(new.primary);
    }
    ended.epoch_after = Some(new.epoch);
    let outcome =
        Outcome::Moved { move_id: movement.id, version: placement.version, epoch: new.epoch, joined: false };
    let block = next_block(state, old.region, new.epoch);
    (outcome, vec![Row::Placement(placement), Row::Move(ended), Row::Numbers(block)])
}

/// Backups of the new epoch: the old primary takes the place of the new one; whoever was leaving and is not named is gone.
fn backups_after(old: &Placement, new: &NewEpoch<'_>) -> Vec<Backup> {
    let slot = old.backup(new.primary).map_or(Role::Sync, |b| b.role);
    let mut out: Vec<Backup> = Vec::with_capacity(old.backups.len());
    for b in old.backups.iter().filter(|b| b.node != new.primary) {
        let counts = b.role == Role::Sync || b.leaving;
        let in_sync = counts && new.in_sync.contains(&b.node);
        if b.leaving && !in_sync && b.role == Role::Sync {
            continue;
        }
        out.push(Backup { in_sync, level: false, leaving: b.leaving && in_sync, ..*b });
    }
    if old.primary != new.primary {
        let in_sync = new.old_in_sync && slot == Role::Sync;
        out.push(Backup { node: old.primary, role: slot, in_sync, level: false, leaving: false });
    }
    out.sort_by_key(|b| b.node);
    out
}

/// The move with its end written in.
pub(super) fn ended(
    c: &Command,
    movement: &MoveRecord,
    end: MoveState,
    reason: &str,
    version: u64,
) -> MoveRecord {
    let reason = if end == MoveState::Done { "" } else { reason };
    MoveRecord {
        state: end,
        ended_at: Some(c.at),
        ended_reason: reason.to_owned(),
        version,
        ..movement.clone()
    }
}

/// The next free block of outside numbers; two epochs never share a number.
pub(crate) fn next_block(state: &State, region: RegionCode, epoch: Epoch) -> NumberBlock {
    let last = state.numbers.get(&region).and_then(|b| b.last_key_value());
    NumberBlock { region, epoch, start: last.map_or(1, |(_, b)| b.end()), len: NUMBER_BLOCK_LEN }
}

/// The move that a placement is in, when it is the one named.
pub(super) fn under_way<'a>(
    state: &'a State,
    placement: &Placement,
    move_id: MoveId,
) -> Result<&'a MoveRecord, Refusal> {
    let gone = Refusal::MoveNotUnderWay { region: placement.region, move_id };
    if placement.state.move_id() != Some(move_id) {
        return Err(gone);
    }
    state.movement(move_id).ok_or(gone)
}

/// A start that can follow what the registry knows: not of a later epoch, not before the current epoch's own start unless
/// losing records is accepted.
pub(super) fn check_start(
    placement: &Placement,
    start: &Position,
    loss_accepted: bool,
) -> Result<(), Refusal> {
    if start.epoch > placement.epoch {
        return Err(invalid("start", format!("epoch {} was never committed", start.epoch)));
    }
    if start.rank() < placement.start.rank() && !loss_accepted {
        return Err(invalid(
            "start",
            format!("it lies before {}, where epoch {} starts", placement.start, placement.epoch),
        ));
    }
    Ok(())
}

/// Named nodes must be backups of the placement.
pub(super) fn check_backups(placement: &Placement, nodes: &[NodeId]) -> Result<(), Refusal> {
    match nodes.iter().find(|n| placement.backup(**n).is_none()) {
        Some(stranger) => Err(check::not_found("backup", stranger)),
        None => Ok(()),
    }
}
