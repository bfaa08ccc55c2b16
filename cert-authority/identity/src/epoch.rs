//! Epochs: the generation of a platform's primary. Allocated only by the registry, strictly rising, never computed with `+`.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The generation of a platform's primary. 0 means "none yet"; the first primary writes in epoch 1.
/// A new lineage raises epochs by 1 000 000 (decision: `design.md` §6, quorum lost).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(u64);

impl Epoch {
    /// No epoch: nothing was ever written.
    pub const NONE: Epoch = Epoch(0);
    /// The epoch of a platform's first primary.
    pub const INITIAL: Epoch = Epoch(1);

    /// An epoch read from a stored or received number.
    pub const fn from_u64(n: u64) -> Self {
        Epoch(n)
    }

    /// The plain number, for storage and messages.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The next epoch. Saturates at the end of the range, which no federation reaches.
    pub fn next(self) -> Epoch {
        Epoch(self.0.saturating_add(1))
    }

    /// The epoch before, or `None` for the first and for "none".
    pub fn previous(self) -> Option<Epoch> {
        (self.0 > 1).then(|| Epoch(self.0 - 1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
