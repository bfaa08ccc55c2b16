//! The recovery plan of one survivor: what it knows, as a file that its node signs and that persons endorse.

use crate::{Revocation, State};
use eport_model::{
    Digest, EpochHistory, JournalIndex, Lineage, NodeId, Position, RegionCode, SiteId, Timestamp, codec,
};
use eport_signature::Statement;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest plan file that is read: revocations and journals of the largest federation fit many times.
pub const PLAN_FILE_LEN_MAX: u64 = 16 << 20;
/// Format of a plan.
pub const PLAN_FORMAT: u32 = eport_model::formats::RECOVERY_PLAN;

/// A place in the registry's log. Ordered as Raft orders them: term before index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogPlace {
    /// Term of the leader that wrote it.
    pub term: u64,
    /// Index.
    pub index: u64,
}

impl fmt::Display for LogPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {} of term {}", self.index, self.term)
    }
}

/// What becomes of log entries that a survivor holds without knowing that they were committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TailChoice {
    /// They count: what may have been answered with success stays.
    Commit,
    /// They are left out: only what some survivor knows to be committed stays.
    Drop,
}

impl TailChoice {
    /// The word of the command line.
    pub fn word(self) -> &'static str {
        match self {
            TailChoice::Commit => "commit",
            TailChoice::Drop => "drop",
        }
    }
}

/// A journal in the survivor's data directory.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalKept {
    /// The platform.
    pub region: RegionCode,
    /// Its last record.
    pub last: Position,
    /// Last record whose effects are in the state rows.
    pub applied: JournalIndex,
    /// Its epochs.
    pub history: EpochHistory,
    /// What the registry knew this node to be for the platform: `primary`, `backup` or `none`.
    pub duty: String,
}

/// What a platform may lose if this survivor's copy becomes the platform's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossHere {
    /// The platform.
    pub region: RegionCode,
    /// Its primary, as this survivor knows.
    pub primary: NodeId,
    /// A journal of it is kept here.
    pub kept: bool,
    /// `none`: this is the primary itself; `unknown`: a copy, what the primary answered last may be missing; `all`: no copy.
    pub expected: String,
    /// Records that the primary has published beyond what is kept here: surely lost with it.
    pub records_beyond: u64,
}

/// What each platform may lose, from the state and the journals kept here.
pub fn losses_here(state: &State, journals: &[JournalKept]) -> Vec<LossHere> {
    let loss = |p: &crate::Placement| {
        let kept = journals.iter().find(|j| j.region == p.region);
        let published = state.head(p.region, p.primary).map_or(0, |h| h.position.index.as_u64());
        let (expected, records_beyond) = match kept {
            Some(j) if j.duty == "primary" => ("none", 0),
            Some(j) => ("unknown", published.saturating_sub(j.last.index.as_u64())),
            None => ("all", published),
        };
        LossHere {
            region: p.region,
            primary: p.primary,
            kept: kept.is_some(),
            expected: expected.to_owned(),
            records_beyond,
        }
    };
    state.placements().map(loss).collect()
}

/// What one survivor knows, read from its stopped data directory.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoveryPlan {
    /// [`PLAN_FORMAT`].
    pub format: u32,
    /// Name of the federation.
    pub federation: String,
    /// The history whose quorum is lost.
    pub lineage: Lineage,
    /// The survivor.
    pub node: NodeId,
    /// Its site.
    pub site: SiteId,
    /// When the plan was made, milliseconds since 1970.
    pub made_at_ms: Timestamp,
    /// Term of its last vote.
    pub term: u64,
    /// Last entry whose effects are in its state.
    pub applied: LogPlace,
    /// Last entry it knows to be committed.
    pub committed: LogPlace,
    /// Last entry it holds.
    pub last: LogPlace,
    /// Voters of the newest membership it holds.
    pub voters: Vec<NodeId>,
    /// Digest of its state at `applied`.
    pub state: Digest,
    /// Journals it keeps.
    pub journals: Vec<JournalKept>,
    /// What each platform may lose.
    pub losses: Vec<LossHere>,
    /// Revocations it knows.
    pub revocations: Vec<Revocation>,
    /// Digest of the token that was shown when the plan was made.
    pub token: Digest,
}

impl RecoveryPlan {
    /// What signatures cover.
    pub fn digest(&self) -> Digest {
        Digest::of(&codec::encode(self))
    }

    /// What must be the same when the plan is carried out: everything but when it was made and its token.
    pub fn same_directory(&self, found: &RecoveryPlan) -> bool {
        *self == RecoveryPlan { made_at_ms: self.made_at_ms, token: self.token, ..found.clone() }
    }
}

/// A signature under a plan, everything in lower-case hex.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endorsement {
    /// The signer's certificate, DER.
    pub certificate: String,
    /// When it was made, milliseconds since 1970.
    pub at_ms: i64,
    /// The signature, DER.
    pub signature: String,
}

/// A plan with its signatures: what is written to a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanFile {
    /// The plan.
    pub plan: RecoveryPlan,
    /// The survivor's own signature, made with the key of its certificate.
    pub by_node: Endorsement,
    /// Persons who consent.
    #[serde(default)]
    pub endorsed: Vec<Endorsement>,
}

/// The id under which everybody signs about a plan.
pub fn signing_id(plan: &RecoveryPlan) -> [u8; 16] {
    let mut id = [0; 16];
    id.copy_from_slice(&plan.digest().as_bytes()[..16]);
    id
}

/// The digest under which a plan keeps its token.
pub fn token_digest(token: &str) -> Digest {
    Digest::of(format!("eport recovery token {}", token.trim()).as_bytes())
}

/// What the survivor's node signs.
pub fn plan_statement(plan: &RecoveryPlan) -> Statement {
    Statement::new("quorum.plan").with("plan", plan.digest()).with("node", plan.node)
}

/// What the second person signs.
pub fn endorse_statement(plan: &RecoveryPlan) -> Statement {
    Statement::new("quorum.recover.endorse").with("plan", plan.digest()).with("node", plan.node)
}

/// What the person who carries it out signs.
pub fn apply_statement(
    plan: &RecoveryPlan,
    lineage: Lineage,
    lost: &[NodeId],
    tail: TailChoice,
) -> Statement {
    Statement::new("quorum.recover")
        .with("plan", plan.digest())
        .with("node", plan.node)
        .with("lineage", lineage)
        .with("lost", super::list(lost))
        .with("tail", tail.word())
}
