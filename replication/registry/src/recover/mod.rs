//! Quorum lost: from what the survivors know to a new lineage. Pure: plans and a clock reading in, a verdict or a state out.
//!
//! Always: nothing is decided on one survivor's word alone when others have spoken; the new registry begins with the most
//! advanced survivor's state and nobody else's; a plan serves one directory in one state once, because the lineage it names is
//! over as soon as it was carried out; epochs and numbers jump so far that nothing the old lineage could still hand out is
//! handed out again. Basis: design §3 and §6.

mod descend;
mod judge;
mod lineage;
mod plan;

pub use descend::{Descent, FoundJournal, PlatformFate, descend};
pub use judge::{Request, Verdict, judge, voters_without_plan};
pub use lineage::{LineageRecord, Parentage};
pub use plan::{
    Endorsement, JournalKept, LogPlace, LossHere, PLAN_FILE_LEN_MAX, PLAN_FORMAT, PlanFile, RecoveryPlan,
    TailChoice, apply_statement, endorse_statement, losses_here, plan_statement, signing_id, token_digest,
};

use eport_model::{Code, Coded, Lineage, NodeId, codes};

/// A new lineage raises every platform's epoch by this (design §3).
pub const EPOCH_RAISE: u64 = 1_000_000;
/// A new lineage raises every cursor of outside numbers by this (design §3).
pub const NUMBER_RAISE: u64 = 10_000_000_000;

/// Why a recovery is refused. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The file is no plan, or was changed after its node signed it.
    #[error("plan of {node}: {reason}")]
    Plan {
        /// The node that the plan names, or the file.
        node: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The plan is of another federation, or of a history that is over.
    #[error("plan of {node}: it is of lineage {found}, this directory belongs to {ours}")]
    Lineage {
        /// The node that the plan names.
        node: NodeId,
        /// Lineage of the plan.
        found: Lineage,
        /// Lineage of the directory.
        ours: Lineage,
    },
    /// The plan was carried out already: the directory descends from its lineage.
    #[error("plan of {node}: it was carried out already, lineage {ours} descends from {found}")]
    Reused {
        /// The node that the plan names.
        node: NodeId,
        /// Lineage of the plan.
        found: Lineage,
        /// Lineage of the directory.
        ours: Lineage,
    },
    /// The directory has changed since the plan was made.
    #[error("the plan of this node shows {planned}, its directory holds {found}: eportd ran in between")]
    Stale {
        /// What the plan says.
        planned: String,
        /// What is there.
        found: String,
    },
    /// The token is not the one that was shown when the plan was made.
    #[error("the token is not the one that belongs to the plan of {0}")]
    Token(NodeId),
    /// The survivors are a majority.
    #[error("{have} of {voters} voters have a plan and {need} are a majority: start them, nothing is lost")]
    NotLost {
        /// Voters that survived.
        have: usize,
        /// All voters.
        voters: usize,
        /// A majority.
        need: usize,
    },
    /// Another survivor knows more.
    #[error("{better} knows more: {theirs} against {ours} here; carry it out there")]
    NotBest {
        /// The better survivor.
        better: NodeId,
        /// Its last entry.
        theirs: String,
        /// Ours.
        ours: String,
    },
    /// Voters that nobody has confirmed to be stopped.
    #[error("voters without a plan that nobody has confirmed to be stopped: {}", list(.0))]
    Unnamed(Vec<NodeId>),
    /// A node was named as stopped that cannot be.
    #[error("{node} cannot be named as stopped: {reason}")]
    Named {
        /// The node.
        node: NodeId,
        /// Why not.
        reason: &'static str,
    },
    /// Too few persons, or one that may not.
    #[error("{0}")]
    Persons(String),
}

fn list(nodes: &[NodeId]) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Coded for Refused {
    fn code(&self) -> Code {
        match self {
            Refused::Plan { .. } | Refused::Lineage { .. } => codes::RECOVERY_PLAN_UNUSABLE,
            Refused::Reused { .. } | Refused::Stale { .. } => codes::RECOVERY_PLAN_OVER,
            Refused::Token(_) => codes::RECOVERY_TOKEN,
            Refused::NotLost { .. } => codes::QUORUM_NOT_LOST,
            Refused::NotBest { .. } => codes::RECOVERY_NOT_BEST,
            Refused::Unnamed(_) | Refused::Named { .. } => codes::RECOVERY_UNCONFIRMED,
            Refused::Persons(_) => codes::RECOVERY_PERSONS,
        }
    }
}
