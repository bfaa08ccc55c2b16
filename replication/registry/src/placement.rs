//! Placement of a platform: who is primary in which epoch, who keeps copies, under which policy.
//!
//! Always: `proven_k <= policy.k`; `epoch <= last_epoch`; the primary is never among its own backups; `history` has one
//! entry per committed epoch, epochs rising, so one primary per epoch; a node is listed once.

use eport_model::{Durability, Epoch, MoveId, NodeId, Position, RegionCode, Timestamp};
use serde::{Deserialize, Serialize};

/// When an answer is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DurabilityMode {
    /// After k fsynced acknowledgements; blocks while they are away.
    Sync,
    /// As `Sync`, but a silent backup is dropped (recorded first) and taken back later.
    AutoSync,
    /// After the primary's own fsync.
    Async,
}

/// What `auto_sync` does when the registry cannot be reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// Writes wait.
    Block,
    /// The primary records the shrink in its own journal and answers `local`.
    Degrade,
}

/// Who may start a failover.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailoverMode {
    /// Nodes, by lease.
    Auto,
    /// Operators only.
    Manual,
}

/// What a backup is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Becomes in sync when it has caught up; its acknowledgements count.
    Sync,
    /// Follows; never counted.
    Async,
}

/// Rules of one platform.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Policy {
    /// When an answer is given.
    pub durability: DurabilityMode,
    /// Acknowledgements an answer needs; 0 exactly under `async`.
    pub k: usize,
    /// What `auto_sync` does without the registry.
    pub isolation: Isolation,
    /// Who may start a failover.
    pub failover: FailoverMode,
    /// Count backups on the primary's own site too; answers are then `local`.
    pub same_site: bool,
    /// The least that an answer to a write promises. `replicated`: what can only be kept `local` is stored and applied like
    /// any other record, but answered only once it is replicated.
    pub min_durability: Durability,
}

/// A node that keeps a copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Backup {
    /// The node.
    pub node: NodeId,
    /// What it is for.
    pub role: Role,
    /// Recorded as holding what a failover must find.
    pub in_sync: bool,
    /// The primary of the present epoch has taken it in sync: it has held this epoch's first record. What it shows in a failover
    /// must too, or it is an old copy of its data and proves nothing.
    pub level: bool,
    /// The policy no longer counts it, but it stays in sync until the primary has proven that the others suffice. With
    /// role `sync` it then leaves the placement, with role `async` it stays as a follower.
    pub leaving: bool,
}

/// What is going on with a platform.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlacementState {
    /// The primary serves.
    Active,
    /// A planned switchover is under way.
    Switching {
        /// The move.
        move_id: MoveId,
        /// The target.
        to: NodeId,
        /// The old primary gives up this long after it learned of the move.
        within_ms: u32,
    },
    /// A failover reserved `epoch`; nobody is primary until it is committed.
    Recovering {
        /// The move.
        move_id: MoveId,
        /// The reserved epoch.
        epoch: Epoch,
    },
    /// Stopped by an operator.
    Stopped,
}

impl PlacementState {
    /// The move under way, if there is one.
    pub fn move_id(&self) -> Option<MoveId> {
        match self {
            PlacementState::Switching { move_id, .. } | PlacementState::Recovering { move_id, .. } => {
                Some(*move_id)
            }
            PlacementState::Active | PlacementState::Stopped => None,
        }
    }

    /// The word of the API (interfaces §2).
    pub fn word(&self) -> &'static str {
        match self {
            PlacementState::Active => "active",
            PlacementState::Switching { .. } => "switching",
            PlacementState::Recovering { .. } => "recovering",
            PlacementState::Stopped => "stopped",
        }
    }
}

/// One committed epoch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EpochRecord {
    /// The epoch.
    pub epoch: Epoch,
    /// Its primary.
    pub primary: NodeId,
    /// The record its EpochStart follows.
    pub start: Position,
    /// Why, for people.
    pub reason: String,
    /// The move; the default id for the founding epoch.
    pub move_id: MoveId,
    /// When it was committed.
    pub at: Timestamp,
}

/// A platform and where it lives.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Placement {
    /// The platform.
    pub region: RegionCode,
    /// Chinese name.
    pub name_zh: String,
    /// English name.
    pub name_en: String,
    /// Every change raises it by one.
    pub version: u64,
    /// Epoch of the primary.
    pub epoch: Epoch,
    /// Highest epoch ever allocated, committed or reserved.
    pub last_epoch: Epoch,
    /// The primary of `epoch`.
    pub primary: NodeId,
    /// The record that `epoch`'s EpochStart follows.
    pub start: Position,
    /// Who keeps copies, ordered by node.
    pub backups: Vec<Backup>,
    /// The rules.
    pub policy: Policy,
    /// Every acknowledged record is held by at least so many counted in-sync backups (leaving ones included). It sets
    /// the seal quorum: with n of them, n − proven_k + 1 answers meet every acknowledgement. 0: nothing is proven.
    pub proven_k: usize,
    /// Acknowledgements that the EpochStart of `epoch` needs.
    pub start_k: usize,
    /// The primary has named a version with this policy, so it knows it: a lease binds it from then on.
    pub seen: bool,
    /// Besides the seal quorum so many counted in-sync backups must show that their primary cannot have degraded before they
    /// sealed. 0 when it may not degrade; after a change of policy it falls only when the primary has seen the change.
    pub degrade_k: usize,
    /// What is going on.
    pub state: PlacementState,
    /// Committed epochs, oldest first; never pruned.
    pub history: Vec<EpochRecord>,
}

impl Placement {
    /// False when the record was written in an epoch from which the present one does not descend, and the journal that ends with it
    /// left the present branch before the record that the present epoch follows: a failover that accepted a loss began a later epoch
    /// at an earlier record. An epoch later than the present one is not judged: its placement is newer than this.
    pub fn is_on_branch(&self, position: &Position) -> bool {
        let mut epoch = self.epoch;
        while position.epoch < epoch {
            match self.before(epoch) {
                Some(start) if start.epoch >= position.epoch => epoch = start.epoch,
                Some(_) => return self.holds_start(position),
                None => return true,
            }
        }
        true
    }

    /// The record that an epoch follows, while it is remembered.
    fn before(&self, epoch: Epoch) -> Option<Position> {
        let began = self.history.iter().rev().find(|r| r.epoch == epoch)?;
        (began.start.epoch < epoch).then_some(began.start)
    }

    /// True when a journal that ends with this record holds the one that the present epoch follows.
    fn holds_start(&self, position: &Position) -> bool {
        let mut last = *position;
        while last.epoch > self.start.epoch {
            let Some(start) = self.before(last.epoch) else { return false };
            last = start;
        }
        last.epoch == self.start.epoch && last.index >= self.start.index
    }

    /// The backup entry of a node.
    pub fn backup(&self, node: NodeId) -> Option<&Backup> {
        self.backups.iter().find(|b| b.node == node)
    }

    /// True when the node is primary or backup.
    pub fn names(&self, node: NodeId) -> bool {
        self.primary == node || self.backup(node).is_some()
    }
}
