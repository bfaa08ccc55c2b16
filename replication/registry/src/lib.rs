//! The federation state machine: what the registry knows and which commands may change it.
//!
//! [`State::apply`] takes one [`Command`] and answers with its outcome and the rows it changed; the shell (`consensus`)
//! orders commands and stores rows. Everything is deterministic: time and names come from the command.
//!
//! Invariants: a placement changes only by a command that names its current version; versions and epochs strictly rise
//! and every epoch is allocated once; a refused command changes nothing but the memory of its own outcome; a command
//! applied twice takes effect once; the state is exactly what its rows say. This crate knows no journal, no network and
//! no clock; soft facts (who is up, lag) never enter it. Basis: design §3 and §6.
#![forbid(unsafe_code)]

mod command;
mod custody;
mod decide;
mod drills;
mod erasures;
mod federation;
mod invitation;
mod keys;
mod movement;
mod op;
mod operators;
mod outcome;
mod outside;
mod placement;
mod quota;
mod records;
pub mod recover;
mod removal;
mod rows;
mod signed;
mod state;
mod tables;
mod trust;
mod users;
mod view;

pub use command::{Command, CommandId};
pub use custody::CaCustody;
pub use drills::{
    DRILL_LIMIT_MS, DRILL_PLATFORMS_MAX, DRILL_SCHEDULES_MAX, DRILLS_KEPT, Drill, DrillFigures,
    DrillPlatform, DrillSchedule, DrillStart, DrillState, DrillVerdict,
};
pub use erasures::{ERASED_AT_ONCE, ERASURES_KEPT, EraseTarget, Erasure};
pub use federation::{Federation, Issuer, IssuerState, Mode, Node, NodeState, Revocation, Setting, Site};
pub use invitation::{Invitation, invitation_setting};
pub use keys::{
    DataKey, Holder, HolderName, KEY_PUBLIC_LEN, KeyDuty, WRAP_LEN_MAX, Wrap, data_keys_setting, wrap_context,
};
pub use movement::{
    Check, ExpectedLoss, MoveKind, MoveRecord, MoveState, OldPrimary, PAUSE_BEGAN, PAUSE_ENDED, Plan,
    PlanStep, Refused, StepDone, Text,
};
pub use op::{HeadReport, NodeChange, Op, PolicyBackup};
pub use operators::{Approval, ApprovalState, Audit, AuditEvent, Operator, OperatorRole, SignedBy};
pub use outcome::{Outcome, Refusal};
pub use outside::{CHALLENGE_LIFE_MS, OUTSIDE_MAX, OutsideCa, OutsideRemoval};
pub use placement::{
    Backup, DurabilityMode, EpochRecord, FailoverMode, Isolation, Placement, PlacementState, Policy, Role,
};
pub use quota::{Quota, QuotaLimits};
pub use records::{Head, NumberBlock, Tail, TailState};
pub use recover::{LineageRecord, Parentage};
pub use removal::RemovalObstacle;
pub use rows::{RowChange, RowError};
pub use signed::{
    APPROVAL_LIFE_MS, OPERATOR_SIGNATURES, Proof, SIGNATURE_WINDOW_MS, SignatureFault, TWO_PERSONS, guards,
    statement,
};
pub use state::{APPROVALS_KEPT, AUDIT_KEPT, Applied, OUTCOMES_KEPT, State};
pub use tables::{
    CatalogId, CatalogKind, DRAFT_LIFE_MS, Draft, PublisherProof, TableId, TableVersion, VersionState,
};
pub use trust::{Material, RootList, Rotation, RotationPhase, RotationStep, TRUST_FIRST, Trust, TrustAck};
pub use users::{
    ACCESS_LOG_ANCHOR_MS, ACCESS_LOG_DAYS, AccessHead, DELEGATION_LIFE_MAX_MS, DELEGATIONS_MAX,
    DelegatedRight, Delegation, Ended, LOCKOUT_FAILURES, LOCKOUT_MS, Mandate, Permission, ROLE_SEPARATION,
    RoleBinding, SESSION_IDLE_MS, SESSION_LIFE_MAX_MS, SESSION_LIFE_MS, Separation, SessionEnd, USERS_MAX,
    User,
};
pub use view::Kind;

/// Length of one block of outside numbers: at least 90 days at any platform's highest rate (design §3).
pub const NUMBER_BLOCK_LEN: u64 = 10_000_000;
