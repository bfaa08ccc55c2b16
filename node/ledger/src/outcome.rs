//! What becomes of a request, and the failure codes of cross-checks §1.6.

use serde::{Deserialize, Serialize};

/// Failure codes.
pub mod code {
    /// No such account.
    pub const NO_DATA: &str = "E-XC-NODATA";
    /// Suspended, revoked, or the request does not fit what is there.
    pub const STATE: &str = "E-XC-STATE";
    /// After the last valid day.
    pub const EXPIRED: &str = "E-XC-EXPIRED";
    /// Before the first valid day.
    pub const NOT_YET: &str = "E-XC-NOTYET";
    /// Another unit.
    pub const UNIT: &str = "E-XC-UNIT";
    /// More than is left.
    pub const QUANTITY: &str = "E-XC-QTY";
    /// No use is left.
    pub const USES: &str = "E-XC-USES";
    /// One batch, one licence, and it was used.
    pub const USED: &str = "E-XC-USED";
    /// Served by a primary of an older epoch.
    pub const FENCED: &str = "E-XC-FENCED";
    /// A new version grants less than is used.
    pub const BELOW_USED: &str = "E-LIC-BELOWUSED";
    /// Confirmed uses exceed what is granted.
    pub const OVERDRAWN: &str = "E-LIC-OVERDRAWN";
    /// The last valid day is near.
    pub const NEAR_END: &str = "W-XC-NEAREND";
    /// Little is left.
    pub const LOW: &str = "W-XC-LOW";
}

/// One thing that is wrong, or worth a warning.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// Stable code.
    pub code: String,
    /// What was found.
    pub detail: String,
}

impl Failure {
    pub(crate) fn new(code: &str, detail: impl Into<String>) -> Self {
        Self { code: code.to_owned(), detail: detail.into() }
    }
}

/// What became of a request; kept under its cause for ever.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It took effect.
    Done {
        /// Number of its first entry; 0 when it needed none.
        entry: u64,
        /// Warnings.
        warnings: Vec<Failure>,
    },
    /// It did not, for these reasons, all of them.
    Refused {
        /// Why.
        failures: Vec<Failure>,
    },
    /// A later request of the document took effect before; this one changes nothing any more.
    Stale,
}

impl Outcome {
    /// It took effect.
    pub fn is_done(&self) -> bool {
        matches!(self, Outcome::Done { .. })
    }

    pub(crate) fn refused(code: &str, detail: impl Into<String>) -> Self {
        Outcome::Refused { failures: vec![Failure::new(code, detail)] }
    }
}

/// Why a request is not decided now. Nothing is kept: the same request may be decided later, here or elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closed {
    /// The account is not in this book.
    NoAccount,
    /// The book may have lost entries and waits for what was confirmed.
    Recovering,
    /// Who serves is of an older epoch than the book.
    Fenced,
}
