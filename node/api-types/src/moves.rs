//! Moves of a platform, its policy, its creation.

use eport_identity::{Epoch, NodeId, RegionCode};
use serde::{Deserialize, Serialize};

/// `POST /v1/platforms/{region}/moves`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MoveRequest {
    /// `switchover`, `failover`, `failback`, `promote` or `demote`.
    pub kind: String,
    /// The target; absent lets the plan choose, where the kind allows it.
    #[serde(default)]
    pub to: Option<NodeId>,
    /// Only plan.
    #[serde(default)]
    pub dry_run: bool,
    /// Placement version the caller looked at; another one is a conflict.
    #[serde(default)]
    pub expected_version: Option<u64>,
    /// `stopped` or `unreachable`: what the caller knows of the old primary (failover).
    #[serde(default)]
    pub old_primary: Option<String>,
    /// The caller accepts the loss that the plan states.
    #[serde(default)]
    pub accept_data_loss: bool,
}

/// A move: planned, running or over. Also one line of `platform history`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct MoveAnswer {
    /// Its id; 32 hex digits.
    pub move_id: String,
    /// The platform.
    pub region: RegionCode,
    /// What it is.
    pub kind: String,
    /// The primary before.
    pub from: NodeId,
    /// The primary after.
    pub to: Option<NodeId>,
    /// Epoch before.
    pub epoch_before: Epoch,
    /// Epoch after; the expected one while it is not over.
    pub epoch_after: Epoch,
    /// Steps in order.
    pub plan: Vec<String>,
    /// What may be lost.
    pub expected_loss: ExpectedLoss,
    /// Placement version after (or the one planned on).
    pub version: u64,
    /// How long no node took writes, as the registry's log dates it; `null` while it is not known. What clients saw is measured
    /// by clients (drills, `eport load`).
    #[serde(default)]
    pub write_pause_ms: Option<f64>,
    /// Acknowledged records lost; `null` while it is not known.
    #[serde(default)]
    pub lost_records: Option<u64>,
    /// Id of the exported tail, if there is one.
    #[serde(default)]
    pub exported_tail: Option<String>,
    /// How far it is.
    pub state: MoveState,
    /// Checks of the plan, each with its verdict.
    #[serde(default)]
    pub checks: Vec<PlanCheck>,
    /// Why it was aborted, or what it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// State of a move.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoveState {
    /// Only planned.
    Planned,
    /// Under way.
    Running,
    /// Over, as meant.
    Done,
    /// Over, nothing changed.
    Aborted,
    /// Over, a person must look.
    Failed,
}

/// What may be lost by a move.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ExpectedLoss {
    /// How many acknowledged records; `null` when nobody can know.
    pub records: Option<u64>,
    /// Since when; `null` when nothing is lost.
    pub since: Option<String>,
}

/// One check of a plan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PlanCheck {
    /// Its name.
    pub name: String,
    /// True when it holds.
    pub ok: bool,
    /// What was seen.
    pub detail: String,
}

/// `POST /v1/platforms`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlatformCreate {
    /// The platform.
    pub region: RegionCode,
    /// Chinese name.
    pub name_zh: String,
    /// English name.
    pub name_en: String,
    /// Who serves it first: its primary, or the host of a virtual platform.
    pub primary: NodeId,
    /// True for a virtual platform.
    #[serde(default)]
    pub r#virtual: bool,
}

/// `PUT /v1/platforms/{region}/policy`. Absent fields stay as they are.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyRequest {
    /// `sync`, `auto_sync` or `async`.
    pub durability: Option<String>,
    /// Acknowledgements an answer needs.
    pub k: Option<u32>,
    /// `block` or `degrade`.
    pub isolation: Option<String>,
    /// `auto` or `manual`.
    pub failover: Option<String>,
    /// The backups, all of them.
    pub backups: Option<Vec<PolicyBackup>>,
    /// Backups on the primary's site count.
    pub same_site: Option<bool>,
    /// The least that an answer promises: `local` or `replicated`.
    pub min_durability: Option<String>,
    /// Placement version the caller looked at.
    pub expected_version: Option<u64>,
    /// Only plan.
    pub dry_run: bool,
}

/// A backup as a policy names it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyBackup {
    /// The node.
    pub node: NodeId,
    /// True for `sync`, false for `async`.
    pub sync: bool,
}
