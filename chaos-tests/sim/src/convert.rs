//! The registry's placement as a replica sees it, exactly as a node's agent converts it.

use eport_journal::{BackupView, PlacementView, ViewState};
use eport_registry::{DurabilityMode, FailoverMode, Placement, PlacementState, Role, State};

/// Sites are turned into "counts or not", the policy into numbers.
pub(crate) fn view(state: &State, placement: &Placement) -> PlacementView {
    let backups = placement.backups.iter().map(|b| BackupView {
        node: b.node,
        in_sync: b.in_sync,
        counted: state.counted(placement, b.node),
        wants_sync: b.role == Role::Sync,
        leaving: b.leaving,
    });
    PlacementView {
        version: placement.version,
        epoch: placement.epoch,
        primary: placement.primary,
        start: placement.start,
        head: eport_model::Position::ZERO,
        backups: backups.collect(),
        k: state.effective_k(placement),
        proven_k: placement.proven_k,
        start_k: placement.start_k,
        shrink_ms: (placement.policy.durability == DurabilityMode::AutoSync).then(|| state.shrink_wait_ms()),
        degrade_ms: (state.may_degrade(placement)
            && state.read_by_all(placement) >= eport_model::DEGRADE_SINCE)
            .then(|| state.degrade_wait_ms()),
        lease: placement.policy.failover == FailoverMode::Auto,
        unseen: state.awaits_primary(placement),
        state: match placement.state {
            PlacementState::Active => ViewState::Active,
            PlacementState::Switching { move_id, to, within_ms } => {
                ViewState::Switching { move_id, to, within_ms }
            }
            PlacementState::Recovering { move_id, epoch } => ViewState::Recovering { move_id, epoch },
            PlacementState::Stopped => ViewState::Stopped,
        },
    }
}
