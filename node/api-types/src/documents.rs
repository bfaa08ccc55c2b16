//! Documents: answers to submissions, queries, receipts, events.

use eport_identity::Epoch;
use eport_model::{Durability, Position};
use serde::{Deserialize, Serialize};

/// One failed rule of a refused document.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// JSON pointer to the value, for example `/body/containers/0`.
    pub path: String,
    /// The domain's code, for example `E-ID-CHECK`.
    pub code: String,
    /// What is wrong.
    pub detail: String,
}

/// Answer to an accepted document: 201 the first time, 200 when it is repeated.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DocumentAccepted {
    /// The document's number.
    pub doc_id: String,
    /// Its version.
    pub doc_version: u32,
    /// Its state.
    pub state: String,
    /// The record that holds it.
    pub position: Position,
    /// What the answer promises.
    pub durability: Durability,
    /// Warnings, which do not refuse.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Failure>,
}

/// One answer line of a batch; same order as the input lines.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BatchLine {
    /// Input line, from 1.
    pub line: u64,
    /// HTTP status the line would have got alone.
    pub status: u16,
    /// The document's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doc_id: Option<String>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doc_version: Option<u32>,
    /// Its state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The record that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// What the answer promises.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<Durability>,
    /// Code of the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// All failures of a refused document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures: Option<Vec<Failure>>,
    /// What happened, where failures do not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Warnings, which do not refuse.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Failure>,
    /// `unknown` when the line may or may not have taken effect: repeat it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Business key to repeat when the outcome is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A document in a list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DocumentItem {
    /// The document's number.
    pub doc_id: String,
    /// Its newest version.
    pub doc_version: u32,
    /// Its type.
    pub doc_type: String,
    /// The lodger's number.
    pub client_ref: String,
    /// Who lodged it.
    pub lodged_by: String,
    /// Add, amend, …
    pub function_code: String,
    /// Its state.
    pub state: String,
    /// Record time of the newest version.
    pub received_at: String,
    /// The record that holds it.
    pub position: Option<Position>,
}

/// A document with its content.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DocumentDetail {
    /// What lists show.
    #[serde(flatten)]
    pub item: DocumentItem,
    /// The platform that owns it.
    pub owner_platform: String,
    /// Version of the pack it was judged by.
    pub pack_version: String,
    /// Table versions it was judged by.
    pub code_table_set: Vec<TableUsed>,
    /// Digest of the version before, from version 2 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_version_hash: Option<String>,
    /// What an answer for this document promises now.
    pub durability: Option<Durability>,
    /// True when the content was erased by law; `body` is null then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub erased: bool,
    /// The lodged content, normalised, as far as it is shared with the reader.
    pub body: serde_json::Value,
    /// Fields that are not shown as they were lodged, with the reason; absent: the body is whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masked: Vec<MaskedField>,
    /// The rules of sharing that show it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared_by: Vec<String>,
}

/// A field that is not shown as it was lodged.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MaskedField {
    /// The field, lists without their places: `bills.consignee`; empty: the whole body.
    pub path: String,
    /// Its class: P, B, C, I, L, K; `?` where the pack in force knows no such field.
    pub class: String,
    /// `withheld`, or the function that made it harmless.
    pub how: String,
    /// Why.
    pub reason: String,
}

/// A table version that judged a document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TableUsed {
    /// `OWNER/NAME`.
    pub table: String,
    /// The version.
    pub version: String,
}

/// One version of a document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VersionItem {
    /// The version.
    pub doc_version: u32,
    /// Add, amend, …
    pub function_code: String,
    /// Its state.
    pub state: String,
    /// Record time.
    pub received_at: String,
    /// The record that holds it.
    pub position: Option<Position>,
}

/// A receipt of a document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Receipt {
    /// Its number.
    pub receipt_id: String,
    /// Who gave it; the platform itself for receipts of storage.
    pub agency: String,
    /// The document.
    pub doc_id: String,
    /// Its version.
    pub doc_version: u32,
    /// `TECH_ACK`, `TECH_NAK`, `BUSINESS` or `NOTICE`.
    pub kind: String,
    /// `E1` stored.
    pub code: String,
    /// For people.
    pub text: String,
    /// When it happened.
    pub event_time: String,
    /// Record time; absent where it is that of the document's record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_at: Option<String>,
    /// Whether it moved something; absent for receipts of the platform itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<bool>,
    /// Why not, or what a person should know.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// The record that proves it.
    pub position: Option<Position>,
}

/// Query of documents; every field narrows.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DocumentQuery {
    /// Type.
    pub doc_type: Option<String>,
    /// State.
    pub state: Option<String>,
    /// The lodger's number.
    pub client_ref: Option<String>,
    /// Business key `lodged_by|doc_type|client_ref|doc_version`.
    pub key: Option<String>,
    /// Record time at or after this RFC 3339 instant.
    pub since: Option<String>,
    /// Items a page; default 100, at most 1 000.
    pub limit: Option<u32>,
    /// From the page before.
    pub page_token: Option<String>,
    /// Read by the HTTP layer: `false` asks for 421 instead of a forward.
    pub forward: Option<bool>,
    /// Read by the HTTP layer: what for.
    pub purpose: Option<String>,
}

/// Answer to `documents:count`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CountAnswer {
    /// How many.
    pub count: u64,
}

/// One journal event for subscribers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Ask for what follows with `after=` this.
    pub index: u64,
    /// Epoch of the record.
    pub epoch: Epoch,
    /// Record time.
    pub time: String,
    /// `document` for a document, else the kind of the record.
    pub kind: String,
    /// The document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc_id: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc_version: Option<u32>,
    /// Its type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc_type: Option<String>,
    /// Its state after the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}
