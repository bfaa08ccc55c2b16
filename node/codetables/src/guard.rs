//! The guard rail: a version that drops or changes an unlikely share of the rows needs a second word.

use eport_catalog::Counts;
use eport_model::codes::TABLE_GUARD;
use eport_model::{Code, Coded};

/// How much of the version before a new one may drop and change, in percent of its rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Guard {
    /// Rows that may go. Default 34: one row of three may.
    pub removed_percent_max: u8,
    /// Rows that may have other fields. Default 50.
    pub changed_percent_max: u8,
}

impl Default for Guard {
    fn default() -> Self {
        Guard { removed_percent_max: 34, changed_percent_max: 50 }
    }
}

/// More would be dropped or changed than the guard allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{count} of {rows} rows would be {what}; {percent_max} % are allowed without force")]
pub struct GuardTripped {
    /// `removed` or `changed`.
    pub what: &'static str,
    /// Rows concerned.
    pub count: u64,
    /// Rows of the version before.
    pub rows: u64,
    /// The limit.
    pub percent_max: u8,
}

impl Coded for GuardTripped {
    fn code(&self) -> Code {
        TABLE_GUARD
    }
}

impl Guard {
    /// Judges a difference to a version of so many rows.
    pub fn check(&self, rows: u64, counts: &Counts) -> Result<(), GuardTripped> {
        let judge = |what, count: u64, percent_max: u8| {
            let over = count.saturating_mul(100) > rows.saturating_mul(u64::from(percent_max));
            if over { Err(GuardTripped { what, count, rows, percent_max }) } else { Ok(()) }
        };
        judge("removed", counts.removed, self.removed_percent_max)?;
        judge("changed", counts.changed, self.changed_percent_max)
    }
}
