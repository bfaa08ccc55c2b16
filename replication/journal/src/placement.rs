//! What a replica needs to know of its platform's placement in the registry.

use eport_model::{Epoch, MoveId, NodeId, Position};
use serde::{Deserialize, Serialize};

/// The placement as the registry has committed it, with sites already turned into "counts or not".
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PlacementView {
    /// Placement version; every change raises it by one.
    pub version: u64,
    /// Epoch of the primary.
    pub epoch: Epoch,
    /// The primary of `epoch`.
    pub primary: NodeId,
    /// The record that `epoch`'s EpochStart follows; `Position::ZERO` for a new platform.
    pub start: Position,
    /// The newest record of the journal that a primary has published in the registry; `Position::ZERO` for none. A primary that
    /// has less of the same epoch is an old copy.
    pub head: Position,
    /// Everybody who keeps a copy besides the primary.
    pub backups: Vec<BackupView>,
    /// Durable acknowledgements from counted in-sync backups that an answer needs. 0 under `async`.
    pub k: usize,
    /// How many counted in-sync backups provably hold every acknowledged record. Below `k` after `k` was raised, until the
    /// registry has recorded the primary's `Proven` step; what a failover may rely on.
    pub proven_k: usize,
    /// Acknowledgements that the EpochStart of `epoch` needs: min(k, counted in-sync backups named when the epoch was committed).
    pub start_k: usize,
    /// Set under `auto_sync`: a counted backup that is silent, or lacks a record, for so long is dropped, the registry first.
    pub shrink_ms: Option<u64>,
    /// Set when the primary may go on alone while the registry cannot be reached: how long after the last acknowledgement.
    pub degrade_ms: Option<u64>,
    /// The primary answers only while it holds a lease (`failover auto`).
    pub lease: bool,
    /// The primary has not shown yet that it knows this policy and has nothing left that a former one let it answer alone.
    pub unseen: bool,
    /// What is going on.
    pub state: ViewState,
}

/// One backup of a placement.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BackupView {
    /// The backup.
    pub node: NodeId,
    /// Recorded in the registry as in sync: it holds what a failover must find.
    pub in_sync: bool,
    /// Its acknowledgements count towards `k`: it stands on another site than the primary, or the policy says `--same-site`.
    pub counted: bool,
    /// It should become in sync when it has caught up (role `sync`); false for role `async`.
    pub wants_sync: bool,
    /// The policy no longer names it; the primary takes it out of the in-sync set as soon as that is safe.
    pub leaving: bool,
}

/// State of a placement.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ViewState {
    /// The primary serves.
    Active,
    /// A planned switchover wants the primary to hand over to `to` within `within_ms` of learning of it.
    Switching {
        /// The move.
        move_id: MoveId,
        /// The target.
        to: NodeId,
        /// After so many milliseconds the old primary gives up, if it has not proposed the commit yet. Measured on its own clock that
        /// never jumps: wall clocks of two nodes may be hours apart.
        within_ms: u32,
    },
    /// A failover has reserved `epoch`; nobody is primary until the registry commits one.
    Recovering {
        /// The move.
        move_id: MoveId,
        /// The reserved epoch.
        epoch: Epoch,
    },
    /// Stopped by an operator.
    Stopped,
}
