//! Moves of platforms: what was planned, what was done, how it ended. Plans are made by `moves` and kept here.

use eport_model::{Code, Epoch, MoveId, NodeId, RegionCode, Timestamp};
use serde::{Deserialize, Serialize};

/// A sentence for people in both languages.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Text {
    /// Chinese.
    pub zh: String,
    /// English.
    pub en: String,
}

impl Text {
    /// A sentence in both languages.
    pub fn new(zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self { zh: zh.into(), en: en.into() }
    }
}

/// What a move is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoveKind {
    /// Planned; loses nothing.
    Switchover,
    /// The primary is gone.
    Failover,
    /// A switchover back to a former primary.
    Failback,
    /// A switchover of a virtual platform to a node of its own.
    Promote,
}

/// How far a move is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoveState {
    /// Only planned.
    Planned,
    /// Under way.
    Running,
    /// Committed.
    Done,
    /// Ended without another primary.
    Aborted,
    /// Could not finish; a failover that failed leaves the platform recovering.
    Failed,
}

/// What the operator says of the old primary.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OldPrimary {
    /// Known to be stopped.
    Stopped,
    /// Cannot be reached; it may still serve somebody.
    Unreachable,
}

/// One step of a plan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PlanStep {
    /// Stable name.
    pub name: String,
    /// What it does.
    pub detail: Text,
}

/// One safety check of a plan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Check {
    /// Stable name.
    pub name: String,
    /// Whether it holds.
    pub ok: bool,
    /// What was found.
    pub detail: Text,
}

/// What a move may lose.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ExpectedLoss {
    /// Records, as far as they can be estimated; 0 when nothing acknowledged can be lost.
    pub records: u64,
    /// Records accepted after this instant may be lost; `None` when nothing can be.
    pub since: Option<Timestamp>,
}

/// Why a plan is not carried out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refused {
    /// The code.
    pub code: Code,
    /// The reason.
    pub detail: Text,
}

/// A plan: what would be done, what was checked, what may be lost.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The platform.
    pub region: RegionCode,
    /// What the move is.
    pub kind: MoveKind,
    /// Primary before.
    pub from: NodeId,
    /// Primary after; `None` when a failover chooses among those that answer.
    pub to: Option<NodeId>,
    /// Placement version the plan was made on.
    pub version: u64,
    /// Steps in order.
    pub steps: Vec<PlanStep>,
    /// Checks.
    pub checks: Vec<Check>,
    /// What may be lost.
    pub expected_loss: ExpectedLoss,
    /// Set when the plan may not be carried out.
    pub refused: Option<Refused>,
}

/// Step of a failover: its old primary came back and was taken in sync.
pub(crate) const OLD_PRIMARY_RETURNED: &str = "old_primary_returned";

/// Name of the step: the old primary holds requests from here on.
pub const PAUSE_BEGAN: &str = "held";
/// Name of the step: the new primary takes requests from here on.
pub const PAUSE_ENDED: &str = "opened";

/// A step that was done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StepDone {
    /// Stable name.
    pub name: String,
    /// What was found or done.
    pub detail: String,
    /// Who did it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// A move as the registry remembers it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MoveRecord {
    /// The move.
    pub id: MoveId,
    /// The platform.
    pub region: RegionCode,
    /// What it is.
    pub kind: MoveKind,
    /// Primary before.
    pub from: NodeId,
    /// Primary after; set at the commit when the failover chose.
    pub to: Option<NodeId>,
    /// How far it is.
    pub state: MoveState,
    /// The plan it was opened with.
    pub plan: Plan,
    /// Who asked.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it gives up, if it does.
    pub deadline: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it ended as it did, when not done.
    pub ended_reason: String,
    /// Epoch before.
    pub epoch_before: Epoch,
    /// Epoch after, once committed.
    pub epoch_after: Option<Epoch>,
    /// Placement version it was opened on.
    pub version_before: u64,
    /// Placement version of its last change.
    pub version: u64,
    /// Steps done, oldest first, at most 64.
    pub steps: Vec<StepDone>,
    /// The tail its old primary exported, by id.
    pub exported_tail: Option<String>,
    /// Failover only: the operator accepts that acknowledged records may be lost.
    pub accept_data_loss: bool,
    /// Failover only: what is known of the old primary.
    pub old_primary: Option<OldPrimary>,
    /// Failover only: nodes whose answers were missing when it failed.
    pub missing: Vec<NodeId>,
}

impl MoveRecord {
    /// How long no node took writes, in milliseconds, as the log dates it: from when the old primary held requests, or from
    /// the command where it was gone, until the new primary opened. `None` while that is not known.
    pub fn pause_ms(&self) -> Option<u64> {
        let at = |name: &str| self.steps.iter().find(|s| s.name == name).map(|s| s.at);
        let began = match self.kind {
            MoveKind::Failover => Some(self.opened_at),
            _ => at(PAUSE_BEGAN),
        };
        let (began, ended) = (began?, at(PAUSE_ENDED)?);
        Some(u64::try_from(ended.as_millis().saturating_sub(began.as_millis())).unwrap_or(0))
    }
}
