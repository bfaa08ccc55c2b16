//! Drills and their schedules, as the registry keeps them.

use eport_identity::{Digest, Epoch, NodeId, RegionCode};
use serde::{Deserialize, Serialize};

/// `POST /v1/drills`: begin a drill.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrillBegin {
    /// Name of the script.
    pub name: String,
    /// The platform it is about.
    pub region: RegionCode,
    /// Digest of the script.
    pub script: Digest,
    /// Platforms it may move.
    pub platforms: Vec<DrillPlatformRef>,
    /// Processes and links it disturbs.
    #[serde(default)]
    pub disturbs: Vec<String>,
    /// After so many milliseconds anybody may put the start state back.
    pub limit_ms: u64,
}

/// A platform at the version a plan was made on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrillPlatformRef {
    /// The platform.
    pub region: RegionCode,
    /// Placement version.
    pub version: u64,
}

/// `POST /v1/drills/{id}/stop`: its deadline is now.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrillStop {
    /// Why.
    pub reason: String,
}

/// `POST /v1/drills/{id}/end`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrillEnd {
    /// `passed`, `failed` or `aborted`.
    pub verdict: String,
    /// What was measured.
    #[serde(default)]
    pub figures: DrillNumbers,
    /// SHA-256 of the report (JSON).
    #[serde(default)]
    pub report: Option<Digest>,
    /// What is to be said of its end.
    #[serde(default)]
    pub note: String,
    /// End it although a platform is not back where it was.
    #[serde(default)]
    pub keep: bool,
}

/// What was measured, from the log of a client process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DrillNumbers {
    /// Acknowledged records that are gone.
    pub rpo_records: u64,
    /// Over which time they were acknowledged.
    pub rpo_ms: u64,
    /// From the disturbance to the first write after the longest pause.
    pub rto_ms: Option<u64>,
    /// Longest time without an acknowledged write.
    pub write_pause_ms: Option<u64>,
    /// Documents lodged.
    pub submitted: u64,
    /// Documents acknowledged.
    pub acknowledged: u64,
    /// Acknowledged documents found again.
    pub present: u64,
    /// Acknowledged documents not found.
    pub missing: u64,
    /// Business keys found more than once.
    pub duplicated: u64,
}

/// A drill: `GET /v1/drills[/{id}]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DrillItem {
    /// Its id; 32 hex digits.
    pub drill_id: String,
    /// Name of the script.
    pub name: String,
    /// The platform it is about.
    pub region: RegionCode,
    /// Digest of the script.
    pub script: Digest,
    /// Who owns it.
    pub by: String,
    /// When it began.
    pub begun: String,
    /// After this the registry's leader puts the start state back.
    pub deadline: String,
    /// Who served what before.
    pub start: Vec<DrillStartItem>,
    /// What else it disturbs.
    pub disturbs: Vec<String>,
    /// `running`, `overdue` or `ended`.
    pub state: String,
    /// Why it was asked to stop.
    pub stop: String,
    /// `passed`, `failed` or `aborted`; `null` while it runs.
    pub verdict: Option<String>,
    /// What was measured.
    pub figures: DrillNumbers,
    /// SHA-256 of the report.
    pub report: Option<Digest>,
    /// When it ended.
    pub ended: Option<String>,
    /// Who ended it.
    pub ended_by: String,
    /// What is to be said of its end.
    pub note: String,
    /// True when every platform was back where it was.
    pub restored: bool,
}

/// A platform before a drill.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DrillStartItem {
    /// The platform.
    pub region: RegionCode,
    /// Its primary.
    pub primary: NodeId,
    /// In which epoch.
    pub epoch: Epoch,
}

/// `PUT /v1/drill-schedules/{region}/{name}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrillScheduleRequest {
    /// Days from one drill to the next.
    pub every_days: u32,
    /// When the first one is due; RFC 3339.
    pub first: String,
    /// Who looks after it.
    #[serde(default)]
    pub owner: String,
}

/// A schedule: `GET /v1/drill-schedules`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DrillScheduleItem {
    /// Name of the script.
    pub name: String,
    /// The platform.
    pub region: RegionCode,
    /// Days from one drill to the next.
    pub every_days: u32,
    /// When the first one is due.
    pub first: String,
    /// Who looks after it.
    pub owner: String,
    /// When the next one is due.
    pub due: String,
    /// True when that is past.
    pub is_due: bool,
}
