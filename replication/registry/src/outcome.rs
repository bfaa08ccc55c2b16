//! What became of a command.

use crate::{CommandId, SignatureFault};
use eport_model::{Code, Coded, Digest, Epoch, MoveId, NodeId, RegionCode, Timestamp, codes};
use serde::{Deserialize, Serialize};

/// A command that was applied.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Outcome {
    /// Done; nothing more to say.
    Done,
    /// The placement is now at `version`.
    Placed {
        /// Placement version.
        version: u64,
        /// Its epoch.
        epoch: Epoch,
    },
    /// A move was opened, joined or ended.
    Moved {
        /// The move.
        move_id: MoveId,
        /// Placement version.
        version: u64,
        /// Epoch reserved or committed; the current one otherwise.
        epoch: Epoch,
        /// True when a failover under way was joined.
        joined: bool,
    },
    /// A table version was published.
    Published {
        /// Its version.
        version: u64,
        /// In force from.
        effective: Timestamp,
    },
    /// A block of numbers was reserved.
    Numbers {
        /// First number.
        start: u64,
        /// How many.
        len: u64,
    },
    /// Nothing was done yet: a second person must approve.
    AwaitsApproval {
        /// Id of the approval.
        approval: CommandId,
        /// Digest of the statement, which the second person confirms.
        digest: Digest,
        /// After this it can no longer be approved.
        expires: Timestamp,
    },
    /// A drill began or was asked to stop.
    Drill {
        /// The drill.
        drill: CommandId,
        /// After this anybody may put its start state back.
        deadline: Timestamp,
    },
}

/// Why a command was refused. Nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// There is no federation yet.
    #[error("the federation is not founded yet")]
    NotFounded,
    /// The proposer saw an older or other version.
    #[error("{object} is at version {current}, the command names {named}")]
    VersionConflict {
        /// The platform or table.
        object: String,
        /// Version named.
        named: u64,
        /// Version found.
        current: u64,
    },
    /// No such object.
    #[error("there is no {what} {name}")]
    NotFound {
        /// Kind of object.
        what: String,
        /// Its name.
        name: String,
    },
    /// The name is taken by something else.
    #[error("{what} {name} exists already")]
    AlreadyExists {
        /// Kind of object.
        what: String,
        /// Its name.
        name: String,
    },
    /// The proposer may not do this.
    #[error("{by} may not do this: {needs} is needed")]
    NotEntitled {
        /// Who asked.
        by: String,
        /// Who may.
        needs: String,
    },
    /// Another move is under way.
    #[error("platform {region} is being moved by {move_id}")]
    MoveUnderWay {
        /// The platform.
        region: RegionCode,
        /// The move.
        move_id: MoveId,
    },
    /// The move is not the one under way.
    #[error("move {move_id} of platform {region} is not under way")]
    MoveNotUnderWay {
        /// The platform.
        region: RegionCode,
        /// The move.
        move_id: MoveId,
    },
    /// The node still has duties.
    #[error("node {node} is {duty}")]
    NodeInUse {
        /// The node.
        node: NodeId,
        /// Its duty.
        duty: String,
    },
    /// Too few sealed answers to prove that nothing acknowledged is lost.
    #[error("platform {region}: {have} sealed answers of in-sync backups, {need} are needed")]
    SealQuorum {
        /// The platform.
        region: RegionCode,
        /// Answers named.
        have: usize,
        /// Answers needed.
        need: usize,
    },
    /// The old primary may have answered on its own before the candidates sealed.
    #[error(
        "platform {region}: the old primary may have answered `local` on its own before; {need} in-sync backups must show that it was heard of late"
    )]
    Degraded {
        /// The platform.
        region: RegionCode,
        /// Such backups needed.
        need: usize,
    },
    /// A table version may not take effect then.
    #[error("table {table} may not take effect at {effective_ms} ms, the earliest is {earliest_ms} ms")]
    EffectivePast {
        /// The table.
        table: String,
        /// Asked for.
        effective_ms: i64,
        /// Allowed.
        earliest_ms: i64,
    },
    /// A field is out of bounds.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field.
        field: String,
        /// The rule.
        reason: String,
    },
    /// A rule of the federation forbids it.
    #[error("{0}")]
    Rule(String),
    /// The id was used for another command.
    #[error("command id {0} was used for another command")]
    IdReused(String),
    /// The command is not its author's, or its author may not give it.
    #[error("{detail}")]
    Signature {
        /// The rule.
        why: SignatureFault,
        /// What was found.
        detail: String,
    },
    /// The second person is the first one.
    #[error("{by} signed first: another person must approve")]
    SamePerson {
        /// Who.
        by: String,
    },
    /// The second person saw something else.
    #[error("approval {id} asks for something else than what was seen")]
    ApprovalChanged {
        /// The approval.
        id: CommandId,
    },
    /// It can no longer be approved.
    #[error("approval {id} is {state}")]
    ApprovalOver {
        /// The approval.
        id: CommandId,
        /// How it ended.
        state: String,
    },
    /// Nobody is listed who could be the second person.
    #[error(
        "two persons must approve this, and no second operator with the role administrator or approver is listed"
    )]
    SecondPersonMissing,
    /// Members do not verify by the newest trust bundle yet.
    #[error("trust bundle {version} is not acknowledged by {}", names(nodes))]
    TrustUnacknowledged {
        /// Version of the bundle.
        version: u64,
        /// The members.
        nodes: Vec<NodeId>,
    },
    /// The rotation is not where this step fits.
    #[error("{step}: {found}")]
    RotationPhase {
        /// The step.
        step: String,
        /// How far it is.
        found: String,
    },
    /// Certificates under the old CA may still live.
    #[error("certificates under the old CA may live until {} ms", until.as_millis())]
    DrainNotOver {
        /// From then on it may go.
        until: Timestamp,
    },
    /// A certificate or list of a CA does not fit.
    #[error("{0}")]
    TrustMaterial(String),
    /// Nobody gives himself a role.
    #[error("{by} may not give a role to himself: another person must")]
    OwnRole {
        /// Who.
        by: String,
    },
    /// Roles that exclude each other.
    #[error("operator {operator}: {detail}")]
    Separation {
        /// Who would have them.
        operator: String,
        /// Which.
        detail: String,
    },
    /// Another drill runs.
    #[error("drill {drill} ({name}) is under way")]
    DrillUnderWay {
        /// The drill.
        drill: CommandId,
        /// Its script.
        name: String,
    },
    /// The start state is not back.
    #[error("drill {drill} cannot end: platform {region} is not back at {primary}")]
    DrillAway {
        /// The drill.
        drill: CommandId,
        /// The platform.
        region: RegionCode,
        /// Who served it before.
        primary: NodeId,
    },
    /// A CA outside cannot be registered.
    #[error("{0}")]
    OutsideCa(String),
}

fn names(nodes: &[NodeId]) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Coded for Refusal {
    fn code(&self) -> Code {
        match self {
            Refusal::VersionConflict { .. } => codes::VERSION_CONFLICT,
            Refusal::NotFound { .. } => codes::NOT_FOUND,
            Refusal::AlreadyExists { .. } => codes::ALREADY_EXISTS,
            Refusal::NotEntitled { .. } => codes::NOT_ENTITLED,
            Refusal::MoveUnderWay { .. } => codes::MOVE_RUNNING,
            Refusal::NodeInUse { .. } => codes::NODE_IN_USE,
            Refusal::SealQuorum { .. } | Refusal::Degraded { .. } => codes::MOVE_LOSS,
            Refusal::EffectivePast { .. } => codes::TABLE_EFFECTIVE_PAST,
            Refusal::IdReused(_) => codes::COMMAND_ID_REUSED,
            Refusal::Signature { why, .. } => why.code(),
            Refusal::SamePerson { .. } => codes::APPROVAL_SAME_PERSON,
            Refusal::ApprovalChanged { .. } => codes::APPROVAL_CHANGED,
            Refusal::ApprovalOver { .. } => codes::APPROVAL_OVER,
            Refusal::OwnRole { .. } => codes::OWN_ROLE,
            Refusal::Separation { .. } => codes::ROLES_EXCLUDE,
            Refusal::SecondPersonMissing => codes::SECOND_PERSON_MISSING,
            Refusal::TrustUnacknowledged { .. } => codes::TRUST_UNACKNOWLEDGED,
            Refusal::RotationPhase { .. } => codes::ROTATION_PHASE,
            Refusal::DrainNotOver { .. } => codes::DRAIN_NOT_OVER,
            Refusal::TrustMaterial(_) => codes::TRUST_MATERIAL,
            Refusal::OutsideCa(_) => codes::OUTSIDE_CA,
            Refusal::DrillUnderWay { .. } => codes::DRILL_RUNNING,
            Refusal::DrillAway { .. } => codes::DRILL_AWAY,
            Refusal::NotFounded
            | Refusal::MoveNotUnderWay { .. }
            | Refusal::Invalid { .. }
            | Refusal::Rule(_) => codes::REGISTRY_REFUSED,
        }
    }
}
