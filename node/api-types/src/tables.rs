//! Code tables: import, status, content, difference.

use eport_identity::{Digest, NodeId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What an import did. The same shape when it was refused: `published` is false and `error` names the code.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ImportAnswer {
    /// `OWNER/NAME`.
    pub name: String,
    /// Number of the new version; that of the one in force when nothing was published.
    pub version: u64,
    /// Root digest of the content; zero when it could not be read.
    pub root: Digest,
    /// Rows of the new version.
    pub rows: u64,
    /// Rows with new keys.
    pub added: u64,
    /// Keys that are gone.
    pub removed: u64,
    /// Rows with other values.
    pub changed: u64,
    /// Rows as before.
    pub unchanged: u64,
    /// Repeated rows that equal the first one.
    pub duplicates_ignored: u64,
    /// What is wrong with the file.
    pub problems: Vec<ImportProblem>,
    /// What was tolerated, and what was left out by a rule of the mapping.
    pub notes: Vec<ImportNote>,
    /// Rows that differ from the version before, the first thousand.
    pub difference: TableDiff,
    /// What uses codes that go, the first thousand uses.
    pub impact: Vec<TableUse>,
    /// How many uses there are.
    pub impact_found: u64,
    /// Columns, key and rules as they are published and signed, JSON text; empty when the file was refused.
    pub schema: String,
    /// When it takes effect.
    pub effective: String,
    /// True when the registry has it.
    pub published: bool,
    /// Reachable nodes with a duty that do not have the content; only with force.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lacking: Vec<NodeId>,
    /// Code of the refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Something tolerated in a table file: where it was first seen and how often.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ImportNote {
    /// Line of the first place, from 1.
    pub line: u64,
    /// Column of the first place, from 1.
    pub column: u64,
    /// Stable name of the kind.
    pub kind: String,
    /// How often.
    pub count: u64,
}

/// One defect of a table file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ImportProblem {
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1; 0 when the whole line is meant.
    pub column: u64,
    /// Stable name of the kind.
    pub kind: String,
    /// What was seen.
    pub detail: String,
}

/// Where a table is installed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TableStatus {
    /// `OWNER/NAME`.
    pub name: String,
    /// Number of the version in force.
    pub version: u64,
    /// Its root digest.
    pub root: Digest,
    /// What is being brought to the nodes to become the next version.
    #[serde(default)]
    pub drafts: Vec<TableDraft>,
    /// Every node.
    pub nodes: Vec<TableNode>,
}

/// A content that is being brought to the nodes before it is published.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TableDraft {
    /// The version that it is meant to become.
    pub version: u64,
    /// Its root digest.
    pub root: Digest,
    /// The node where it came in.
    pub by: NodeId,
    /// Since when.
    pub since: String,
    /// Nodes that have it.
    pub staged: u64,
}

/// What one node holds of a table.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TableNode {
    /// The node.
    pub node: NodeId,
    /// Version it holds; `null` when it holds none.
    pub version: Option<u64>,
    /// Root digest of that version.
    pub root: Option<Digest>,
    /// Bytes it fetched for it.
    pub bytes_fetched: u64,
    /// How long the fetch took.
    pub seconds: f64,
}

/// Difference of two versions.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TableDiff {
    /// New keys.
    pub added: Vec<String>,
    /// Keys that are gone.
    pub removed: Vec<String>,
    /// Rows with other values.
    pub changed: Vec<ChangedRow>,
    /// More follows; ask again with this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// A code that goes, and what uses it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TableUse {
    /// The key that goes.
    pub key: String,
    /// `table` or `document`.
    pub kind: String,
    /// Which table, or which platform and type of document.
    pub user: String,
    /// The column or field.
    pub field: String,
    /// How often.
    pub count: u64,
    /// The first places: keys of rows, numbers of documents.
    pub places: Vec<String>,
}

/// What a version drops that is still used.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TableImpact {
    /// `OWNER/NAME`.
    pub name: String,
    /// The version.
    pub version: u64,
    /// The one it takes over from.
    pub before: Option<u64>,
    /// Keys that go.
    pub removed: u64,
    /// Uses, the first thousand.
    pub items: Vec<TableUse>,
    /// How many there are.
    pub found: u64,
    /// Platforms whose documents were looked at: those that this node keeps.
    pub platforms: Vec<PlatformLook>,
}

/// How far the documents of a platform were looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PlatformLook {
    /// The platform.
    pub region: String,
    /// Documents looked at.
    pub documents: u64,
    /// False when there are more.
    pub complete: bool,
}

/// One change of a table, in the feed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TableChange {
    /// `added`, `removed` or `changed`.
    pub op: String,
    /// The key.
    pub key: String,
    /// The row as it is now; empty when it was removed.
    pub fields: BTreeMap<String, String>,
    /// Version that brings the change.
    pub version: u64,
    /// Since when that is in force.
    pub effective: String,
}

/// Part of the change feed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TableChanges {
    /// Changes, in key order within a version.
    pub items: Vec<TableChange>,
    /// Ask for what follows with `after=` this; the same as before while nothing is new.
    pub next: Option<String>,
    /// True when more is there already.
    pub more: bool,
}

/// A document that was judged by a version that another had superseded by then.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LateDocument {
    /// `W-TABLE-LATE`.
    pub code: String,
    /// The platform.
    pub region: String,
    /// The document.
    pub doc_id: String,
    /// Its version.
    pub doc_version: u32,
    /// Record time.
    pub received_at: String,
    /// Table version it was judged by.
    pub used: u64,
    /// Table version that was in force.
    pub in_force: u64,
}

/// Documents judged by a superseded version of a table.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LateDocuments {
    /// Documents, the first thousand.
    pub items: Vec<LateDocument>,
    /// Platforms whose documents were looked at: those that this node keeps.
    pub platforms: Vec<PlatformLook>,
}

/// A row with other values.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChangedRow {
    /// Its key.
    pub key: String,
    /// Field name to (old, new).
    pub fields: BTreeMap<String, FieldChange>,
}

/// Old and new value of a field; written as a two-element array.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FieldChange(
    /// Before.
    pub String,
    /// After.
    pub String,
);

/// A table as `table list` and `table show` print it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TableDoc {
    /// `OWNER/NAME`.
    pub name: String,
    /// The owner's region.
    pub owner: String,
    /// Number of the version shown.
    pub version: u64,
    /// Its root digest.
    pub root: Digest,
    /// Its rows.
    pub rows: u64,
    /// Since when it is in force.
    pub effective: String,
    /// Column names in order.
    #[serde(default)]
    pub columns: Vec<String>,
    /// Columns that make the key.
    #[serde(default)]
    pub key: Vec<String>,
    /// Types, hierarchy, references and validity of rows.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub rules: serde_json::Value,
}

/// One row, by `table get` and in lists of rows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TableRow {
    /// Its key; parts joined by commas.
    pub key: String,
    /// Column name to value.
    pub fields: BTreeMap<String, String>,
    /// Number of the version it was read from.
    pub version: u64,
}

/// One version of a table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TableVersionItem {
    /// Number.
    pub version: u64,
    /// Root digest.
    pub root: Digest,
    /// Rows.
    pub rows: u64,
    /// Since when it is in force.
    pub effective: String,
    /// When it was committed.
    pub published_at: String,
    /// By whom.
    pub published_by: String,
    /// `published`, `withdrawn` or `retired`; whether it is in force is a matter of the instant.
    #[serde(default)]
    pub state: String,
}

/// What a look through the catalog objects of one node has shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TableVerification {
    /// `OWNER/NAME`.
    pub name: String,
    /// The node that looked.
    pub node: NodeId,
    /// Versions of the table that must be here.
    pub versions: u64,
    /// Objects read, of all catalogs.
    pub objects: u64,
    /// Their bytes on disk.
    pub bytes: u64,
    /// Objects that were damaged; they are fetched again.
    pub damaged: Vec<Digest>,
    /// True when every version of the table is here whole at the end.
    pub whole: bool,
}

/// Why a version is retired.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RetireRequest {
    /// Why.
    pub reason: String,
}

/// Roll a table back.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RollbackRequest {
    /// The version whose content is published again.
    pub to: u64,
    /// The number that the new version must get; none: the next.
    pub version: Option<u64>,
    /// Say only what would be published.
    pub dry_run: bool,
}

/// A version that was published again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RollbackAnswer {
    /// `OWNER/NAME`.
    pub name: String,
    /// Number of the new version.
    pub version: u64,
    /// The version whose content it has.
    pub to: u64,
    /// Its root.
    pub root: Digest,
    /// Its rows.
    pub rows: u64,
    /// Columns and key as JSON text, as they are signed.
    pub schema: String,
    /// When it takes effect; none before it is published.
    pub effective: Option<String>,
    /// True when the registry has it.
    pub published: bool,
}

/// What a node took from a bundle.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BundleAnswer {
    /// The node.
    pub node: NodeId,
    /// Its versions.
    pub items: Vec<BundleItem>,
}

/// One version of a bundle.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BundleItem {
    /// `OWNER/NAME`.
    pub name: String,
    /// Number.
    pub version: u64,
    /// Root digest.
    pub root: Digest,
    /// Since when it counts.
    pub effective: String,
    /// True when the registry of this node names it too.
    pub known: bool,
}

/// A version of a catalog that is no table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CatalogAnswer {
    /// `KIND:OWNER/NAME`.
    pub name: String,
    /// Number.
    pub version: u64,
    /// Root digest.
    pub root: Digest,
    /// Bytes of what it carries.
    pub bytes: u64,
    /// What its publisher says of it; signed.
    pub note: String,
    /// When it takes effect; none before it is published.
    pub effective: Option<String>,
    /// By whom.
    pub published_by: String,
    /// True when the registry has it.
    pub published: bool,
    /// Reachable nodes with a duty that do not have it; only with force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacking: Vec<NodeId>,
}
