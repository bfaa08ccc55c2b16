//! Pure planning of platform moves: observed and intent to plan, checks, next step.
//!
//! [`plan`] says what a move would do, what speaks against it and what it may lose; it changes nothing. [`next_step`] says
//! what the coordinator of a failover does now; it keeps no memory, so any node may go on where another stopped: seals
//! and copies may be asked for again, and the commit is compare-and-set on the placement version.
//!
//! What always holds: a primary is committed only from a position that every acknowledged record is known to reach,
//! unless the operator accepted the loss; a candidate's position counts only after it promised the reserved epoch.
//! A core: no I/O, no clock, no randomness. Basis: design §6, `replication.md` §4.6 and §4.8.
#![forbid(unsafe_code)]

mod auto;
mod drill;
mod failover;
mod observed;
mod plan;
mod status;

pub use auto::{AutoLimits, Obstacle, Verdict, Watch, is_automatic};
pub use drill::{DrillStep, drill_step};
pub use eport_registry::{Check, ExpectedLoss, MoveKind, OldPrimary, Plan, PlanStep, Refused, Text};
pub use failover::{CopyOrder, FailoverLimits, Step, next_step};
pub use observed::{Observed, ReplicaFact, SealedFact};
pub use plan::{Intent, plan};
pub use status::{DurabilityNow, Warning, durability_now, platform_warnings, quorum_warnings};
