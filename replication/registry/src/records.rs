//! Small records about journals: published heads, diverged tails, blocks of outside numbers.

use eport_model::{Digest, Epoch, JournalIndex, NodeId, Position, RegionCode, Timestamp};
use serde::{Deserialize, Serialize};

/// A journal head that a node published: the outside anchor of `journal verify`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Head {
    /// The platform.
    pub region: RegionCode,
    /// The node that holds it.
    pub node: NodeId,
    /// Last committed record.
    pub position: Position,
    /// When it was published.
    pub at: Timestamp,
}

/// What became of a tail.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TailState {
    /// Exported on its node, waiting for a decision.
    Exported,
    /// Every record was re-submitted, found present, or decided by a person.
    Resolved,
    /// Declared lost or discarded with a reason.
    Discarded,
}

/// Records of an old epoch that its failover did not carry over.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tail {
    /// The platform.
    pub region: RegionCode,
    /// Epoch that wrote its last record.
    pub epoch: Epoch,
    /// Last record that stays.
    pub fork: Position,
    /// Last record of the tail.
    pub last: Position,
    /// Node that exported it.
    pub node: NodeId,
    /// Digest of the export.
    pub digest: Digest,
    /// What became of it.
    pub state: TailState,
    /// Records of it that an operator has discarded one by one, rising.
    pub discarded: Vec<JournalIndex>,
    /// When it was recorded.
    pub at: Timestamp,
}

impl Tail {
    /// Its name everywhere: `tail-REGION-EPOCH-FORK-LAST-NODE`.
    pub fn id(&self) -> String {
        format!("tail-{}-{}-{}-{}-{}", self.region, self.epoch, self.fork.index, self.last.index, self.node)
    }

    /// How many records it has.
    pub fn records(&self) -> u64 {
        self.last.index.since(self.fork.index)
    }

    /// True when an operator has discarded this record, or all that were left.
    pub fn is_discarded(&self, index: JournalIndex) -> bool {
        self.state == TailState::Discarded || self.discarded.binary_search(&index).is_ok()
    }

    /// First record of the tail.
    pub fn first(&self) -> JournalIndex {
        self.fork.index.next()
    }
}

/// Numbers given to outsiders, bound to an epoch so that two epochs never share one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NumberBlock {
    /// The platform.
    pub region: RegionCode,
    /// The epoch that may use it.
    pub epoch: Epoch,
    /// First number.
    pub start: u64,
    /// How many.
    pub len: u64,
}

impl NumberBlock {
    /// The number after the last of this block.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.len)
    }
}
