//! Stable error codes `EPnnnn` with their titles, causes and remedies in English and Chinese.
//!
//! Codes are grouped by area, one file each; a code is never reused. `docs/errors/` is generated from this table.
//! Ranges: 10 daemon and configuration · 11 storage · 12 identity and TLS · 13 wire and transport · 20 registry ·
//! 21 moves · 30 journals · 40 tables · 41 certificate authority (from 4160 users and access, from 4180 sharing) · 50 documents · 60 HTTP API · 70 command line · 80 backups · 81 drills.

mod access;
mod api;
mod backup;
mod ca;
mod cli;
mod daemon;
mod documents;
mod drills;
mod identity;
mod journal;
mod moves;
mod registry;
mod sharing;
mod storage;
mod tables;
mod transport;

pub use access::*;
pub use api::*;
pub use backup::*;
pub use ca::*;
pub use cli::*;
pub use daemon::*;
pub use documents::*;
pub use drills::*;
pub use identity::*;
pub use journal::*;
pub use moves::*;
pub use registry::*;
pub use sharing::*;
pub use storage::*;
pub use tables::*;
pub use transport::*;

use serde::{Deserialize, Serialize};
use std::fmt;

/// A stable error code. Prints as `EPnnnn`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Code(pub u16);

impl Code {
    /// What the catalogue knows of this code; `None` for a code of another version.
    pub fn info(self) -> Option<&'static CodeInfo> {
        all().find(|i| i.code == self)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EP{:04}", self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Code {
    type Err = crate::ParseError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let digits = s.trim().strip_prefix("EP").or_else(|| s.trim().strip_prefix("ep")).unwrap_or(s.trim());
        let fail = || crate::ParseError {
            what: "error code",
            input: s.chars().take(64).collect(),
            reason: "EP and four digits are needed",
        };
        if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(fail());
        }
        digits.parse().map(Code).map_err(|_| fail())
    }
}

/// Everything an operator needs to know of a code. Pairs are (English, Chinese).
#[derive(Debug, Clone, Copy)]
pub struct CodeInfo {
    /// The code.
    pub code: Code,
    /// HTTP status with which the API answers.
    pub http: u16,
    /// Exit code of the command line (interfaces §1).
    pub exit: u8,
    /// True when the same request may succeed later without change.
    pub retryable: bool,
    /// One line, no full stop.
    pub title: (&'static str, &'static str),
    /// What happened and why.
    pub cause: (&'static str, &'static str),
    /// What to do.
    pub remedy: (&'static str, &'static str),
}

/// An error with a stable code.
pub trait Coded {
    /// The code.
    fn code(&self) -> Code;
}

/// Every code of this version, in rising order within each area.
pub fn all() -> impl Iterator<Item = &'static CodeInfo> {
    [
        DAEMON_CODES,
        STORAGE_CODES,
        IDENTITY_CODES,
        TRANSPORT_CODES,
        REGISTRY_CODES,
        MOVES_CODES,
        JOURNAL_CODES,
        TABLES_CODES,
        DOCUMENTS_CODES,
        API_CODES,
        CLI_CODES,
        BACKUP_CODES,
        DRILLS_CODES,
        CA_CODES,
        ACCESS_CODES,
        SHARING_CODES,
    ]
    .into_iter()
    .flatten()
}

/// Declares the codes of one area: a constant each, and the area's table.
macro_rules! codes {
    ($table:ident { $( $name:ident = $code:literal, $http:literal, $exit:literal, $retry:literal,
        $ten:literal / $tzh:literal, $cen:literal / $czh:literal, $ren:literal / $rzh:literal; )* }) => {
        $( #[doc = $ten] pub const $name: crate::Code = crate::Code($code); )*
        /// The codes of this area.
        pub const $table: &[crate::CodeInfo] = &[ $( crate::CodeInfo {
            code: $name, http: $http, exit: $exit, retryable: $retry,
            title: ($ten, $tzh), cause: ($cen, $czh), remedy: ($ren, $rzh),
        }, )* ];
    };
}
pub(crate) use codes;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_unique_complete_and_maps_to_documented_exits() {
        let mut seen = std::collections::BTreeSet::new();
        for i in all() {
            assert!(seen.insert(i.code), "{} twice", i.code);
            for text in [i.title.0, i.title.1, i.cause.0, i.cause.1, i.remedy.0, i.remedy.1] {
                assert!(!text.trim().is_empty(), "{} lacks a text", i.code);
            }
            assert!((400..600).contains(&i.http), "{}", i.code);
            assert!([1, 2, 3, 4, 5, 6, 7, 10, 11].contains(&i.exit), "{}", i.code);
            assert_eq!(i.code.to_string().parse::<Code>().unwrap(), i.code);
        }
    }
}
