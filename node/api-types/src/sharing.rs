//! Sharing: consents, the core data set.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A consent as its party gives it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsentRequest {
    /// Who may see: the id of an enterprise.
    pub grantee: String,
    /// Classes of fields: `B`, `C` or both.
    pub classes: String,
    /// For what.
    pub purpose: String,
    /// Only documents of this type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc_type: Option<String>,
    /// From, RFC 3339; absent: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Until, RFC 3339; at most twelve months later.
    pub until: String,
}

/// A consent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConsentItem {
    /// Its id.
    pub id: String,
    /// The platform whose documents it opens.
    pub platform: String,
    /// Who gave it.
    pub grantor: String,
    /// Who may see.
    pub grantee: String,
    /// Classes of fields.
    pub classes: String,
    /// For what.
    pub purpose: String,
    /// Only documents of this type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc_type: Option<String>,
    /// From.
    pub from: String,
    /// Until.
    pub until: String,
    /// When it was given.
    pub granted_at: String,
    /// When it was withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn_at: Option<String>,
    /// `active`, `not yet`, `over` or `withdrawn`.
    pub state: String,
}

/// A page of the core data set.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct CoreDataPage {
    /// Facts, of each platform in the order of its journal.
    pub items: Vec<Value>,
    /// Ask for what follows with `after=` this; also where there is nothing yet.
    pub next: String,
    /// How far each platform was read.
    pub platforms: Vec<CoreDataPlatform>,
}

/// How far a platform was read.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CoreDataPlatform {
    /// The platform.
    pub platform: String,
    /// Epoch of the last record that was read.
    pub epoch: u64,
    /// Its index.
    pub index: u64,
    /// Records that follow it and are not read yet.
    pub behind: u64,
    /// Why it could not be read; it is read from the same place the next time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}
