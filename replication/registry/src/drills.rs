//! Drills: rehearsed losses, what the system was like before each, and when the next one is due.
//!
//! Always: at most one drill runs; a running drill names the primary of every platform it may move, and a deadline; it ends
//! only when these primaries serve again, or when an operator accepts that they do not. So whoever dies during a drill, the
//! row says what is to be put back and from when on anybody may do it.

use crate::CommandId;
use eport_model::{Digest, Epoch, NodeId, RegionCode, Timestamp};
use serde::{Deserialize, Serialize};

/// Finished drills that are remembered, the oldest forgotten beyond this bound.
pub const DRILLS_KEPT: usize = 256;
/// Schedules at most.
pub const DRILL_SCHEDULES_MAX: usize = 256;
/// Platforms that one drill may move.
pub const DRILL_PLATFORMS_MAX: usize = 400;
/// The shortest and the longest time a drill may give itself: a second to a day.
pub const DRILL_LIMIT_MS: std::ops::RangeInclusive<u64> = 1_000..=86_400_000;
/// Processes and links that one drill may disturb.
pub(crate) const DISTURBANCES_MAX: usize = 64;
/// Days between two drills of a schedule, at most ten years.
pub(crate) const EVERY_DAYS_MAX: u32 = 3_650;

const DAY_MS: i64 = 86_400_000;

/// A platform as it was when the drill began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DrillStart {
    /// The platform.
    pub region: RegionCode,
    /// Who served it: who serves it when the drill is over.
    pub primary: NodeId,
    /// In which epoch.
    pub epoch: Epoch,
}

/// A platform that a drill may move, at the placement version its plan was made on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DrillPlatform {
    /// The platform.
    pub region: RegionCode,
    /// Placement version of the plan.
    pub version: u64,
}

/// How far a drill is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrillState {
    /// Under way.
    Running,
    /// Over.
    Ended,
}

/// What a drill showed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrillVerdict {
    /// Every objective was met.
    Passed,
    /// At least one was not.
    Failed,
    /// It was ended before it could show anything.
    Aborted,
}

impl DrillVerdict {
    /// The word of the API.
    pub fn word(self) -> &'static str {
        match self {
            DrillVerdict::Passed => "passed",
            DrillVerdict::Failed => "failed",
            DrillVerdict::Aborted => "aborted",
        }
    }
}

/// What was measured, from the log of a client process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DrillFigures {
    /// Acknowledged records that are gone.
    pub rpo_records: u64,
    /// Over which time they were acknowledged.
    pub rpo_ms: u64,
    /// From the disturbance to the first write after the longest pause; `None` when nothing was measured.
    pub rto_ms: Option<u64>,
    /// Longest time without an acknowledged write.
    pub write_pause_ms: Option<u64>,
    /// Documents lodged.
    pub submitted: u64,
    /// Documents acknowledged.
    pub acknowledged: u64,
    /// Acknowledged documents found again under their number.
    pub present: u64,
    /// Acknowledged documents not found.
    pub missing: u64,
    /// Business keys found more than once.
    pub duplicated: u64,
}

/// A drill as the registry remembers it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Drill {
    /// Its id: that of the command which began it.
    pub id: CommandId,
    /// Name of its script.
    pub name: String,
    /// The platform it is about.
    pub region: RegionCode,
    /// Digest of the script.
    pub script: Digest,
    /// Who owns it: the operator who began it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When it began.
    pub begun: Timestamp,
    /// After this anybody may put the start state back; moved forward when an operator stops the drill.
    pub deadline: Timestamp,
    /// The start state: who serves what.
    pub start: Vec<DrillStart>,
    /// What else is disturbed, for people: `process sz-a-1`, `link gz-a sz-a`.
    pub disturbs: Vec<String>,
    /// How far it is.
    pub state: DrillState,
    /// Why somebody asked it to stop; empty when nobody did.
    pub stop: String,
    /// What it showed.
    pub verdict: Option<DrillVerdict>,
    /// What was measured.
    pub figures: DrillFigures,
    /// SHA-256 of its report (JSON).
    pub report: Option<Digest>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Who ended it: its owner, or a node after the deadline.
    pub ended_by: String,
    /// What is to be said of its end.
    pub note: String,
    /// False when it was ended although a platform was not back at its start primary.
    pub restored: bool,
}

impl Drill {
    /// True while it is under way.
    pub fn is_running(&self) -> bool {
        self.state == DrillState::Running
    }

    /// True when it should be over and is not: its start state is to be put back.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.is_running() && now >= self.deadline
    }

    /// True when it showed something: passed or failed.
    pub fn is_complete(&self) -> bool {
        matches!(self.verdict, Some(DrillVerdict::Passed | DrillVerdict::Failed))
    }
}

/// A drill that is to be repeated. It begins when a person begins it; the schedule reminds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DrillSchedule {
    /// Name of the script.
    pub name: String,
    /// The platform.
    pub region: RegionCode,
    /// Days from one drill to the next.
    pub every_days: u32,
    /// When the first one is due.
    pub first: Timestamp,
    /// Who looks after it, for people.
    pub owner: String,
    /// When the schedule was last changed.
    pub since: Timestamp,
}

impl DrillSchedule {
    /// When the next drill is due, given when the last complete one began. An early drill moves the next one; a drill that
    /// was run before the schedule asked for the first one does not count.
    pub fn due(&self, last: Option<Timestamp>) -> Timestamp {
        match last {
            Some(last) if last.plus_millis(self.every_ms()) > self.first => last.plus_millis(self.every_ms()),
            _ => self.first,
        }
    }

    /// Days from one to the next, in milliseconds.
    pub fn every_ms(&self) -> i64 {
        i64::from(self.every_days).saturating_mul(DAY_MS)
    }
}
