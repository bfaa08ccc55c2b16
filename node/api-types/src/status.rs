//! `eport status --json` and its parts, also `GET /v1/federation`, `/v1/nodes`, `/v1/platforms[/{region}]`.

use eport_identity::{Digest, Epoch, Lineage, NodeId, RegionCode, SiteId};
use serde::{Deserialize, Serialize};

/// The whole federation on one screen.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FederationStatus {
    /// Its name.
    pub federation: String,
    /// Its history's id.
    pub lineage: Lineage,
    /// Leader of the registry, as far as the asked node knows.
    pub leader: Option<NodeId>,
    /// Raft term.
    pub term: u64,
    /// Every node.
    pub nodes: Vec<NodeStatus>,
    /// Every platform.
    pub platforms: Vec<PlatformStatus>,
    /// What kind of federation it is.
    pub mode: Mode,
    /// True when dangerous commands need a second person.
    pub two_person: bool,
    /// True when commands of operators must be signed.
    #[serde(default)]
    pub operator_signatures: bool,
    /// `on`: the three administrators are three persons; `founding`: but for those of the founding; `off`.
    #[serde(default)]
    pub role_separation: String,
    /// Every table with its version in force.
    pub tables: Vec<TableSummary>,
    /// What a person should look at.
    pub warnings: Vec<Warning>,
    /// Registry index the answer was made from.
    #[serde(default)]
    pub index: u64,
    /// Breaks in the history: quorums that were lost and recovered, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lineages: Vec<crate::LineageItem>,
    /// Journals that lie on a node without a duty and may be adopted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept_journals: Vec<crate::JournalCopy>,
}

/// What kind of federation it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Real.
    Production,
    /// Made by `eport demo`.
    Demo,
    /// Made by `eport dev up`.
    Dev,
}

/// One node.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The node.
    pub node: NodeId,
    /// Its site.
    pub site: SiteId,
    /// What it is doing.
    pub state: NodeState,
    /// Seconds since it was last heard of; `null` when it was never.
    pub last_seen_s: Option<f64>,
    /// True when it votes in the registry.
    pub voter: bool,
    /// Software version.
    pub version: String,
    /// SHA-256 of the program's own file, as the node says itself; absent while it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Digest>,
    /// Newest record format it reads; absent while it has never told the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reads: Option<u16>,
    /// Home platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionCode>,
    /// Address of its API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// When its certificate ends, as it says itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_ends: Option<String>,
}

/// State of a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// Heard of lately.
    Up,
    /// Silent for a while.
    Suspect,
    /// Silent for long.
    Down,
    /// Giving up its platforms.
    Draining,
    /// Left the federation.
    Removed,
    /// Its certificate was revoked.
    Revoked,
}

/// One platform.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PlatformStatus {
    /// Its name.
    pub region: RegionCode,
    /// Chinese name.
    pub name_zh: String,
    /// English name.
    pub name_en: String,
    /// Has nodes of its own, or not.
    pub kind: PlatformKind,
    /// The primary.
    pub primary: NodeId,
    /// The primary's epoch.
    pub epoch: Epoch,
    /// Placement version.
    pub version: u64,
    /// Policy: `sync`, `auto_sync` or `async`.
    pub durability: String,
    /// What an answer given now promises.
    pub durability_now: DurabilityNow,
    /// So many backups are proven to hold whatever was answered `replicated`; 0: a failover needs the old primary's own answer.
    #[serde(default)]
    pub proven: usize,
    /// Policy: the least that an answer promises, `local` or `replicated`.
    #[serde(default)]
    pub min_durability: String,
    /// Policy: `block` or `degrade`.
    pub isolation: String,
    /// Policy: `auto` or `manual`.
    pub failover: String,
    /// What is going on.
    pub state: PlatformState,
    /// Everybody who keeps a copy.
    pub backups: Vec<BackupStatus>,
    /// Records of its journal.
    pub records: u64,
    /// Digest of the last record.
    pub head_digest: Digest,
    /// True when it is served away from home.
    pub away: bool,
    /// What verification has shown of each copy, the primary's first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<crate::CopyStatus>,
    /// Bytes on the primary's disk.
    #[serde(default)]
    pub disk_bytes: u64,
    /// What it may take, if that is bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<crate::QuotaItem>,
}

/// Physical or virtual.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlatformKind {
    /// A home node is or was its primary.
    Physical,
    /// Hosted elsewhere.
    Virtual,
}

/// What an answer given now promises.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DurabilityNow {
    /// Fsynced on enough backups.
    Replicated,
    /// Fsynced on the primary.
    Local,
    /// No answer is possible: too few backups confirm.
    Blocked,
}

/// State of a platform.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlatformState {
    /// Served.
    Active,
    /// Being handed over.
    Switching,
    /// A failover is under way.
    Recovering,
    /// Nobody may write.
    Fenced,
    /// Stopped by an operator.
    Stopped,
}

/// One backup of a platform.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct BackupStatus {
    /// The backup.
    pub node: NodeId,
    /// Recorded as in sync.
    pub in_sync: bool,
    /// Records it lacks.
    pub lag_records: u64,
    /// How old the oldest record is that it lacks.
    pub lag_seconds: f64,
    /// Last record it received.
    #[serde(default)]
    pub received: u64,
    /// Last record it fsynced.
    #[serde(default)]
    pub durable: u64,
    /// Last record it applied.
    #[serde(default)]
    pub applied: u64,
    /// What the primary keeps for shipping to it; absent while the primary has not heard of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<SlotStatus>,
    /// The checkpoint that it takes, if it takes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<BootstrapStatus>,
}

/// What a primary keeps for shipping to one backup.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SlotStatus {
    /// `kept`, `lost` (the backup lacks more than is kept and takes a checkpoint) or `reseeding` (it lost its disk and does not
    /// have again what it had acknowledged).
    pub state: String,
    /// Last record that the backup has.
    pub position: u64,
    /// Records that it lacks.
    pub records: u64,
    /// Their bytes, as far as the primary knows since it started.
    pub bytes: u64,
    /// How long the oldest of them has waited.
    pub seconds: f64,
}

/// A checkpoint on its way to a backup.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct BootstrapStatus {
    /// Who gives it.
    pub source: NodeId,
    /// `waiting`, `receiving`, `verifying` or `installing`.
    pub state: String,
    /// Why it waits, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Bytes that are here.
    pub bytes: u64,
    /// Bytes of the whole; 0 while not known.
    pub total: u64,
    /// Of them, in percent.
    pub percent: f64,
    /// Bytes a second since it began or went on.
    pub rate: u64,
}

/// One table with its version in force.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TableSummary {
    /// `OWNER/NAME`.
    pub name: String,
    /// The owner's region.
    pub owner: String,
    /// Number of the version in force.
    pub version: u64,
    /// Its rows.
    pub rows: u64,
    /// Since when it is in force.
    pub effective: String,
    /// Nodes that hold it.
    pub installed_nodes: u64,
}

/// Something a person should look at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Warning {
    /// Stable code.
    pub code: String,
    /// One sentence.
    pub text: String,
}
