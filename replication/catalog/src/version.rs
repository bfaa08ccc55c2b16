//! Versions of a table and which of them counts on a date.
//!
//! A version is in force from its effective instant until the effective instant of the next. Of two with the same
//! instant the higher number counts (a rollback publishes an old root again, as a new version). Nothing is in force before
//! the first effective instant.

use crate::{EffectiveError, Schema, TableName, rfc3339};
use eport_identity::Digest;
use eport_model::Timestamp;
use serde::{Deserialize, Serialize};

/// What the registry keeps of a published version. The content is named by `root`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TableVersion {
    /// Owner and name of the table.
    pub table: TableName,
    /// Number of the version, rising by one from 1 in the order of publication.
    pub version: u64,
    /// Digest of the canonical content.
    pub root: Digest,
    /// Rows of the content.
    pub rows: u64,
    /// Bytes of the content.
    pub bytes: u64,
    /// The instant from which the version counts.
    pub effective: Timestamp,
    /// Columns and key.
    pub schema: Schema,
    /// Who published it: the path of the subject.
    pub publisher: String,
    /// When it was committed.
    pub published_at: Timestamp,
}

/// Which version counts at an instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choice<'a> {
    /// This version, and its content is on this node.
    InForce(&'a TableVersion),
    /// This version, but its content is not on this node: the caller answers "unavailable", never with another version.
    NotHere(&'a TableVersion),
    /// The table has versions, but the first takes effect later than the instant asked for.
    NotYet {
        /// The version that takes effect first.
        first: &'a TableVersion,
    },
    /// The table has no version at all.
    Unpublished,
}

/// The version in force at an instant, of the versions of one table in any order.
pub fn in_force(versions: &[TableVersion], at: Timestamp) -> Option<&TableVersion> {
    versions.iter().filter(|v| v.effective <= at).max_by_key(|v| (v.effective, v.version))
}

/// The version in force at an instant, and whether it can be used here; `installed` tells what this node holds.
pub fn choose<'a>(
    versions: &'a [TableVersion],
    at: Timestamp,
    installed: impl Fn(&TableVersion) -> bool,
) -> Choice<'a> {
    match in_force(versions, at) {
        Some(v) if installed(v) => Choice::InForce(v),
        Some(v) => Choice::NotHere(v),
        None => match versions.iter().min_by_key(|v| (v.effective, v.version)) {
            Some(first) => Choice::NotYet { first },
            None => Choice::Unpublished,
        },
    }
}

/// The version a new one with this effective instant is compared with: the one it takes over from.
pub fn baseline(versions: &[TableVersion], effective: Timestamp) -> Option<&TableVersion> {
    in_force(versions, effective)
}

/// The number of the next version.
pub fn next_version(versions: &[TableVersion]) -> u64 {
    versions.iter().map(|v| v.version).max().map_or(1, |v| v.saturating_add(1))
}

/// Whether a new version may take effect at `effective`, when it is committed at `now`. At least `lead_ms` ahead; a
/// nearer or past instant only for the table's first version, for history older than the version in force, and where
/// `relaxed` says so (`dev` and `demo`).
pub fn judge_effective(
    versions: &[TableVersion],
    effective: Timestamp,
    now: Timestamp,
    lead_ms: i64,
    relaxed: bool,
) -> Result<(), EffectiveError> {
    let earliest = now.plus_millis(lead_ms);
    let history = in_force(versions, now).is_some_and(|current| effective < current.effective);
    if relaxed || versions.is_empty() || history || effective >= earliest {
        return Ok(());
    }
    Err(EffectiveError { effective: rfc3339(effective), earliest: rfc3339(earliest) })
}
