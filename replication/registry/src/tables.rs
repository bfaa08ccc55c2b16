//! Published table versions: the registry's part of a catalog.

use eport_model::{Digest, ParseError, RegionCode, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// `OWNER/NAME` of a table.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct TableId {
    /// The platform that publishes it.
    pub owner: RegionCode,
    /// Its name: a-z, 0-9 and _, at most 64.
    pub name: String,
}

impl TableId {
    /// Reads `OWNER/NAME`, or a bare `NAME` that then belongs to `province`.
    pub fn parse(text: &str, province: RegionCode) -> Result<Self, ParseError> {
        let (owner, name) = match text.split_once('/') {
            Some((owner, name)) => (owner.parse()?, name),
            None => (province, text),
        };
        if !name_is_plain(name) {
            return Err(ParseError {
                what: "table name",
                input: text.chars().take(64).collect(),
                reason: "1 to 64 of a-z, 0-9 and _ are allowed",
            });
        }
        Ok(Self { owner, name: name.to_owned() })
    }
}

/// The rule for names of tables.
pub(crate) fn name_is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

impl FromStr for TableId {
    type Err = ParseError;
    fn from_str(s: &str) -> Result<Self, ParseError> {
        let fail = || ParseError {
            what: "table id",
            input: s.chars().take(64).collect(),
            reason: "OWNER/NAME is needed",
        };
        let (owner, _) = s.split_once('/').ok_or_else(fail)?;
        Self::parse(s, owner.parse()?)
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// One published version of a table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TableVersion {
    /// The table.
    pub table: TableId,
    /// 1, 2, 3 … without gaps.
    pub version: u64,
    /// Digest of its content.
    pub root: Digest,
    /// Rows.
    pub rows: u64,
    /// In force from this record time on.
    pub effective: Timestamp,
    /// Columns, key and encoding as JSON text.
    pub schema: String,
    /// Import report as JSON text.
    pub report: String,
    /// Who published it.
    pub publisher: String,
    /// When.
    pub published_at: Timestamp,
}
