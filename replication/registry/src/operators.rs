//! Operators and their roles, commands that wait for a second person, and the audit of who did what with whose consent.

use crate::{CommandId, Op};
use eport_model::{Digest, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What an operator may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatorRole {
    /// Every command, also as second person.
    Administrator,
    /// Only to approve or reject what others asked for.
    Approver,
    /// Only to publish tables.
    Publisher,
    /// Runs nodes and platforms; gives no rights, reads no audit. One of the three separated administrators.
    SystemAdministrator,
    /// Gives rights and certificates; runs nothing, reads no audit. One of the three.
    SecurityAdministrator,
    /// Reads who did what; changes nothing. One of the three.
    Auditor,
    /// Moves platforms and looks after their journals; also on one platform alone.
    PlatformOperator,
    /// Hands in documents; also on one platform alone.
    Lodger,
}

/// A person at the command line. The certificate names the id; what it may do stands here.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Operator {
    /// Id, as in `operator/ID` of the certificate.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// What the operator may do.
    pub roles: BTreeSet<OperatorRole>,
    /// True while nothing is accepted from this operator.
    pub suspended: bool,
    /// When the record was last changed.
    pub since: Timestamp,
}

impl Operator {
    /// Whether this operator can be the second person.
    pub fn approves(&self) -> bool {
        !self.suspended && self.roles.iter().any(|r| r.permits(crate::Permission::Approve))
    }
}

/// Who signed, as far as it is kept.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SignedBy {
    /// Path of the subject.
    pub by: String,
    /// When, by the log.
    pub at: Timestamp,
    /// Serial of the certificate; empty when the command was not signed.
    pub serial: String,
    /// Serial of its issuer's certificate; empty when the command was not signed.
    pub issuer_serial: String,
    /// Digest of the public key; `None` when the command was not signed.
    pub key: Option<Digest>,
}

/// How far an approval is. One that is pending beyond its `expires` is over as well.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    /// Waits for a second person.
    Pending,
    /// Approved and carried out.
    Executed,
    /// Rejected, or withdrawn by the first person.
    Rejected,
}

/// A command that one person has signed and a second one must approve.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Approval {
    /// Id of the first person's command.
    pub id: CommandId,
    /// Kind of command.
    pub kind: String,
    /// The version it names, if any.
    pub version: Option<u64>,
    /// What it asks for, field by field: what both persons sign.
    pub fields: Vec<(String, String)>,
    /// Digest of the statement: the second person names it, so a changed command is not approved.
    pub digest: Digest,
    /// What is carried out.
    pub op: Op,
    /// Why.
    pub reason: String,
    /// The first person.
    pub first: SignedBy,
    /// After this it can no longer be approved.
    pub expires: Timestamp,
    /// How far it is.
    pub state: ApprovalState,
    /// Who approved or rejected it.
    pub second: Option<SignedBy>,
}

impl Approval {
    /// True while a second person may approve it.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.state == ApprovalState::Pending && now < self.expires
    }
}

/// What an audit row records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditEvent {
    /// The command took effect.
    Executed,
    /// The first person signed; a second one is awaited.
    Opened,
    /// An awaited command was rejected or withdrawn.
    Rejected,
}

/// One line of the audit: a command of an operator, with both persons where two were needed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Audit {
    /// Rises by one a row.
    pub seq: u64,
    /// What happened.
    pub event: AuditEvent,
    /// Id of the command that was carried out, awaited or rejected.
    pub id: CommandId,
    /// Id of the second person's command; the same as `id` when one person sufficed.
    pub decided_by_command: CommandId,
    /// Kind of command.
    pub kind: String,
    /// What it asked for, as `name=value` pairs, cut at a bound.
    pub what: String,
    /// Digest of the signed statement.
    pub digest: Digest,
    /// Why.
    pub reason: String,
    /// Who asked.
    pub first: SignedBy,
    /// Who approved or rejected, where two persons were needed.
    pub second: Option<SignedBy>,
    /// When, by the log.
    pub at: Timestamp,
}
