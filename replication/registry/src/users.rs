//! Users and what they may: permissions of roles as data, role bindings on one platform, users who are no operators,
//! delegations of enterprises to their agents; the end of sessions and the heads of the nodes' access logs.
//!
//! Always: a role's permissions stand in one table, which the registry asks at apply and the API before every route; nobody
//! has two of the three separated roles while the federation separates them; a delegation gives no more than its enterprise
//! has, and ends by itself.

use crate::{CommandId, OperatorRole, State};
use eport_model::{Digest, NodeId, RegionCode, Subject, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Name of the setting that separates the three administrators: `on` or `off`.
pub const ROLE_SEPARATION: &str = "role_separation";
/// Name of the setting for the longest life of a session.
pub const SESSION_LIFE_MS: &str = "session_life_ms";
/// Name of the setting for how long a session may lie idle.
pub const SESSION_IDLE_MS: &str = "session_idle_ms";
/// Name of the setting for how many failures lock an identity or a source out.
pub const LOCKOUT_FAILURES: &str = "lockout_failures";
/// Name of the setting for how long they are locked out.
pub const LOCKOUT_MS: &str = "lockout_ms";
/// Name of the setting for how many days the access log of a node is kept.
pub const ACCESS_LOG_DAYS: &str = "access_log_days";
/// Name of the setting for how often a node publishes the head of its access log.
pub const ACCESS_LOG_ANCHOR_MS: &str = "access_log_anchor_ms";

/// Longest life of a session that the setting may name, and the default: twelve hours.
pub const SESSION_LIFE_MAX_MS: u64 = 43_200_000;
/// How long a session may lie idle without the setting: half an hour.
const SESSION_IDLE_DEFAULT_MS: u64 = 1_800_000;
/// Failures that lock out without the setting.
const LOCKOUT_FAILURES_DEFAULT: u64 = 10;
/// How long a lockout lasts without the setting: a quarter of an hour.
const LOCKOUT_DEFAULT_MS: u64 = 900_000;
/// Days that an access log is kept without the setting; six months are the law's least.
const ACCESS_LOG_DAYS_DEFAULT: u64 = 190;
/// Least days in production: six months.
pub(crate) const ACCESS_LOG_DAYS_MIN: u64 = 184;
/// How often a head is published without the setting.
const ACCESS_LOG_ANCHOR_DEFAULT_MS: u64 = 600_000;

/// Users who are no operators, at most.
pub const USERS_MAX: usize = 100_000;
/// Delegations that one enterprise has at once, ended ones included until they are forgotten.
pub const DELEGATIONS_MAX: usize = 100;
/// Longest delegation: five years.
pub const DELEGATION_LIFE_MAX_MS: i64 = 5 * 366 * 86_400_000;

/// What somebody wants to do. Every route of the API and every operation names one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Hand in documents in one's own name, or in an enterprise's that delegated it.
    LodgeDocument,
    /// List, count and read documents. Answers carry only what the caller may read.
    ListDocuments,
    /// Follow the journal events of a platform.
    ReadEvents,
    /// Look at nodes, platforms, moves, journal heads.
    ReadFederation,
    /// Look at code tables.
    ReadTables,
    /// Look at what operators work on: users, roles, approvals, certificates, tails.
    Inspect,
    /// Read who did what: the audit of commands and the access log.
    ReadAudit,
    /// Publish code tables.
    PublishTable,
    /// Move a platform, change its policy, look after its journal.
    AdministerPlatform,
    /// Create platforms, add, drain, remove nodes, change settings that guard nothing.
    AdministerNodes,
    /// Issue and revoke certificates.
    AdministerCertificates,
    /// Look after users, roles and guarding settings.
    AdministerUsers,
    /// Give and end delegations; an enterprise its own.
    Delegate,
    /// Approve or reject as second person.
    Approve,
    /// Log in, out, and ask who one is.
    Session,
    /// Bring a request of somebody else, whose proof it carries.
    Forward,
    /// Take what was sent to an agency, acknowledge it, answer it with receipts.
    AnswerDocuments,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Permission; 17] = [
        Permission::LodgeDocument,
        Permission::ListDocuments,
        Permission::ReadEvents,
        Permission::ReadFederation,
        Permission::ReadTables,
        Permission::Inspect,
        Permission::ReadAudit,
        Permission::PublishTable,
        Permission::AdministerPlatform,
        Permission::AdministerNodes,
        Permission::AdministerCertificates,
        Permission::AdministerUsers,
        Permission::Delegate,
        Permission::Approve,
        Permission::Session,
        Permission::Forward,
        Permission::AnswerDocuments,
    ];

    /// Its name in answers and logs.
    pub const fn word(self) -> &'static str {
        match self {
            Permission::LodgeDocument => "lodge_document",
            Permission::ListDocuments => "list_documents",
            Permission::ReadEvents => "read_events",
            Permission::ReadFederation => "read_federation",
            Permission::ReadTables => "read_tables",
            Permission::Inspect => "inspect",
            Permission::ReadAudit => "read_audit",
            Permission::PublishTable => "publish_table",
            Permission::AdministerPlatform => "administer_platform",
            Permission::AdministerNodes => "administer_nodes",
            Permission::AdministerCertificates => "administer_certificates",
            Permission::AdministerUsers => "administer_users",
            Permission::Delegate => "delegate",
            Permission::Approve => "approve",
            Permission::Session => "session",
            Permission::Forward => "forward",
            Permission::AnswerDocuments => "answer_documents",
        }
    }

    /// True for what changes the federation or shows who did what: refused on a node whose clock runs behind, and every use of
    /// it is logged.
    pub const fn administers(self) -> bool {
        matches!(
            self,
            Permission::ReadAudit
                | Permission::PublishTable
                | Permission::AdministerPlatform
                | Permission::AdministerNodes
                | Permission::AdministerCertificates
                | Permission::AdministerUsers
                | Permission::Delegate
                | Permission::Approve
        )
    }
}

/// What every listed operator may, whatever the role.
const EVERY_OPERATOR: &[Permission] =
    &[Permission::ReadFederation, Permission::ReadTables, Permission::Inspect, Permission::Session];

impl OperatorRole {
    /// Every role.
    pub const ALL: [OperatorRole; 8] = [
        OperatorRole::Administrator,
        OperatorRole::Approver,
        OperatorRole::Publisher,
        OperatorRole::SystemAdministrator,
        OperatorRole::SecurityAdministrator,
        OperatorRole::Auditor,
        OperatorRole::PlatformOperator,
        OperatorRole::Lodger,
    ];

    /// What the role allows beyond what every operator may.
    pub const fn own(self) -> &'static [Permission] {
        match self {
            OperatorRole::Administrator => &[
                Permission::ListDocuments,
                Permission::ReadEvents,
                Permission::ReadAudit,
                Permission::PublishTable,
                Permission::AdministerPlatform,
                Permission::AdministerNodes,
                Permission::AdministerCertificates,
                Permission::AdministerUsers,
                Permission::Delegate,
                Permission::Approve,
            ],
            OperatorRole::Approver => &[Permission::Approve],
            OperatorRole::Publisher => &[Permission::PublishTable],
            OperatorRole::SystemAdministrator => {
                &[Permission::AdministerPlatform, Permission::AdministerNodes, Permission::Approve]
            }
            OperatorRole::SecurityAdministrator => &[
                Permission::AdministerCertificates,
                Permission::AdministerUsers,
                Permission::Delegate,
                Permission::Approve,
            ],
            OperatorRole::Auditor => &[Permission::ReadAudit],
            OperatorRole::PlatformOperator => {
                &[Permission::ListDocuments, Permission::ReadEvents, Permission::AdministerPlatform]
            }
            OperatorRole::Lodger => &[Permission::LodgeDocument, Permission::ListDocuments],
        }
    }

    /// Everything that the role allows.
    pub fn permissions(self) -> impl Iterator<Item = Permission> {
        EVERY_OPERATOR.iter().chain(self.own()).copied()
    }

    /// Whether the role allows something.
    pub fn permits(self, what: Permission) -> bool {
        self.permissions().any(|p| p == what)
    }

    /// True for the three administrators of whom nobody may be two: who runs the system, who gives rights, who looks at both.
    pub const fn is_separated(self) -> bool {
        matches!(
            self,
            OperatorRole::SystemAdministrator | OperatorRole::SecurityAdministrator | OperatorRole::Auditor
        )
    }

    /// True for roles that can be given on one platform alone.
    pub const fn is_local(self) -> bool {
        matches!(self, OperatorRole::Publisher | OperatorRole::PlatformOperator | OperatorRole::Lodger)
    }

    /// Whether the role lets its holder give rights to others.
    pub fn gives_rights(self) -> bool {
        self.permits(Permission::AdministerUsers)
    }
}

/// How far the three administrators are separated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Separation {
    /// One person may be all of them (`dev`, `demo`).
    Off,
    /// Nobody may have two of the three; the administrators of the founding still stand above.
    Founding,
    /// Nobody may have two of the three, and no administrator stands above them.
    On,
}

impl Separation {
    /// The word in `status`.
    pub const fn word(self) -> &'static str {
        match self {
            Separation::Off => "off",
            Separation::Founding => "founding",
            Separation::On => "on",
        }
    }
}

/// A role of an operator on one platform. Roles for the whole federation stand with the operator.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RoleBinding {
    /// Id of the operator.
    pub operator: String,
    /// The role.
    pub role: OperatorRole,
    /// Only there.
    pub platform: RegionCode,
    /// False once it was taken away: the row goes.
    pub bound: bool,
    /// Who gave it.
    pub by: String,
    /// When.
    pub since: Timestamp,
}

/// A user who is no operator: an enterprise, an agent, an officer or a gateway of an agency. One that is not listed may what
/// its certificate says; the list adds a name, bounds an agency to platforms, and suspends.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct User {
    /// Who, as in the certificate.
    pub subject: Subject,
    /// Name for people.
    pub name: String,
    /// An agency reads on these platforms only; empty: on all.
    pub platforms: BTreeSet<RegionCode>,
    /// True while nothing is accepted from this user.
    pub suspended: bool,
    /// Who listed it last.
    pub by: String,
    /// When.
    pub since: Timestamp,
}

/// What a delegation lets the agent do in the enterprise's name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DelegatedRight {
    /// Hand in documents.
    Lodge,
    /// Read what was lodged in the enterprise's name.
    Read,
}

impl DelegatedRight {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            DelegatedRight::Lodge => "lodge",
            DelegatedRight::Read => "read",
        }
    }
}

/// Who ended something, when and why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ended {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
}

/// What is delegated to whom and for how long, as it is asked for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mandate {
    /// The enterprise, as documents name who lodged them.
    pub enterprise: String,
    /// Who acts for it.
    pub agent: Subject,
    /// What.
    pub rights: BTreeSet<DelegatedRight>,
    /// On these platforms; empty: on all.
    pub platforms: BTreeSet<RegionCode>,
    /// From.
    pub from: Timestamp,
    /// Until, exclusive.
    pub to: Timestamp,
}

/// A delegation. Its id is that of the command that gave it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Delegation {
    /// Its id.
    pub id: CommandId,
    /// What is delegated.
    pub mandate: Mandate,
    /// Who gave it.
    pub by: String,
    /// When.
    pub since: Timestamp,
    /// Its early end.
    pub ended: Option<Ended>,
}

impl Delegation {
    /// Whether it covers a right on a platform now.
    pub fn covers(&self, right: DelegatedRight, platform: RegionCode, now: Timestamp) -> bool {
        let m = &self.mandate;
        self.ended.is_none()
            && m.from <= now
            && now < m.to
            && m.rights.contains(&right)
            && (m.platforms.is_empty() || m.platforms.contains(&platform))
    }

    /// True when it can never cover anything again.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.ended.is_some() || self.mandate.to <= now
    }
}

/// Every session under this certificate that began before an instant is over. No token is kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SessionEnd {
    /// Serial of the certificate.
    pub serial: String,
    /// Sessions that began then or earlier are over.
    pub before: Timestamp,
    /// After this the row is of no use: no session lives longer.
    pub forget: Timestamp,
}

/// The last line of a node's access log that the federation knows of: what lies before it cannot be changed or cut unseen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AccessHead {
    /// The node.
    pub node: NodeId,
    /// Number of the line; only rises.
    pub seq: u64,
    /// Its digest.
    pub digest: Digest,
    /// When it was published.
    pub at: Timestamp,
}

impl State {
    fn number(&self, name: &str, default: u64) -> u64 {
        self.setting(name).and_then(|v| v.parse().ok()).unwrap_or(default)
    }

    /// How far the three administrators are separated.
    pub fn separation(&self) -> Separation {
        match (self.setting(ROLE_SEPARATION), self.mode().relaxed()) {
            (Some("on"), _) => Separation::On,
            (_, false) => Separation::Founding,
            (_, true) => Separation::Off,
        }
    }

    /// Longest life of a session in milliseconds, at most twelve hours.
    pub fn session_life_ms(&self) -> u64 {
        self.number(SESSION_LIFE_MS, SESSION_LIFE_MAX_MS).min(SESSION_LIFE_MAX_MS)
    }

    /// How long a session may lie idle, in milliseconds.
    pub fn session_idle_ms(&self) -> u64 {
        self.number(SESSION_IDLE_MS, SESSION_IDLE_DEFAULT_MS).min(self.session_life_ms())
    }

    /// Failures that lock out, and for how many milliseconds.
    pub fn lockout(&self) -> (u32, u64) {
        let failures = self.number(LOCKOUT_FAILURES, LOCKOUT_FAILURES_DEFAULT).clamp(1, 1_000);
        (u32::try_from(failures).unwrap_or(1_000), self.number(LOCKOUT_MS, LOCKOUT_DEFAULT_MS))
    }

    /// Days that a node keeps its access log.
    pub fn access_log_days(&self) -> u64 {
        self.number(ACCESS_LOG_DAYS, ACCESS_LOG_DAYS_DEFAULT)
    }

    /// How often a node publishes the head of its access log, in milliseconds.
    pub fn access_log_anchor_ms(&self) -> u64 {
        self.number(ACCESS_LOG_ANCHOR_MS, ACCESS_LOG_ANCHOR_DEFAULT_MS)
    }

    /// The roles of an operator, for the whole federation and on one platform. None while suspended or not listed.
    pub fn roles_of(&self, operator: &str, platform: Option<RegionCode>) -> BTreeSet<OperatorRole> {
        let Some(known) = self.operator(operator).filter(|o| !o.suspended) else { return BTreeSet::new() };
        let mut roles = known.roles.clone();
        let here = self.bindings_of(operator).filter(|b| Some(b.platform) == platform);
        roles.extend(here.map(|b| b.role));
        roles
    }

    /// The roles of an operator on single platforms.
    pub fn bindings_of<'a>(&'a self, operator: &'a str) -> impl Iterator<Item = &'a RoleBinding> {
        self.bindings.values().filter(move |b| b.operator == operator)
    }

    /// Every role on a single platform.
    pub fn bindings(&self) -> impl Iterator<Item = &RoleBinding> {
        self.bindings.values()
    }

    /// Users who are no operators.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values()
    }

    /// A user who is no operator.
    pub fn user(&self, subject: &Subject) -> Option<&User> {
        self.users.get(subject)
    }

    /// Every delegation, ended ones included until they are forgotten.
    pub fn delegations(&self) -> impl Iterator<Item = &Delegation> {
        self.delegations.values()
    }

    /// A delegation.
    pub fn delegation(&self, id: CommandId) -> Option<&Delegation> {
        self.delegations.get(&id)
    }

    /// What an agent may do for an enterprise on a platform now.
    pub fn delegated(
        &self,
        enterprise: &str,
        agent: &Subject,
        platform: RegionCode,
        now: Timestamp,
    ) -> BTreeSet<DelegatedRight> {
        let both = [DelegatedRight::Lodge, DelegatedRight::Read];
        // An enterprise that was suspended can delegate nothing.
        let suspended = |s: &Subject| self.user(s).is_some_and(|u| u.suspended);
        if suspended(&Subject::Enterprise(enterprise.to_owned())) {
            return BTreeSet::new();
        }
        let given: Vec<&Delegation> = self
            .delegations_by
            .get(enterprise)
            .into_iter()
            .flatten()
            .filter_map(|id| self.delegations.get(id))
            .filter(|d| d.mandate.agent == *agent)
            .collect();
        both.into_iter().filter(|r| given.iter().any(|d| d.covers(*r, platform, now))).collect()
    }

    /// Sessions under a certificate that began then or earlier are over.
    pub fn sessions_ended(&self, serial: &str) -> Option<Timestamp> {
        self.session_ends.get(serial).map(|e| e.before)
    }

    /// The published heads of the nodes' access logs.
    pub fn access_heads(&self) -> impl Iterator<Item = &AccessHead> {
        self.access_heads.values()
    }

    /// The published head of a node's access log.
    pub fn access_head(&self, node: NodeId) -> Option<&AccessHead> {
        self.access_heads.get(&node)
    }
}
