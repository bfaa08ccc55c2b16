//! Published versions of catalogs: the registry's part of tables, packs and directories.
//!
//! Always: a version names its content by root and keeps what its publisher signed, so that anybody can judge it again; a version
//! is withdrawn only before it takes effect and retired only when another one is in force.

use crate::{CommandId, Proof};
use eport_model::{Digest, NodeId, ParseError, RegionCode, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How long a draft waits to be published, in milliseconds: an hour.
pub const DRAFT_LIFE_MS: i64 = 3_600_000;
/// Most drafts at a time.
pub(crate) const DRAFTS_MAX: usize = 256;

/// What a catalog carries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatalogKind {
    /// Rows under keys.
    #[default]
    Table,
    /// A standards pack, used as a whole.
    Pack,
    /// A directory of certificates.
    Directory,
}

impl CatalogKind {
    /// The word in front of a name; tables have none.
    pub const fn word(self) -> &'static str {
        match self {
            CatalogKind::Table => "table",
            CatalogKind::Pack => "pack",
            CatalogKind::Directory => "directory",
        }
    }
}

impl FromStr for CatalogKind {
    type Err = ParseError;
    fn from_str(s: &str) -> Result<Self, ParseError> {
        [CatalogKind::Table, CatalogKind::Pack, CatalogKind::Directory]
            .into_iter()
            .find(|k| k.word() == s)
            .ok_or_else(|| ParseError {
                what: "kind of catalog",
                input: s.chars().take(64).collect(),
                reason: "table, pack or directory is needed",
            })
    }
}

/// A catalog of any kind.
pub type CatalogId = TableId;

/// `OWNER/NAME` of a catalog; with its kind in front where it is no table: `pack:OWNER/NAME`. Kinds have name spaces of their own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct TableId {
    /// What it carries.
    pub kind: CatalogKind,
    /// The platform that publishes it.
    pub owner: RegionCode,
    /// Its name: a-z, 0-9 and _, at most 64.
    pub name: String,
}

impl TableId {
    /// Reads `OWNER/NAME`, or a bare `NAME` that then belongs to `province`.
    pub fn parse(text: &str, province: RegionCode) -> Result<Self, ParseError> {
        let (kind, text) = match text.split_once(':') {
            Some((kind, rest)) => (kind.parse()?, rest),
            None => (CatalogKind::Table, text),
        };
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
        Ok(Self { kind, owner, name: name.to_owned() })
    }

    /// The id of a table.
    pub fn table(owner: RegionCode, name: &str) -> Self {
        Self { kind: CatalogKind::Table, owner, name: name.to_owned() }
    }

    /// The name within the owner's, with the kind where it is no table.
    pub(crate) fn full_name(&self) -> String {
        match self.kind {
            CatalogKind::Table => self.name.clone(),
            kind => format!("{}:{}", kind.word(), self.name),
        }
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
        let owner = owner.rsplit(':').next().unwrap_or(owner);
        Self::parse(s, owner.parse()?)
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            CatalogKind::Table => write!(f, "{}/{}", self.owner, self.name),
            kind => write!(f, "{}:{}/{}", kind.word(), self.owner, self.name),
        }
    }
}

/// How far a version is in its life. Before it is published it is a [`Draft`].
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum VersionState {
    /// Published: it is in force, was, or will be.
    #[default]
    Published,
    /// Taken back before it took effect: as if it had never been.
    Withdrawn {
        /// When.
        at: Timestamp,
        /// Why.
        why: String,
    },
    /// Its content is given up. It still says that it was in force then.
    Retired {
        /// When.
        at: Timestamp,
        /// Why.
        why: String,
    },
}

/// A content that is being brought to the nodes before it is published.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Draft {
    /// The catalog.
    pub catalog: CatalogId,
    /// The version that it is meant to become.
    pub version: u64,
    /// Digest of its content.
    pub root: Digest,
    /// The node where it came in.
    pub by: NodeId,
    /// When. A draft that is not published within an hour is forgotten.
    pub at: Timestamp,
}

/// What the publisher signed, as far as the version itself does not say it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PublisherProof {
    /// Id of the command.
    pub id: CommandId,
    /// The effective instant as it was asked for.
    pub asked: Option<Timestamp>,
    /// Certificate, time and signature.
    pub proof: Proof,
}

/// One published version of a catalog.
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
    /// The publisher's signature; `None` where none was needed.
    pub signed: Option<PublisherProof>,
    /// The node where its content came in.
    pub origin: Option<NodeId>,
    /// How far it is.
    pub state: VersionState,
}

impl TableVersion {
    /// Whether its content must be on every node.
    pub fn keeps_content(&self) -> bool {
        self.state == VersionState::Published
    }

    /// Whether it was taken back.
    pub fn is_withdrawn(&self) -> bool {
        matches!(self.state, VersionState::Withdrawn { .. })
    }
}
