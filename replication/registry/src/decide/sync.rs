//! Rules about the in-sync set: the primary alone changes it, under the current epoch and version.
//!
//! What a failover relies on: every record answered `replicated` is held by at least `proven_k` of the counted in-sync
//! backups recorded here, leaving ones included. So the set grows here before the primary counts the new one, shrinks here
//! only when the primary says the rest suffices, and `proven_k` rises only on the primary's word.

use super::Decision;
use super::check;
use super::platform::placed;
use crate::movement::OLD_PRIMARY_RETURNED;
use crate::rows::Row;
use crate::{
    Backup, Command, DurabilityMode, MoveKind, MoveState, Op, Outcome, Placement, Refusal, Role, State,
    StepDone,
};
use eport_model::{NodeId, RegionCode};

pub(super) fn decide(state: &State, c: &Command) -> Decision {
    match &c.op {
        Op::InSyncAdd { region, version, node } => {
            let placement = guarded(state, c, *region, *version)?;
            add(state, c, &placement, *node)
        }
        Op::InSyncRemove { region, version, node } => {
            let placement = guarded(state, c, *region, *version)?;
            remove(state, &placement, *node)
        }
        Op::Shrink { region, version, nodes, whole } => {
            let placement = guarded(state, c, *region, *version)?;
            shrink(state, &placement, nodes, *whole)
        }
        Op::Proven { region, version, k } => {
            let placement = guarded(state, c, *region, *version)?;
            proven(state, &placement, *k)
        }
        _ => Err(Refusal::Rule("not a command about an in-sync set".to_owned())),
    }
}

/// The placement at the named version. Only the primary, and never while a move is under way: a reserved failover has already
/// frozen the set it seals.
fn guarded(state: &State, c: &Command, region: RegionCode, version: u64) -> Result<Placement, Refusal> {
    let placement = check::at_version(state, region, version)?;
    check::exactly(state, c, placement.primary)?;
    check::no_move(&placement)?;
    Ok(placement)
}

/// A step of the primary at the current version: it knows the policy. What a former policy let it answer alone is over only
/// when it says that the backups hold that too.
///
/// The primary goes by the placement that the step names until it learns of what the step made of it, and may degrade by it
/// meanwhile: as many proofs as that takes are needed until its next step shows that it knows.
fn stepped(state: &State, before: &Placement, mut after: Placement, whole: bool) -> Decision {
    after.seen = true;
    let known = degrade_k(state, before);
    let former = if whole { known } else { before.degrade_k.max(known) };
    after.degrade_k = former.max(degrade_k(state, &after));
    placed(after)
}

/// Proofs that a failover needs against a primary that may degrade under the placement's policy: it degrades only when fewer
/// than the acknowledgements an answer needs were heard.
pub(crate) fn degrade_k(state: &State, placement: &Placement) -> usize {
    if state.may_degrade(placement) { state.effective_k(placement) } else { 0 }
}

/// Counted in-sync backups that the policy keeps.
pub(super) fn staying(state: &State, placement: &Placement) -> usize {
    state.in_sync_counted(placement).filter(|b| !b.leaving).count()
}

fn entry(placement: &mut Placement, node: NodeId) -> Result<&mut Backup, Refusal> {
    placement.backups.iter_mut().find(|b| b.node == node).ok_or_else(|| check::not_found("backup", node))
}

fn add(state: &State, c: &Command, before: &Placement, node: NodeId) -> Decision {
    check::fit(state, node)?;
    let mut placement = before.clone();
    let region = placement.region;
    let backup = entry(&mut placement, node)?;
    if backup.role != Role::Sync {
        return Err(Refusal::Rule(format!("backup {node} has the role async")));
    }
    if !state.can_open(region, node) {
        return Err(Refusal::Rule(format!(
            "backup {node} does not hold the data key of platform {} yet",
            region
        )));
    }
    if backup.in_sync {
        let outcome = Outcome::Placed { version: placement.version, epoch: placement.epoch };
        return Ok((outcome, vec![]));
    }
    (backup.in_sync, backup.level) = (true, true);
    let (outcome, mut rows) = stepped(state, before, placement, false)?;
    rows.extend(returned(state, c, before, node));
    Ok((outcome, rows))
}

/// An old primary that is level with its successor keeps nothing any more that nobody knows: it has given its tail away, or its disk
/// was lost and seeded anew. The failover's record says so.
fn returned(state: &State, c: &Command, placement: &Placement, node: NodeId) -> Option<Row> {
    let mut left = state.moves_of(placement.region).into_iter().rev();
    let left = left.find(|m| m.from == node && m.state == MoveState::Done)?;
    let told = left.steps.iter().any(|s| s.name == OLD_PRIMARY_RETURNED);
    if left.kind != MoveKind::Failover || told || left.epoch_before >= placement.epoch {
        return None;
    }
    let mut movement = left.clone();
    let (name, detail) = (OLD_PRIMARY_RETURNED.to_owned(), node.to_string());
    movement.steps.push(StepDone { name, detail, by: c.by.clone(), at: c.at });
    Some(Row::Move(movement))
}

fn remove(state: &State, before: &Placement, node: NodeId) -> Decision {
    let mut placement = before.clone();
    let backup = *entry(&mut placement, node)?;
    if !backup.in_sync {
        return Err(Refusal::Rule(format!("backup {node} is not in sync")));
    }
    if !backup.leaving && placement.policy.durability == DurabilityMode::Sync {
        return Err(Refusal::Rule(format!("backup {node} is named by a policy of durability sync")));
    }
    if backup.leaving && backup.role == Role::Sync {
        placement.backups.retain(|b| b.node != node);
    } else {
        let kept = entry(&mut placement, node)?;
        (kept.in_sync, kept.level, kept.leaving) = (false, false, false);
    }
    let counted = state.in_sync_counted(&placement).count();
    let held = state.counted(&placement, node);
    match placement.policy.durability {
        DurabilityMode::Sync if held && counted < placement.proven_k => {
            return Err(Refusal::Rule(format!(
                "without backup {node} only {counted} in-sync backups would hold what {} must hold",
                placement.proven_k
            )));
        }
        DurabilityMode::AutoSync => placement.proven_k = placement.proven_k.min(staying(state, &placement)),
        DurabilityMode::Sync | DurabilityMode::Async => {}
    }
    stepped(state, before, placement, false)
}

/// Backups that the primary no longer waits for stop counting all at once; they stay backups and may come back.
fn shrink(state: &State, before: &Placement, nodes: &[NodeId], whole: bool) -> Decision {
    let mut placement = before.clone();
    if !nodes.is_empty() && placement.policy.durability != DurabilityMode::AutoSync {
        return Err(Refusal::Rule("only under auto_sync are silent backups dropped".to_owned()));
    }
    for node in nodes {
        let backup = entry(&mut placement, *node)?;
        if !backup.in_sync || backup.leaving {
            return Err(Refusal::Rule(format!("backup {node} is not waited for")));
        }
        (backup.in_sync, backup.level) = (false, false);
    }
    if !nodes.is_empty() {
        let left = staying(state, &placement);
        placement.proven_k = placement.proven_k.min(left);
        placement.start_k = placement.start_k.min(left);
    }
    stepped(state, before, placement, whole)
}

fn proven(state: &State, before: &Placement, k: usize) -> Decision {
    let mut placement = before.clone();
    if k <= placement.proven_k {
        let outcome = Outcome::Placed { version: placement.version, epoch: placement.epoch };
        return Ok((outcome, vec![]));
    }
    let most = match placement.policy.durability {
        DurabilityMode::Sync => placement.policy.k.min(state.in_sync_counted(&placement).count()),
        DurabilityMode::AutoSync | DurabilityMode::Async => state.effective_k(&placement),
    };
    if k > most {
        return Err(Refusal::Rule(format!("at most {most} can be proven now, not {k}")));
    }
    placement.proven_k = k;
    stepped(state, before, placement, false)
}
