//! Rules about the in-sync set: the primary alone changes it, under the current epoch and version.
//!
//! What a failover relies on: every record answered `replicated` is held by at least `proven_k` of the counted in-sync
//! backups recorded here, leaving ones included. So the set grows here before the primary counts the new one, shrinks here
//! only when the primary says the rest suffices, and `proven_k` rises only on the primary's word.

use super::Decision;
use super::check;
use super::platform::placed;
use crate::{Backup, Command, DurabilityMode, Op, Outcome, Placement, Refusal, Role, State};
use eport_model::NodeId;

pub(super) fn decide(state: &State, c: &Command) -> Decision {
    match c.op {
        Op::InSyncAdd { region, version, node } => {
            let placement = check::at_version(state, region, version)?;
            guard(state, c, &placement)?;
            add(state, placement, node)
        }
        Op::InSyncRemove { region, version, node } => {
            let placement = check::at_version(state, region, version)?;
            guard(state, c, &placement)?;
            remove(state, placement, node)
        }
        Op::Proven { region, version, k } => {
            let placement = check::at_version(state, region, version)?;
            guard(state, c, &placement)?;
            proven(state, placement, k)
        }
        _ => Err(Refusal::Rule("not a command about an in-sync set".to_owned())),
    }
}

/// Only the primary, and never while a move is under way: a reserved failover has already frozen the set it seals.
fn guard(state: &State, c: &Command, placement: &Placement) -> Result<(), Refusal> {
    check::exactly(state, c, placement.primary)?;
    check::no_move(placement)
}

/// Counted in-sync backups that the policy keeps.
pub(super) fn staying(state: &State, placement: &Placement) -> usize {
    state.in_sync_counted(placement).filter(|b| !b.leaving).count()
}

fn entry(placement: &mut Placement, node: NodeId) -> Result<&mut Backup, Refusal> {
    placement.backups.iter_mut().find(|b| b.node == node).ok_or_else(|| check::not_found("backup", node))
}

fn add(state: &State, mut placement: Placement, node: NodeId) -> Decision {
    check::fit(state, node)?;
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
    backup.in_sync = true;
    placed(placement)
}

fn remove(state: &State, mut placement: Placement, node: NodeId) -> Decision {
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
        kept.in_sync = false;
        kept.leaving = false;
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
    placed(placement)
}

fn proven(state: &State, mut placement: Placement, k: usize) -> Decision {
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
    placed(placement)
}
