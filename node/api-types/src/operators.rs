//! Operators, commands that wait for a second person, the audit, settings.

use eport_identity::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who signed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Signed {
    /// Path of the subject, `operator/ID`.
    pub by: String,
    /// When, by the log.
    pub at: String,
    /// Serial of the certificate; `null` when the command was not signed.
    pub serial: Option<String>,
}

/// A command that waits, or waited, for a second person.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ApprovalItem {
    /// Its id: that of the first person's command.
    pub id: String,
    /// `pending`, `executed`, `rejected` or `expired`.
    pub state: String,
    /// Kind of command, for example `platform.failover.accept-data-loss`.
    pub kind: String,
    /// Version that the command names.
    pub version: Option<u64>,
    /// What it asks for, field by field.
    pub fields: BTreeMap<String, String>,
    /// Digest of kind, version and fields; an approval names it.
    pub digest: Digest,
    /// Why.
    pub reason: String,
    /// The first person.
    pub first: Signed,
    /// Who approved or rejected it.
    pub second: Option<Signed>,
    /// After this it can no longer be approved.
    pub expires: String,
}

/// `POST /v1/approvals/{id}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalDecision {
    /// True approves, false rejects.
    pub approve: bool,
    /// The digest that the second person saw.
    pub digest: Digest,
}

/// One line of the audit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AuditItem {
    /// Rises by one a line.
    pub seq: u64,
    /// When, by the log.
    pub at: String,
    /// `executed`, `opened` (a second person is awaited) or `rejected`.
    pub event: String,
    /// Id of the command.
    pub id: String,
    /// Kind of command.
    pub kind: String,
    /// What it asked for.
    pub what: String,
    /// Digest of the signed statement.
    pub digest: Digest,
    /// Why.
    pub reason: String,
    /// Who asked.
    pub first: Signed,
    /// Who approved or rejected, where two persons were needed.
    pub second: Option<Signed>,
}

/// A setting of the federation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SettingItem {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// `PUT /v1/settings/{name}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingRequest {
    /// The value.
    pub value: String,
}
