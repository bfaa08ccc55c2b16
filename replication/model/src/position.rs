//! A proven place in a journal.

use crate::{Digest, Epoch, JournalIndex};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A record's place and proof: two journals that share a position share everything before it (invariant I11).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug, Serialize, Deserialize)]
pub struct Position {
    /// Epoch under which the record was written.
    pub epoch: Epoch,
    /// Index of the record; 0 for an empty journal.
    pub index: JournalIndex,
    /// Chain digest of the record; zero for an empty journal.
    pub digest: Digest,
}

impl Position {
    /// Before the first record of a journal.
    pub const ZERO: Position =
        Position { epoch: Epoch::NONE, index: JournalIndex::ZERO, digest: Digest::ZERO };

    /// The order in which candidates are compared at a failover: epoch first, then index. Never index alone.
    pub fn rank(&self) -> (Epoch, JournalIndex) {
        (self.epoch, self.index)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.epoch, self.index, self.digest.short())
    }
}
