//! Users, roles, delegations, sessions, the access log.

use serde::{Deserialize, Serialize};

/// A user: an operator, an enterprise, or an agency's officer or gateway.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UserItem {
    /// Id of an operator; for others the path of the certificate.
    pub id: String,
    /// Path of the certificate.
    pub subject: String,
    /// `operator`, `enterprise`, `agency`.
    pub kind: String,
    /// Name for people.
    pub name: String,
    /// Roles for the whole federation.
    pub roles: Vec<String>,
    /// Roles on one platform, `ROLE@PLATFORM`.
    pub platform_roles: Vec<String>,
    /// Platforms that an agency reads on; empty: all.
    pub platforms: Vec<String>,
    /// True while nothing is accepted from this user.
    pub suspended: bool,
    /// When the record was last changed.
    pub since: String,
}

/// `PUT /v1/users/{id}`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserRequest {
    /// Name for people.
    pub name: String,
    /// Roles of an operator, all of them.
    pub roles: Vec<String>,
    /// Platforms that an agency reads on; empty: all.
    pub platforms: Vec<String>,
    /// True suspends the user.
    pub suspended: bool,
}

/// `PUT|DELETE /v1/users/{id}/roles/{role}`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BindRequest {
    /// Only there; absent: the whole federation.
    pub platform: Option<String>,
}

/// A role with what it permits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RoleItem {
    /// Its word.
    pub role: String,
    /// Whose: `operator`, `enterprise`, `agent`, `agency`, `node`.
    pub kind: String,
    /// What it permits.
    pub permissions: Vec<String>,
    /// True for the three of which nobody has two.
    pub separated: bool,
    /// Ids of the operators that have it; on one platform `ID@PLATFORM`.
    pub holders: Vec<String>,
}

/// A delegation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DelegationItem {
    /// Its id.
    pub id: String,
    /// The enterprise.
    pub enterprise: String,
    /// Who acts for it.
    pub agent: String,
    /// `lodge`, `read`.
    pub rights: Vec<String>,
    /// Platforms; empty: all.
    pub platforms: Vec<String>,
    /// From.
    pub from: String,
    /// Until, exclusive.
    pub to: String,
    /// `planned`, `active`, `over`, `ended`.
    pub state: String,
    /// Who gave it.
    pub by: String,
    /// Who ended it early, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
}

/// `POST /v1/delegations`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DelegationRequest {
    /// The enterprise.
    pub enterprise: String,
    /// Who acts for it, `enterprise/ID`.
    pub agent: String,
    /// `lodge`, `read`.
    pub rights: Vec<String>,
    /// Platforms; empty: all.
    #[serde(default)]
    pub platforms: Vec<String>,
    /// From, RFC 3339.
    pub from: String,
    /// Until, exclusive, RFC 3339.
    pub to: String,
}

/// `DELETE /v1/delegations/{id}`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DelegationEnd {
    /// Why.
    pub reason: String,
}

/// Who the caller is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SessionItem {
    /// Path of the certificate.
    pub subject: String,
    /// Serial of the certificate.
    pub serial: String,
    /// `certificate` or `session`.
    pub by: String,
    /// Roles of an operator.
    pub roles: Vec<String>,
    /// Roles on one platform, `ROLE@PLATFORM`.
    pub platform_roles: Vec<String>,
    /// What the caller may do somewhere.
    pub permissions: Vec<String>,
    /// Enterprises that the caller may act for now.
    pub acts_for: Vec<String>,
    /// The session's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<String>,
    /// Unused, it ends then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_until: Option<String>,
    /// The token; only in the answer to a login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// A line of the access log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AccessLine {
    /// The node that wrote it.
    pub node: String,
    /// Its number there.
    pub seq: u64,
    /// When.
    pub at: String,
    /// `allowed`, `denied`, `logged_in`, …
    pub event: String,
    /// Who.
    pub subject: String,
    /// How that was shown.
    pub by: String,
    /// From where.
    pub source: String,
    /// For whom.
    pub behalf: String,
    /// What was asked.
    pub request: String,
    /// The permission.
    pub permission: String,
    /// Why not.
    pub code: String,
    /// What documents were read for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub purpose: String,
    /// The platform whose documents they are.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub acting_for: String,
    /// The rules and consents that showed them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rules: String,
    /// Classes of the fields that were shown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fields: String,
    /// Documents that were shown.
    #[serde(default)]
    pub rows: u64,
    /// Fields that were masked or withheld.
    #[serde(default)]
    pub masked: u64,
    /// How often.
    pub times: u64,
}

/// The files of a node's access log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AccessSegments {
    /// The node.
    pub node: String,
    /// Files, oldest first.
    pub items: Vec<AccessSegment>,
    /// The last line on disk, `NUMBER:DIGEST`.
    pub head: String,
    /// The last line that the registry knows of.
    pub published: Option<String>,
}

/// A file of the access log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AccessSegment {
    /// Its name.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
}
