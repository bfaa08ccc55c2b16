//! Pure authorization: may this subject do this action on this object.
//!
//! What always holds: a decision is a function of the request alone — no clock, no I/O, no state kept; what is not allowed by a
//! rule is denied; a node is never allowed more than to carry the requests of others, and only as a member. Whether a
//! certificate is valid and unrevoked is decided before, by the verifier. Who a forwarded request acts for is the caller that
//! the forwarder's proof names, and that caller is judged here again.
#![forbid(unsafe_code)]

use eport_identity::{RegionCode, Subject};
use serde::{Deserialize, Serialize};

/// What somebody wants to do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Hand in documents in one's own name.
    LodgeDocument,
    /// Read one document or its versions, receipts, trace.
    ReadDocument {
        /// In whose name it was lodged.
        lodged_by: String,
    },
    /// List or count documents. Answers carry only what the caller may read; see `Permit::OwnOnly`.
    ListDocuments,
    /// Follow the journal events of a platform.
    ReadEvents,
    /// Look at nodes, platforms, moves, journal heads.
    ReadFederation,
    /// Look at code tables.
    ReadTables,
    /// Look at operators, approvals and the audit.
    ReadAudit,
    /// Publish code tables.
    PublishTable,
    /// Move a platform, change its policy, create it.
    AdministerPlatform,
    /// Add, drain, remove nodes.
    AdministerNodes,
    /// Issue and revoke certificates.
    AdministerCertificates,
    /// Bring a request of somebody else, whose proof it carries.
    Forward,
}

/// What the federation knows about the caller and the place, besides the certificate.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Context {
    /// The federation runs in `dev` or `demo`.
    pub development: bool,
    /// The registry lists the calling node as a member that is neither removed nor revoked. Only meaningful for nodes.
    pub member: bool,
    /// Roles of the calling operator, from the registry.
    pub roles: Vec<Role>,
    /// The platform concerned, where one is.
    pub platform: Option<RegionCode>,
}

/// A role that the registry gives an operator, everywhere or on one platform.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Role {
    /// What it allows.
    pub kind: RoleKind,
    /// Only there; `None` is everywhere.
    pub platform: Option<RegionCode>,
}

/// What a role allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoleKind {
    /// May hand in documents.
    Lodger,
}

/// How old news of revocations may be for an action: what it can do if somebody in the chain is revoked already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Staleness {
    /// Membership, moves, certificates, tables: minutes.
    Administration,
    /// Documents of trade: a day.
    Documents,
    /// What is published, and what one reads: three days.
    Reads,
}

impl Staleness {
    /// The class of an action.
    pub fn of(action: &Action) -> Self {
        match action {
            Action::PublishTable
            | Action::AdministerPlatform
            | Action::AdministerNodes
            | Action::AdministerCertificates => Staleness::Administration,
            Action::LodgeDocument
            | Action::ReadDocument { .. }
            | Action::ListDocuments
            | Action::ReadEvents
            | Action::Forward => Staleness::Documents,
            Action::ReadFederation | Action::ReadTables | Action::ReadAudit => Staleness::Reads,
        }
    }

    /// The limit in milliseconds; that of administration is a setting.
    pub fn limit_ms(self, administration_ms: u64) -> u64 {
        match self {
            Staleness::Administration => administration_ms,
            Staleness::Documents => 24 * 3_600_000,
            Staleness::Reads => 72 * 3_600_000,
        }
    }
}

/// A granted request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Permit {
    /// Without restriction.
    All,
    /// Only what was lodged in the caller's own name.
    OwnOnly,
}

/// Why a request is denied. The reason is a sentence for the caller and gives away nothing about the object.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Denied {
    /// The rule that is missing.
    pub reason: &'static str,
}

const fn deny(reason: &'static str) -> Result<Permit, Denied> {
    Err(Denied { reason })
}

/// Decides. `Ok` says how far, `Err` says why not.
pub fn decide(subject: &Subject, action: &Action, context: &Context) -> Result<Permit, Denied> {
    match subject {
        Subject::Node { .. } => node(action, context),
        Subject::Operator(_) => operator(action, context),
        Subject::Enterprise(_) => enterprise(subject, action),
        Subject::Agency { .. } => agency(action),
    }
}

fn node(action: &Action, context: &Context) -> Result<Permit, Denied> {
    if !context.member {
        return deny("the node is not a member of this federation");
    }
    match action {
        Action::Forward | Action::ReadFederation | Action::ReadTables => Ok(Permit::All),
        Action::LodgeDocument => deny("nodes lodge no documents of their own"),
        _ => deny("nodes only carry the requests of others and read what the federation publishes"),
    }
}

fn operator(action: &Action, context: &Context) -> Result<Permit, Denied> {
    match action {
        Action::LodgeDocument => {
            let lodger = context.roles.iter().any(|r| {
                r.kind == RoleKind::Lodger && (r.platform.is_none() || r.platform == context.platform)
            });
            if context.development || lodger {
                Ok(Permit::All)
            } else {
                deny("the operator lacks the role lodger for this platform")
            }
        }
        Action::Forward => deny("only member nodes forward requests of others"),
        Action::ReadDocument { .. }
        | Action::ListDocuments
        | Action::ReadEvents
        | Action::ReadFederation
        | Action::ReadTables
        | Action::ReadAudit
        | Action::PublishTable
        | Action::AdministerPlatform
        | Action::AdministerNodes
        | Action::AdministerCertificates => Ok(Permit::All),
    }
}

fn enterprise(subject: &Subject, action: &Action) -> Result<Permit, Denied> {
    match action {
        Action::LodgeDocument | Action::ReadFederation | Action::ReadTables => Ok(Permit::All),
        Action::ListDocuments => Ok(Permit::OwnOnly),
        Action::ReadDocument { lodged_by } if *lodged_by == subject.lodger() => Ok(Permit::OwnOnly),
        Action::ReadDocument { .. } => deny("enterprises read only what they lodged"),
        Action::ReadEvents => deny("enterprises do not follow the events of a platform"),
        Action::Forward => deny("only member nodes forward requests of others"),
        _ => deny("only operators administer"),
    }
}

fn agency(action: &Action) -> Result<Permit, Denied> {
    match action {
        Action::ReadDocument { .. }
        | Action::ListDocuments
        | Action::ReadEvents
        | Action::ReadFederation
        | Action::ReadTables => Ok(Permit::All),
        Action::LodgeDocument => deny("agencies answer documents, they lodge none"),
        Action::Forward => deny("only member nodes forward requests of others"),
        _ => deny("only operators administer"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: [&str; 4] =
        ["platform/440000/node/gz-a-1", "operator/admin", "enterprise/91440100MA5ABCD19J", "agency/CUS/gw/1"];

    fn context(development: bool, member: bool, roles: Vec<Role>) -> Context {
        Context { development, member, roles, platform: Some("440300".parse().unwrap()) }
    }

    /// One letter a subject, in the order of `WHO`: a all, o own only, - denied.
    fn row(action: Action, context: &Context) -> String {
        let letter = |who: &&str| match decide(&who.parse().unwrap(), &action, context) {
            Ok(Permit::All) => 'a',
            Ok(Permit::OwnOnly) => 'o',
            Err(Denied { reason }) => {
                assert!(!reason.is_empty());
                '-'
            }
        };
        WHO.iter().map(letter).collect()
    }

    #[test]
    fn every_action_is_decided_for_every_kind_of_subject() {
        let production = context(false, true, Vec::new());
        for (action, expected) in [
            (Action::LodgeDocument, "--a-"),
            (Action::ReadDocument { lodged_by: "91440100MA5ABCD19J".into() }, "-aoa"),
            (Action::ReadDocument { lodged_by: "91440300MA5SZXY00X".into() }, "-a-a"),
            (Action::ListDocuments, "-aoa"),
            (Action::ReadEvents, "-a-a"),
            (Action::ReadFederation, "aaaa"),
            (Action::ReadTables, "aaaa"),
            (Action::ReadAudit, "-a--"),
            (Action::PublishTable, "-a--"),
            (Action::AdministerPlatform, "-a--"),
            (Action::AdministerNodes, "-a--"),
            (Action::AdministerCertificates, "-a--"),
            (Action::Forward, "a---"),
        ] {
            assert_eq!(row(action.clone(), &production), expected, "{action:?}");
        }
    }

    #[test]
    fn old_news_stops_what_administers_first_and_what_only_reads_last() {
        let limit = |action| Staleness::of(&action).limit_ms(300_000);
        assert_eq!(limit(Action::AdministerCertificates), 300_000);
        assert_eq!(limit(Action::AdministerPlatform), 300_000);
        assert_eq!(limit(Action::LodgeDocument), 86_400_000);
        assert_eq!(limit(Action::ReadTables), 259_200_000);
        assert_eq!(Staleness::of(&Action::PublishTable).limit_ms(1_000), 1_000);
    }

    #[test]
    fn a_node_that_is_no_member_may_do_nothing() {
        let stranger = context(true, false, Vec::new());
        for action in [Action::Forward, Action::ReadFederation, Action::ReadTables, Action::LodgeDocument] {
            assert!(row(action, &stranger).starts_with('-'));
        }
    }

    #[test]
    fn an_operator_lodges_in_development_or_with_the_role_for_that_platform() {
        let with = |platform: Option<&str>| {
            let role = Role { kind: RoleKind::Lodger, platform: platform.map(|p| p.parse().unwrap()) };
            context(false, true, vec![role])
        };
        assert_eq!(row(Action::LodgeDocument, &context(true, true, Vec::new())), "-aa-");
        assert_eq!(row(Action::LodgeDocument, &with(None)), "-aa-");
        assert_eq!(row(Action::LodgeDocument, &with(Some("440300"))), "-aa-");
        assert_eq!(row(Action::LodgeDocument, &with(Some("440100"))), "--a-");
    }
}
