//! From the registry's placement to what a replica needs to know of it.

use eport_journal::{BackupView, PlacementView, ViewState};
use eport_registry::{DurabilityMode, FailoverMode, Placement, PlacementState, Role, State};

/// Turns a placement into a view: sites become "counts or not".
pub fn placement_view(state: &State, p: &Placement) -> PlacementView {
    let backups = p
        .backups
        .iter()
        .map(|b| BackupView {
            node: b.node,
            in_sync: b.in_sync,
            counted: state.counted(p, b.node),
            wants_sync: b.role == Role::Sync && !b.leaving,
            leaving: b.leaving,
        })
        .collect();
    let doing = match p.state {
        PlacementState::Active => ViewState::Active,
        PlacementState::Switching { move_id, to, within_ms } => {
            ViewState::Switching { move_id, to, within_ms }
        }
        PlacementState::Recovering { move_id, epoch } => ViewState::Recovering { move_id, epoch },
        PlacementState::Stopped => ViewState::Stopped,
    };
    PlacementView {
        version: p.version,
        epoch: p.epoch,
        primary: p.primary,
        start: p.start,
        head: state.newest_head(p.region, p.epoch),
        backups,
        k: state.effective_k(p),
        proven_k: p.proven_k,
        start_k: p.start_k,
        shrink_ms: (p.policy.durability == DurabilityMode::AutoSync).then(|| state.shrink_wait_ms()),
        // A holder that cannot read a Degrade record must never get one: then the primary waits, as under `block`.
        degrade_ms: (state.may_degrade(p) && state.read_by_all(p) >= eport_model::DEGRADE_SINCE)
            .then(|| state.degrade_wait_ms()),
        lease: p.policy.failover == FailoverMode::Auto,
        unseen: state.awaits_primary(p),
        state: doing,
    }
}
