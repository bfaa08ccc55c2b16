//! What somebody reads for (sharing.md §1), and what follows where nobody says it.

use std::fmt;
use std::str::FromStr;

/// A purpose.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Purpose {
    /// To handle this case.
    Clearance,
    /// Risk.
    Risk,
    /// Write-off of a licence.
    Ledger,
    /// Tax.
    Tax,
    /// Foreign exchange.
    Fx,
    /// Statistics.
    Statistics,
    /// Clearance times.
    Timeliness,
    /// Credit.
    Credit,
    /// Handling of a fault.
    Support,
    /// A case at law.
    Legal,
    /// One's own data.
    Own,
}

impl Purpose {
    /// All, in the order of the domain's list.
    pub const ALL: [Self; 11] = [
        Self::Clearance,
        Self::Risk,
        Self::Ledger,
        Self::Tax,
        Self::Fx,
        Self::Statistics,
        Self::Timeliness,
        Self::Credit,
        Self::Support,
        Self::Legal,
        Self::Own,
    ];

    /// The domain's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Clearance => "CLEARANCE",
            Self::Risk => "RISK",
            Self::Ledger => "LEDGER",
            Self::Tax => "TAX",
            Self::Fx => "FX",
            Self::Statistics => "STATISTICS",
            Self::Timeliness => "TIMELINESS",
            Self::Credit => "CREDIT",
            Self::Support => "SUPPORT",
            Self::Legal => "LEGAL",
            Self::Own => "OWN",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A word that is no purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "a purpose is one of CLEARANCE, RISK, LEDGER, TAX, FX, STATISTICS, TIMELINESS, CREDIT, SUPPORT, LEGAL, OWN"
)]
pub struct NoPurpose;

impl FromStr for Purpose {
    type Err = NoPurpose;

    fn from_str(text: &str) -> Result<Self, NoPurpose> {
        Self::ALL.into_iter().find(|p| p.word() == text).ok_or(NoPurpose)
    }
}

/// For what a request reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    /// It says so.
    Stated(Purpose),
    /// It does not say; what follows from who asks. One's own data is for oneself in any case.
    Unstated(Option<Purpose>),
    /// Nobody asks: the platform delivers, for the purposes of the rule that sends it.
    Delivery,
}

impl Ask {
    /// Whether it fits a rule of these purposes.
    pub fn allows(self, purposes: &[String]) -> bool {
        self.fits(purposes).is_some()
    }

    /// The purpose of a rule that this fits.
    pub(crate) fn fits(self, purposes: &[String]) -> Option<Purpose> {
        let all = || purposes.iter().filter_map(|p| p.parse::<Purpose>().ok());
        match self {
            Ask::Delivery => all().next(),
            Ask::Stated(asked) | Ask::Unstated(Some(asked)) => {
                all().find(|p| *p == asked).or_else(|| all().find(|p| *p == Purpose::Own))
            }
            Ask::Unstated(None) => all().find(|p| *p == Purpose::Own),
        }
    }
}
