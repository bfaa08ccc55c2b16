//! What verification in the background has shown of each copy of a platform: part of `eport status --json` and of
//! `eport platform verify --json`.

use eport_identity::NodeId;
use serde::{Deserialize, Serialize};

/// One copy.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CopyStatus {
    /// Who keeps it.
    pub node: NodeId,
    /// The last checksum mark at which its rows were compared with the primary's; `null` before the first.
    pub mark: Option<u64>,
    /// True when they were equal there.
    pub equal: Option<bool>,
    /// When they were compared.
    pub compared: Option<String>,
    /// How many comparisons showed a difference since the node started.
    pub differences: u64,
    /// The look through what is stored; `null` before the first.
    pub scrub: Option<ScrubStatus>,
    /// Files of its journal that lie in an archive.
    pub archived_files: u64,
    /// True when that archive cannot be reached.
    pub archive_away: bool,
}

/// The look through one copy: every record, every row.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ScrubStatus {
    /// True while it runs.
    pub running: bool,
    /// Bytes looked at in this pass, or in the last.
    pub checked_bytes: u64,
    /// When the last whole pass ended.
    pub finished: Option<String>,
    /// How long it took, in seconds.
    pub took_s: f64,
    /// Records it read.
    pub records: u64,
    /// Rows it read.
    pub rows: u64,
    /// Damaged files and sets of rows found, ever.
    pub found: u64,
    /// Of these, mended.
    pub mended: u64,
    /// Damage that is not mended.
    pub open: Option<String>,
}
