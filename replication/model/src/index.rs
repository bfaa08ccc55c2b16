//! Index of a record in a platform's journal.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Place of a record in a platform's journal: dense, the first record has 1; 0 means "before the first record".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JournalIndex(u64);

impl JournalIndex {
    /// Before the first record.
    pub const ZERO: JournalIndex = JournalIndex(0);

    /// An index read from a stored or received number.
    pub const fn from_u64(n: u64) -> Self {
        Self(n)
    }

    /// The plain number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The index after this one.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The index before this one; stays at zero.
    pub fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// How many records lie in `(other, self]`; zero when `other` is ahead.
    pub fn since(self, other: Self) -> u64 {
        self.0.saturating_sub(other.0)
    }
}

impl fmt::Display for JournalIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
