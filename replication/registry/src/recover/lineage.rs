//! Lineages: which histories this registry descends from, with the record of each break.

use super::TailChoice;
use crate::{SignedBy, State};
use eport_model::{Digest, Lineage, NodeId, Timestamp};
use serde::{Deserialize, Serialize};

/// The founding record of a lineage that came out of a lost quorum.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LineageRecord {
    /// 1 for the first break, rising.
    pub generation: u64,
    /// The new lineage.
    pub lineage: Lineage,
    /// The one it descends from.
    pub parent: Lineage,
    /// When it was founded.
    pub at: Timestamp,
    /// The survivor whose state it begins with; its first voter.
    pub founder: NodeId,
    /// Everybody who had a plan.
    pub survivors: Vec<NodeId>,
    /// Voters that were lost, each confirmed to be stopped.
    pub lost: Vec<NodeId>,
    /// What was done with entries of the log that were not known to be committed.
    pub tail: TailChoice,
    /// Last log entry whose effects are in the first state.
    pub log_index: u64,
    /// Digest of the founder's plan.
    pub plan: Digest,
    /// Digests of all plans that were looked at, in order of their nodes.
    pub plans: Vec<Digest>,
    /// Who carried it out, and who consented.
    pub persons: Vec<SignedBy>,
}

/// Where the present lineage comes from, newest ancestor first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Parentage {
    /// The present lineage.
    pub lineage: Lineage,
    /// Those it descends from, the parent first.
    pub ancestors: Vec<Lineage>,
}

impl Parentage {
    /// True for the present lineage and everything it descends from.
    pub fn includes(&self, lineage: Lineage) -> bool {
        self.lineage == lineage || self.ancestors.contains(&lineage)
    }
}

impl State {
    /// The breaks this registry has gone through, oldest first.
    pub fn lineages(&self) -> impl DoubleEndedIterator<Item = &LineageRecord> {
        self.lineages.values()
    }

    /// The present lineage with its ancestors.
    pub fn parentage(&self) -> Parentage {
        Parentage {
            lineage: self.federation().map(|f| f.lineage).unwrap_or_default(),
            ancestors: self.lineages().rev().map(|l| l.parent).collect(),
        }
    }
}
