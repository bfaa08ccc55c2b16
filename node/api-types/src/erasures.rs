//! Bodies that must go by law: `GET /v1/platforms/{region}/documents/{id}/bodies`, `/v1/platforms/{region}/erasures`.

use eport_identity::{Digest, RegionCode};
use serde::{Deserialize, Serialize};

/// A body of a document, by its place and digest.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BodyItem {
    /// The record.
    pub record: u64,
    /// Which of its bodies.
    pub body: u16,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub bytes: u64,
    /// Version of the document.
    pub doc_version: u32,
    /// True when it is gone from the copy that answers.
    pub erased: bool,
}

/// Which body to erase.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EraseBody {
    /// The record.
    pub record: u64,
    /// Which of its bodies.
    pub body: u16,
    /// Its digest.
    pub digest: Digest,
}

/// An order to erase.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EraseRequest {
    /// What goes.
    pub targets: Vec<EraseBody>,
    /// Why.
    pub reason: String,
    /// By what authority.
    pub authority: String,
}

/// An order that was given, and what became of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ErasureItem {
    /// The platform.
    pub region: RegionCode,
    /// The record.
    pub record: u64,
    /// Which of its bodies.
    pub body: u16,
    /// Its digest.
    pub digest: Digest,
    /// Why.
    pub reason: String,
    /// By what authority.
    pub authority: String,
    /// Who ordered it.
    pub by: String,
    /// When.
    pub at: String,
    /// True when it is gone from the copy of the node that answers; `null` when that node keeps none.
    pub erased: Option<bool>,
}
